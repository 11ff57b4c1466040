//! Times that do not say all: no year, or no zone.
//!
//! Traditional syslog writes `Nov  2 17:32:20` in the writer's local time. The
//! year is the latest that puts the line no more than a day after now: a log
//! may step back (yesterday's December read in January) and clocks may differ,
//! but a log does not come from the future.

use jiff::{
    SignedDuration, Timestamp,
    civil::{Date, DateTime, Time},
    tz::{AmbiguousOffset, TimeZone},
};

/// 29 February can be eight years back (1896, 1904).
const YEARS_BACK: i16 = 8;

/// What resolves a time without a year or a zone.
#[derive(Clone, Debug)]
pub struct Clock {
    now: Timestamp,
    zone: TimeZone,
    latest: Timestamp,
    latest_year: i16,
}

impl Clock {
    /// A clock that stands at `now`: the present for a followed log, a file's
    /// last change for an archived one. `zone` is where its lines were written.
    #[must_use]
    pub fn new(now: Timestamp, zone: TimeZone) -> Self {
        let latest = now
            .checked_add(SignedDuration::from_hours(24))
            .unwrap_or(Timestamp::MAX);
        let latest_year = zone.to_datetime(latest).year();
        Self {
            now,
            zone,
            latest,
            latest_year,
        }
    }

    /// The zone of times that name none.
    #[must_use]
    pub fn zone(&self) -> &TimeZone {
        &self.zone
    }

    /// The latest instant, not more than a day after now, that local clocks
    /// show as this month, day and time. `None` for a day no year has.
    pub(super) fn resolve_without_year(&self, month: i8, day: i8, time: Time) -> Option<Timestamp> {
        let first = self.latest_year.saturating_sub(YEARS_BACK);
        (first..=self.latest_year)
            .rev()
            .filter_map(|year| Date::new(year, month, day).ok())
            .filter_map(|date| self.resolve_local(date.to_datetime(time)))
            .find(|instant| *instant <= self.latest)
    }

    /// The instant of a local time. One that the clocks skipped is taken as
    /// the clock that had not been set forward yet would show it. Of one that
    /// came twice the later is taken unless it has not come yet: right for
    /// every line that is read as it is written.
    pub(super) fn resolve_local(&self, local: DateTime) -> Option<Timestamp> {
        let ambiguous = self.zone.to_ambiguous_timestamp(local);
        if !matches!(ambiguous.offset(), AmbiguousOffset::Fold { .. }) {
            return ambiguous.compatible().ok();
        }
        let later = ambiguous.later().ok()?;
        if later <= self.now {
            Some(later)
        } else {
            ambiguous.earlier().ok()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock(now: &str, zone: &str) -> Clock {
        Clock::new(
            now.parse().unwrap(),
            TimeZone::get(zone).expect("the zone is in tzdata"),
        )
    }

    fn resolve(clock: &Clock, month: i8, day: i8, hour: i8, minute: i8) -> String {
        clock
            .resolve_without_year(month, day, Time::constant(hour, minute, 0, 0))
            .map_or_else(|| "none".to_owned(), |instant| instant.to_string())
    }

    #[test]
    fn the_year_is_the_latest_that_is_not_the_future() {
        let clock = clock("2026-11-22T18:00:00Z", "UTC");
        assert_eq!(resolve(&clock, 11, 22, 17, 32), "2026-11-22T17:32:00Z");
        assert_eq!(resolve(&clock, 11, 23, 17, 59), "2026-11-23T17:59:00Z");
        assert_eq!(resolve(&clock, 11, 23, 18, 1), "2025-11-23T18:01:00Z");
        assert_eq!(resolve(&clock, 12, 31, 23, 59), "2025-12-31T23:59:00Z");
        assert_eq!(resolve(&clock, 1, 1, 0, 0), "2026-01-01T00:00:00Z");
    }

    #[test]
    fn the_turn_of_the_year_is_crossed_both_ways() {
        let after = clock("2027-01-01T00:00:05Z", "UTC");
        assert_eq!(resolve(&after, 12, 31, 23, 59), "2026-12-31T23:59:00Z");
        let before = clock("2026-12-31T23:59:58Z", "UTC");
        assert_eq!(resolve(&before, 1, 1, 0, 0), "2027-01-01T00:00:00Z");
        let west = clock("2027-01-01T04:00:00Z", "America/New_York");
        assert_eq!(resolve(&west, 12, 31, 22, 59), "2027-01-01T03:59:00Z");
    }

    #[test]
    fn a_leap_day_is_in_the_last_leap_year() {
        let usual = clock("2026-11-22T18:00:00Z", "UTC");
        assert_eq!(resolve(&usual, 2, 29, 12, 0), "2024-02-29T12:00:00Z");
        let after_1900 = clock("1903-05-01T00:00:00Z", "UTC");
        assert_eq!(resolve(&after_1900, 2, 29, 12, 0), "1896-02-29T12:00:00Z");
        assert_eq!(resolve(&usual, 2, 30, 12, 0), "none");
        assert_eq!(resolve(&usual, 13, 1, 12, 0), "none");
    }

    #[test]
    fn a_skipped_hour_is_taken_as_if_the_clock_had_not_been_set() {
        let clock = clock("2026-06-01T00:00:00Z", "Europe/Berlin");
        assert_eq!(resolve(&clock, 3, 29, 2, 30), "2026-03-29T01:30:00Z");
        let beirut = self::clock("2026-06-01T00:00:00Z", "Asia/Beirut");
        assert_eq!(resolve(&beirut, 3, 29, 0, 30), "2026-03-28T22:30:00Z");
    }

    #[test]
    fn a_repeated_hour_is_the_one_being_lived() {
        let first = clock("2026-10-25T00:31:00Z", "Europe/Berlin");
        assert_eq!(resolve(&first, 10, 25, 2, 30), "2026-10-25T00:30:00Z");
        let second = clock("2026-10-25T01:31:00Z", "Europe/Berlin");
        assert_eq!(resolve(&second, 10, 25, 2, 30), "2026-10-25T01:30:00Z");
    }

    #[test]
    fn the_ends_of_time_do_not_panic() {
        for now in [Timestamp::MIN, Timestamp::MAX] {
            let clock = Clock::new(now, TimeZone::UTC);
            let _ = clock.resolve_without_year(12, 31, Time::MAX);
            let _ = clock.resolve_local(DateTime::MAX);
            let _ = clock.resolve_local(DateTime::MIN);
        }
    }
}
