//! The kernel's queue of ends: the multicast groups that announce every TCP
//! connection's end with its last figures, filtered in the kernel by local port.
//!
//! The queue outlives the daemon where a service manager keeps its descriptor.
//! So an end is looked at while it stays in the queue, noted, and only then
//! taken out: a kill at any instant leaves it in the queue, in the notes, or in
//! both, and never in neither.

use std::{fs, io, os::fd::OwnedFd};

use anyhow::{Context as _, Result, ensure};
use rustix::{
    io::Errno,
    net::{RecvFlags, SocketFlags, netlink::SocketAddrNetlink, sockopt},
};
use socket2::{SockFilter, SockRef};
use sshmeter_core::meter::Socket;
use tokio::io::{Interest, unix::AsyncFd};

use super::{
    message::{Answer, Message, messages},
    sockdiag::{netlink_socket, remains},
};

/// The groups `SKNLGRP_INET_TCP_DESTROY` (1) and `SKNLGRP_INET6_TCP_DESTROY` (3)
/// as a bit mask, where group 1 is bit 0 (include/uapi/linux/sock_diag.h).
const DESTROY_GROUPS: u32 = 0b101;
/// `NETLINK_SOCK_DIAG` (include/uapi/linux/netlink.h).
const SOCK_DIAG: u32 = 4;
/// Room for some 100,000 ends between two reads, where the kernel allows it.
const BUFFER_BYTES: usize = 64 * 1024 * 1024;

/// Ends of connections, as far as they were heard.
#[derive(Debug, Default)]
pub struct Heard {
    /// The sockets that ended, with their last figures, oldest first.
    pub sockets: Vec<Socket>,
    /// How often the kernel had more to say than the queue could hold: some
    /// ends were not heard.
    pub overruns: u64,
    /// Messages that were cut short or are of no kind known here.
    pub strange: u64,
}

/// The queue.
#[derive(Debug)]
pub struct Endings(AsyncFd<OwnedFd>);

impl Endings {
    /// Opens a queue, which hears of no port yet.
    ///
    /// # Errors
    /// Where the kernel lacks `inet_diag`, or refuses.
    pub fn open() -> Result<Self> {
        let queue = netlink_socket(SocketFlags::NONBLOCK)?;
        enlarge(&queue);
        attach_port_filter(&queue, &[])?;
        bind(&queue)?;
        Ok(Self(polled(queue)?))
    }

    /// Goes on with a queue that was opened by a daemon before, with its ports
    /// and all that waits in it.
    ///
    /// # Errors
    /// Where the descriptor is no such queue.
    pub fn resume(queue: OwnedFd) -> Result<Self> {
        let row = Row::of(&queue)?.context("it is no netlink socket of this network namespace")?;
        ensure!(
            row.protocol == SOCK_DIAG && row.groups & DESTROY_GROUPS == DESTROY_GROUPS,
            "it does not hear the ends of connections"
        );
        // The kernel doubles what is asked for; less is never asked for.
        if sockopt::socket_recv_buffer_size(&queue)? < BUFFER_BYTES {
            enlarge(&queue);
        }
        rustix::io::ioctl_fionbio(&queue, true)?;
        Ok(Self(polled(queue)?))
    }

    /// The descriptor, to be kept by whoever outlives us.
    #[must_use]
    pub fn descriptor(&self) -> &OwnedFd {
        self.0.get_ref()
    }

    /// Hears of these ports from now on.
    ///
    /// # Errors
    /// Where the kernel refuses the filter.
    pub fn watch(&self, ports: &[u16]) -> Result<()> {
        attach_port_filter(self.descriptor(), ports)
    }

    /// Waits until an end can be read.
    ///
    /// # Errors
    /// Where the descriptor cannot be polled.
    pub async fn ready(&self) -> io::Result<()> {
        self.0.readable().await.map(|_| ())
    }

    /// Takes all ends that wait, without waiting for more; `note` is told of
    /// each while it is still in the queue. Whatever error the socket reports,
    /// ends may have been missed, and the next call goes on.
    pub fn take(
        &self,
        questions: &OwnedFd,
        buffer: &mut [u8],
        note: &mut dyn FnMut(&Socket),
    ) -> Heard {
        let mut heard = Heard::default();
        loop {
            match self.look(buffer) {
                Ok(length) => {
                    let known = heard.sockets.len();
                    heard.understand(&buffer[..length.min(buffer.len())]);
                    for socket in &mut heard.sockets[known..] {
                        // At once: the stand-in's state is news only now.
                        socket.sample.remains = remains(questions, socket);
                        note(socket);
                    }
                    if !self.let_go(&mut heard) {
                        return heard;
                    }
                }
                Err(Errno::AGAIN) => return heard,
                Err(Errno::NOBUFS) => heard.overruns += 1,
                Err(Errno::INTR) => {}
                Err(_) => {
                    heard.overruns += 1;
                    return heard;
                }
            }
        }
    }

    /// How many ends this queue could not hold since it was opened.
    #[must_use]
    pub fn missed(&self) -> Option<u64> {
        Some(Row::of(self.descriptor()).ok()??.drops)
    }

    /// The first datagram, which stays where it is. Gives the length it has.
    ///
    /// tokio knows that one waits only after it has polled, so it is not asked;
    /// but it is told when none does, or it would say so over and over.
    fn look(&self, buffer: &mut [u8]) -> Result<usize, Errno> {
        let mut peek = |queue: &OwnedFd| {
            let flags = RecvFlags::PEEK | RecvFlags::TRUNC;
            rustix::net::recv(queue, &mut *buffer, flags).map(|(_, length)| length)
        };
        let mut outcome = None;
        let _readiness = self.0.try_io(Interest::READABLE, |queue| {
            match outcome.insert(peek(queue)) {
                Err(Errno::AGAIN) => Err(io::ErrorKind::WouldBlock.into()),
                _ => Ok(()),
            }
        });
        outcome.unwrap_or_else(|| peek(self.descriptor()))
    }

    /// Takes the first datagram out of the queue; gives whether it went. One
    /// that did not comes again, which is harmless.
    fn let_go(&self, heard: &mut Heard) -> bool {
        loop {
            match rustix::net::recv(self.descriptor(), &mut [0_u8; 1], RecvFlags::TRUNC) {
                Ok(_) => return true,
                Err(Errno::NOBUFS) => heard.overruns += 1,
                Err(Errno::INTR) => {}
                Err(_) => return false,
            }
        }
    }
}

impl Heard {
    fn understand(&mut self, datagram: &[u8]) {
        for message in messages(datagram) {
            match message {
                // Listeners end too, and are no connections.
                Message::Socket(Answer { socket, .. }) if socket.peer.port() == 0 => {}
                Message::Socket(Answer {
                    socket,
                    counted: true,
                    ..
                }) => self.sockets.push(socket),
                _ => self.strange += 1,
            }
        }
    }
}

/// Whether this kernel announces ends of connections; gives the size, in bytes,
/// of the queue it keeps for us.
///
/// # Errors
/// Where it does not.
pub fn hears_endings() -> Result<usize> {
    let queue = netlink_socket(SocketFlags::NONBLOCK)?;
    enlarge(&queue);
    bind(&queue)?;
    Ok(sockopt::socket_recv_buffer_size(&queue)?)
}

fn bind(queue: &OwnedFd) -> Result<()> {
    rustix::net::bind(queue, &SocketAddrNetlink::new(0, DESTROY_GROUPS))
        .context("the kernel does not announce the end of connections")
}

#[expect(
    deprecated,
    reason = "an OwnedFd inside stays open as long as the AsyncFd polls it"
)]
fn polled(descriptor: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::new(descriptor)
}

/// Asks for a large buffer, past the system's limit where that is allowed.
fn enlarge(socket: &OwnedFd) {
    if sockopt::set_socket_recv_buffer_size_force(socket, BUFFER_BYTES).is_err() {
        // Without CAP_NET_ADMIN the limit is net.core.rmem_max; a refusal of
        // even that leaves the default, and an overrun is noticed anyway.
        let _refused = sockopt::set_socket_recv_buffer_size(socket, BUFFER_BYTES);
    }
}

/// A classic BPF program that lets a message through when the local port, at
/// offset 20 of the message (netlink header 16, family, state, timer and
/// retransmissions one byte each), is one of ours.
fn attach_port_filter(socket: &OwnedFd, ports: &[u16]) -> Result<()> {
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
    SockRef::from(socket)
        .attach_filter(&program)
        .context("the kernel does not take the filter for sshd's ports")
}

/// A socket's row in the kernel's table of this network namespace's netlink
/// sockets.
#[derive(Debug, PartialEq, Eq)]
struct Row {
    protocol: u32,
    groups: u32,
    drops: u64,
}

impl Row {
    /// The row of a descriptor; `None` where it is none of this namespace's
    /// netlink sockets.
    fn of(descriptor: &OwnedFd) -> Result<Option<Self>> {
        let path = "/proc/self/net/netlink";
        let table = fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?;
        let inode = rustix::fs::fstat(descriptor)?.st_ino;
        Ok(Self::find(&table, inode))
    }

    /// Columns: sk, protocol, port id, groups, two buffers, dump, locks, drops,
    /// inode (`netlink_native_seq_show`, net/netlink/af_netlink.c).
    fn find(table: &str, inode: u64) -> Option<Self> {
        table.lines().find_map(|line| {
            let columns: Vec<&str> = line.split_whitespace().collect();
            let [_, protocol, _, groups, _, _, _, _, drops, found] = columns[..] else {
                return None;
            };
            if found.parse() != Ok(inode) {
                return None;
            }
            Some(Self {
                protocol: protocol.parse().ok()?,
                groups: u32::from_str_radix(groups, 16).ok()?,
                drops: drops.parse().ok()?,
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use std::{
        net::{TcpListener, TcpStream},
        panic::{AssertUnwindSafe, catch_unwind},
        time::Duration,
    };

    use rustix::net::{AddressFamily, SocketType};

    use super::*;
    use crate::kernel::sockdiag::question_socket;

    /// A queue and a listener of our own that it hears of.
    fn stage() -> (Endings, TcpListener) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let endings = Endings::open().unwrap();
        endings.watch(&[port_of(&listener)]).unwrap();
        (endings, listener)
    }

    fn port_of(listener: &TcpListener) -> u16 {
        listener.local_addr().unwrap().port()
    }

    /// Connections that end; gives their clients' ports.
    fn end(listener: &TcpListener, how_many: usize) -> Vec<u16> {
        let address = listener.local_addr().unwrap();
        let one = |_| {
            let client = TcpStream::connect(address).unwrap();
            let served = listener.accept().unwrap().0;
            let port = client.local_addr().unwrap().port();
            drop(client);
            drop(served);
            port
        };
        (0..how_many).map(one).collect()
    }

    fn take(endings: &Endings, note: &mut dyn FnMut(&Socket)) -> Heard {
        endings.take(&question_socket().unwrap(), &mut vec![0; 65536], note)
    }

    /// Takes until as many are accounted for: the kernel tells in its own time.
    async fn take_all(endings: &Endings, how_many: u64) -> (Vec<u16>, Heard) {
        let (mut noted, mut all) = (Vec::new(), Heard::default());
        let everything = async {
            while all.sockets.len() as u64 + endings.missed().unwrap() < how_many {
                endings.ready().await.unwrap();
                let heard = take(endings, &mut |socket| noted.push(socket.peer.port()));
                all.sockets.extend(heard.sockets);
                all.overruns += heard.overruns;
                all.strange += heard.strange;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), everything)
            .await
            .expect("all ends");
        (noted, all)
    }

    #[tokio::test]
    async fn every_end_is_noted_before_it_leaves_the_queue() {
        let (endings, listener) = stage();
        let clients = end(&listener, 20);
        let (noted, heard) = take_all(&endings, 20).await;
        assert_eq!(noted, clients);
        let taken = heard.sockets.iter().map(|socket| socket.peer.port());
        assert_eq!(taken.collect::<Vec<_>>(), clients);
        assert_eq!((heard.overruns, heard.strange), (0, 0));
    }

    #[tokio::test]
    async fn who_dies_while_noting_leaves_the_end_to_the_next_one() {
        let (endings, listener) = stage();
        let clients = end(&listener, 3);
        endings.ready().await.unwrap();
        let kept = endings.descriptor().try_clone().unwrap();
        let size = sockopt::socket_recv_buffer_size(&kept).unwrap();
        let death = catch_unwind(AssertUnwindSafe(|| {
            take(&endings, &mut |_| panic!("killed"))
        }));
        assert!(death.is_err());
        drop(endings);

        let next = Endings::resume(kept).unwrap();
        assert_eq!(take_all(&next, 3).await.0, clients);
        let resumed = sockopt::socket_recv_buffer_size(next.descriptor()).unwrap();
        assert_eq!(resumed, size, "the queue is as long as before");
    }

    #[tokio::test]
    async fn a_queue_that_is_too_short_tells_how_many_it_missed() {
        let (endings, listener) = stage();
        sockopt::set_socket_recv_buffer_size(endings.descriptor(), 1).unwrap();
        end(&listener, 200);
        // Whoever reads as fast as they come misses none.
        let overflow = async {
            while endings.missed().unwrap() == 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let overflow = tokio::time::timeout(Duration::from_secs(20), overflow);
        overflow.await.expect("a queue that is too short");
        let (noted, heard) = take_all(&endings, 200).await;
        let missed = endings.missed().unwrap();
        assert!(heard.overruns > 0 && missed > 0, "{heard:?}");
        assert_eq!(noted.len() as u64 + missed, 200);
    }

    #[tokio::test]
    async fn what_is_no_queue_of_ends_is_refused() {
        let refused = |descriptor: OwnedFd| Endings::resume(descriptor).is_err();
        assert!(refused(tempfile::tempfile().unwrap().into()));
        let (one, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        assert!(refused(one.into()));
        assert!(
            refused(question_socket().unwrap()),
            "it asks and hears nothing"
        );
        let routes = rustix::net::socket(AddressFamily::NETLINK, SocketType::RAW, None).unwrap();
        rustix::net::bind(&routes, &SocketAddrNetlink::new(0, DESTROY_GROUPS)).unwrap();
        assert!(refused(routes), "it hears of other things");
    }

    #[test]
    fn a_message_that_is_cut_short_is_counted() {
        let mut heard = Heard::default();
        let mut header = 100_u32.to_ne_bytes().to_vec();
        header.extend([0; 40]);
        heard.understand(&header);
        assert_eq!((heard.sockets.len(), heard.strange), (0, 1));
    }

    #[test]
    fn the_kernel_s_table_is_read_by_its_columns() {
        let table = "sk Eth Pid Groups Rmem Wmem Dump Locks Drops Inode\n\
            00000000b2 4   -4177 00000005 4352 0 0 2 31 77\n";
        let row = Row::find(table, 77).unwrap();
        assert_eq!((row.protocol, row.groups, row.drops), (4, 5, 31));
        assert_eq!(Row::find(table, 7), None);
    }
}
