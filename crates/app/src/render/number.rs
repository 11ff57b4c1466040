//! Numbers behind a text: reports have very many, and what is written for every
//! type and width costs a multiple of this.

/// A number's digits.
pub(super) fn push_number(text: &mut String, number: u64) {
    let mut digits = [0; 20];
    let mut start = digits.len();
    let mut left = number;
    loop {
        start -= 1;
        digits[start] = b'0' + u8::try_from(left % 10).unwrap_or(0);
        left /= 10;
        if left == 0 {
            break;
        }
    }
    text.push_str(str::from_utf8(&digits[start..]).unwrap_or_default());
}

/// A number below a hundred, in two digits.
pub(super) fn push_pair(text: &mut String, number: i16) {
    let number = number.unsigned_abs();
    push_number(text, (number / 10).into());
    push_number(text, (number % 10).into());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn numbers_are_written_as_anywhere(number: u64, bits in 0u32..64) {
            let mut text = String::new();
            push_number(&mut text, number >> bits);
            prop_assert_eq!(text, (number >> bits).to_string());
        }

        #[test]
        fn pairs_have_two_digits(number in 0i16..100) {
            let mut text = String::new();
            push_pair(&mut text, number);
            prop_assert_eq!(text, format!("{number:02}"));
        }
    }
}
