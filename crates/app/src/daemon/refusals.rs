//! What was refused, counted by kind and told: at most a few lines a minute, so
//! that whoever forges log lines does not fill ours.

use std::{collections::BTreeMap, fmt::Display};

use tracing::warn;

/// Lines a minute.
const TOLD_A_MINUTE: u64 = 5;

#[derive(Debug, Default)]
pub(super) struct Refusals {
    this_minute: u64,
    /// All since the start.
    totals: BTreeMap<&'static str, u64>,
    /// How many of them were in the totals that were told last.
    summed_up: u64,
}

impl Refusals {
    /// Counts one of a kind, whose words follow a number of log lines.
    pub(super) fn tell(&mut self, kind: &'static str, refusal: impl Display) {
        *self.totals.entry(kind).or_default() += 1;
        self.this_minute += 1;
        if self.this_minute <= TOLD_A_MINUTE {
            warn!("not believed: {refusal}");
        }
    }

    /// A minute is over, or the daemon stops: says how many there were by now,
    /// where there are new ones.
    pub(super) fn sum_up(&mut self) {
        self.this_minute = 0;
        if let Some(sum) = self.sum() {
            warn!("{sum}");
        }
    }

    fn sum(&mut self) -> Option<String> {
        let all: u64 = self.totals.values().sum();
        if std::mem::replace(&mut self.summed_up, all) == all {
            return None;
        }
        let kinds = self.totals.iter();
        let kinds: Vec<String> = kinds
            .map(|(kind, count)| format!("{count} {kind}"))
            .collect();
        let lines = if all == 1 { "line" } else { "lines" };
        Some(format!(
            "not believed since the start: {all} log {lines} ({})",
            kinds.join(", ")
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_are_told_by_kind_and_only_where_they_grew() {
        let mut refusals = Refusals::default();
        assert_eq!(refusals.sum(), None);
        for _ in 0..9 {
            refusals.tell("by a stranger", "one");
        }
        refusals.tell("against a name that stands", "another");
        assert_eq!(
            refusals.sum().unwrap(),
            "not believed since the start: 10 log lines (1 against a name that stands, \
             9 by a stranger)"
        );
        assert_eq!(refusals.sum(), None);
    }
}
