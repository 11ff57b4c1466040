//! Reads a packet capture and sums it up by connection.
//!
//! Deliberately simple: Ethernet frames, IPv4 without surprises, IPv6 without
//! extension headers, TCP. Anything else stops the test instead of being
//! skipped, because a truth with holes is none.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

/// Bytes of a connection, in both directions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flow {
    /// From the client to the server.
    pub inbound: u64,
    /// From the server to the client.
    pub outbound: u64,
}

impl Flow {
    /// Both directions.
    #[must_use]
    pub fn total(self) -> u64 {
        self.inbound + self.outbound
    }
}

impl std::ops::AddAssign for Flow {
    fn add_assign(&mut self, other: Self) {
        self.inbound += other.inbound;
        self.outbound += other.outbound;
    }
}

/// What one connection did on the wire.
#[derive(Clone, Debug, PartialEq)]
pub struct Connection {
    /// The client's end.
    pub peer: SocketAddr,
    /// The server's end.
    pub local: SocketAddr,
    /// IP packets, headers and retransmissions included.
    pub wire: Flow,
    /// The TCP stream by its sequence numbers: every byte once.
    pub payload: Flow,
    /// Bytes (and SYNs) that crossed the wire again.
    pub repeated: Flow,
    /// Segments that carried SACK blocks.
    pub selective: Flow,
    /// Segments that carried a FIN: more than one where it was sent again.
    pub farewells: Flow,
    /// Whether either side sent a RST.
    pub reset: bool,
    /// Seconds since 1970 of the first packet.
    pub begin: f64,
    /// Seconds since 1970 of the last packet.
    pub end: f64,
    next: [Option<u32>; 2],
}

impl Connection {
    fn new(peer: SocketAddr, local: SocketAddr, time: f64) -> Self {
        Self {
            peer,
            local,
            wire: Flow::default(),
            payload: Flow::default(),
            repeated: Flow::default(),
            selective: Flow::default(),
            farewells: Flow::default(),
            reset: false,
            begin: time,
            end: time,
            next: [None, None],
        }
    }

    /// Whether nothing was lost or sent twice, so that figures must agree to
    /// the byte.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.repeated.total() == 0 && self.selective.total() == 0 && !self.reset
    }
}

/// The connections of a capture whose server listens on one of `ports`, by the
/// client's end.
///
/// # Panics
/// When the capture holds something that cannot be understood.
#[must_use]
pub fn read_capture(bytes: &[u8], ports: &[u16]) -> BTreeMap<SocketAddr, Connection> {
    assert_eq!(
        bytes.get(..4),
        Some([0xd4, 0xc3, 0xb2, 0xa1].as_slice()),
        "a little-endian pcap file begins with its magic number"
    );
    let mut connections = BTreeMap::new();
    let mut rest = &bytes[24..];
    while rest.len() >= 16 {
        let word = |index: usize| u32::from_le_bytes(array(&rest[index * 4..]));
        let length = usize::try_from(word(2)).expect("a length fits");
        let time = f64::from(word(0)) + f64::from(word(1)) / 1e6;
        let Some(frame) = rest[16..].get(..length) else {
            break;
        };
        if let Some(segment) = Segment::read(frame) {
            add(&mut connections, &segment, ports, time);
        }
        rest = &rest[16 + length..];
    }
    connections
}

fn add(
    connections: &mut BTreeMap<SocketAddr, Connection>,
    segment: &Segment,
    ports: &[u16],
    time: f64,
) {
    let inbound = ports.contains(&segment.destination.port());
    if !inbound && !ports.contains(&segment.source.port()) {
        return;
    }
    let (peer, local) = if inbound {
        (segment.source, segment.destination)
    } else {
        (segment.destination, segment.source)
    };
    let connection = connections
        .entry(peer)
        .or_insert_with(|| Connection::new(peer, local, time));
    connection.end = time;
    connection.reset |= segment.reset;
    let (repeated, new) = segment.advance(&mut connection.next[usize::from(inbound)]);
    let selective = u64::from(segment.selective);
    let farewell = u64::from(segment.finish);
    if inbound {
        connection.farewells.inbound += farewell;
        connection.wire.inbound += segment.packet;
        connection.payload.inbound += new;
        connection.repeated.inbound += repeated;
        connection.selective.inbound += selective;
    } else {
        connection.farewells.outbound += farewell;
        connection.wire.outbound += segment.packet;
        connection.payload.outbound += new;
        connection.repeated.outbound += repeated;
        connection.selective.outbound += selective;
    }
}

#[derive(Debug)]
struct Segment {
    source: SocketAddr,
    destination: SocketAddr,
    packet: u64,
    payload: u32,
    sequence: u32,
    synchronize: bool,
    finish: bool,
    reset: bool,
    selective: bool,
}

impl Segment {
    /// A TCP segment of an Ethernet frame; `None` for other protocols.
    fn read(frame: &[u8]) -> Option<Self> {
        let packet = &frame[14..];
        match u16::from_be_bytes(array(&frame[12..])) {
            0x0800 if packet[9] == 6 => {
                let header = usize::from(packet[0] & 15) * 4;
                let length = u16::from_be_bytes(array(&packet[2..]));
                let ip = |at: usize| IpAddr::from(Ipv4Addr::from(array::<4>(&packet[at..])));
                Some(Self::tcp(
                    &packet[header..],
                    header,
                    u64::from(length),
                    ip(12),
                    ip(16),
                ))
            }
            0x86dd if packet[6] == 6 => {
                let length = u64::from(u16::from_be_bytes(array(&packet[4..]))) + 40;
                let ip = |at: usize| IpAddr::from(Ipv6Addr::from(array::<16>(&packet[at..])));
                Some(Self::tcp(&packet[40..], 40, length, ip(8), ip(24)))
            }
            _ => None,
        }
    }

    fn tcp(tcp: &[u8], ip_header: usize, packet: u64, source: IpAddr, destination: IpAddr) -> Self {
        let header = usize::from(tcp[12] >> 4) * 4;
        let headers = u64::try_from(ip_header + header).expect("a header's length fits");
        let flags = tcp[13];
        Self {
            source: SocketAddr::new(source, u16::from_be_bytes(array(tcp))),
            destination: SocketAddr::new(destination, u16::from_be_bytes(array(&tcp[2..]))),
            packet,
            payload: u32::try_from(packet - headers).expect("a packet's length fits"),
            sequence: u32::from_be_bytes(array(&tcp[4..])),
            synchronize: flags & 2 != 0,
            finish: flags & 1 != 0,
            reset: flags & 4 != 0,
            selective: has_selective_blocks(&tcp[20..header]),
        }
    }

    /// Moves the stream's end forward: bytes seen before, and new ones.
    ///
    /// A hole that is filled later counts when the stream's end passes it, so
    /// a segment lost before the capture is counted once, as it must be.
    fn advance(&self, next: &mut Option<u32>) -> (u64, u64) {
        if self.synchronize {
            // A SYN's own number is part of the stream's numbering, not of its bytes.
            let again = u64::from(next.is_some());
            *next = Some(self.sequence.wrapping_add(1));
            return (again, 0);
        }
        let Some(expected) = *next else {
            return (0, 0);
        };
        if self.payload == 0 {
            return (0, 0);
        }
        let end = self.sequence.wrapping_add(self.payload);
        let ahead = end.wrapping_sub(expected);
        if ahead == 0 || ahead > u32::MAX / 2 {
            return (u64::from(self.payload), 0);
        }
        *next = Some(end);
        let known = u64::from(self.payload.saturating_sub(ahead));
        (known, u64::from(ahead))
    }
}

/// Whether TCP options hold SACK blocks (kind 5).
fn has_selective_blocks(mut options: &[u8]) -> bool {
    while let Some(&kind) = options.first() {
        let length = match kind {
            0 => return false,
            1 => 1,
            5 => return true,
            _ => usize::from(options.get(1).copied().unwrap_or(0)).max(2),
        };
        options = options.get(length..).unwrap_or_default();
    }
    false
}

fn array<const LENGTH: usize>(bytes: &[u8]) -> [u8; LENGTH] {
    bytes[..LENGTH]
        .try_into()
        .expect("a slice of that length is an array")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(sequence: u32, payload: u32, synchronize: bool) -> Segment {
        let end = SocketAddr::from(([192, 0, 2, 1], 22));
        Segment {
            source: end,
            destination: end,
            packet: 0,
            payload,
            sequence,
            synchronize,
            finish: false,
            reset: false,
            selective: false,
        }
    }

    #[test]
    fn a_stream_counts_every_byte_once_across_the_number_wrap() {
        let mut next = None;
        segment(u32::MAX - 9, 0, true).advance(&mut next);
        assert_eq!(segment(u32::MAX - 8, 6, false).advance(&mut next), (0, 6));
        assert_eq!(segment(u32::MAX - 2, 10, false).advance(&mut next), (0, 10));
        assert_eq!(segment(u32::MAX - 2, 10, false).advance(&mut next), (10, 0));
        assert_eq!(segment(3, 10, false).advance(&mut next), (4, 6));
    }

    #[test]
    fn a_hole_is_counted_once_it_is_passed() {
        let mut next = None;
        segment(0, 0, true).advance(&mut next);
        assert_eq!(segment(11, 10, false).advance(&mut next), (0, 20));
        assert_eq!(segment(1, 10, false).advance(&mut next), (10, 0));
    }

    #[test]
    fn selective_blocks_are_found_behind_other_options() {
        assert!(has_selective_blocks(&[
            1, 1, 8, 10, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 5, 10
        ]));
        assert!(!has_selective_blocks(&[2, 4, 5, 180, 4, 2, 0, 5]));
    }
}
