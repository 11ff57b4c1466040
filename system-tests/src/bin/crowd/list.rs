//! A list of connections as sshmeter asks for it, of which nothing is understood but
//! what kind of message comes: what is left is the kernel's own work, less than which nobody who
//! asks can take.

use std::{iter, os::fd::OwnedFd, thread, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::{
    net::{AddressFamily, RecvFlags, SendFlags, SocketType, netlink, recv, send, socket},
    time::{ClockId, clock_gettime},
};
use sshmeter::kernel::message::{CONNECTED_STATES, Families, Filter, dump_request};

const BUFFER_BYTES: usize = 256 * 1024;
/// Between two lists, so that others' work has been in the processor's caches since.
const PAUSE: Duration = Duration::from_millis(300);
/// The types of the message that refuses a list, and of the one that ends it
/// (include/uapi/linux/netlink.h).
const REFUSED: u16 = 2;
const LAST: u16 = 3;
/// Those of a socket's message, by what was asked for
/// (include/uapi/linux/inet_diag.h, include/uapi/linux/sock_diag.h).
const SOCKET: [u16; 2] = [18, 20];

/// Says how many nanoseconds of processor time a list takes, and how many sockets
/// are in it.
pub(crate) fn run(port: u16, times: u32) -> Result<()> {
    let questions = socket(
        AddressFamily::NETLINK,
        SocketType::RAW,
        Some(netlink::SOCK_DIAG),
    )?;
    let request = dump_request(
        Families::Both,
        CONNECTED_STATES,
        Filter::LocalPorts(&[port]),
    );
    let mut buffer = vec![0; BUFFER_BYTES];
    let sockets = list(&questions, &request, &mut buffer)?;
    let begin = used()?;
    for _ in 0..times {
        thread::sleep(PAUSE);
        let now = list(&questions, &request, &mut buffer)?;
        ensure!(
            now == sockets,
            "a list has {now} sockets, and another {sockets}"
        );
    }
    println!("{} {sockets}", ((used()? - begin) / times).as_nanos());
    Ok(())
}

/// Gives how many sockets are in it.
fn list(questions: &OwnedFd, request: &[u8], buffer: &mut [u8]) -> Result<usize> {
    send(questions, request, SendFlags::empty())?;
    let mut sockets = 0;
    loop {
        let (_, length) = recv(questions, &mut *buffer, RecvFlags::TRUNC)?;
        let datagram = buffer.get(..length).context("a list was cut short")?;
        for kind in kinds(datagram) {
            match kind {
                LAST => return Ok(sockets),
                REFUSED => bail!("the kernel refuses the list"),
                _ => sockets += usize::from(SOCKET.contains(&kind)),
            }
        }
    }
}

/// The types of a datagram's messages.
fn kinds(mut datagram: &[u8]) -> impl Iterator<Item = u16> {
    iter::from_fn(move || {
        let [a, b, c, d, kind, of_kind, ..] = datagram else {
            return None;
        };
        let length = u32::from_ne_bytes([*a, *b, *c, *d]).next_multiple_of(4);
        let kind = u16::from_ne_bytes([*kind, *of_kind]);
        let rest = usize::try_from(length)
            .ok()
            .and_then(|length| datagram.get(length.max(4)..));
        datagram = rest.unwrap_or_default();
        Some(kind)
    })
}

fn used() -> Result<Duration> {
    Ok(Duration::try_from(clock_gettime(ClockId::ProcessCPUTime))?)
}
