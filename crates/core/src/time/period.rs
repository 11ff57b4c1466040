//! The period a question is about: whole minutes, the end not included.

use jiff::{Timestamp, tz::TimeZone};
use thiserror::Error;

use super::{Calendar, TimeError, Unit, parse_time};
use crate::units::Minute;

/// From one minute to another, the second not included. Never ends before it
/// begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Period {
    since: Minute,
    until: Minute,
}

/// A period nobody can have meant.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PeriodError {
    /// One of its ends is no time.
    #[error(transparent)]
    Time(#[from] TimeError),
    /// It ends before it begins, or where it begins.
    #[error("the period ends before it begins: it runs from {since} to {until}")]
    Backwards {
        /// Its beginning, in the asker's zone.
        since: String,
        /// Its end, in the asker's zone.
        until: String,
    },
    /// `--since D --until D`, which is no time at all.
    #[error("the period is empty: it begins and ends at {at}")]
    Empty {
        /// The instant, in the asker's zone.
        at: String,
    },
    /// It begins in the future and no end was given.
    #[error("the period begins at {since}, which is still to come")]
    Future {
        /// Its beginning, in the asker's zone.
        since: String,
    },
}

impl PeriodError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Time(error) => error.hint(),
            Self::Backwards { .. } => "give --since the earlier and --until the later time",
            Self::Empty { .. } => {
                "--until is not included in the period: for a whole day, give the day that follows"
            }
            Self::Future { .. } => "give --since a time that has passed, such as `today` or `-7d`",
        }
    }
}

impl Period {
    /// From a minute to another; empty where they are in the wrong order.
    #[must_use]
    pub fn new(since: Minute, until: Minute) -> Self {
        Self {
            since,
            until: until.max(since),
        }
    }

    /// The period a command line names. Without `since` it begins with the
    /// `default` unit (the month, the day) that its end lies in; without
    /// `until` it ends now.
    ///
    /// The beginning is floored to its minute and the end ceiled, since a
    /// minute is the finest thing the ledger knows.
    ///
    /// # Errors
    /// An end is no time, the period ends before it begins, or all of it is
    /// still to come.
    pub fn resolve(
        since: Option<&str>,
        until: Option<&str>,
        now: Timestamp,
        zone: &TimeZone,
        default: Unit,
    ) -> Result<Self, PeriodError> {
        let text = |instant: Timestamp| {
            let local = instant.to_zoned(zone.clone());
            local.strftime("%Y-%m-%d %H:%M:%S").to_string()
        };
        let end = match until {
            Some(until) => parse_time(until, now, zone)?,
            None => now,
        };
        let until_minute = ceiled(end);
        let Some(since) = since else {
            let last = Minute(until_minute.0.saturating_sub(1));
            let start = Calendar::new(zone.clone()).bucket(default, last).start;
            if start.start() > now {
                return Err(PeriodError::Future {
                    since: text(start.start()),
                });
            }
            return Ok(Self::new(start, until_minute));
        };
        let begin = parse_time(since, now, zone)?;
        let given_end = until.is_some();
        match begin.cmp(&end) {
            std::cmp::Ordering::Greater if given_end => Err(PeriodError::Backwards {
                since: text(begin),
                until: text(end),
            }),
            std::cmp::Ordering::Equal if given_end => Err(PeriodError::Empty { at: text(begin) }),
            _ if begin > now => Err(PeriodError::Future { since: text(begin) }),
            _ => Ok(Self::new(Minute::of(begin), until_minute)),
        }
    }

    /// The first minute.
    #[must_use]
    pub fn since(self) -> Minute {
        self.since
    }

    /// The first minute after it.
    #[must_use]
    pub fn until(self) -> Minute {
        self.until
    }

    /// Whether a minute lies in the period.
    #[must_use]
    pub fn contains(self, minute: Minute) -> bool {
        self.since <= minute && minute < self.until
    }

    /// Whether all minutes from `first` to `last` (included) lie in the period.
    #[must_use]
    pub fn contains_all(self, first: Minute, last: Minute) -> bool {
        self.contains(first) && self.contains(last)
    }
}

fn ceiled(instant: Timestamp) -> Minute {
    let minute = Minute::of(instant);
    if minute.start() < instant {
        minute.next()
    } else {
        minute
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(since: Option<&str>, until: Option<&str>) -> Result<(String, String), PeriodError> {
        let zone = TimeZone::get("Europe/Berlin").expect("a known zone");
        let now = "2026-11-22T17:05:30Z".parse().expect("an instant");
        let period = Period::resolve(since, until, now, &zone, Unit::Month)?;
        Ok((
            period.since().start().to_string(),
            period.until().start().to_string(),
        ))
    }

    fn runs(since: &str, until: &str) -> Result<(String, String), PeriodError> {
        Ok((since.into(), until.into()))
    }

    #[test]
    fn ends_are_whole_minutes() {
        assert_eq!(
            resolve(Some("-30m"), None),
            runs("2026-11-22T16:35:00Z", "2026-11-22T17:06:00Z")
        );
    }

    #[test]
    fn yesterday_until_today_is_yesterday() {
        assert_eq!(
            resolve(Some("yesterday"), Some("today")),
            runs("2026-11-20T23:00:00Z", "2026-11-21T23:00:00Z")
        );
    }

    #[test]
    fn without_a_beginning_it_is_the_month_its_end_lies_in() {
        assert_eq!(
            resolve(None, None),
            runs("2026-10-31T23:00:00Z", "2026-11-22T17:06:00Z")
        );
        assert_eq!(
            resolve(None, Some("2026-10-15")),
            runs("2026-09-30T22:00:00Z", "2026-10-14T22:00:00Z")
        );
        assert_eq!(
            resolve(None, Some("this month")),
            runs("2026-09-30T22:00:00Z", "2026-10-31T23:00:00Z")
        );
    }

    #[test]
    fn last_month_runs_through_now() {
        assert_eq!(
            resolve(Some("last month"), None),
            runs("2026-09-30T22:00:00Z", "2026-11-22T17:06:00Z")
        );
    }

    #[test]
    fn a_period_that_cannot_be_meant_is_refused() {
        for (since, until, sentence) in [
            (
                "today",
                Some("yesterday"),
                "the period ends before it begins: it runs from 2026-11-22 00:00:00 to 2026-11-21 00:00:00",
            ),
            (
                "2026-11-22",
                Some("2026-11-22"),
                "the period is empty: it begins and ends at 2026-11-22 00:00:00",
            ),
            (
                "tomorrow",
                None,
                "the period begins at 2026-11-23 00:00:00, which is still to come",
            ),
            (
                "tomorrow",
                Some("2030-01-01"),
                "the period begins at 2026-11-23 00:00:00, which is still to come",
            ),
            ("soon", None, "`soon` is not a time"),
        ] {
            let error = resolve(Some(since), until).expect_err("refused");
            assert_eq!(error.to_string(), sentence);
            assert!(!error.hint().is_empty());
        }
        let error = resolve(None, Some("9999-12-31")).expect_err("refused");
        assert!(
            error.to_string().ends_with("which is still to come"),
            "{error}"
        );
    }
}
