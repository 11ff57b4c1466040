//! The server's end: accepts connections, answers the first message of each, and reads
//! away what comes after, so that nothing piles up in the kernel. It closes none.

use std::{
    io::{Read as _, Write as _, stdin},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    os::fd::OwnedFd,
    thread,
};

use anyhow::{Context as _, Result};
use rustix::{
    buffer::spare_capacity,
    event::epoll,
    io::Errno,
    net::{AddressFamily, RecvFlags, SocketType, bind, listen, recv, socket, sockopt},
};

use crate::MESSAGE;

/// What the system allows at most.
const BACKLOG: i32 = 4096;
/// How many sockets are looked at together.
const EVENTS: usize = 1024;
const BUFFER_BYTES: usize = 64 * 1024;
/// The listener's mark, which no connection's place is.
const LISTENER: u64 = u64::MAX;

pub(crate) fn run(port: u16) -> Result<()> {
    let listener = socket(AddressFamily::INET, SocketType::STREAM, None)?;
    sockopt::set_socket_reuseport(&listener, true)?;
    bind(
        &listener,
        &SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port),
    )?;
    listen(&listener, BACKLOG)?;
    let mut holder = Holder::new(TcpListener::from(listener))?;
    println!("ready");
    thread::spawn(move || {
        if let Err(error) = holder.hold() {
            eprintln!("crowd hold: {error:#}");
        }
    });
    // The kernel closes everything when the process ends.
    stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

struct Holder {
    listener: TcpListener,
    /// Tells which sockets have something to read.
    readable: OwnedFd,
    held: Vec<TcpStream>,
}

impl Holder {
    fn new(listener: TcpListener) -> Result<Self> {
        let readable = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let mark = epoll::EventData::new_u64(LISTENER);
        epoll::add(&readable, &listener, mark, epoll::EventFlags::IN)?;
        Ok(Self {
            listener,
            readable,
            held: Vec::new(),
        })
    }

    fn hold(&mut self) -> Result<()> {
        let mut events = Vec::with_capacity(EVENTS);
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            events.clear();
            match epoll::wait(&self.readable, spare_capacity(&mut events), None) {
                Err(Errno::INTR) => continue,
                waited => waited?,
            };
            for event in &events {
                match event.data.u64() {
                    LISTENER => self.accept()?,
                    place => self.read_away(usize::try_from(place)?, &mut buffer)?,
                }
            }
        }
    }

    /// Takes one. Who goes before he has said hello is not kept.
    fn accept(&mut self) -> Result<()> {
        let (mut stream, _) = self.listener.accept()?;
        let greeted = stream
            .read_exact(&mut [0; MESSAGE.len()])
            .and_then(|()| stream.write_all(&MESSAGE));
        if greeted.is_ok() {
            let place = epoll::EventData::new_u64(self.held.len() as u64);
            epoll::add(&self.readable, &stream, place, epoll::EventFlags::IN)?;
            self.held.push(stream);
        }
        Ok(())
    }

    /// Of one that has ended nothing more is read, and it is kept.
    fn read_away(&self, place: usize, buffer: &mut [u8]) -> Result<()> {
        let stream = self.held.get(place).context("a connection that is held")?;
        match recv(stream, buffer, RecvFlags::DONTWAIT) {
            Ok((1.., _)) | Err(Errno::AGAIN | Errno::INTR) => Ok(()),
            _ => Ok(epoll::delete(&self.readable, stream)?),
        }
    }
}
