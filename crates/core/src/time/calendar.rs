//! Minutes gathered into the hours, days and months of one time zone.
//!
//! For each unit the buckets are a partition of the time line: they are
//! ordered, leave no gap and never overlap, whatever the zone does to its
//! clocks. A day may have 23 or 25 hours, an hour that a clock change cuts is
//! two buckets, and a local hour that is lived through twice is two as well.

use std::collections::BTreeMap;

use jiff::{
    Span, Timestamp,
    civil::Date,
    tz::{AmbiguousOffset, TimeZone},
};

use crate::units::Minute;

/// The lengths of buckets, finest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Unit {
    /// A minute of UTC.
    Minute,
    /// An hour of the zone.
    Hour,
    /// A day of the zone.
    Day,
    /// A month of the zone.
    Month,
}

/// A run of minutes, its end not included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// The first minute.
    pub start: Minute,
    /// The first minute that no longer belongs to it.
    pub end: Minute,
}

impl Bucket {
    /// Whether a minute lies in the bucket.
    #[must_use]
    pub fn contains(self, minute: Minute) -> bool {
        self.start <= minute && minute < self.end
    }
}

/// The calendar of one time zone.
#[derive(Clone, Debug)]
pub struct Calendar {
    zone: TimeZone,
}

impl Calendar {
    /// The calendar people in this zone live by.
    #[must_use]
    pub fn new(zone: TimeZone) -> Self {
        Self { zone }
    }

    /// The zone.
    #[must_use]
    pub fn zone(&self) -> &TimeZone {
        &self.zone
    }

    /// The bucket a minute belongs to.
    #[must_use]
    pub fn bucket(&self, unit: Unit, minute: Minute) -> Bucket {
        let instant = minute.start();
        let (start, end) = match unit {
            Unit::Minute => {
                return Bucket {
                    start: minute,
                    end: minute.next(),
                };
            }
            Unit::Hour => self.hour(instant),
            Unit::Day => {
                let date = instant.to_zoned(self.zone.clone()).date();
                self.span_of_dates(date, instant, Span::new().days(1))
            }
            Unit::Month => {
                let date = instant.to_zoned(self.zone.clone()).date();
                self.span_of_dates(date.first_of_month(), instant, Span::new().months(1))
            }
        };
        Bucket {
            start: first_minute_from(start),
            end: first_minute_from(end).max(minute.next()),
        }
    }

    /// The run of instants around `instant` that share its offset and its
    /// clock's hour.
    fn hour(&self, instant: Timestamp) -> (Timestamp, Timestamp) {
        let zoned = instant.to_zoned(self.zone.clone());
        let into_hour = i64::from(zoned.minute()) * 60 + i64::from(zoned.second());
        let mut start = shifted(instant, -into_hour);
        let mut end = shifted(start, 3600);
        // Transitions are strictly before the asked instant, and one may be at it.
        for transition in self.zone.preceding(shifted(instant, 1)) {
            let at = transition.timestamp();
            if at <= start {
                break;
            }
            if self.changes_offset(at) {
                start = at;
                break;
            }
        }
        for transition in self.zone.following(instant) {
            let at = transition.timestamp();
            if at >= end {
                break;
            }
            if self.changes_offset(at) {
                end = at;
                break;
            }
        }
        (start, end)
    }

    /// Some transitions change only the zone's name or its flag for summer.
    fn changes_offset(&self, transition: Timestamp) -> bool {
        self.zone.to_offset(shifted(transition, -1)) != self.zone.to_offset(transition)
    }

    /// The span of whole dates, beginning with `first`, that `instant` lies in.
    ///
    /// A clock that is set back over midnight shows yesterday's date again;
    /// those minutes stay with the day that has already begun.
    fn span_of_dates(&self, first: Date, instant: Timestamp, step: Span) -> (Timestamp, Timestamp) {
        let mut start = self.start_of_date(first);
        let mut date = first;
        loop {
            let Ok(next_date) = date.checked_add(step) else {
                return (start, Timestamp::MAX);
            };
            let next = self.start_of_date(next_date);
            if next > instant {
                return (start, next);
            }
            date = next_date;
            start = next;
        }
    }

    /// The first instant of a date, also where its midnight does not exist.
    #[must_use]
    pub fn start_of_date(&self, date: Date) -> Timestamp {
        let ambiguous = self
            .zone
            .to_ambiguous_timestamp(date.to_datetime(jiff::civil::Time::midnight()));
        let is_gap = matches!(ambiguous.offset(), AmbiguousOffset::Gap { .. });
        // Only dates at the very ends of jiff's range have no instant.
        let Ok(instant) = ambiguous.compatible() else {
            return if date.year() < 0 {
                Timestamp::MIN
            } else {
                Timestamp::MAX
            };
        };
        if !is_gap {
            return instant;
        }
        self.zone
            .preceding(shifted(instant, 1))
            .next()
            .map_or(instant, |transition| transition.timestamp())
    }
}

fn shifted(instant: Timestamp, seconds: i64) -> Timestamp {
    Timestamp::from_second(instant.as_second().saturating_add(seconds)).unwrap_or(if seconds < 0 {
        Timestamp::MIN
    } else {
        Timestamp::MAX
    })
}

/// The first minute that does not begin before an instant: offsets of the
/// nineteenth century have odd seconds, and a bucket holds whole minutes.
fn first_minute_from(instant: Timestamp) -> Minute {
    let minute = Minute::of(instant);
    if minute.start() < instant {
        minute.next()
    } else {
        minute
    }
}

/// A calendar that remembers the buckets it was asked for, since entries come
/// by the thousand for a handful of hours.
#[derive(Clone, Debug)]
pub struct Buckets {
    calendar: Calendar,
    unit: Unit,
    known: BTreeMap<Minute, Minute>,
    last: Option<Bucket>,
}

impl Buckets {
    /// Buckets of one unit.
    #[must_use]
    pub fn new(calendar: Calendar, unit: Unit) -> Self {
        Self {
            calendar,
            unit,
            known: BTreeMap::new(),
            last: None,
        }
    }

    /// The bucket a minute belongs to.
    pub fn of(&mut self, minute: Minute) -> Bucket {
        if self.unit == Unit::Minute {
            return self.calendar.bucket(self.unit, minute);
        }
        if let Some(last) = self.last
            && last.contains(minute)
        {
            return last;
        }
        let known = self.known.range(..=minute).next_back();
        let bucket = match known.map(|(&start, &end)| Bucket { start, end }) {
            Some(bucket) if bucket.contains(minute) => bucket,
            _ => self.calendar.bucket(self.unit, minute),
        };
        self.known.insert(bucket.start, bucket.end);
        self.last = Some(bucket);
        bucket
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn calendar(zone: &str) -> Calendar {
        Calendar::new(TimeZone::get(zone).expect("a known zone"))
    }

    fn minute(text: &str) -> Minute {
        Minute::of(text.parse().expect("an instant"))
    }

    fn bucket(zone: &str, unit: Unit, at: &str) -> (String, String, i64) {
        let calendar = calendar(zone);
        let bucket = calendar.bucket(unit, minute(at));
        let local = |minute: Minute| {
            let instant = minute.start();
            instant
                .display_with_offset(calendar.zone().to_offset(instant))
                .to_string()
        };
        (
            local(bucket.start),
            local(bucket.end),
            bucket.end.0 - bucket.start.0,
        )
    }

    fn expect(start: &str, end: &str, minutes: i64) -> (String, String, i64) {
        (start.into(), end.into(), minutes)
    }

    #[test]
    fn a_day_of_berlin_has_23_24_or_25_hours() {
        assert_eq!(
            bucket("Europe/Berlin", Unit::Day, "2026-03-29T12:00:00Z"),
            expect(
                "2026-03-29T00:00:00+01:00",
                "2026-03-30T00:00:00+02:00",
                23 * 60
            )
        );
        assert_eq!(
            bucket("Europe/Berlin", Unit::Day, "2026-10-25T12:00:00Z"),
            expect(
                "2026-10-25T00:00:00+02:00",
                "2026-10-26T00:00:00+01:00",
                25 * 60
            )
        );
        assert_eq!(
            bucket("Europe/Berlin", Unit::Day, "2026-11-22T22:59:00Z"),
            expect(
                "2026-11-22T00:00:00+01:00",
                "2026-11-23T00:00:00+01:00",
                24 * 60
            )
        );
    }

    #[test]
    fn a_day_without_midnight_begins_after_the_gap() {
        assert_eq!(
            bucket("Asia/Beirut", Unit::Day, "2026-03-29T12:00:00Z"),
            expect(
                "2026-03-29T01:00:00+03:00",
                "2026-03-30T00:00:00+03:00",
                23 * 60
            )
        );
    }

    #[test]
    fn a_gap_that_began_before_midnight_ends_the_day_there() {
        // Toronto went from 23:30 to 00:30.
        assert_eq!(
            bucket("America/Toronto", Unit::Day, "1919-03-31T12:00:00Z"),
            expect(
                "1919-03-31T00:30:00-04:00",
                "1919-04-01T00:00:00-04:00",
                23 * 60 + 30
            )
        );
    }

    #[test]
    fn a_date_that_never_was_is_no_bucket() {
        assert_eq!(
            bucket("Pacific/Apia", Unit::Day, "2011-12-30T09:59:00Z"),
            expect(
                "2011-12-29T00:00:00-10:00",
                "2011-12-31T00:00:00+14:00",
                24 * 60
            )
        );
    }

    #[test]
    fn a_clock_set_back_over_midnight_does_not_reopen_yesterday() {
        // St John's went from 00:01 back to 23:01.
        let first = bucket("America/St_Johns", Unit::Day, "2010-11-07T02:30:30Z");
        let again = bucket("America/St_Johns", Unit::Day, "2010-11-07T02:45:00Z");
        assert_eq!(first, again);
        assert_eq!(first.0, "2010-11-07T00:00:00-02:30");
    }

    #[test]
    fn the_hours_of_kathmandu_start_at_quarter_past() {
        assert_eq!(
            bucket("Asia/Kathmandu", Unit::Hour, "2026-11-22T12:14:00Z"),
            expect("2026-11-22T17:00:00+05:45", "2026-11-22T18:00:00+05:45", 60)
        );
    }

    #[test]
    fn the_hour_lived_twice_is_two_buckets() {
        assert_eq!(
            bucket("Europe/Berlin", Unit::Hour, "2026-10-25T00:30:00Z"),
            expect("2026-10-25T02:00:00+02:00", "2026-10-25T02:00:00+01:00", 60)
        );
        assert_eq!(
            bucket("Europe/Berlin", Unit::Hour, "2026-10-25T01:00:00Z"),
            expect("2026-10-25T02:00:00+01:00", "2026-10-25T03:00:00+01:00", 60)
        );
    }

    #[test]
    fn the_half_hour_change_of_lord_howe_cuts_hours() {
        assert_eq!(
            bucket("Australia/Lord_Howe", Unit::Hour, "2026-04-04T15:10:00Z"),
            expect("2026-04-05T01:30:00+10:30", "2026-04-05T02:00:00+10:30", 30)
        );
        assert_eq!(
            bucket("Australia/Lord_Howe", Unit::Hour, "2026-10-03T15:40:00Z"),
            expect("2026-10-04T02:30:00+11:00", "2026-10-04T03:00:00+11:00", 30)
        );
        assert_eq!(
            bucket("Australia/Lord_Howe", Unit::Day, "2026-10-04T00:00:00Z").2,
            23 * 60 + 30
        );
    }

    #[test]
    fn months_follow_the_zone() {
        assert_eq!(
            bucket("Asia/Tokyo", Unit::Month, "2026-10-31T15:00:00Z"),
            expect(
                "2026-11-01T00:00:00+09:00",
                "2026-12-01T00:00:00+09:00",
                30 * 24 * 60
            )
        );
    }

    #[test]
    fn the_ends_of_time_have_buckets() {
        for end in [Timestamp::MIN, Timestamp::MAX] {
            for unit in [Unit::Minute, Unit::Hour, Unit::Day, Unit::Month] {
                let minute = Minute::of(end);
                assert!(
                    calendar("Europe/Berlin")
                        .bucket(unit, minute)
                        .contains(minute)
                );
            }
        }
    }

    const ZONES: [&str; 10] = [
        "UTC",
        "Europe/Berlin",
        "Asia/Kathmandu",
        "Asia/Beirut",
        "Australia/Lord_Howe",
        "America/St_Johns",
        "Pacific/Apia",
        "America/Havana",
        "Africa/Casablanca",
        "Antarctica/Troll",
    ];

    proptest! {
        #[test]
        fn buckets_partition_time_and_nest(
            zone in prop::sample::select(&ZONES[..]),
            // 1980 to 2060.
            at in 5_259_600i64..47_336_400,
        ) {
            let calendar = calendar(zone);
            let minute = Minute(at);
            let mut inner: Option<Bucket> = None;
            for unit in [Unit::Minute, Unit::Hour, Unit::Day, Unit::Month] {
                let bucket = calendar.bucket(unit, minute);
                prop_assert!(bucket.contains(minute));
                prop_assert_eq!(calendar.bucket(unit, bucket.start), bucket);
                prop_assert_eq!(calendar.bucket(unit, Minute(bucket.end.0 - 1)), bucket);
                prop_assert_eq!(calendar.bucket(unit, bucket.end).start, bucket.end);
                prop_assert_eq!(calendar.bucket(unit, Minute(bucket.start.0 - 1)).end, bucket.start);
                if let Some(inner) = inner {
                    prop_assert!(bucket.start <= inner.start && inner.end <= bucket.end);
                }
                inner = Some(bucket);
            }
        }

        #[test]
        fn a_remembered_bucket_is_the_same(
            zone in prop::sample::select(&ZONES[..]),
            minutes in prop::collection::vec(29_000_000i64..29_100_000, 1..50),
        ) {
            let calendar = calendar(zone);
            for unit in [Unit::Minute, Unit::Hour, Unit::Day, Unit::Month] {
                let mut buckets = Buckets::new(calendar.clone(), unit);
                for &minute in &minutes {
                    prop_assert_eq!(
                        buckets.of(Minute(minute)),
                        calendar.bucket(unit, Minute(minute))
                    );
                }
            }
        }
    }
}
