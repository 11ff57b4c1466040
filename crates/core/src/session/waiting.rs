//! Claims that wait to be settled: for their connection to be seen, or for the
//! next dump to show that no newer connection from the same address is meant.

use std::{collections::VecDeque, time::Duration};

use super::{Moment, login::Claim};
use crate::{identity::Endpoint, ledger::Checkpoint};

/// How long a login waits for its connection to be seen.
const LATE_CONNECTION: Duration = Duration::from_secs(60);
/// How many may wait: whoever can write lines must not fill our memory.
const AT_MOST: usize = 10_000;

#[derive(Debug)]
struct Waiting {
    claim: Claim,
    /// The log's place before the line: until the claim is settled, a restart
    /// has to read it again.
    before: Option<Checkpoint>,
    since: Duration,
}

/// In the order of the log.
#[derive(Debug, Default)]
pub(super) struct WaitingClaims(VecDeque<Waiting>);

impl WaitingClaims {
    pub(super) fn push(&mut self, claim: Claim, before: Option<Checkpoint>, now: Moment) {
        self.0.push_back(Waiting {
            claim,
            before,
            since: now.monotonic,
        });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The clients that are waited for.
    pub(super) fn peers(&self) -> impl Iterator<Item = Endpoint> {
        self.0.iter().filter_map(|waiting| waiting.claim.peer)
    }

    /// How far the log may count as read: `None` where nothing holds it back.
    pub(super) fn holds_log_at(&self) -> Option<Option<&Checkpoint>> {
        self.0.front().map(|waiting| waiting.before.as_ref())
    }

    /// Takes all claims, oldest first; those for which `settle` has no use yet
    /// go on waiting. Gives those that waited for too long.
    pub(super) fn settle(
        &mut self,
        now: Moment,
        mut settle: impl FnMut(Claim) -> Option<Claim>,
    ) -> Vec<Claim> {
        let mut overdue = Vec::new();
        let excess = self.0.len().saturating_sub(AT_MOST);
        for (place, waiting) in std::mem::take(&mut self.0).into_iter().enumerate() {
            let Some(claim) = settle(waiting.claim) else {
                continue;
            };
            let waited = now.monotonic.saturating_sub(waiting.since);
            if waited >= LATE_CONNECTION || place < excess {
                overdue.push(claim);
            } else {
                self.0.push_back(Waiting { claim, ..waiting });
            }
        }
        overdue
    }
}
