//! Which of the ledger's rows answer a question.
//!
//! A month's row answers for a month that lies wholly in the period and wholly
//! in one bucket of the asker's zone; what it cannot answer exactly falls to
//! days, hours and minutes. Only where the finer rows have expired is a coarser
//! one counted where it begins, and the report says so.

use super::{Note, Per};
use crate::{
    time::{Buckets, Calendar, Period, Unit},
    units::Minute,
};

/// From when on each kind of row is complete. Retention has taken some or all
/// of those before; `None` where it never took any.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// Minutes by session.
    pub minutes_since: Option<Minute>,
    /// Hours by user, and the sessions that ended since.
    pub hours_since: Option<Minute>,
    /// Days by user.
    pub days_since: Option<Minute>,
    /// Nothing was moved in this minute or later: it is still to come. `None` where
    /// that is left open; a row that is not over is then cut by a question's end.
    pub until: Option<Minute>,
}

impl Kept {
    /// Later than any minute: since when rows are kept that are not kept at all.
    pub const NEVER: Minute = Minute(i64::MAX);

    /// The same for who asks for no row before `earliest`.
    pub(super) fn seen_from(self, earliest: Minute) -> Self {
        let seen = |since: Option<Minute>| since.filter(|since| earliest < *since);
        Self {
            minutes_since: seen(self.minutes_since),
            hours_since: seen(self.hours_since),
            days_since: seen(self.days_since),
            until: self.until,
        }
    }

    /// Whether rows of a unit are complete from a minute on.
    #[must_use]
    pub fn has(&self, unit: Unit, from: Minute) -> bool {
        let since = match unit {
            Unit::Minute => self.minutes_since,
            Unit::Hour => self.hours_since,
            Unit::Day => self.days_since,
            Unit::Month => None,
        };
        since.is_none_or(|since| since <= from)
    }
}

/// Rows to read: those of one unit that start in a run of minutes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Which rows.
    pub unit: Unit,
    /// The first minute they may start in.
    pub from: Minute,
    /// The first minute they may no longer start in.
    pub until: Minute,
}

/// The rows by user and credential that answer for a period in the buckets of
/// a zone, and what has to be said about them.
#[must_use]
pub fn plan(
    period: Period,
    per: Per,
    asked: &Calendar,
    ledger: &Calendar,
    kept: Kept,
) -> (Vec<Segment>, Vec<Note>) {
    let mut planner = Planner {
        period,
        per,
        asked: match per {
            Per::Bucket(unit) => Some(Buckets::new(asked.clone(), unit)),
            Per::Total => None,
        },
        ledger,
        kept,
        segments: Vec::new(),
        coarsest: None,
    };
    planner.cover(Unit::Month, period.since(), period.until());
    let notes = planner.coarsest.map(|unit| Note::Coarser {
        unit,
        kept_since: finer(unit)
            .and_then(|finer| planner.first_kept(finer))
            .filter(|since| *since < Kept::NEVER),
    });
    (planner.segments, notes.into_iter().collect())
}

struct Planner<'a> {
    period: Period,
    per: Per,
    asked: Option<Buckets>,
    ledger: &'a Calendar,
    kept: Kept,
    segments: Vec<Segment>,
    /// The longest rows that had to be counted where they begin.
    coarsest: Option<Unit>,
}

impl Planner<'_> {
    /// Covers a run of minutes with rows of a unit or finer ones.
    fn cover(&mut self, unit: Unit, from: Minute, until: Minute) {
        // Nothing coarser than a minute fits into a minute.
        if unit == Unit::Minute
            || (self.per == Per::Bucket(Unit::Minute) && self.kept.has(Unit::Minute, from))
        {
            self.push(Unit::Minute, from, until);
            return;
        }
        let mut at = from;
        while at < until {
            let bucket = self.ledger.bucket(unit, at);
            if self.is_exact(unit, bucket.start, bucket.end) {
                self.push(unit, bucket.start, bucket.end);
            } else if let Some(finer) = finer(unit)
                && self.kept.has(finer, bucket.start)
            {
                self.cover(finer, bucket.start.max(from), bucket.end.min(until));
            } else {
                self.coarsest = self.coarsest.max(Some(unit));
                if self.period.contains(bucket.start) {
                    self.push(unit, bucket.start, bucket.end);
                }
            }
            at = bucket.end;
        }
    }

    /// Whether a row's whole span, as far as it has come, lies in the period and in
    /// one asked bucket.
    fn is_exact(&mut self, unit: Unit, start: Minute, end: Minute) -> bool {
        let end = self.kept.until.map_or(end, |until| end.min(until));
        if start < self.period.since() || self.period.until() < end {
            return false;
        }
        match (self.per, &mut self.asked) {
            (Per::Bucket(asked_unit), Some(asked)) => {
                unit <= asked_unit && end <= asked.of(start).end
            }
            _ => true,
        }
    }

    fn push(&mut self, unit: Unit, from: Minute, until: Minute) {
        match self.segments.last_mut() {
            Some(last) if last.unit == unit && last.until == from => last.until = until,
            _ => self.segments.push(Segment { unit, from, until }),
        }
    }

    fn first_kept(&self, unit: Unit) -> Option<Minute> {
        match unit {
            Unit::Minute => self.kept.minutes_since,
            Unit::Hour => self.kept.hours_since,
            Unit::Day => self.kept.days_since,
            Unit::Month => None,
        }
    }
}

fn finer(unit: Unit) -> Option<Unit> {
    match unit {
        Unit::Month => Some(Unit::Day),
        Unit::Day => Some(Unit::Hour),
        Unit::Hour => Some(Unit::Minute),
        Unit::Minute => None,
    }
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;

    fn calendar(zone: &str) -> Calendar {
        Calendar::new(TimeZone::get(zone).expect("a known zone"))
    }

    fn minute(text: &str) -> Minute {
        Minute::of(text.parse().expect("an instant"))
    }

    fn planned(since: &str, until: &str, per: Per, asked: &str, kept: Kept) -> (String, usize) {
        let (segments, notes) = plan(
            Period::new(minute(since), minute(until)),
            per,
            &calendar(asked),
            &calendar("Europe/Berlin"),
            kept,
        );
        let words = segments
            .iter()
            .map(|segment| {
                format!(
                    "{:?} {} {}",
                    segment.unit,
                    segment.from.start().strftime("%m-%dT%H:%M"),
                    segment.until.start().strftime("%m-%dT%H:%M"),
                )
            })
            .collect::<Vec<_>>();
        (words.join(", "), notes.len())
    }

    #[test]
    fn whole_months_are_read_as_months() {
        assert_eq!(
            planned(
                "2026-08-31T22:00:00Z",
                "2026-11-02T11:17:00Z",
                Per::Total,
                "Europe/Berlin",
                Kept::default()
            ),
            (
                "Month 08-31T22:00 10-31T23:00, Day 10-31T23:00 11-01T23:00, \
                 Hour 11-01T23:00 11-02T11:00, Minute 11-02T11:00 11-02T11:17"
                    .to_owned(),
                0
            )
        );
    }

    #[test]
    fn days_of_another_zone_are_read_as_hours_or_minutes() {
        let of = |zone| {
            planned(
                "2026-11-01T00:00:00Z",
                "2026-11-02T00:00:00Z",
                Per::Bucket(Unit::Day),
                zone,
                Kept::default(),
            )
            .0
        };
        assert_eq!(of("UTC"), "Hour 11-01T00:00 11-02T00:00");
        assert!(of("Asia/Kathmandu").contains("Minute 11-01T18:00 11-01T19:00"));
    }

    #[test]
    fn a_row_for_each_minute_needs_minutes() {
        assert_eq!(
            planned(
                "2026-10-01T00:00:00Z",
                "2026-11-02T00:00:00Z",
                Per::Bucket(Unit::Minute),
                "UTC",
                Kept::default()
            ),
            ("Minute 10-01T00:00 11-02T00:00".to_owned(), 0)
        );
    }

    #[test]
    fn a_row_that_is_not_over_is_read_whole_by_who_asks_until_now() {
        let until = |until, kept| {
            planned(
                "2026-10-31T23:00:00Z",
                until,
                Per::Bucket(Unit::Day),
                "Europe/Berlin",
                Kept {
                    minutes_since: Some(Kept::NEVER),
                    until: kept,
                    ..Kept::default()
                },
            )
        };
        let now = Some(minute("2026-11-02T11:17:00Z"));
        let whole = ("Day 10-31T23:00 11-02T23:00".to_owned(), 0);
        assert_eq!(until("2026-11-02T11:17:00Z", now), whole);
        let cut = "Day 10-31T23:00 11-01T23:00, Hour 11-01T23:00 11-02T12:00";
        assert_eq!(until("2026-11-02T11:17:00Z", None), (cut.to_owned(), 1));
        assert_eq!(until("2026-11-02T11:16:00Z", now), (cut.to_owned(), 1));
    }

    #[test]
    fn expired_minutes_are_answered_by_hours_where_they_begin() {
        let kept = Kept {
            minutes_since: Some(minute("2026-11-01T12:00:00Z")),
            ..Kept::default()
        };
        assert_eq!(
            planned(
                "2026-11-01T10:30:00Z",
                "2026-11-01T12:30:00Z",
                Per::Total,
                "Europe/Berlin",
                kept
            ),
            (
                "Hour 11-01T11:00 11-01T12:00, Minute 11-01T12:00 11-01T12:30".to_owned(),
                1
            )
        );
        assert_eq!(
            planned(
                "2026-11-01T10:00:00Z",
                "2026-11-01T12:30:00Z",
                Per::Total,
                "Europe/Berlin",
                kept
            )
            .1,
            0,
            "whole hours are exact"
        );
    }
}
