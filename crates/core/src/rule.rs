//! What a firewall's rule has counted for a connection, and when it is believed.
//!
//! A rule counts from when it was put; a socket counts from the first byte to
//! the last. So both are read, and every step from one reading to the next takes
//! one of them whole: the rule's difference where the rule was there all the time
//! and missed nothing, else the socket's. From the socket's to the rule's counter
//! it goes only at a still reading, in which nothing passed between the first look
//! and the last, so that both are known at one instant: no byte is left out there,
//! and none counts twice. This file knows no firewall.

use crate::units::Flow;

/// A rule's counter, looked at right before and right after its connection's
/// socket was read, twice. It only grows, for as long as the rule stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RuleReading {
    /// Bytes of IP packets by the first look.
    pub before: Flow,
    /// The same by the second look.
    pub after: Flow,
    /// The socket had received the same number of segments both times.
    pub is_quiet: bool,
    /// The rule was put after the reading before this one, so that its counter
    /// is not the one that was read then.
    pub is_new: bool,
}

impl RuleReading {
    /// A counter that is read for the last time, when nothing moves any more.
    #[must_use]
    pub fn last(bytes: Flow) -> Self {
        Self {
            before: bytes,
            after: bytes,
            is_quiet: true,
            is_new: false,
        }
    }

    /// Whether nothing passed between the first look and the last.
    fn is_still(self) -> bool {
        self.is_quiet && self.before == self.after
    }

    /// What the rule counted since `then`, if it was there all the time and saw
    /// all that the socket sent and received.
    ///
    /// The firewall handles large packets that the network card cuts up later, so
    /// it may well count fewer headers than the socket's segments have; but never
    /// fewer bytes than they carried.
    fn counted_since(self, then: Flow, payload: Option<Flow>) -> Option<Flow> {
        if self.is_new {
            return None;
        }
        let counted = self.before.since(then)?;
        let seen = self.after.since(then)?;
        seen.since(payload.unwrap_or_default())?;
        Some(counted)
    }
}

/// Where the two counters of a connection's wire bytes stood when what is counted
/// so far had passed. Kept only for connections that a rule has counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counters {
    /// The socket's. While a rule counts it is known at still readings, and in
    /// between it is what the rule has counted since then. `None` where the rule had
    /// the last word on a connection whose end nobody saw.
    pub socket: Option<Flow>,
    /// The rule's; `None` where it cannot be gone on from.
    pub rule: Option<Flow>,
}

/// What crossed the wire between two readings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    /// How much, by the counter that is believed.
    pub(crate) wire: Option<Flow>,
    /// Where both counters are to be gone on from.
    pub(crate) counters: Counters,
    /// The rule had counted before, and this step it had not, or not all.
    pub(crate) is_bridged: bool,
}

impl Counters {
    /// The step from here to a reading of both, in which the connection moved so
    /// much payload.
    pub(crate) fn step(
        self,
        rule: Option<RuleReading>,
        socket: Option<Flow>,
        payload: Option<Flow>,
    ) -> Step {
        let counted = self.rule.zip(rule).and_then(|(last, now)| {
            let counted = now.counted_since(last, payload)?;
            Some((now, counted))
        });
        let Some((now, counted)) = counted else {
            return self.bridge(rule, socket);
        };
        let socket_then = self.socket.map(|socket| socket.plus(counted));
        Step {
            wire: Some(counted),
            counters: Self {
                socket: if now.is_still() { socket } else { socket_then },
                rule: Some(now.before),
            },
            is_bridged: false,
        }
    }

    /// The socket's step. As its counter is gone on from where the rule's was
    /// believed last, nothing is left out that passed while both were read.
    fn bridge(self, rule: Option<RuleReading>, socket: Option<Flow>) -> Step {
        let added = |last: Flow| socket?.at_least(last).since(last);
        Step {
            wire: self.socket.map_or(Some(Flow::default()), added),
            counters: Self {
                socket,
                rule: rule.filter(|now| now.is_still()).map(|now| now.before),
            },
            is_bridged: self.rule.is_some(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn flow(inbound: u64, outbound: u64) -> Flow {
        Flow { inbound, outbound }
    }

    /// A step from a rule's reading of `last` and a socket's of 1000, in which so
    /// much payload moved and the socket came to `socket`.
    fn step(last: Option<u64>, now: Option<RuleReading>, payload: u64, socket: u64) -> Step {
        let both = |bytes| flow(bytes, bytes);
        let last = Counters {
            socket: Some(both(1000)),
            rule: last.map(both),
        };
        last.step(now, Some(both(socket)), Some(both(payload)))
    }

    fn counters(socket: u64, rule: Option<u64>) -> Counters {
        Counters {
            socket: Some(flow(socket, socket)),
            rule: rule.map(|rule| flow(rule, rule)),
        }
    }

    fn reading(before: u64, after: u64) -> Option<RuleReading> {
        Some(RuleReading {
            before: flow(before, before),
            after: flow(after, after),
            is_quiet: true,
            is_new: false,
        })
    }

    #[test]
    fn a_rule_that_goes_on_counts() {
        let busy = step(Some(500), reading(900, 950), 300, 1420);
        assert_eq!(busy.wire, Some(flow(400, 400)));
        assert_eq!(busy.counters, counters(1400, Some(900)));
        let quiet = step(Some(500), reading(900, 900), 300, 1420);
        assert_eq!(quiet.wire, Some(flow(400, 400)));
        assert_eq!(quiet.counters, counters(1420, Some(900)));
        assert!(!busy.is_bridged && !quiet.is_bridged);
    }

    #[test]
    fn a_rule_is_begun_with_only_when_nothing_is_in_flight() {
        let busy = step(None, reading(900, 950), 300, 1420);
        assert_eq!(busy.wire, Some(flow(420, 420)));
        assert_eq!(busy.counters, counters(1420, None));
        let quiet = step(None, reading(950, 950), 300, 1420);
        assert_eq!(quiet.wire, Some(flow(420, 420)));
        assert_eq!(quiet.counters, counters(1420, Some(950)));
        assert!(!busy.is_bridged && !quiet.is_bridged);
    }

    #[test]
    fn what_a_rule_missed_is_the_sockets() {
        let gone = step(Some(500), None, 300, 1420);
        let fallen = step(Some(500), reading(0, 0), 300, 1420);
        let blind = step(Some(500), reading(510, 510), 300, 1420);
        for step in [gone, fallen, blind] {
            assert_eq!(step.wire, Some(flow(420, 420)));
            assert!(step.is_bridged);
        }
        assert_eq!(gone.counters, counters(1420, None));
        assert_eq!(fallen.counters, counters(1420, Some(0)));
    }

    #[test]
    fn a_rule_that_was_put_anew_is_another() {
        let now = reading(700, 700).map(|now| RuleReading {
            is_new: true,
            ..now
        });
        let step = step(Some(500), now, 150, 1180);
        assert_eq!(step.wire, Some(flow(180, 180)));
        assert_eq!(step.counters, counters(1180, Some(700)));
    }

    #[test]
    fn where_a_rule_saw_more_than_the_socket_nothing_is_taken_back() {
        let step = step(Some(500), None, 0, 990);
        assert_eq!(step.wire, Some(flow(0, 0)));
        assert_eq!(step.counters, counters(990, None));
    }

    /// A moment of a connection's life.
    #[derive(Clone, Copy, Debug)]
    enum Moment {
        /// A packet with so many bytes of payload passes.
        Packet(u64),
        /// The rule is put, anew if it stands.
        Put,
        /// The rule is taken away, or its hook.
        Gone,
        /// Both counters are read, and so many packets pass between the looks.
        Read(u8),
    }

    fn moment() -> impl Strategy<Value = Moment> {
        prop_oneof![
            6 => (0_u64..3000).prop_map(Moment::Packet),
            1 => Just(Moment::Put),
            1 => Just(Moment::Gone),
            4 => (0_u8..3).prop_map(Moment::Read),
        ]
    }

    const HEADER: u64 = 52;

    #[derive(Default)]
    struct World {
        wire: u64,
        payload: u64,
        rule: Option<u64>,
        is_new: bool,
    }

    impl World {
        fn packet(&mut self, payload: u64) {
            self.wire += payload + HEADER;
            self.payload += payload;
            if let Some(rule) = &mut self.rule {
                *rule += payload + HEADER;
            }
        }
    }

    proptest! {
        /// With one header a segment, both counters say the same of a packet, so
        /// that the sum is the wire's whatever happens to the rule: all of it after
        /// a still reading, and after another all but what passed meanwhile.
        #[test]
        fn whatever_happens_to_a_rule_no_byte_counts_twice(
            moments in proptest::collection::vec(moment(), 1..80),
        ) {
            let mut world = World::default();
            let (mut sum, mut payload) = (0, 0);
            let mut last = counters(0, None);
            for moment in moments.into_iter().chain([Moment::Read(0)]) {
                match moment {
                    Moment::Packet(payload) => world.packet(payload),
                    Moment::Put => {
                        world.rule = Some(0);
                        world.is_new = true;
                    }
                    Moment::Gone => world.rule = None,
                    Moment::Read(between) => {
                        let (before, wire_before) = (world.rule, world.wire);
                        for _ in 0..between {
                            world.packet(100);
                        }
                        let rule = before.zip(world.rule).map(|(before, after)| RuleReading {
                            before: flow(before, before),
                            after: flow(after, after),
                            is_quiet: between == 0,
                            is_new: std::mem::take(&mut world.is_new),
                        });
                        let both = |bytes| Some(flow(bytes, bytes));
                        let moved = world.payload - payload;
                        let step = last.step(rule, both(world.wire), both(moved));
                        sum += step.wire.map_or(0, |wire| wire.inbound);
                        (last, payload) = (step.counters, world.payload);
                        prop_assert!(sum == world.wire || sum == wire_before);
                        prop_assert!(between > 0 || sum == world.wire);
                    }
                }
            }
        }
    }
}
