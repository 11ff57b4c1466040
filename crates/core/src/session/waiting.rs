//! Claims that wait to be settled: for their connection to be seen, for the
//! next dump to show that no newer connection from the same address is meant, or
//! for the kernel's word on whose connection it is.

use std::{collections::VecDeque, time::Duration};

use super::{Moment, login::Claim};
use crate::ledger::Checkpoint;

/// How long a login waits for its connection to be seen, or for the kernel's word.
const LATE_CONNECTION: Duration = Duration::from_secs(60);
/// How soon the kernel is asked again, at the earliest. After that it is asked
/// whenever a claim has got half as old again.
const ASKED_AGAIN: Duration = Duration::from_millis(100);
/// How many may wait: whoever can write lines must not fill our memory.
const AT_MOST: usize = 10_000;

#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) claim: Claim,
    /// The log's place before the line: until the claim is settled, a restart
    /// has to read it again.
    before: Option<Checkpoint>,
    since: Duration,
    asked: Option<Duration>,
    /// The kernel's last word was that nobody has logged in so far.
    pub(super) is_too_early: bool,
}

impl Waiting {
    /// Whether it is time to ask the kernel; if so, it counts as asked.
    pub(super) fn is_due(&mut self, now: Duration) -> bool {
        let is_due = self.asked.is_none_or(|asked| {
            let pause = (asked.saturating_sub(self.since) / 2).max(ASKED_AGAIN);
            now.saturating_sub(asked) >= pause
        });
        if is_due {
            self.asked = Some(now);
        }
        is_due
    }
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
            asked: None,
            is_too_early: false,
        });
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Waiting> {
        self.0.iter()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Waiting> {
        self.0.iter_mut()
    }

    /// How far the log may count as read: `None` where nothing holds it back.
    pub(super) fn holds_log_at(&self) -> Option<Option<&Checkpoint>> {
        self.0.front().map(|waiting| waiting.before.as_ref())
    }

    /// Lets go of the claims that are settled.
    pub(super) fn retain(&mut self, is_open: impl FnMut(&mut Waiting) -> bool) {
        self.0.retain_mut(is_open);
    }

    /// Takes out those that waited for too long, or are too many.
    pub(super) fn overdue(&mut self, now: Moment) -> Vec<Waiting> {
        let excess = self.0.len().saturating_sub(AT_MOST);
        let is_overdue =
            |waiting: &Waiting| now.monotonic.saturating_sub(waiting.since) >= LATE_CONNECTION;
        let (overdue, kept) = std::mem::take(&mut self.0)
            .into_iter()
            .enumerate()
            .partition::<Vec<_>, _>(|(place, waiting)| *place < excess || is_overdue(waiting));
        self.0 = kept.into_iter().map(|(_, waiting)| waiting).collect();
        overdue.into_iter().map(|(_, waiting)| waiting).collect()
    }
}
