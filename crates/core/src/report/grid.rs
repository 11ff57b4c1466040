//! The buckets of a report, and which of them a session was open in.

use std::collections::HashMap;

use super::{Per, Request, SessionSpan};
use crate::{
    time::{Bucket, Buckets, Period},
    units::Minute,
};

/// The buckets of a period, of which the first and the last are cut to it; the whole
/// of it where it has none.
#[derive(Clone, Debug)]
pub(super) struct Grid {
    period: Period,
    buckets: Option<Buckets>,
}

impl Grid {
    pub(super) fn of(request: &Request) -> Self {
        let buckets = match request.per {
            Per::Bucket(unit) => Some(Buckets::new(request.calendar.clone(), unit)),
            Per::Total => None,
        };
        Self {
            period: request.period,
            buckets,
        }
    }

    /// The part of a bucket that lies within the period.
    pub(super) fn bucket(&mut self, at: Minute) -> Bucket {
        let (since, until) = (self.period.since(), self.period.until());
        match &mut self.buckets {
            Some(buckets) => {
                let Bucket { start, end } = buckets.of(at);
                Bucket {
                    start: start.max(since),
                    end: end.min(until),
                }
            }
            None => Bucket {
                start: since,
                end: until,
            },
        }
    }

    /// From the first bucket that a session was open in to the end of the last; `None`
    /// where that was in none.
    pub(super) fn reach(&mut self, span: SessionSpan) -> Option<Bucket> {
        let (since, until) = (self.period.since(), self.period.until());
        if !span.overlaps(since, until) {
            return None;
        }
        let first = self.bucket(span.begin.max(since));
        // A damaged ledger's session may end before it begins.
        let after = span.end.map_or(until, |end| end.max(span.begin).next());
        let last = Minute(after.min(until).0 - 1);
        let end = if first.contains(last) {
            first.end
        } else {
            self.bucket(last).end
        };
        Some(Bucket {
            start: first.start,
            end,
        })
    }
}

/// Counts sessions of one host by account and by the buckets of a report that they
/// were open in: for the report, those are alike.
#[derive(Clone, Debug)]
pub struct SpanCounts {
    grid: Grid,
    counted: HashMap<i64, Vec<(Bucket, u64)>>,
}

impl SpanCounts {
    /// No session yet.
    #[must_use]
    pub fn of(request: &Request) -> Self {
        Self {
            grid: Grid::of(request),
            counted: HashMap::new(),
        }
    }

    /// Counts a session of an account.
    pub fn add(&mut self, account: i64, span: SessionSpan) {
        let Some(reach) = self.grid.reach(span) else {
            return;
        };
        let counted = self.counted.entry(account).or_default();
        // Sessions come in the order of their ends or nearly so.
        match counted.last_mut() {
            Some((last, sessions)) if *last == reach => *sessions += 1,
            _ => counted.push((reach, 1)),
        }
    }

    /// Gives the accounts, each with the spans that stand for its sessions, and how many
    /// each of them stands for.
    pub fn each(&self, mut each: impl FnMut(i64, SessionSpan, u64)) {
        for (account, counted) in &self.counted {
            for (reach, sessions) in counted {
                let span = SessionSpan {
                    begin: reach.start,
                    end: Some(Minute(reach.end.0 - 1)),
                };
                each(*account, span, *sessions);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;
    use proptest::{collection, prelude::*};

    use super::*;
    use crate::{
        identity::UserName,
        report::{Builder, By, Key, Selection, Who},
        time::{Calendar, Unit},
        units::Traffic,
    };

    fn any_per() -> impl Strategy<Value = Per> {
        prop_oneof![
            Just(Per::Total),
            Just(Per::Bucket(Unit::Minute)),
            Just(Per::Bucket(Unit::Hour)),
            Just(Per::Bucket(Unit::Day)),
        ]
    }

    fn any_span() -> impl Strategy<Value = SessionSpan> {
        // Some end before they begin, as in a damaged ledger.
        (-2_000i64..4_000, prop::option::of(-50i64..3_000)).prop_map(|(begin, length)| {
            SessionSpan {
                begin: Minute(begin),
                end: length.map(|length| Minute(begin + length)),
            }
        })
    }

    proptest! {
        #[test]
        fn what_is_counted_together_makes_the_same_report(
            per in any_per(),
            (since, length) in (-100i64..100, 1i64..3_000),
            sessions in collection::vec((0i64..3, any_span()), 0..40),
        ) {
            let request = Request {
                period: Period::new(Minute(since), Minute(since + length)),
                calendar: Calendar::new(TimeZone::UTC),
                by: vec![By::User],
                per,
                selection: Selection::default(),
            };
            let report = |told: &[(i64, SessionSpan, u64)]| {
                let mut builder = Builder::new(request.clone(), &[], None);
                let places = ["alice", "bob", "git"].map(|name| {
                    let place = builder.place(&Key {
                        user: Some(Who::User(UserName::new(name))),
                        ..Key::default()
                    });
                    // A row for each bucket, whose sessions can be compared.
                    for minute in since..since + length {
                        builder.moved(place, Minute(minute), Traffic::ZERO);
                    }
                    place
                });
                for (account, place) in (0..).zip(places) {
                    let of_it = told.iter().filter(|(of, ..)| *of == account);
                    of_it.for_each(|(_, span, sessions)| builder.opened(place, *span, *sessions));
                }
                builder.finish()
            };
            let told = sessions.iter().map(|(account, span)| (*account, *span, 1));
            let one_by_one = report(&told.collect::<Vec<_>>());
            let mut counts = SpanCounts::of(&request);
            for (account, span) in sessions {
                counts.add(account, span);
            }
            let mut told = Vec::new();
            counts.each(|account, span, sessions| told.push((account, span, sessions)));
            let together = report(&told);
            prop_assert_eq!(one_by_one.rows, together.rows);
            prop_assert_eq!(one_by_one.total, together.total);
        }
    }
}
