//! The socket meter: reads the counters of sshd's connections from the kernel.
//!
//! One netlink socket asks for dumps, the other ([`Endings`]) hears of
//! connections' ends. Both are filtered inside the kernel by local port, so
//! other traffic of the host neither wakes nor slows us.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use rustix::{
    io::Errno,
    net::{
        AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink,
        sockopt::{self, Timeout},
    },
};
use sshmeter_core::{
    identity::Endpoint,
    meter::{Remains, Socket},
    units::Flow,
};

use super::{
    endings::{Endings, Heard},
    message::{
        Answer, CONNECTED_STATES, Families, Family, Filter, LISTENING_STATES, Message, PORTS_LIMIT,
        dump_request, exact_request, messages,
    },
    meter::Meter,
};

/// Netlink cuts what does not fit, and a dump's datagrams grow with the buffer.
const BUFFER_BYTES: usize = 256 * 1024;
/// How often a dump that the kernel calls interrupted is asked for again.
const DUMP_TRIES: u64 = 5;

/// A list of connections.
#[derive(Debug, Default)]
pub struct Dump {
    /// The connections, with their figures.
    pub sockets: Vec<Socket>,
    /// Whether all that there are is in it.
    pub is_complete: bool,
    /// How often it was begun anew, since it changed while it was read.
    pub interruptions: u64,
    /// The last figures of a firewall's rules that had no connection any more, by
    /// client.
    pub removed: Vec<(Endpoint, Flow)>,
}

/// The meter.
#[derive(Debug)]
pub struct SocketMeter {
    questions: OwnedFd,
    endings: Endings,
    ports: Vec<u16>,
    buffer: Vec<u8>,
}

impl SocketMeter {
    /// A meter that hears of ends by this queue, and counts no port yet.
    ///
    /// # Errors
    /// Where the kernel lacks `inet_diag`, or refuses.
    pub fn open(endings: Endings) -> Result<Self> {
        Ok(Self {
            questions: question_socket()?,
            endings,
            ports: Vec::new(),
            buffer: vec![0; BUFFER_BYTES],
        })
    }

    /// The ports that are counted.
    #[must_use]
    pub fn ports(&self) -> &[u16] {
        &self.ports
    }

    /// Whether the client of a connection that ended is connected again from the
    /// same address and port, to any of the ports that are counted. Where the
    /// kernel does not answer, it may be.
    pub(super) fn is_connected_again(&self, ended: &Socket) -> bool {
        self.ports.iter().any(|port| {
            let local = Endpoint::new(ended.local.ip(), *port);
            match ask(&self.questions, &exact_request(local, ended.peer)) {
                // Where there is none, the listener answers in its place.
                Ok(answer) => answer.is_some_and(
                    |Answer {
                         socket, counted, ..
                     }| {
                        counted && socket.peer == ended.peer && socket.cookie != ended.cookie
                    },
                ),
                Err(_) => true,
            }
        })
    }

    fn dump_connections(&mut self) -> Result<Dump> {
        let filter = Filter::LocalPorts(&self.ports);
        if self.ports.is_empty() {
            return Ok(Dump {
                is_complete: true,
                ..Dump::default()
            });
        }
        let questions = &mut self.questions;
        dump_both(questions, CONNECTED_STATES, filter, &mut self.buffer)
    }
}

impl Meter for SocketMeter {
    fn name(&self) -> &'static str {
        "sockdiag"
    }

    fn watch(&mut self, ports: &[u16]) -> Result<()> {
        self.endings.watch(ports)?;
        self.ports = ports.to_vec();
        Ok(())
    }

    fn connections(&mut self) -> Result<Dump> {
        let dump = self.dump_connections();
        if dump.is_err() {
            // What is left of the answer must not be taken for the next one's.
            self.questions = question_socket()?;
        }
        dump
    }

    fn queue(&self) -> &Endings {
        &self.endings
    }

    fn endings(&mut self, note: &mut dyn FnMut(&Socket)) -> Heard {
        self.endings.take(&self.questions, &mut self.buffer, note)
    }
}

/// What the kernel kept of a connection that ended. When it does not answer,
/// nothing is taken to be there, as after nearly every end.
pub(super) fn remains(questions: &OwnedFd, ended: &Socket) -> Remains {
    const FIN_WAIT2: u8 = 5;
    const TIME_WAIT: u8 = 6;
    let request = exact_request(ended.local, ended.peer);
    match ask(questions, &request).unwrap_or_default() {
        Some(Answer {
            state: FIN_WAIT2,
            counted: false,
            ..
        }) => Remains::AwaitsFin,
        Some(Answer {
            state: TIME_WAIT, ..
        }) => Remains::HasFin,
        _ => Remains::Nothing,
    }
}

/// Asks for one socket; `None` where there is none.
fn ask(questions: &OwnedFd, request: &[u8]) -> Result<Option<Answer>, Errno> {
    let mut buffer = [0; 1024];
    rustix::net::send(questions, request, SendFlags::empty())?;
    let length = receive(questions, &mut buffer)?;
    Ok(match messages(&buffer[..length]).next() {
        Some(Message::Socket(answer)) => Some(answer),
        _ => None,
    })
}

/// Every listening TCP socket of this network namespace.
///
/// # Errors
/// Where the kernel refuses or does not answer.
pub fn listening() -> Result<Vec<Socket>> {
    list(LISTENING_STATES, Filter::All)
}

/// The connections from these peer ports, whatever their local port.
///
/// # Errors
/// Where the kernel refuses or does not answer.
pub fn connections_from_ports(peer_ports: &[u16]) -> Result<Vec<Socket>> {
    let mut sockets = Vec::new();
    for ports in peer_ports.chunks(PORTS_LIMIT) {
        sockets.extend(list(CONNECTED_STATES, Filter::PeerPorts(ports))?);
    }
    Ok(sockets)
}

fn list(states: u32, filter: Filter<'_>) -> Result<Vec<Socket>> {
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut questions = question_socket()?;
    Ok(dump_both(&mut questions, states, filter, &mut buffer)?.sockets)
}

/// The sockets of both families. Each dump walks through all of the kernel's
/// table, whoever's sockets are in it, so both are asked for in one; where that is
/// refused, one after the other, and anew: the refusal may have been another
/// question's, and the answer to this one still be on its way.
fn dump_both(
    questions: &mut OwnedFd,
    states: u32,
    filter: Filter<'_>,
    buffer: &mut [u8],
) -> Result<Dump> {
    let mut dump_of = |questions: &OwnedFd, families| {
        let request = dump_request(families, states, filter);
        dump(&request, DUMP_TRIES, |request| {
            dump_once(questions, request, buffer)
        })
    };
    match dump_of(questions, Families::Both) {
        Err(error) if error.is::<io::Error>() => {
            *questions = question_socket()?;
            let mut both = dump_of(questions, Families::One(Family::V4))?;
            both.add(dump_of(questions, Families::One(Family::V6))?);
            Ok(both)
        }
        whole => whole,
    }
}

/// Asks until an answer is whole; the last one stands if none is.
fn dump(request: &[u8], tries: u64, mut ask: impl FnMut(&[u8]) -> Result<Dump>) -> Result<Dump> {
    let mut interruptions = 0;
    loop {
        let mut dump = ask(request)?;
        interruptions += u64::from(!dump.is_complete);
        if dump.is_complete || interruptions == tries {
            dump.interruptions = interruptions;
            return Ok(dump);
        }
    }
}

fn dump_once(questions: &OwnedFd, request: &[u8], buffer: &mut [u8]) -> Result<Dump> {
    rustix::net::send(questions, request, SendFlags::empty())
        .context("the kernel does not take a question about sockets")?;
    let mut dump = Dump {
        is_complete: true,
        ..Dump::default()
    };
    loop {
        let length = match receive(questions, buffer) {
            Err(Errno::INTR) => continue,
            read => read.context("the kernel does not answer about sockets")?,
        };
        if dump.understand(&buffer[..length])? {
            return Ok(dump);
        }
    }
}

impl Dump {
    /// Adds the sockets of another family.
    fn add(&mut self, other: Self) {
        self.sockets.extend(other.sockets);
        self.is_complete &= other.is_complete;
        self.interruptions += other.interruptions;
    }

    /// Takes one datagram of the answer; gives whether it was the last.
    fn understand(&mut self, datagram: &[u8]) -> Result<bool> {
        for message in messages(datagram) {
            match message {
                Message::Socket(answer) => {
                    self.is_complete &= !answer.interrupted;
                    if answer.counted {
                        self.sockets.push(answer.socket);
                    }
                }
                Message::Done { interrupted } => {
                    self.is_complete &= !interrupted;
                    return Ok(true);
                }
                Message::Refused(errno) => bail!(io::Error::from_raw_os_error(errno)),
                Message::Strange => self.is_complete = false,
            }
        }
        Ok(false)
    }
}

/// One datagram. With `MSG_TRUNC` the kernel tells the length it had; one that
/// did not fit is given up whole, as `ENOBUFS`, since its end is missing.
fn receive(descriptor: impl AsFd, buffer: &mut [u8]) -> Result<usize, Errno> {
    let capacity = buffer.len();
    let (_, length) = rustix::net::recv(descriptor, buffer, RecvFlags::TRUNC)?;
    if length > capacity {
        Err(Errno::NOBUFS)
    } else {
        Ok(length)
    }
}

pub(super) fn netlink_socket(flags: SocketFlags) -> Result<OwnedFd> {
    rustix::net::socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        SocketFlags::CLOEXEC | flags,
        Some(netlink::SOCK_DIAG),
    )
    .context("no netlink socket for socket figures (NETLINK_SOCK_DIAG) can be opened")
}

pub(super) fn question_socket() -> Result<OwnedFd> {
    let questions = netlink_socket(SocketFlags::empty())?;
    // A kernel that stays silent must not hold the daemon.
    sockopt::set_socket_timeout(&questions, Timeout::Recv, Some(Duration::from_secs(5)))?;
    Ok(questions)
}

/// The `tcp_info` length at which every figure is there (up to `bytes_retrans`).
pub const FULL_TCP_INFO_LENGTH: usize = 216;

/// How long this kernel's `tcp_info` is: asked of a loopback connection of our
/// own, which no packet leaves.
///
/// # Errors
/// Where the kernel does not tell of sockets.
pub fn tcp_info_length() -> Result<usize> {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0))?;
    let questions = question_socket()?;
    let request = dump_request(
        Families::One(Family::V4),
        LISTENING_STATES,
        Filter::LocalPorts(&[listener.local_addr()?.port()]),
    );
    rustix::net::send(&questions, &request, SendFlags::empty())?;
    let mut buffer = vec![0; BUFFER_BYTES];
    let length = receive(&questions, &mut buffer)?;
    let answer = messages(&buffer[..length]).find_map(|message| match message {
        Message::Socket(answer) => Some(Ok(answer.info_length)),
        Message::Refused(errno) => Some(Err(io::Error::from_raw_os_error(errno))),
        _ => None,
    });
    Ok(answer.context("the kernel does not tell of its sockets")??)
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use sshmeter_core::identity::SocketCookie;

    use super::*;

    /// A message of an answer: `NLMSG_DONE` (3) with an errno.
    fn done(flags: u16, errno: i32) -> Vec<u8> {
        let mut message = 20_u32.to_ne_bytes().to_vec();
        message.extend(3_u16.to_ne_bytes());
        message.extend(flags.to_ne_bytes());
        message.extend([0; 8]);
        message.extend((-errno).to_ne_bytes());
        message
    }

    const INTERRUPTED: u16 = 0x10;

    #[test]
    fn an_interrupted_answer_is_asked_for_again_and_never_taken_for_whole() {
        let answers = |interrupted: u64| {
            let mut left = interrupted;
            move |_: &[u8]| {
                let flags = if left > 0 { INTERRUPTED } else { 0 };
                left = left.saturating_sub(1);
                let mut dump = Dump {
                    is_complete: true,
                    ..Dump::default()
                };
                assert!(dump.understand(&done(flags, 0))?);
                Ok(dump)
            }
        };
        for (interrupted, is_complete, counted) in [(0, true, 0), (2, true, 2), (9, false, 5)] {
            let dump = dump(&[], DUMP_TRIES, answers(interrupted)).unwrap();
            assert_eq!(
                (dump.is_complete, dump.interruptions),
                (is_complete, counted)
            );
        }
    }

    #[test]
    fn an_answer_that_fails_or_is_cut_short_is_not_whole() {
        let mut dump = Dump::default();
        assert!(
            dump.understand(&done(0, Errno::NOMEM.raw_os_error()))
                .is_err()
        );
        let mut dump = Dump {
            is_complete: true,
            ..Dump::default()
        };
        assert!(!dump.understand(&done(0, 0)[..18]).unwrap());
        assert!(!dump.is_complete);
    }

    /// What a dump of this machine's connections to a port shows: their clients'
    /// ports, in order.
    fn clients(families: Families, port: u16) -> Vec<u16> {
        let request = dump_request(families, CONNECTED_STATES, Filter::LocalPorts(&[port]));
        let questions = question_socket().unwrap();
        let dump = dump_once(&questions, &request, &mut vec![0; BUFFER_BYTES]).unwrap();
        let mut ports: Vec<u16> = dump.sockets.iter().map(|it| it.peer.port()).collect();
        ports.sort_unstable();
        ports
    }

    #[test]
    fn one_list_of_both_families_is_that_of_each_together() {
        let first = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = first.local_addr().unwrap().port();
        let second = TcpListener::bind(("::1", port)).unwrap();
        let addresses = [&first, &second].map(|one| one.local_addr().unwrap());
        let connections = addresses.map(|one| TcpStream::connect(one).unwrap());
        let ends = connections.each_ref().map(TcpStream::local_addr);
        let mut expected = ends.map(|end| end.unwrap().port());
        let [v4, v6] = expected;
        assert_eq!(clients(Families::One(Family::V4), port), [v4]);
        assert_eq!(clients(Families::One(Family::V6), port), [v6]);
        expected.sort_unstable();
        assert_eq!(clients(Families::Both, port), expected);
    }

    /// A connection that is counted.
    fn connected() -> (TcpListener, TcpStream, SocketMeter) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let client = TcpStream::connect(address).unwrap();
        let mut meter = SocketMeter::open(Endings::open().unwrap()).unwrap();
        meter.watch(&[address.port()]).unwrap();
        (listener, client, meter)
    }

    #[tokio::test]
    async fn a_client_that_is_connected_again_is_found() {
        let (_listener, client, mut meter) = connected();
        let dump = meter.connections().unwrap();
        let connected = &dump.sockets[0];
        assert_eq!(connected.peer.port(), client.local_addr().unwrap().port());
        let ended = Socket {
            cookie: SocketCookie(connected.cookie.0 ^ 1),
            ..connected.clone()
        };
        assert!(meter.is_connected_again(&ended));
        assert!(!meter.is_connected_again(connected), "itself");
        let elsewhere = Endpoint::new(ended.peer.ip(), ended.peer.port() ^ 1);
        let ended = Socket {
            peer: elsewhere,
            ..ended
        };
        assert!(!meter.is_connected_again(&ended), "the listener");
    }

    #[tokio::test]
    async fn a_live_connection_is_in_the_list() {
        let (_listener, client, mut meter) = connected();
        let dump = meter.connections().unwrap();
        let peers: Vec<u16> = dump.sockets.iter().map(|it| it.peer.port()).collect();
        assert_eq!(peers, [client.local_addr().unwrap().port()]);
        assert!(dump.is_complete);
    }
}
