//! Bytes for people: `1.23 GiB`, three digits and a binary unit.
//!
//! Written here because byte counts are what this program is about: it neither
//! saturates nor lies about its unit, and its rounding is to nearest.

use super::number::push_number;

const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];

/// A number of bytes as people read it.
#[must_use]
pub fn bytes(count: u64) -> String {
    let mut text = String::new();
    push_bytes(&mut text, count);
    text
}

/// The same behind a text: for where there are many.
pub(super) fn push_bytes(text: &mut String, count: u64) {
    if count < 1024 {
        push_number(text, count);
        text.push_str(" B");
        return;
    }
    let rounded = |parts: u128, bits: u32| {
        let parts = (u128::from(count) * parts + (1 << (bits - 1))) >> bits;
        u64::try_from(parts).unwrap_or(u64::MAX)
    };
    // Rounding up can reach the next unit: 1023.6 KiB is 1.00 MiB.
    let units = UNITS.into_iter().zip((10..).step_by(10));
    let unit = { units }.find(|(_, bits)| rounded(1, *bits) < 1024);
    // 64 bits end at 16 EiB.
    let (name, bits) = unit.unwrap_or(("EiB", 60));
    let (hundredths, tenths) = (rounded(100, bits), rounded(10, bits));
    if hundredths < 1000 {
        push_number(text, hundredths / 100);
        text.push('.');
        push_number(text, hundredths / 10 % 10);
        push_number(text, hundredths % 10);
    } else if tenths < 1000 {
        push_number(text, tenths / 10);
        text.push('.');
        push_number(text, tenths % 10);
    } else {
        push_number(text, rounded(1, bits));
    }
    text.push(' ');
    text.push_str(name);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn three_digits_and_a_unit() {
        for (count, text) in [
            (0, "0 B"),
            (1, "1 B"),
            (1023, "1023 B"),
            (1024, "1.00 KiB"),
            (1029, "1.00 KiB"),
            (1030, "1.01 KiB"),
            (10_234, "9.99 KiB"),
            (10_235, "10.0 KiB"),
            (102_348, "99.9 KiB"),
            (102_349, "100 KiB"),
            (1_048_063, "1023 KiB"),
            (1_048_064, "1.00 MiB"),
            (1_320_702_444, "1.23 GiB"),
            (u64::MAX, "16.0 EiB"),
        ] {
            assert_eq!(bytes(count), text, "{count}");
        }
    }

    /// What a text says, and half of its last digit's worth.
    fn meaning(text: &str) -> (f64, f64) {
        let (number, unit) = text.split_once(' ').expect("a number and a unit");
        let power = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"]
            .iter()
            .position(|name| *name == unit)
            .expect("a unit");
        let scale = 1024f64.powi(i32::try_from(power).expect("small"));
        let decimals = number.split_once('.').map_or(0, |(_, digits)| digits.len());
        let half = 0.5 / 10f64.powi(i32::try_from(decimals).expect("small"));
        (
            number.parse::<f64>().expect("a number") * scale,
            half * scale,
        )
    }

    proptest! {
        #[test]
        fn what_is_said_is_as_near_as_its_digits(bits in 0u32..=64, noise in any::<u64>()) {
            let count = noise.checked_shr(bits).unwrap_or(0);
            let text = bytes(count);
            prop_assert!(text.len() <= 8, "{text}");
            let (said, half) = meaning(&text);
            #[expect(clippy::cast_precision_loss, reason = "the test allows for it")]
            let count = count as f64;
            prop_assert!((said - count).abs() <= half * 1.000_001, "{count} is not {text}");
        }

        #[test]
        fn more_is_never_said_to_be_less(one in any::<u64>(), other in any::<u64>(), bits in 0u32..64) {
            let (one, other) = (one >> bits, other >> bits);
            let (small, large) = (one.min(other), one.max(other));
            prop_assert!(meaning(&bytes(small)).0 <= meaning(&bytes(large)).0);
        }
    }
}
