//! What a connection moved: its last reading, and all of its entries together.
//!
//! Figures come from the socket and, where a firewall counts, from a rule beside it;
//! which of them is believed for a step is `rule`'s to say. Names are not known here.

use crate::{
    counter::{Reading, Step},
    meter::{IpVersion, Socket},
    rule::Counters,
    units::{Flow, Traffic},
};

/// A connection's figures, as they are written down.
#[derive(Clone, Debug, Default)]
pub(super) struct Figures {
    pub(super) reading: Reading,
    /// What a rule's and the socket's counter stood at, where a rule has counted.
    pub(super) counters: Option<Counters>,
    pub(super) total: Traffic,
}

/// What figures add to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Added {
    pub(super) traffic: Traffic,
    /// The firewall had counted it, and has missed something since.
    pub(super) is_bridged: bool,
}

impl Figures {
    /// Takes the socket's figures, and the rule's where there is one; gives what
    /// they add.
    pub(super) fn count(&mut self, socket: &Socket) -> Added {
        let added = if self.counters.is_some() || socket.rule.is_some() {
            self.count_by_rule(socket)
        } else {
            self.count_by_socket(socket)
        };
        self.total = self.total.plus(added.traffic);
        added
    }

    fn count_by_socket(&mut self, socket: &Socket) -> Added {
        let version = IpVersion::of(socket.peer);
        let now = socket.sample.reading(version, self.reading);
        let (Step::Advanced(traffic) | Step::Restarted(traffic)) = now.step_from(self.reading);
        // A figure that this sample lacks stays where it was read last.
        self.reading = now.or(self.reading);
        Added {
            traffic,
            is_bridged: false,
        }
    }

    fn count_by_rule(&mut self, socket: &Socket) -> Added {
        let counters = self.counters.unwrap_or(Counters {
            socket: Some(self.reading.0.wire.unwrap_or_default()),
            rule: None,
        });
        let last = Reading(Traffic {
            wire: counters.socket,
            payload: self.reading.0.payload,
        });
        let (version, rule) = (IpVersion::of(socket.peer), socket.rule.as_deref().copied());
        let now = if rule.is_some_and(|rule| rule.is_quiet) {
            socket.sample.still_reading(version, last)
        } else {
            socket.sample.reading(version, last)
        };
        let (Step::Advanced(by_socket) | Step::Restarted(by_socket)) = now.step_from(last);
        let step = counters.step(rule, now.or(last).0.wire, by_socket.payload);
        self.counters = Some(step.counters);
        let traffic = Traffic {
            wire: step.wire,
            payload: by_socket.payload,
        };
        self.reading.0.payload = now.or(last).0.payload;
        self.reading.0.wire = self.reading.0.plus(traffic).wire;
        Added {
            traffic,
            is_bridged: step.is_bridged,
        }
    }

    /// Its rule is gone or counts for others too: its counter is not gone on from.
    pub(super) fn forget_rule(&mut self) {
        if let Some(counters) = &mut self.counters {
            counters.rule = None;
        }
    }

    /// Its rule's last figure, where nobody saw the connection end and no socket
    /// can tell any more. Gives what that adds. Should the kernel's word of the end
    /// come after all, it says nothing new of the wire.
    pub(super) fn count_last_of_rule(&mut self, bytes: Flow) -> Option<Traffic> {
        let counters = self.counters.as_mut()?;
        let counted = bytes.since(counters.rule?)?;
        *counters = Counters {
            socket: None,
            rule: Some(bytes),
        };
        let added = Traffic {
            wire: Some(counted),
            payload: None,
        };
        self.reading.0 = self.reading.0.plus(added);
        self.total = self.total.plus(added);
        Some(added)
    }
}
