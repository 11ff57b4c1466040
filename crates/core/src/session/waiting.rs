//! Lines that wait: a login for its connection to be seen, for the next dump to
//! show that no newer connection from the same address is meant, or for the
//! kernel's word on whose connection it is; and what the log said of an end, for
//! its connection to be seen, or behind such a login, so that lines stay in order.

use std::{collections::VecDeque, time::Duration};

use jiff::Timestamp;

use super::{Moment, ending::Farewell, login::Claim};
use crate::ledger::Checkpoint;

/// How long a line waits for its connection to be seen, or for the kernel's word.
/// It is the same for all, so that an end is not given up before the login that
/// it waits behind.
const LATE_CONNECTION: Duration = Duration::from_secs(60);
/// How soon the kernel is asked again, at the earliest. After that it is asked
/// whenever a claim has got half as old again.
const ASKED_AGAIN: Duration = Duration::from_millis(100);
/// How many may wait: whoever can write lines must not fill our memory.
const AT_MOST: usize = 10_000;

/// What a line said.
#[derive(Clone, Debug)]
pub(super) enum Saying {
    /// Somebody logged in.
    Login(Claim),
    /// A connection ended.
    End(Farewell),
}

#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) saying: Saying,
    /// The log's place before the line: until it is settled, a restart has to
    /// read it again.
    before: Option<Checkpoint>,
    since: Duration,
    asked: Option<Duration>,
    /// The kernel's last word was that nobody has logged in so far.
    pub(super) is_too_early: bool,
}

impl Waiting {
    /// The login, where the line is about one.
    pub(super) fn claim(&self) -> Option<&Claim> {
        match &self.saying {
            Saying::Login(claim) => Some(claim),
            Saying::End(_) => None,
        }
    }

    /// Whether it is time to ask the kernel.
    pub(super) fn is_due(&self, now: Duration) -> bool {
        self.asked.is_none_or(|asked| {
            let pause = (asked.saturating_sub(self.since) / 2).max(ASKED_AGAIN);
            now.saturating_sub(asked) >= pause
        })
    }

    /// The kernel is asked now.
    pub(super) fn was_asked(&mut self, now: Duration) {
        self.asked = Some(now);
    }
}

/// In the order of the log.
#[derive(Debug, Default)]
pub(super) struct WaitingLines(VecDeque<Waiting>);

impl WaitingLines {
    pub(super) fn push(&mut self, saying: Saying, before: Option<Checkpoint>, now: Moment) {
        self.0.push_back(Waiting {
            saying,
            before,
            since: now.monotonic,
            asked: None,
            is_too_early: false,
        });
    }

    /// The logins.
    pub(super) fn claims(&self) -> impl Iterator<Item = &Claim> {
        self.0.iter().filter_map(Waiting::claim)
    }

    /// Whether a line about an end waits.
    pub(super) fn has_end(&self) -> bool {
        self.0.iter().any(|waiting| waiting.claim().is_none())
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Waiting> {
        self.0.iter_mut()
    }

    /// The wall clock was set back, to this: what waits was dated before that, by a
    /// clock that its connection may not be seen by any more.
    pub(super) fn date_back(&mut self, then: Timestamp) {
        for waiting in &mut self.0 {
            let time = match &mut waiting.saying {
                Saying::Login(claim) => &mut claim.time,
                Saying::End(farewell) => &mut farewell.time,
            };
            *time = then.min(*time);
        }
    }

    /// How far the log may count as read: `None` where nothing holds it back.
    pub(super) fn holds_log_at(&self) -> Option<Option<&Checkpoint>> {
        self.0.front().map(|waiting| waiting.before.as_ref())
    }

    /// Goes through the lines in order and lets go of those that are settled.
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
