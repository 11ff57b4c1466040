//! The conversation with the kernel's nf_tables: lists, and batches that are
//! done as a whole or not at all.
//!
//! A conversation is as short as one reading or one change, so an answer that
//! nobody waited for is never taken for another's. What is told has no meaning
//! here.

use std::{os::fd::OwnedFd, time::Duration};

use anyhow::anyhow;
use rustix::{
    io::Errno,
    net::{
        AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink,
        sockopt::{self, Timeout},
    },
};

use super::bytes::{Attributes, Datagram, Message, NLM_F_DUMP, Writer};

/// The kernel tells a list in datagrams of at most 32 KiB, and a refusal with
/// the message that it refuses.
const BUFFER_BYTES: usize = 128 * 1024;
/// How often a list is asked for again that changed while it was told. Other
/// programs' rules are among the reasons, and ours were then told right.
const TRIES: usize = 5;
/// What one thing that is told of a batch may take of the socket's buffer: older
/// kernels send each in a buffer of its own, of two pages.
const ECHO_BYTES: usize = 8 * 1024;

/// A conversation.
#[derive(Debug)]
pub(super) struct Kernel(OwnedFd);

impl Kernel {
    /// Begins one.
    pub(super) fn open() -> Result<Self, Errno> {
        let socket = rustix::net::socket_with(
            AddressFamily::NETLINK,
            SocketType::RAW,
            SocketFlags::CLOEXEC,
            Some(netlink::NETFILTER),
        )?;
        // A kernel that stays silent must not hold the daemon.
        sockopt::set_socket_timeout(&socket, Timeout::Recv, Some(Duration::from_secs(5)))?;
        Ok(Self(socket))
    }

    /// All things of a kind; `take` makes of each what is wanted of it.
    pub(super) fn list<T>(
        &self,
        kind: u16,
        fill: impl Fn(&mut Writer),
        take: impl Fn(Attributes<'_>, &mut Vec<T>),
    ) -> Result<Vec<T>, Errno> {
        let question = Writer::question(kind, NLM_F_DUMP, fill);
        let mut tries = 0;
        loop {
            tries += 1;
            let mut list = Vec::new();
            self.send(&question)?;
            let is_interrupted = self.hear(|message| {
                match message {
                    Message::Told(attributes) => take(*attributes, &mut list),
                    Message::Done => return Some(Ok(())),
                    Message::Outcome { errno, .. } => return Some(outcome(*errno)),
                }
                None
            })?;
            if !is_interrupted || tries == TRIES {
                return Ok(list);
            }
        }
    }

    /// One thing, or `None` where it is not there.
    pub(super) fn get<T>(
        &self,
        kind: u16,
        fill: impl Fn(&mut Writer),
        take: impl Fn(Attributes<'_>) -> T,
    ) -> Result<Option<T>, Errno> {
        self.send(&Writer::question(kind, 0, fill))?;
        let mut found = None;
        let answer = self.hear(|message| match message {
            Message::Told(attributes) => {
                found = Some(take(*attributes));
                Some(Ok(()))
            }
            Message::Done => Some(Ok(())),
            Message::Outcome { errno, .. } => Some(outcome(*errno)),
        });
        match answer {
            Ok(_) => Ok(found),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(errno),
        }
    }

    /// Has a batch done, each of whose messages asks for its outcome; `take`
    /// hears what is told of it, which is at most `echoes` things. `MSGSIZE`
    /// where the kernel grants too little room for that: then nothing was done.
    pub(super) fn commit(
        &self,
        batch: &Writer,
        echoes: usize,
        mut take: impl FnMut(Attributes<'_>),
    ) -> Result<(), Errno> {
        self.make_room(batch.bytes().len(), echoes)?;
        self.send(batch)?;
        let mut first = Ok(());
        self.hear(|message| match message {
            Message::Told(attributes) => {
                take(*attributes);
                None
            }
            Message::Done => None,
            Message::Outcome { number, errno } => {
                first = first.and(outcome(*errno));
                // A refusal of all of it names the batch's beginning.
                let is_last = *number == batch.last_inside() || *number == 1;
                is_last.then_some(first)
            }
        })?;
        Ok(())
    }

    fn make_room(&self, length: usize, echoes: usize) -> Result<(), Errno> {
        let Self(socket) = self;
        // The kernel keeps 32 bytes of the buffer for itself.
        let sent = length + 32;
        if sockopt::socket_send_buffer_size(socket)? < sent
            && sockopt::set_socket_send_buffer_size_force(socket, sent).is_err()
        {
            sockopt::set_socket_send_buffer_size(socket, sent)?;
        }
        // Refusals come with what they refuse.
        let heard = echoes * ECHO_BYTES + 2 * length + BUFFER_BYTES;
        if sockopt::socket_recv_buffer_size(socket)? < heard
            && sockopt::set_socket_recv_buffer_size_force(socket, heard).is_err()
        {
            sockopt::set_socket_recv_buffer_size(socket, heard)?;
        }
        let is_enough = sockopt::socket_send_buffer_size(socket)? >= sent
            && sockopt::socket_recv_buffer_size(socket)? >= heard;
        is_enough.then_some(()).ok_or(Errno::MSGSIZE)
    }

    fn send(&self, writer: &Writer) -> Result<(), Errno> {
        rustix::net::send(&self.0, writer.bytes(), SendFlags::empty()).map(|_| ())
    }

    /// Hears messages until `take` says what they came to; gives whether what
    /// was told changed meanwhile.
    fn hear(
        &self,
        mut take: impl FnMut(&Message<'_>) -> Option<Result<(), Errno>>,
    ) -> Result<bool, Errno> {
        let mut buffer = vec![0; BUFFER_BYTES];
        let mut is_interrupted = false;
        loop {
            let length = match rustix::net::recv(&self.0, &mut buffer, RecvFlags::TRUNC) {
                Err(Errno::INTR) => continue,
                heard => heard?.1,
            };
            // With `MSG_TRUNC` the length is the datagram's own: this one is cut.
            let datagram = buffer.get(..length).ok_or(Errno::NOBUFS)?;
            let datagram = Datagram::parse(datagram).ok_or(Errno::BADMSG)?;
            is_interrupted |= datagram.is_interrupted;
            for message in &datagram.messages {
                if let Some(outcome) = take(message) {
                    return outcome.map(|()| is_interrupted);
                }
            }
        }
    }
}

fn outcome(errno: i32) -> Result<(), Errno> {
    match errno {
        0 => Ok(()),
        errno => Err(Errno::from_raw_os_error(errno)),
    }
}

/// What a refusal means, for people.
pub(super) fn refusal(errno: Errno) -> anyhow::Error {
    match errno {
        Errno::PERM | Errno::ACCESS => {
            anyhow!("the right to see and change the firewall (CAP_NET_ADMIN) is missing")
        }
        Errno::OPNOTSUPP | Errno::PROTONOSUPPORT => {
            anyhow!("this kernel does not offer nftables (nf_tables)")
        }
        // Said by a kernel without nf_tables too.
        Errno::INVAL => anyhow!("the kernel does not offer nftables, or not this of it ({errno})"),
        Errno::NOENT => anyhow!("a part of the table inet sshmeter is not there"),
        Errno::NFILE => anyhow!("a set of the table inet sshmeter is full"),
        Errno::NOBUFS => anyhow!("an answer of the kernel's nftables was lost ({errno})"),
        errno => anyhow!("the kernel's nftables refuses: {errno}"),
    }
}
