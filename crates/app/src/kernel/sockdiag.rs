//! The socket meter: reads the counters of sshd's connections from the kernel.
//!
//! Two netlink sockets: one asks for dumps, the other listens to the multicast
//! groups that announce every TCP connection's end with its last figures. Both
//! are filtered inside the kernel by local port, so other traffic of the host
//! neither wakes nor slows us.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use rustix::{
    io::Errno,
    net::{
        AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType,
        netlink::{self, SocketAddrNetlink},
        sockopt::{self, Timeout},
    },
};
use socket2::{SockFilter, SockRef};
use sshmeter_core::meter::{Remains, Socket};
use tokio::io::unix::AsyncFd;

use super::message::{
    Answer, CONNECTED_STATES, Family, Filter, LISTENING_STATES, Message, dump_request,
    exact_request, messages,
};

/// The groups `SKNLGRP_INET_TCP_DESTROY` (1) and `SKNLGRP_INET6_TCP_DESTROY` (3)
/// as a bit mask, where group 1 is bit 0 (include/uapi/linux/sock_diag.h).
const DESTROY_GROUPS: u32 = 0b101;
/// Netlink cuts what does not fit, and a dump's datagrams grow with the buffer.
const BUFFER_BYTES: usize = 256 * 1024;
/// Room for some 100,000 ends between two reads, where the kernel allows it.
const ENDINGS_BUFFER_BYTES: usize = 64 * 1024 * 1024;
/// How often a dump that the kernel calls interrupted is asked for again.
const DUMP_TRIES: u32 = 5;

/// Ends of connections, as far as they were heard.
#[derive(Debug, Default)]
pub struct Endings {
    /// The sockets that ended, with their last figures.
    pub sockets: Vec<Socket>,
    /// The kernel had more to say than the buffer could hold: some ends were
    /// not heard.
    pub overrun: bool,
}

/// The meter.
#[derive(Debug)]
pub struct SocketMeter {
    questions: OwnedFd,
    endings: AsyncFd<OwnedFd>,
    ports: Vec<u16>,
    buffer: Vec<u8>,
}

impl SocketMeter {
    /// Opens both netlink sockets. Ends are heard from the return on, for the
    /// ports given.
    ///
    /// # Errors
    /// Where the kernel lacks `inet_diag`, or refuses.
    pub fn open(ports: &[u16]) -> Result<Self> {
        let endings = netlink_socket(SocketFlags::NONBLOCK)?;
        enlarge(&endings);
        attach_port_filter(&endings, ports)?;
        rustix::net::bind(&endings, &SocketAddrNetlink::new(0, DESTROY_GROUPS))
            .context("the kernel does not announce the end of connections")?;
        Ok(Self {
            questions: question_socket()?,
            endings: polled(endings)?,
            ports: ports.to_vec(),
            buffer: vec![0; BUFFER_BYTES],
        })
    }

    /// The ports that are counted.
    #[must_use]
    pub fn ports(&self) -> &[u16] {
        &self.ports
    }

    /// Counts these ports from now on.
    ///
    /// # Errors
    /// Where the kernel refuses the filter.
    pub fn watch(&mut self, ports: &[u16]) -> Result<()> {
        attach_port_filter(&self.endings, ports)?;
        self.ports = ports.to_vec();
        Ok(())
    }

    /// Every connection on the watched ports, with its figures now.
    ///
    /// # Errors
    /// Where the kernel refuses or does not answer.
    pub fn connections(&mut self) -> Result<Vec<Socket>> {
        let sockets = self.dump_connections();
        if sockets.is_err() {
            // What is left of the answer must not be taken for the next one's.
            self.questions = question_socket()?;
        }
        sockets
    }

    fn dump_connections(&mut self) -> Result<Vec<Socket>> {
        if self.ports.is_empty() {
            return Ok(Vec::new());
        }
        let mut sockets = Vec::new();
        for family in [Family::V4, Family::V6] {
            let request = dump_request(family, CONNECTED_STATES, Filter::LocalPorts(&self.ports));
            sockets.extend(dump(&self.questions, &request, &mut self.buffer)?);
        }
        Ok(sockets)
    }

    /// Waits until an end can be read.
    ///
    /// # Errors
    /// Where the descriptor cannot be polled.
    pub async fn ended(&self) -> io::Result<()> {
        self.endings.readable().await.map(|_| ())
    }

    /// Reads all ends that wait, without waiting for more. Whatever error the
    /// socket reports, ends may have been missed, and the next read goes on.
    pub fn endings(&mut self) -> Endings {
        let mut endings = Endings::default();
        loop {
            let read = self.endings.try_io_now(&mut self.buffer);
            match read {
                Ok(length) => {
                    let first = endings.sockets.len();
                    endings
                        .sockets
                        .extend(counted_sockets(&self.buffer[..length]));
                    for socket in &mut endings.sockets[first..] {
                        // At once: the stand-in's state is news only now.
                        socket.sample.remains = remains(&self.questions, socket);
                    }
                }
                Err(Errno::AGAIN) => return endings,
                Err(Errno::NOBUFS) => endings.overrun = true,
                Err(Errno::INTR) => {}
                Err(_) => {
                    endings.overrun = true;
                    return endings;
                }
            }
        }
    }
}

#[expect(
    deprecated,
    reason = "an OwnedFd inside stays open as long as the AsyncFd polls it"
)]
fn polled(descriptor: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::new(descriptor)
}

/// A read that keeps tokio's readiness in step with the descriptor's.
trait TryIoNow {
    fn try_io_now(&self, buffer: &mut [u8]) -> Result<usize, Errno>;
}

impl TryIoNow for AsyncFd<OwnedFd> {
    fn try_io_now(&self, buffer: &mut [u8]) -> Result<usize, Errno> {
        let mut outcome = Err(Errno::AGAIN);
        let _readiness = self.try_io(tokio::io::Interest::READABLE, |descriptor| {
            outcome = receive(descriptor, buffer);
            match outcome {
                Err(Errno::AGAIN) => Err(io::ErrorKind::WouldBlock.into()),
                _ => Ok(()),
            }
        });
        outcome
    }
}

/// What the kernel kept of a connection that ended. When it does not answer,
/// nothing is taken to be there, as after nearly every end.
fn remains(questions: &OwnedFd, ended: &Socket) -> Remains {
    const FIN_WAIT2: u8 = 5;
    const TIME_WAIT: u8 = 6;
    let request = exact_request(ended.local, ended.peer);
    let mut buffer = [0; 1024];
    let length = rustix::net::send(questions, &request, SendFlags::empty())
        .and_then(|_| receive(questions, &mut buffer))
        .unwrap_or_default();
    match messages(&buffer[..length]).next() {
        Some(Message::Socket(Answer {
            state: FIN_WAIT2,
            counted: false,
            ..
        })) => Remains::AwaitsFin,
        Some(Message::Socket(Answer {
            state: TIME_WAIT, ..
        })) => Remains::HasFin,
        _ => Remains::Nothing,
    }
}

fn counted_sockets(datagram: &[u8]) -> impl Iterator<Item = Socket> {
    messages(datagram).filter_map(|message| match message {
        Message::Socket(Answer {
            socket,
            counted: true,
            ..
        }) if socket.peer.port() != 0 => Some(socket),
        _ => None,
    })
}

/// Every listening TCP socket of this network namespace.
///
/// # Errors
/// Where the kernel refuses or does not answer.
pub fn listening() -> Result<Vec<Socket>> {
    dump_both(LISTENING_STATES, Filter::All)
}

/// The connections from this peer port, whatever their local port.
///
/// # Errors
/// Where the kernel refuses or does not answer.
pub fn connections_from_port(peer_port: u16) -> Result<Vec<Socket>> {
    dump_both(CONNECTED_STATES, Filter::PeerPorts(&[peer_port]))
}

fn dump_both(states: u32, filter: Filter<'_>) -> Result<Vec<Socket>> {
    let questions = question_socket()?;
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut sockets = Vec::new();
    for family in [Family::V4, Family::V6] {
        let request = dump_request(family, states, filter);
        sockets.extend(dump(&questions, &request, &mut buffer)?);
    }
    Ok(sockets)
}

fn dump(questions: &OwnedFd, request: &[u8], buffer: &mut [u8]) -> Result<Vec<Socket>> {
    let mut tries = 0;
    loop {
        tries += 1;
        let (sockets, interrupted) = dump_once(questions, request, buffer)?;
        if !interrupted || tries == DUMP_TRIES {
            return Ok(sockets);
        }
    }
}

fn dump_once(
    questions: &OwnedFd,
    request: &[u8],
    buffer: &mut [u8],
) -> Result<(Vec<Socket>, bool)> {
    rustix::net::send(questions, request, SendFlags::empty())
        .context("the kernel does not take a question about sockets")?;
    let mut sockets = Vec::new();
    let mut interrupted = false;
    loop {
        let length = match receive(questions, buffer) {
            Err(Errno::INTR) => continue,
            read => read.context("the kernel does not answer about sockets")?,
        };
        for message in messages(&buffer[..length]) {
            match message {
                Message::Socket(answer) => {
                    interrupted |= answer.interrupted;
                    if answer.counted {
                        sockets.push(answer.socket);
                    }
                }
                Message::Done => return Ok((sockets, interrupted)),
                Message::Refused(errno) => {
                    bail!(io::Error::from_raw_os_error(errno))
                }
                Message::Strange => interrupted = true,
            }
        }
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

fn netlink_socket(flags: SocketFlags) -> Result<OwnedFd> {
    rustix::net::socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        SocketFlags::CLOEXEC | flags,
        Some(netlink::SOCK_DIAG),
    )
    .context("no netlink socket for socket figures (NETLINK_SOCK_DIAG) can be opened")
}

fn question_socket() -> Result<OwnedFd> {
    let questions = netlink_socket(SocketFlags::empty())?;
    // A kernel that stays silent must not hold the daemon.
    sockopt::set_socket_timeout(&questions, Timeout::Recv, Some(Duration::from_secs(5)))?;
    Ok(questions)
}

/// Asks for a large buffer, past the system's limit where that is allowed.
fn enlarge(socket: &OwnedFd) {
    if sockopt::set_socket_recv_buffer_size_force(socket, ENDINGS_BUFFER_BYTES).is_err() {
        // Without CAP_NET_ADMIN the limit is net.core.rmem_max; a refusal of
        // even that leaves the default, and an overrun is noticed anyway.
        let _refused = sockopt::set_socket_recv_buffer_size(socket, ENDINGS_BUFFER_BYTES);
    }
}

/// A classic BPF program that lets a message through when the local port, at
/// offset 20 of the message (netlink header 16, family, state, timer and
/// retransmissions one byte each), is one of ours.
fn attach_port_filter(socket: impl AsFd, ports: &[u16]) -> Result<()> {
    const LOAD_HALF_WORD: u16 = 0x28;
    const JUMP_IF_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    let mut program = vec![SockFilter::new(LOAD_HALF_WORD, 0, 0, 20)];
    for port in ports {
        // Equal: on to the next instruction, which accepts. Not: skip it.
        program.push(SockFilter::new(JUMP_IF_EQUAL, 0, 1, u32::from(*port)));
        program.push(SockFilter::new(RETURN, 0, 0, u32::MAX));
    }
    program.push(SockFilter::new(RETURN, 0, 0, 0));
    SockRef::from(&socket)
        .attach_filter(&program)
        .context("the kernel does not take the filter for sshd's ports")
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
        Family::V4,
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

/// Whether this kernel announces ends of connections; gives the size, in bytes,
/// of the queue it keeps for us.
///
/// # Errors
/// Where it does not.
pub fn hears_endings() -> Result<usize> {
    let endings = netlink_socket(SocketFlags::NONBLOCK)?;
    enlarge(&endings);
    rustix::net::bind(&endings, &SocketAddrNetlink::new(0, DESTROY_GROUPS))
        .context("the kernel does not announce the end of connections")?;
    Ok(sockopt::socket_recv_buffer_size(&endings)?)
}
