//! Lengths of time as the config writes them: a number and one unit, `"10s"`,
//! `"400d"`.

use std::time::Duration;

/// Units, longest first, with their seconds. A year is 365 days, a month no
/// unit at all: it has no length.
const UNITS: [(&str, u64); 6] = [
    ("y", 365 * 86_400),
    ("w", 7 * 86_400),
    ("d", 86_400),
    ("h", 3_600),
    ("m", 60),
    ("s", 1),
];

/// Reads a length; `None` for anything else.
pub(super) fn parse(text: &str) -> Option<Duration> {
    let (_, unit) = UNITS.iter().find(|(name, _)| text.ends_with(name))?;
    let digits = &text[..text.len() - 1];
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    // What SQL's signed seconds can hold; longer is what "forever" is for.
    let seconds = count
        .checked_mul(*unit)
        .filter(|seconds| i64::try_from(*seconds).is_ok())?;
    Some(Duration::from_secs(seconds))
}

/// Writes a length of whole seconds in the largest of days, hours, minutes and
/// seconds that leaves nothing over.
pub(super) fn show(length: Duration) -> String {
    let seconds = length.as_secs();
    let (name, unit) = UNITS[2..]
        .iter()
        .find(|(_, unit)| seconds > 0 && seconds.is_multiple_of(*unit))
        .unwrap_or(&("s", 1));
    format!("{}{name}", seconds / unit)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_shown_is_read_back(seconds in 0..=i64::MAX as u64 / 86_400) {
            let length = Duration::from_secs(seconds);
            prop_assert_eq!(parse(&show(length)), Some(length));
        }
    }

    #[test]
    fn only_a_number_and_a_unit_is_a_length() {
        assert_eq!(parse("2w"), Some(Duration::from_secs(14 * 86_400)));
        assert_eq!(show(Duration::from_secs(60)), "1m");
        assert_eq!(show(Duration::from_secs(90)), "90s");
        for bad in [
            "",
            "s",
            "10",
            "-1s",
            "+1s",
            "1.5h",
            "1 d",
            "12mo",
            "10S",
            "é",
            "99999999999999999y",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
