//! `NETLINK_SOCK_DIAG` messages as bytes: requests written, answers read.
//!
//! Pure functions over slices; no socket is opened here. Formats:
//! include/uapi/linux/netlink.h, sock_diag.h and inet_diag.h. A message that is
//! cut short yields nothing rather than something guessed.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use sshmeter_core::{
    identity::{Endpoint, SocketCookie},
    meter::{Socket, TcpSample},
};

/// An address family's number, as the kernel counts them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// `AF_INET`.
    V4 = 2,
    /// `AF_INET6`; its sockets include those with v4-mapped addresses.
    V6 = 10,
}

/// Which families a dump is to tell of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Families {
    /// Both in one walk through the kernel's table of sockets, by the older form
    /// of the request (`struct inet_diag_req`), whose family the kernel ignores.
    Both,
    /// One alone (`struct inet_diag_req_v2`).
    One(Family),
}

/// The states of connections that carry an `SSH` stream, from established to
/// the last acknowledgement (include/net/tcp_states.h).
pub const CONNECTED_STATES: u32 = 1 << 1 | 1 << 4 | 1 << 5 | 1 << 8 | 1 << 9 | 1 << 11;
/// Listening sockets alone.
pub const LISTENING_STATES: u32 = 1 << 10;

const NETLINK_HEADER_LENGTH: usize = 16;
const REQUEST_LENGTH: usize = 56;
const OLD_REQUEST_LENGTH: usize = 60;
const SOCKET_ID_LENGTH: usize = 48;
const ANSWER_LENGTH: usize = 72;
const ATTRIBUTE_HEADER_LENGTH: usize = 4;

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const TCPDIAG_GETSOCK: u16 = 18;
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const NLM_F_REQUEST: u16 = 0x1;
const NLM_F_DUMP: u16 = 0x300;
const NLM_F_DUMP_INTR: u16 = 0x10;
const IPPROTO_TCP: u8 = 6;
const INET_DIAG_REQ_BYTECODE: u16 = 1;
const INET_DIAG_INFO: u16 = 2;
/// Of what can be asked for beside the socket itself: `tcp_info`.
const WITH_INFO: u8 = 1 << (INET_DIAG_INFO - 1);

const BYTECODE_JUMP: u8 = 1;
const BYTECODE_SOURCE_PORT: Comparison = Comparison {
    at_least: 2,
    at_most: 3,
};
const BYTECODE_DESTINATION_PORT: Comparison = Comparison {
    at_least: 4,
    at_most: 5,
};

/// Which sockets a dump is to tell of; the kernel leaves out the others.
#[derive(Clone, Copy, Debug)]
pub enum Filter<'ports> {
    /// All in the states asked for.
    All,
    /// Those whose local port is one of these.
    LocalPorts(&'ports [u16]),
    /// Those whose peer's port is one of these.
    PeerPorts(&'ports [u16]),
}

/// A dump request, ready to be sent.
#[must_use]
pub fn dump_request(families: Families, states: u32, filter: Filter<'_>) -> Vec<u8> {
    let bytecode = match filter {
        Filter::All => Vec::new(),
        Filter::LocalPorts(ports) => port_bytecode(ports, BYTECODE_SOURCE_PORT),
        Filter::PeerPorts(ports) => port_bytecode(ports, BYTECODE_DESTINATION_PORT),
    };
    let attribute_length = match bytecode.len() {
        0 => 0,
        length => ATTRIBUTE_HEADER_LENGTH + length,
    };
    let (kind, fixed) = match families {
        Families::Both => (TCPDIAG_GETSOCK, old_request(states)),
        Families::One(family) => (SOCK_DIAG_BY_FAMILY, request_of(family, states)),
    };
    let length = NETLINK_HEADER_LENGTH + fixed.len() + attribute_length;
    let mut request = request_header(kind, length, NLM_F_REQUEST | NLM_F_DUMP);
    request.extend(fixed);
    if !bytecode.is_empty() {
        request.extend(
            u16::try_from(attribute_length)
                .unwrap_or(u16::MAX)
                .to_ne_bytes(),
        );
        request.extend(INET_DIAG_REQ_BYTECODE.to_ne_bytes());
        request.extend(bytecode);
    }
    request
}

fn request_of(family: Family, states: u32) -> Vec<u8> {
    let mut request = Vec::with_capacity(REQUEST_LENGTH);
    request.extend([family as u8, IPPROTO_TCP, WITH_INFO, 0]);
    request.extend(states.to_ne_bytes());
    request.extend([0; SOCKET_ID_LENGTH]);
    request
}

fn old_request(states: u32) -> Vec<u8> {
    let mut request = Vec::with_capacity(OLD_REQUEST_LENGTH);
    request.extend([Family::V4 as u8, 0, 0, WITH_INFO]);
    request.extend([0; SOCKET_ID_LENGTH]);
    request.extend(states.to_ne_bytes());
    request.extend([0; 4]);
    request
}

/// A question for the one socket of a connection, whatever its state. The
/// answer may be the listener, where the connection is gone.
#[must_use]
pub fn exact_request(local: Endpoint, peer: Endpoint) -> Vec<u8> {
    let family = if peer.ip().is_ipv4() {
        Family::V4
    } else {
        Family::V6
    };
    let length = NETLINK_HEADER_LENGTH + REQUEST_LENGTH;
    let mut request = request_header(SOCK_DIAG_BY_FAMILY, length, NLM_F_REQUEST);
    request.extend([family as u8, IPPROTO_TCP, WITH_INFO, 0]);
    request.extend(u32::MAX.to_ne_bytes());
    request.extend(local.port().to_be_bytes());
    request.extend(peer.port().to_be_bytes());
    for ip in [local.ip(), peer.ip()] {
        let mut octets = [0; 16];
        match ip {
            IpAddr::V4(ip) => octets[..4].copy_from_slice(&ip.octets()),
            IpAddr::V6(ip) => octets = ip.octets(),
        }
        request.extend(octets);
    }
    request.extend([0; 4]);
    // INET_DIAG_NOCOOKIE: any socket with these ends.
    request.extend([0xff; 8]);
    request
}

fn request_header(kind: u16, length: usize, flags: u16) -> Vec<u8> {
    let mut request = Vec::with_capacity(length);
    request.extend(u32::try_from(length).unwrap_or(u32::MAX).to_ne_bytes());
    request.extend(kind.to_ne_bytes());
    request.extend(flags.to_ne_bytes());
    request.extend([0; 8]);
    request
}

/// The most ports one bytecode program can hold: its jumps are 16 bits wide.
pub const PORTS_LIMIT: usize = 1024;

#[derive(Clone, Copy)]
struct Comparison {
    at_least: u8,
    at_most: u8,
}

/// `inet_diag_bc_op`s that accept any of the ports: for each port two
/// comparisons and a jump to the end. A jump to four bytes behind the end
/// rejects (`inet_diag_bc_run`, net/ipv4/inet_diag.c). The equality operators
/// would be shorter, but kernels before 5.13 do not know them.
fn port_bytecode(ports: &[u16], comparison: Comparison) -> Vec<u8> {
    const COMPARISON_LENGTH: u16 = 8;
    const BLOCK_LENGTH: u16 = 2 * COMPARISON_LENGTH + 4;
    let ports = &ports[..ports.len().min(PORTS_LIMIT)];
    let mut left = u16::try_from(ports.len()).unwrap_or(0) * BLOCK_LENGTH;
    let mut program = Vec::with_capacity(usize::from(left));
    for port in ports {
        let last = left == BLOCK_LENGTH;
        let otherwise = if last { BLOCK_LENGTH + 4 } else { BLOCK_LENGTH };
        push_comparison(&mut program, comparison.at_least, otherwise, *port);
        push_comparison(
            &mut program,
            comparison.at_most,
            otherwise - COMPARISON_LENGTH,
            *port,
        );
        push_operation(&mut program, BYTECODE_JUMP, 4, left - 2 * COMPARISON_LENGTH);
        left -= BLOCK_LENGTH;
    }
    program
}

fn push_comparison(program: &mut Vec<u8>, code: u8, otherwise: u16, port: u16) {
    push_operation(program, code, 8, otherwise);
    push_operation(program, 0, 0, port);
}

fn push_operation(program: &mut Vec<u8>, code: u8, yes: u8, no: u16) {
    program.extend([code, yes]);
    program.extend(no.to_ne_bytes());
}

/// One message of an answer.
#[derive(Debug, PartialEq, Eq)]
pub enum Message {
    /// A socket.
    Socket(Answer),
    /// The dump is over.
    Done {
        /// The list changed while it was dumped: dump again.
        interrupted: bool,
    },
    /// The kernel refused, with this errno.
    Refused(i32),
    /// Cut short, or of no kind known here.
    Strange,
}

/// A socket in an answer.
#[derive(Debug, PartialEq, Eq)]
pub struct Answer {
    /// The socket; its inode is `None` where the kernel told 0.
    pub socket: Socket,
    /// `idiag_state`: for the stand-in of a closed connection, its own state.
    pub state: u8,
    /// Whether `tcp_info` came with it; such a stand-in has none.
    pub counted: bool,
    /// How long that was, in bytes.
    pub info_length: usize,
    /// The list changed while it was dumped: dump again.
    pub interrupted: bool,
}

/// Walks the messages of one datagram.
pub fn messages(mut datagram: &[u8]) -> impl Iterator<Item = Message> {
    std::iter::from_fn(move || {
        let header = datagram.get(..NETLINK_HEADER_LENGTH)?;
        let length = usize::try_from(u32_at(header, 0)?).ok()?;
        let Some(body) = datagram.get(NETLINK_HEADER_LENGTH..length) else {
            datagram = &[];
            return Some(Message::Strange);
        };
        let message = message(u16_at(header, 4)?, u16_at(header, 6)?, body);
        datagram = datagram
            .get(length.next_multiple_of(4)..)
            .unwrap_or_default();
        Some(message)
    })
}

fn message(kind: u16, flags: u16, body: &[u8]) -> Message {
    match kind {
        // A dump that failed on its way says so where it ends.
        NLMSG_DONE => match errno(body) {
            None | Some(0) => Message::Done {
                interrupted: flags & NLM_F_DUMP_INTR != 0,
            },
            Some(errno) => Message::Refused(errno),
        },
        NLMSG_ERROR => Message::Refused(errno(body).unwrap_or_default()),
        SOCK_DIAG_BY_FAMILY | TCPDIAG_GETSOCK => {
            answer(flags, body).map_or(Message::Strange, Message::Socket)
        }
        _ => Message::Strange,
    }
}

fn errno(body: &[u8]) -> Option<i32> {
    let bytes = body.get(..4)?.try_into().ok()?;
    Some(i32::from_ne_bytes(bytes).saturating_neg())
}

fn answer(flags: u16, body: &[u8]) -> Option<Answer> {
    let fixed = body.get(..ANSWER_LENGTH)?;
    let family = fixed[0];
    let tcp_info = attribute(&body[ANSWER_LENGTH..], INET_DIAG_INFO);
    let cookie = u64::from(u32_at(fixed, 44)?) | u64::from(u32_at(fixed, 48)?) << 32;
    Some(Answer {
        socket: Socket {
            cookie: SocketCookie(cookie),
            local: Endpoint::new(address(family, &fixed[8..24])?, port(&fixed[4..6])),
            peer: Endpoint::new(address(family, &fixed[24..40])?, port(&fixed[6..8])),
            inode: u32_at(fixed, 68).filter(|inode| *inode != 0),
            rule: None,
            sample: TcpSample {
                unread: u32_at(fixed, 56)?,
                ..TcpSample::from_tcp_info(tcp_info.unwrap_or_default())
            },
        },
        state: fixed[1],
        counted: tcp_info.is_some(),
        info_length: tcp_info.map_or(0, <[u8]>::len),
        interrupted: flags & NLM_F_DUMP_INTR != 0,
    })
}

fn attribute(mut attributes: &[u8], wanted: u16) -> Option<&[u8]> {
    loop {
        let length = usize::from(u16_at(attributes, 0)?);
        let value = attributes.get(ATTRIBUTE_HEADER_LENGTH..length)?;
        if u16_at(attributes, 2)? == wanted {
            return Some(value);
        }
        attributes = attributes.get(length.next_multiple_of(4)..)?;
    }
}

fn address(family: u8, bytes: &[u8]) -> Option<IpAddr> {
    if family == Family::V4 as u8 {
        let octets: [u8; 4] = bytes.get(..4)?.try_into().ok()?;
        Some(Ipv4Addr::from(octets).into())
    } else if family == Family::V6 as u8 {
        let octets: [u8; 16] = bytes.get(..16)?.try_into().ok()?;
        Some(Ipv6Addr::from(octets).into())
    } else {
        None
    }
}

fn port(bytes: &[u8]) -> u16 {
    bytes.try_into().map_or(0, u16::from_be_bytes)
}

fn u16_at(bytes: &[u8], offset: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(
        bytes.get(offset..offset + 2)?.try_into().ok()?,
    ))
}

fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(
        bytes.get(offset..offset + 4)?.try_into().ok()?,
    ))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Runs bytecode as `inet_diag_bc_run` does.
    fn accepts(program: &[u8], source_port: u16) -> bool {
        let mut left = isize::try_from(program.len()).unwrap();
        let mut at = 0;
        while left > 0 {
            let operand = u16_at(program, at + 6).unwrap_or_default();
            let yes = match program[at] {
                BYTECODE_JUMP => false,
                2 => source_port >= operand,
                3 => source_port <= operand,
                code => panic!("operation {code} was never written"),
            };
            let step = if yes {
                u16::from(program[at + 1])
            } else {
                u16_at(program, at + 2).unwrap()
            };
            at += usize::from(step);
            left -= isize::try_from(step).unwrap();
        }
        left == 0
    }

    proptest! {
        #[test]
        fn the_bytecode_accepts_its_ports_and_no_other(
            ports in proptest::collection::vec(1_u16.., 1..20),
            other in any::<u16>(),
        ) {
            let program = port_bytecode(&ports, BYTECODE_SOURCE_PORT);
            for port in &ports {
                prop_assert!(accepts(&program, *port));
            }
            prop_assert_eq!(accepts(&program, other), ports.contains(&other));
        }

        #[test]
        fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _: Vec<Message> = messages(&bytes).collect();
        }
    }
}
