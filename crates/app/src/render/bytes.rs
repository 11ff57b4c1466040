//! Bytes for people: `1.23 GiB`, three digits and a binary unit.
//!
//! Written here because byte counts are what this program is about: it neither
//! saturates nor lies about its unit, and its rounding is to nearest.

const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];

/// A number of bytes as people read it.
#[must_use]
pub fn bytes(count: u64) -> String {
    if count < 1024 {
        return format!("{count} B");
    }
    let count = u128::from(count);
    let mut unit = 1u128;
    for name in UNITS {
        unit *= 1024;
        let rounded = |parts: u128| (count * parts + unit / 2) / unit;
        // Rounding up can reach the next unit: 1023.6 KiB is 1.00 MiB.
        if rounded(1) >= 1024 {
            continue;
        }
        let (hundredths, tenths) = (rounded(100), rounded(10));
        return if hundredths < 1000 {
            format!("{}.{:02} {name}", hundredths / 100, hundredths % 100)
        } else if tenths < 1000 {
            format!("{}.{} {name}", tenths / 10, tenths % 10)
        } else {
            format!("{} {name}", rounded(1))
        };
    }
    // 64 bits end at 16 EiB.
    format!("{} EiB", count / unit)
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
