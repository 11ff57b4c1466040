//! Lines that wait: a login for its connection to be seen, or for the next dump
//! to show that no newer connection from the same address is meant; and behind
//! it what the log said of an end at that address, so that lines stay in order.

use std::{
    collections::{HashSet, VecDeque},
    time::Duration,
};

use jiff::Timestamp;

use super::{Moment, login::Claim};
use crate::{identity::Endpoint, ledger::Checkpoint};

/// How long a login waits for its connection to be seen.
const LATE_CONNECTION: Duration = Duration::from_secs(60);
/// How many may wait: whoever can write lines must not fill our memory.
const AT_MOST: usize = 10_000;

/// What a line said.
#[derive(Debug)]
pub(super) enum Saying {
    /// Somebody logged in.
    Login(Claim),
    /// A connection ended.
    End {
        /// The client.
        peer: Endpoint,
        /// Why.
        reason: String,
        /// When.
        time: Timestamp,
    },
}

impl Saying {
    fn peer(&self) -> Option<Endpoint> {
        match self {
            Self::Login(claim) => claim.peer,
            Self::End { peer, .. } => Some(*peer),
        }
    }

    /// The client of a login.
    fn login_from(&self) -> Option<Endpoint> {
        match self {
            Self::Login(claim) => claim.peer,
            Self::End { .. } => None,
        }
    }
}

#[derive(Debug)]
struct Waiting {
    saying: Saying,
    /// The log's place before the line: until it is settled, a restart has to
    /// read it again.
    before: Option<Checkpoint>,
    since: Duration,
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
        });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The clients of logins that wait.
    pub(super) fn peers(&self) -> impl Iterator<Item = Endpoint> {
        self.0
            .iter()
            .filter_map(|waiting| waiting.saying.login_from())
    }

    /// How far the log may count as read: `None` where nothing holds it back.
    pub(super) fn holds_log_at(&self) -> Option<Option<&Checkpoint>> {
        self.0.front().map(|waiting| waiting.before.as_ref())
    }

    /// Takes all lines, oldest first; those for which `settle` has no use yet go
    /// on waiting, and with them what was said of their client later. Gives
    /// those that waited for too long.
    pub(super) fn settle(
        &mut self,
        now: Moment,
        mut settle: impl FnMut(Saying) -> Option<Saying>,
    ) -> Vec<Saying> {
        let mut overdue = Vec::new();
        let mut held_up: HashSet<Endpoint> = HashSet::new();
        let excess = self.0.len().saturating_sub(AT_MOST);
        for (place, waiting) in std::mem::take(&mut self.0).into_iter().enumerate() {
            let peer = waiting.saying.peer();
            let is_end = matches!(waiting.saying, Saying::End { .. });
            let has_to_wait = is_end && peer.is_some_and(|peer| held_up.contains(&peer));
            let saying = if has_to_wait {
                waiting.saying
            } else {
                let Some(saying) = settle(waiting.saying) else {
                    continue;
                };
                saying
            };
            let waited = now.monotonic.saturating_sub(waiting.since);
            if waited >= LATE_CONNECTION || place < excess {
                overdue.push(saying);
            } else {
                held_up.extend(peer);
                self.0.push_back(Waiting { saying, ..waiting });
            }
        }
        overdue
    }
}
