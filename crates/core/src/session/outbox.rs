//! What is to be written, until the ledger has it.
//!
//! A batch that was handed out stays here until it is acknowledged; one that
//! failed goes back whole and leaves with the next. Memory clears only after.
//!
//! Where the ledger takes nothing for long, no byte is dropped, but when it
//! moved is remembered less and less exactly: the minutes of a session are put
//! together by quarters of an hour, then by days, then all.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    identity::SocketCookie,
    ledger::Checkpoint,
    units::{Minute, Traffic},
};

/// So many entries may wait before minutes are put together: some 10 MB.
const ENTRIES: usize = 50_000;

/// What minutes are put together by. Every zone's hours begin at a quarter.
const GRAINS: [i64; 3] = [15, 24 * 60, i64::MAX];

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

    /// Puts back what is older than these changes. The smaller part goes into
    /// the larger, which in an outage is the older one.
    fn merge_older(&mut self, mut older: Self) {
        if older.entries.len() > self.entries.len() {
            std::mem::swap(&mut self.entries, &mut older.entries);
        }
        if older.sessions.len() > self.sessions.len() {
            std::mem::swap(&mut self.sessions, &mut older.sessions);
        }
        self.sessions.extend(older.sessions);
        for (key, traffic) in older.entries {
            let sum = self.entries.entry(key).or_default();
            *sum = sum.plus(traffic);
        }
        self.checkpoint = self.checkpoint.take().or(older.checkpoint);
    }

    /// Puts a session's minutes together into the first of each grain.
    fn coarsen(&mut self, grain: i64) {
        let mut coarse: BTreeMap<(SocketCookie, Minute), Traffic> = BTreeMap::new();
        for ((session, minute), traffic) in std::mem::take(&mut self.entries) {
            let grain_of = |minute: Minute| minute.0.div_euclid(grain);
            match coarse.last_entry() {
                Some(mut last)
                    if last.key().0 == session && grain_of(last.key().1) == grain_of(minute) =>
                {
                    *last.get_mut() = last.get().plus(traffic);
                }
                _ => {
                    coarse.insert((session, minute), traffic);
                }
            }
        }
        self.entries = coarse;
    }
}

#[derive(Debug)]
pub(super) struct Outbox {
    waiting: Changes,
    in_flight: Option<Changes>,
    /// So many entries may wait as they are.
    room: usize,
    /// A session is new or changed since somebody asked.
    has_changed: bool,
}

impl Default for Outbox {
    fn default() -> Self {
        Self {
            waiting: Changes::default(),
            in_flight: None,
            room: ENTRIES,
            has_changed: true,
        }
    }
}

impl Outbox {
    pub(super) fn session_changed(&mut self, session: SocketCookie) {
        self.waiting.sessions.insert(session);
        self.has_changed = true;
    }

    /// Whether a session is new or changed since that was taken.
    pub(super) fn has_changed(&self) -> bool {
        self.has_changed
    }

    /// Whether a session is new or changed since the last call.
    pub(super) fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.has_changed)
    }

    pub(super) fn enter(&mut self, session: SocketCookie, minute: Minute, traffic: Traffic) {
        let sum = self.waiting.entries.entry((session, minute)).or_default();
        *sum = sum.plus(traffic);
        self.session_changed(session);
        self.make_room();
    }

    /// What many sessions moved in one minute stays as it is: then there is
    /// room for twice as much.
    fn make_room(&mut self) {
        if self.waiting.entries.len() <= self.room {
            return;
        }
        for grain in GRAINS {
            if self.waiting.entries.len() > ENTRIES / 2 {
                self.waiting.coarsen(grain);
            }
        }
        self.room = ENTRIES.max(2 * self.waiting.entries.len());
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
            self.make_room();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::Flow;

    fn bytes(inbound: u64) -> Traffic {
        let flow = Some(Flow {
            inbound,
            outbound: 0,
        });
        Traffic {
            wire: flow,
            payload: flow,
        }
    }

    /// Enters a byte for each of so many sessions in each of these minutes.
    fn outage(sessions: u64, minutes: impl IntoIterator<Item = i64>) -> Outbox {
        let mut outbox = Outbox::default();
        for minute in minutes {
            for session in 0..sessions {
                outbox.enter(SocketCookie(session), Minute(minute), bytes(1));
            }
            if outbox.take().is_some() {
                outbox.failed();
            }
        }
        outbox
    }

    fn sum(outbox: &Outbox) -> u64 {
        let entries = outbox.waiting.entries.values();
        entries
            .map(|traffic| traffic.wire.map_or(0, |flow| flow.inbound))
            .sum()
    }

    #[test]
    fn a_short_outage_keeps_every_minute() {
        let outbox = outage(100, 0..60);
        assert_eq!(outbox.waiting.entries.len(), 6_000);
    }

    #[test]
    fn a_long_outage_keeps_every_byte_in_bounded_memory() {
        for (sessions, minutes) in [(1_000, 200), (20_000, 40), (100, 1440)] {
            let outbox = outage(sessions, 0..minutes);
            assert!(outbox.waiting.entries.len() <= ENTRIES, "{sessions}");
            assert_eq!(sum(&outbox), sessions * minutes.unsigned_abs());
        }
    }

    #[test]
    fn quarters_of_an_hour_are_kept_where_they_suffice() {
        let outbox = outage(1_000, 600..660);
        let minutes: BTreeSet<i64> = outbox
            .waiting
            .entries
            .keys()
            .map(|(_, minute)| minute.0)
            .collect();
        let grains: BTreeSet<i64> = minutes.iter().map(|minute| minute / 15).collect();
        assert_eq!(grains.len(), 4);
        assert_eq!(sum(&outbox), 60_000);
    }

    #[test]
    fn a_crowd_in_one_minute_stays_in_that_minute() {
        let outbox = outage(200_000, [1_000_000]);
        assert_eq!(outbox.waiting.entries.len(), 200_000);
    }
}
