//! From the scripts' rows to amounts, some thousand at a time and each hour whole.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use sshmeter_core::{
    identity::UserName,
    units::{Flow, Minute},
};

use crate::store::{Imported, Value};

/// As many rows are gathered, and then those of the hour that has begun.
const CHUNK_ROWS: usize = 10_000;

/// Rows that were not taken, by why.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// Their time is none, or has not come.
    pub times: u64,
    /// A figure is negative, or none.
    pub figures: u64,
    /// They name no user.
    pub nameless: u64,
    /// Minutes that may be in their hour's row already: the scripts fold in two
    /// steps.
    pub folding: u64,
}

/// What was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// All rows.
    pub rows: u64,
    /// The users that they name.
    pub users: u64,
    /// Bytes in the rows that were not left out.
    pub bytes: Flow,
    /// The first minute and the last one of those.
    pub period: Option<(Minute, Minute)>,
    /// Those that were left out.
    pub left_out: LeftOut,
}

/// A figure of the scripts.
struct Counted {
    is_hour: bool,
    amount: Imported,
}

/// Gathers rows.
pub(super) struct Gatherer {
    until: i64,
    folds_case: bool,
    totals: Totals,
    users: BTreeSet<UserName>,
    /// The hour that the last rows are of.
    hour: Option<Minute>,
    of_hour: Vec<Counted>,
    chunk: Vec<Imported>,
}

impl Gatherer {
    pub(super) fn new(now: Timestamp, folds_case: bool) -> Self {
        let tomorrow = now.checked_add(SignedDuration::from_hours(24));
        Self {
            until: tomorrow.unwrap_or(now).as_second(),
            folds_case,
            totals: Totals::default(),
            users: BTreeSet::new(),
            hour: None,
            of_hour: Vec::new(),
            chunk: Vec::new(),
        }
    }

    /// What was read so far.
    pub(super) fn totals(&self) -> Totals {
        let users = u64::try_from(self.users.len()).unwrap_or(u64::MAX);
        Totals {
            users,
            ..self.totals.clone()
        }
    }

    /// Adds a row; gives a chunk when it is full and the row begins an hour.
    pub(super) fn add(&mut self, row: &[Value]) -> Option<Vec<Imported>> {
        self.totals.rows += 1;
        let counted = self.counted(row)?;
        let mut full = None;
        if self.hour != Some(counted.amount.hour) {
            self.end_hour();
            if self.chunk.len() >= CHUNK_ROWS {
                full = Some(std::mem::take(&mut self.chunk));
            }
        }
        self.hour = Some(counted.amount.hour);
        self.of_hour.push(counted);
        full
    }

    /// What is left.
    pub(super) fn finish(&mut self) -> Vec<Imported> {
        self.end_hour();
        std::mem::take(&mut self.chunk)
    }

    /// A figure of a row, unless it is left out.
    fn counted(&mut self, row: &[Value]) -> Option<Counted> {
        let number = |column: usize| match row.get(column) {
            Some(Value::Integer(number)) => Some(*number),
            _ => None,
        };
        let [hour, is_hour, at, pid, inbound, outbound] = [0, 1, 2, 4, 5, 6].map(number);
        let user = match row.get(3) {
            Some(Value::Text(user)) => user.as_str(),
            _ => "",
        };
        let left_out = &mut self.totals.left_out;
        let is_time = |second: &i64| (1..self.until).contains(second);
        let Some((hour, at)) = hour.filter(is_time).zip(at.filter(is_time)) else {
            left_out.times += 1;
            return None;
        };
        let bytes = |figure: Option<i64>| u64::try_from(figure?).ok();
        let Some((inbound, outbound)) = bytes(inbound).zip(bytes(outbound)) else {
            left_out.figures += 1;
            return None;
        };
        if user.is_empty() {
            left_out.nameless += 1;
            return None;
        }
        let counted_as = if self.folds_case {
            user.trim_end().to_lowercase()
        } else {
            user.to_owned()
        };
        let pid = pid.and_then(|pid| u32::try_from(pid).ok());
        Some(Counted {
            is_hour: is_hour == Some(1),
            amount: Imported {
                user: UserName::new(user),
                counted_as: UserName::new(counted_as),
                pid: pid.filter(|pid| *pid != 0),
                minute: minute(at),
                hour: minute(hour),
                wire: Flow { inbound, outbound },
            },
        })
    }

    /// An hour's rows are all there.
    fn end_hour(&mut self) {
        let of_hour = std::mem::take(&mut self.of_hour);
        let folding = being_folded(&of_hour);
        for Counted { is_hour, amount } in of_hour {
            if !is_hour && folding.contains(&amount.counted_as) {
                self.totals.left_out.folding += 1;
                continue;
            }
            self.totals.bytes = self.totals.bytes.plus(amount.wire);
            let at = amount.minute;
            let period = self.totals.period.get_or_insert((at, at));
            *period = (period.0.min(at), period.1.max(at));
            if !self.users.contains(&amount.user) {
                self.users.insert(amount.user.clone());
            }
            self.chunk.push(amount);
        }
    }
}

/// The users whose minutes may be in their hour's row. Between the scripts' two
/// steps they are, and then the hour's figures are no less than theirs. Left out,
/// they are missing until they are folded; taken, they might count twice for ever.
fn being_folded(of_hour: &[Counted]) -> BTreeSet<UserName> {
    let mut sums: BTreeMap<&UserName, [Option<Flow>; 2]> = BTreeMap::new();
    for Counted { is_hour, amount } in of_hour {
        let sums = sums.entry(&amount.counted_as).or_default();
        let sum = &mut sums[usize::from(*is_hour)];
        *sum = Some(sum.unwrap_or_default().plus(amount.wire));
    }
    let is_folding = |[minutes, hour]: [Option<Flow>; 2]| {
        let both = hour.zip(minutes);
        both.is_some_and(|(hour, minutes)| hour.since(minutes).is_some())
    };
    sums.into_iter()
        .filter(|(_, sums)| is_folding(*sums))
        .map(|(user, _)| user.clone())
        .collect()
}

fn minute(second: i64) -> Minute {
    Minute(second.div_euclid(60))
}
