//! Any text as `--since` and `--until`, in any zone, at any time.

use jiff::{Timestamp, tz::TimeZone};
use sshmeter_core::time::{Period, Unit, parse_time};

use crate::choices::Choices;

/// Zones whose clocks do unusual things.
const ZONES: [&str; 8] = [
    "UTC",
    "Europe/Berlin",
    "Asia/Kathmandu",
    "Asia/Beirut",
    "Australia/Lord_Howe",
    "America/St_Johns",
    "Pacific/Apia",
    "Africa/Casablanca",
];

const UNITS: [Unit; 4] = [Unit::Minute, Unit::Hour, Unit::Day, Unit::Month];

/// Reads a zone, a unit, a time and one or two words.
pub fn time(bytes: &[u8]) {
    let _ = period_of(bytes);
}

fn period_of(bytes: &[u8]) -> Option<()> {
    let (head, words) = bytes.split_at_checked(10)?;
    let mut choices = Choices::of(head);
    let zone = TimeZone::get(choices.one_of(&ZONES)?).expect("tzdata");
    let unit = *choices.one_of(&UNITS)?;
    let range = Timestamp::MIN.as_second()..=Timestamp::MAX.as_second();
    let second = choices.number().filter(|second| range.contains(second))?;
    let now = Timestamp::from_second(second).expect("in range");
    let words = String::from_utf8_lossy(words);
    let (since, until) = match words.split_once('\n') {
        Some((since, until)) => (Some(since), Some(until)),
        None => (Some(&*words), None),
    };
    for text in since.into_iter().chain(until) {
        match parse_time(text, now, &zone) {
            Ok(instant) => assert_eq!(
                parse_time(&instant.to_string(), now, &zone),
                Ok(instant),
                "{text}"
            ),
            Err(error) => assert!(error.to_string().contains(text)),
        }
    }
    for since in [since, None] {
        match Period::resolve(since, until, now, &zone, unit) {
            Ok(period) => assert!(period.since() <= period.until()),
            Err(error) => assert!(!error.hint().is_empty() && !error.to_string().is_empty()),
        }
    }
    Some(())
}
