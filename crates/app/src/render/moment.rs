//! Times for programs and for people.

use jiff::{
    SignedDuration, Timestamp,
    civil::{DateTime, Time},
    tz::TimeZone,
};
use sshmeter_core::{time::Unit, units::Minute};

use super::number::push_pair;

/// RFC 3339 with the zone's offset.
#[must_use]
pub fn rfc3339(instant: Timestamp, zone: &TimeZone) -> String {
    instant
        .display_with_offset(zone.to_offset(instant))
        .to_string()
}

/// `2026-11-22 17:00`.
#[must_use]
pub fn local_minute(instant: Timestamp, zone: &TimeZone) -> String {
    local(instant, zone, "%Y-%m-%d %H:%M")
}

/// `2026-11-22 17:00:09`.
#[must_use]
pub fn local_second(instant: Timestamp, zone: &TimeZone) -> String {
    let mut text = String::new();
    push_second(&mut text, zone.to_datetime(instant));
    text
}

/// The same of a time in its zone, behind a text: for where there are many.
pub(super) fn push_second(text: &mut String, local: DateTime) {
    let year = local.year();
    if year < 0 {
        // Before our era, and no log's.
        text.push_str(&local.strftime("%Y").to_string());
    } else {
        push_pair(text, year / 100);
        push_pair(text, year % 100);
    }
    for part in [local.month(), local.day()] {
        text.push('-');
        push_pair(text, part.into());
    }
    text.push(' ');
    push_clock(text, local.time());
}

/// `17:00:09`.
pub(super) fn push_clock(text: &mut String, time: Time) {
    push_pair(text, time.hour().into());
    for part in [time.minute(), time.second()] {
        text.push(':');
        push_pair(text, part.into());
    }
}

fn local(instant: Timestamp, zone: &TimeZone, format: &str) -> String {
    instant.to_zoned(zone.clone()).strftime(format).to_string()
}

/// A bucket's name. An hour or minute that the clock shows twice names its
/// offset too.
pub(super) fn bucket_label(unit: Unit, start: Minute, zone: &TimeZone) -> String {
    let instant = start.start();
    match unit {
        Unit::Month => local(instant, zone, "%Y-%m"),
        Unit::Day => local(instant, zone, "%Y-%m-%d %a"),
        Unit::Hour | Unit::Minute => {
            let zoned = instant.to_zoned(zone.clone());
            let is_twice = zone.to_ambiguous_timestamp(zoned.datetime()).is_ambiguous();
            let format = if is_twice {
                "%Y-%m-%d %H:%M %:z"
            } else {
                "%Y-%m-%d %H:%M"
            };
            zoned.strftime(format).to_string()
        }
    }
}

/// What the start of a row is called. Rows come in the order of their starts, and
/// thousands have one, so that it is made once for all of these.
#[derive(Debug, Default)]
pub(super) struct Starts(Option<(Minute, String)>);

impl Starts {
    /// As `label` calls it.
    pub(super) fn label(&mut self, start: Minute, label: impl FnOnce(Minute) -> String) -> &str {
        let known = self.0.take().filter(|(known, _)| *known == start);
        &self
            .0
            .insert(known.unwrap_or_else(|| (start, label(start))))
            .1
    }
}

/// The name of a zone; one without a name is known by its offset.
#[must_use]
pub fn zone_name(zone: &TimeZone, at: Timestamp) -> String {
    zone.iana_name()
        .map_or_else(|| zone.to_offset(at).to_string(), str::to_owned)
}

/// A length of time in its two largest units: `3d 4h`, `2h 05m`, `45s`.
#[must_use]
pub fn duration(length: SignedDuration) -> String {
    let seconds = length.as_secs().max(0);
    let (days, hours) = (seconds / 86_400, seconds / 3600 % 24);
    let (minutes, seconds) = (seconds / 60 % 60, seconds % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m {seconds:02}s"),
        (0, _, _) => format!("{hours}h {minutes:02}m"),
        _ => format!("{days}d {hours}h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_second_is_written_as_jiff_would(second in any::<i64>()) {
            let range = Timestamp::MAX.as_second() - Timestamp::MIN.as_second();
            let second = Timestamp::MIN.as_second() + second.rem_euclid(range);
            let instant = Timestamp::from_second(second).expect("in range");
            let zone = TimeZone::get("Europe/Berlin").expect("a known zone");
            let expected = local(instant, &zone, "%Y-%m-%d %H:%M:%S");
            prop_assert_eq!(local_second(instant, &zone), expected);
        }
    }

    #[test]
    fn lengths_have_two_units() {
        for (seconds, text) in [
            (-5, "0s"),
            (0, "0s"),
            (59, "59s"),
            (60, "1m 00s"),
            (3_599, "59m 59s"),
            (3_660, "1h 01m"),
            (86_400, "1d 0h"),
            (30_000_000, "347d 5h"),
        ] {
            assert_eq!(duration(SignedDuration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn an_hour_shown_twice_says_which() {
        let zone = TimeZone::get("Europe/Berlin").expect("a known zone");
        let label = |at: &str| {
            let minute = Minute::of(at.parse().expect("an instant"));
            bucket_label(Unit::Hour, minute, &zone)
        };
        assert_eq!(label("2026-10-24T23:00:00Z"), "2026-10-25 01:00");
        assert_eq!(label("2026-10-25T00:00:00Z"), "2026-10-25 02:00 +02:00");
        assert_eq!(label("2026-10-25T01:00:00Z"), "2026-10-25 02:00 +01:00");
    }
}
