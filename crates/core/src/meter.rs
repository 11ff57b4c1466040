//! From the kernel's raw figures to readings.
//!
//! A [`TcpSample`] is what `tcp_info` said, field by field, with what an older
//! kernel left out as `None`. [`TcpSample::reading`] is the only place that
//! knows how those figures become bytes on the wire and bytes of payload.
//!
//! Sources: `struct tcp_info` in include/uapi/linux/tcp.h for the fields,
//! `tcp_synack_options` and `tcp_syn_options` in net/ipv4/tcp_output.c for the
//! handshake's sizes.

use serde::{Deserialize, Serialize};

use crate::{
    counter::Reading,
    identity::{Endpoint, SocketCookie},
    rule::RuleReading,
    units::{Flow, Traffic},
};

/// A connection's socket as the kernel showed it, alive or at its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Socket {
    /// The socket's identity within this boot.
    pub cookie: SocketCookie,
    /// sshd's end.
    pub local: Endpoint,
    /// The client's end.
    pub peer: Endpoint,
    /// The socket's inode, by which a process's descriptors name it; `None` at
    /// a connection's end, when the kernel no longer tells.
    pub inode: Option<u32>,
    /// Its counters.
    pub sample: TcpSample,
    /// What a firewall's rule has counted for it, where one does. It is not kept
    /// in notes: a rule's counter is read once more when its rule is removed.
    #[serde(skip)]
    pub rule: Option<Box<RuleReading>>,
}

/// The header sizes a connection's segments carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IpVersion {
    /// 20 bytes of IP header; also for v4-mapped sockets.
    V4,
    /// 40 bytes of IP header.
    V6,
}

impl IpVersion {
    /// The version packets to this (unmapped) peer travel by.
    #[must_use]
    pub fn of(peer: Endpoint) -> Self {
        if peer.ip().is_ipv4() {
            Self::V4
        } else {
            Self::V6
        }
    }

    fn header_bytes(self) -> u64 {
        match self {
            Self::V4 => 20,
            Self::V6 => 40,
        }
    }
}

/// `tcp_info`, as raw as it is useful. `None`: this kernel does not tell.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TcpSample {
    /// `tcpi_state`: one of the TCP states of include/net/tcp_states.h.
    pub state: u8,
    /// What the kernel kept of the connection when its socket was destroyed.
    pub remains: Remains,
    /// Bytes nobody has read yet, the peer's FIN counted as one of them
    /// (`idiag_rqueue`: `rcv_nxt` less `copied_seq`).
    pub unread: u32,
    /// `tcpi_options`: what both ends agreed on in the handshake.
    pub options: u8,
    /// Bytes the peer acknowledged; on the accepting side it counts our FIN,
    /// but not our SYN-ACK.
    pub bytes_acked: Option<u64>,
    /// Bytes received in order; counts the peer's FIN.
    pub bytes_received: Option<u64>,
    /// Segments sent, retransmissions and bare acknowledgements included.
    pub segments_out: Option<u32>,
    /// Segments received, the SYN included.
    pub segments_in: Option<u32>,
    /// Data bytes sent, retransmissions included.
    pub bytes_sent: Option<u64>,
    /// Data bytes retransmitted.
    pub bytes_retransmitted: Option<u64>,
    /// Segments that the peer reported to have received twice.
    pub duplicates_reported: Option<u32>,
}

/// What stands in for a connection whose socket was destroyed. There is a
/// stand-in only where we closed first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Remains {
    /// Nothing: the peer closed first, or reset.
    #[default]
    Nothing,
    /// A stand-in that waits for the peer's FIN (`FIN_WAIT2`).
    AwaitsFin,
    /// A stand-in of a connection whose FIN came (`TIME_WAIT`), to the socket
    /// or to the stand-in itself.
    HasFin,
}

const TIMESTAMPS: u8 = 1;
const SACK: u8 = 2;
const WINDOW_SCALING: u8 = 4;

/// What a report of a duplicate (a D-SACK, RFC 2883) adds to the bare
/// acknowledgement that carries it: the SACK option with one block, padded.
const DUPLICATE_REPORT_BYTES: u64 = 12;

/// The TCP states in which the peer's FIN may just be coming in.
const ESTABLISHED: u8 = 1;
const FIN_WAIT1: u8 = 4;
const FIN_WAIT2: u8 = 5;
/// The TCP states in which the peer's FIN has been received
/// (include/net/tcp_states.h).
const CLOSE_WAIT: u8 = 8;
const LAST_ACK: u8 = 9;
const CLOSING: u8 = 11;
/// The state a socket is destroyed in.
const CLOSE: u8 = 7;

impl TcpSample {
    /// Reads `struct tcp_info` of any length.
    #[must_use]
    pub fn from_tcp_info(bytes: &[u8]) -> Self {
        Self {
            state: bytes.first().copied().unwrap_or_default(),
            remains: Remains::Nothing,
            unread: 0,
            options: bytes.get(5).copied().unwrap_or_default(),
            bytes_acked: u64_at(bytes, 120),
            bytes_received: u64_at(bytes, 128),
            segments_out: u32_at(bytes, 136),
            segments_in: u32_at(bytes, 140),
            bytes_sent: u64_at(bytes, 200),
            bytes_retransmitted: u64_at(bytes, 208),
            duplicates_reported: u32_at(bytes, 216),
        }
    }

    /// The connection's cumulative reading, given the one before it on the same
    /// socket (`Reading::default()` for the first).
    ///
    /// The earlier reading serves two ends: the kernel's segment counters are
    /// 32 bits wide and wrap after some 6 TB, and a FIN that is not certain is
    /// never subtracted from bytes that were already read.
    #[must_use]
    pub fn reading(&self, version: IpVersion, earlier: Reading) -> Reading {
        let reading = self.counted(version, earlier, self.peer_finished());
        if self.peer_may_be_finishing() && no_segment_came(reading, earlier) {
            // Then no FIN did either, and the newest byte is one.
            return self.counted(version, earlier, false);
        }
        reading
    }

    /// The same where nothing came from the peer while the sample was taken, so
    /// that its state tells of every FIN its counters have.
    #[must_use]
    pub fn still_reading(&self, version: IpVersion, earlier: Reading) -> Reading {
        let has_fin = self.peer_finished() && !self.peer_may_be_finishing();
        self.counted(version, earlier, has_fin)
    }

    /// The reading, with the peer's FIN in `bytes_received` or without.
    fn counted(&self, version: IpVersion, earlier: Reading, has_fin: bool) -> Reading {
        let payload = self
            .payload(has_fin)
            .map(|flow| flow.at_least(earlier.0.payload.unwrap_or_default()));
        let wire = payload.and_then(|payload| self.wire(version, payload, earlier.0.wire));
        Reading(Traffic { wire, payload })
    }

    fn payload(&self, has_fin: bool) -> Option<Flow> {
        let inbound = self.bytes_received?.saturating_sub(u64::from(has_fin));
        let outbound = match (self.bytes_sent, self.bytes_retransmitted) {
            (Some(sent), Some(again)) => sent.saturating_sub(again),
            // Before Linux 4.19: what was acknowledged, less our FIN, which
            // counts only at the very end.
            _ => self
                .bytes_acked?
                .saturating_sub(u64::from(self.state == CLOSE)),
        };
        Some(Flow { inbound, outbound })
    }

    /// Whether `bytes_received` may count a FIN that the state does not tell of:
    /// the kernel reads a living connection's state a moment before its
    /// counters, and a FIN that comes in between is in these alone. What was
    /// read cannot be taken back, so the newest byte waits for a reading before
    /// which nothing came, or for the end.
    fn peer_may_be_finishing(&self) -> bool {
        matches!(self.state, ESTABLISHED | FIN_WAIT1 | FIN_WAIT2)
    }

    /// Whether `bytes_received` counts the peer's FIN, or may count it.
    fn peer_finished(&self) -> bool {
        match self.state {
            _ if self.peer_may_be_finishing() => true,
            CLOSE_WAIT | LAST_ACK | CLOSING => true,
            // Where we closed first nobody can have read the peer's FIN: if the
            // socket had it, it still lies there.
            CLOSE if self.remains != Remains::Nothing => self.unread > 0,
            CLOSE => self.own_fin_acknowledged(),
            _ => false,
        }
    }

    /// Whether the peer's FIN and our acknowledgement of it crossed the wire
    /// when only the stand-in was there to see them.
    fn fin_came_after_the_end(&self) -> bool {
        self.state == CLOSE && self.remains == Remains::HasFin && self.unread == 0
    }

    /// Whether the end was an orderly one. In a reset the peer acknowledges no
    /// FIN of ours, and sent none itself.
    fn own_fin_acknowledged(&self) -> bool {
        let (Some(sent), Some(again)) = (self.bytes_sent, self.bytes_retransmitted) else {
            return true;
        };
        self.bytes_acked
            .is_none_or(|acked| acked > sent.saturating_sub(again))
    }

    fn wire(&self, version: IpVersion, payload: Flow, earlier: Option<Flow>) -> Option<Flow> {
        let header = version.header_bytes() + 20 + if self.has(TIMESTAMPS) { 12 } else { 0 };
        let handshake = version.header_bytes() + 20 + self.handshake_options_bytes();
        let wrap = header << 32;
        let segments = |count: u32| u64::from(count) * header;
        let behind = if self.fin_came_after_the_end() {
            header
        } else {
            0
        };
        // Our SYN-ACK is in no counter; the peer's SYN is one of its segments,
        // only longer than the others.
        let outbound = sum([
            self.bytes_sent?,
            segments(self.segments_out?),
            handshake,
            behind,
        ]);
        let reports = u64::from(self.duplicates_reported.unwrap_or(0)) * DUPLICATE_REPORT_BYTES;
        let inbound = sum([
            payload.inbound,
            segments(self.segments_in?),
            reports,
            handshake - header,
            behind,
        ]);
        let earlier = earlier.unwrap_or_default();
        Some(Flow {
            inbound: unwrapped(inbound, earlier.inbound, wrap),
            outbound: unwrapped(outbound, earlier.outbound, wrap),
        })
    }

    /// The TCP options of a SYN and SYN-ACK that agree on what was agreed on:
    /// MSS always, the others padded to four bytes each.
    fn handshake_options_bytes(&self) -> u64 {
        let timestamps = if self.has(TIMESTAMPS) { 12 } else { 0 };
        let window_scaling = if self.has(WINDOW_SCALING) { 4 } else { 0 };
        // With timestamps, "SACK permitted" fits into their padding.
        let sack = if self.has(SACK) && !self.has(TIMESTAMPS) {
            4
        } else {
            0
        };
        4 + timestamps + window_scaling + sack
    }

    fn has(&self, option: u8) -> bool {
        self.options & option != 0
    }
}

/// Whether nothing came from the peer between two readings; every segment, with
/// data or without, has a header on the wire.
fn no_segment_came(reading: Reading, earlier: Reading) -> bool {
    let inbound = |reading: Reading| {
        let Traffic { wire, payload } = reading.0;
        Some((wire?.inbound, payload?.inbound))
    };
    inbound(reading).is_some_and(|now| inbound(earlier) == Some(now))
}

/// Figures of no connection there ever was end at the largest number.
fn sum<const N: usize>(figures: [u64; N]) -> u64 {
    figures.into_iter().fold(0, u64::saturating_add)
}

/// Adds as many whole wraps as bring `now` nearest to `earlier`, which it cannot
/// be less than. A figure that was read a byte too high is no wrap.
fn unwrapped(now: u64, earlier: u64, wrap: u64) -> u64 {
    let behind = earlier.saturating_sub(now);
    let wraps = behind.saturating_add(wrap / 2) / wrap;
    now.saturating_add(wraps.saturating_mul(wrap)).max(earlier)
}

fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(
        bytes.get(offset..offset + 4)?.try_into().ok()?,
    ))
}

fn u64_at(bytes: &[u8], offset: usize) -> Option<u64> {
    Some(u64::from_ne_bytes(
        bytes.get(offset..offset + 8)?.try_into().ok()?,
    ))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ALL_OPTIONS: u8 = TIMESTAMPS | SACK | WINDOW_SCALING;

    fn sample(state: u8, options: u8) -> TcpSample {
        TcpSample {
            state,
            options,
            bytes_acked: Some(5001),
            bytes_received: Some(3001),
            segments_out: Some(20),
            segments_in: Some(30),
            bytes_sent: Some(5100),
            bytes_retransmitted: Some(100),
            ..TcpSample::default()
        }
    }

    fn flow(inbound: u64, outbound: u64) -> Option<Flow> {
        Some(Flow { inbound, outbound })
    }

    #[test]
    fn an_orderly_end_counts_neither_fin_as_payload() {
        let reading = sample(CLOSE, ALL_OPTIONS).reading(IpVersion::V4, Reading::default());
        assert_eq!(reading.0.payload, flow(3000, 5000));
        assert_eq!(
            reading.0.wire,
            flow(3000 + 30 * 52 + 8, 5100 + 20 * 52 + 60)
        );
    }

    #[test]
    fn a_reset_leaves_the_received_bytes_as_they_are() {
        let reset = TcpSample {
            bytes_acked: Some(4000),
            ..sample(CLOSE, ALL_OPTIONS)
        };
        let reading = reset.reading(IpVersion::V4, Reading::default());
        assert_eq!(reading.0.payload, flow(3001, 5000));
    }

    #[test]
    fn where_we_closed_first_the_fin_counts_if_it_lies_unread() {
        for (remains, unread, fin, behind) in [
            (Remains::AwaitsFin, 0, 0, 0),
            (Remains::HasFin, 1, 1, 0),
            (Remains::HasFin, 0, 0, 52),
        ] {
            let ended = TcpSample {
                remains,
                unread,
                ..sample(CLOSE, ALL_OPTIONS)
            };
            let reading = ended.reading(IpVersion::V4, Reading::default());
            let payload = 3001 - fin;
            assert_eq!(reading.0.payload, flow(payload, 5000), "{remains:?}");
            let wire = flow(payload + 30 * 52 + 8 + behind, 5100 + 20 * 52 + 60 + behind);
            assert_eq!(reading.0.wire, wire, "{remains:?}");
        }
    }

    #[test]
    fn a_fin_that_came_between_state_and_counters_is_no_byte() {
        for state in [ESTABLISHED, FIN_WAIT1, FIN_WAIT2] {
            let live = sample(state, ALL_OPTIONS).reading(IpVersion::V4, Reading::default());
            let ended = sample(CLOSE, ALL_OPTIONS).reading(IpVersion::V4, live);
            assert_eq!(ended.0.payload, flow(3000, 5000));
        }
    }

    #[test]
    fn the_newest_byte_of_a_living_connection_counts_when_nothing_followed_it() {
        let open = sample(ESTABLISHED, ALL_OPTIONS);
        let first = open.reading(IpVersion::V4, Reading::default());
        assert_eq!(first.0.payload, flow(3000, 5000));
        let second = open.reading(IpVersion::V4, first);
        assert_eq!(second.0.payload, flow(3001, 5000));
        assert_eq!(open.reading(IpVersion::V4, second), second);

        let mut fin = open.clone();
        fin.bytes_received = open.bytes_received.map(|bytes| bytes + 1);
        fin.segments_in = open.segments_in.map(|count| count + 1);
        let third = fin.reading(IpVersion::V4, second);
        assert_eq!(third.0.payload, flow(3001, 5000));
        fin.state = CLOSE_WAIT;
        assert_eq!(fin.reading(IpVersion::V4, third), third);
    }

    /// SYN and SYN-ACK sizes seen in captures for every set of options.
    #[test]
    fn the_handshake_is_as_long_as_its_options() {
        for (options, syn_ack, syn_extra) in [
            (7, 60, 8),
            (6, 52, 12),
            (5, 60, 8),
            (3, 56, 4),
            (4, 48, 8),
            (2, 48, 8),
            (1, 56, 4),
            (0, 44, 4),
        ] {
            let nothing = TcpSample {
                options,
                bytes_acked: Some(0),
                bytes_received: Some(0),
                segments_out: Some(0),
                segments_in: Some(0),
                bytes_sent: Some(0),
                bytes_retransmitted: Some(0),
                ..TcpSample::default()
            };
            let v4 = nothing.reading(IpVersion::V4, Reading::default());
            let v6 = nothing.reading(IpVersion::V6, Reading::default());
            assert_eq!(v4.0.wire, flow(syn_extra, syn_ack), "options {options}");
            assert_eq!(
                v6.0.wire,
                flow(syn_extra, syn_ack + 20),
                "options {options}"
            );
        }
    }

    #[test]
    fn an_old_kernel_s_short_tcp_info_is_unknown_not_zero() {
        let until_bytes_received = vec![0; 136];
        let old = TcpSample::from_tcp_info(&until_bytes_received);
        let reading = old.reading(IpVersion::V4, Reading::default());
        assert_eq!(
            reading.0,
            Traffic {
                wire: None,
                payload: flow(0, 0)
            }
        );
        let ancient = TcpSample::from_tcp_info(&until_bytes_received[..104]);
        assert_eq!(
            ancient.reading(IpVersion::V4, Reading::default()).0,
            Traffic::default()
        );
    }

    proptest! {
        /// Whatever a socket's counters do, wrapping included, its readings
        /// never fall, so that no session is ever counted twice.
        #[test]
        fn readings_of_one_socket_never_fall(
            steps in proptest::collection::vec((0_u32..2_000_000_000, 0_u64..1 << 40, any::<bool>()), 1..20),
        ) {
            let mut raw = sample(1, ALL_OPTIONS);
            let mut earlier = Reading::default();
            for (segments, bytes, over) in steps {
                raw.segments_in = raw.segments_in.map(|it| it.wrapping_add(segments));
                raw.segments_out = raw.segments_out.map(|it| it.wrapping_add(segments));
                raw.bytes_received = raw.bytes_received.map(|it| it + bytes);
                raw.bytes_sent = raw.bytes_sent.map(|it| it + bytes);
                raw.state = if over { CLOSE } else { 1 };
                let reading = raw.reading(IpVersion::V6, earlier);
                prop_assert!(matches!(reading.step_from(earlier), crate::counter::Step::Advanced(_)));
                let wire = reading.0.wire.unwrap_or_default();
                let before = earlier.0.wire.unwrap_or_default();
                let added = u64::from(segments) * 72 + bytes;
                prop_assert!(wire.inbound - before.inbound <= added + 3001 + 30 * 72 + 8);
                earlier = reading;
            }
        }
    }
}
