//! Times for programs and for people.

use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use sshmeter_core::{time::Unit, units::Minute};

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
    local(instant, zone, "%Y-%m-%d %H:%M:%S")
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
