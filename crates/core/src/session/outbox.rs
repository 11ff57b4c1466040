//! What is to be written, until the ledger has it.
//!
//! A batch that was handed out stays here until it is acknowledged; one that
//! failed goes back whole and leaves with the next. Memory clears only after.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    identity::SocketCookie,
    ledger::Checkpoint,
    units::{Minute, Traffic},
};

/// Changes by their key.
#[derive(Clone, Debug, Default)]
pub(super) struct Changes {
    /// Sessions whose record is new or changed.
    pub(super) sessions: BTreeSet<SocketCookie>,
    /// What moved.
    pub(super) entries: BTreeMap<(SocketCookie, Minute), Traffic>,
    /// How far the log was read.
    pub(super) checkpoint: Option<Checkpoint>,
}

impl Changes {
    fn is_empty(&self) -> bool {
        self.sessions.is_empty() && self.entries.is_empty() && self.checkpoint.is_none()
    }

    /// Puts back what is older than these changes.
    fn merge_older(&mut self, older: Self) {
        self.sessions.extend(older.sessions);
        for (key, traffic) in older.entries {
            let sum = self.entries.entry(key).or_default();
            *sum = sum.plus(traffic);
        }
        self.checkpoint = self.checkpoint.take().or(older.checkpoint);
    }
}

#[derive(Debug, Default)]
pub(super) struct Outbox {
    waiting: Changes,
    in_flight: Option<Changes>,
}

impl Outbox {
    pub(super) fn session_changed(&mut self, session: SocketCookie) {
        self.waiting.sessions.insert(session);
    }

    pub(super) fn enter(&mut self, session: SocketCookie, minute: Minute, traffic: Traffic) {
        let sum = self.waiting.entries.entry((session, minute)).or_default();
        *sum = sum.plus(traffic);
        self.session_changed(session);
    }

    pub(super) fn log_read_to(&mut self, checkpoint: Checkpoint) {
        self.waiting.checkpoint = Some(checkpoint);
    }

    /// Whether a session still has something that is not in the ledger.
    pub(super) fn holds(&self, session: SocketCookie) -> bool {
        self.waiting.sessions.contains(&session)
            || self
                .in_flight
                .as_ref()
                .is_some_and(|changes| changes.sessions.contains(&session))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Hands out what waits. `None` when there is nothing, or while an earlier
    /// batch has not been answered for.
    pub(super) fn take(&mut self) -> Option<&Changes> {
        if self.in_flight.is_some() || self.waiting.is_empty() {
            return None;
        }
        self.in_flight = Some(std::mem::take(&mut self.waiting));
        self.in_flight.as_ref()
    }

    pub(super) fn committed(&mut self) {
        self.in_flight = None;
    }

    pub(super) fn failed(&mut self) {
        if let Some(changes) = self.in_flight.take() {
            self.waiting.merge_older(changes);
        }
    }
}
