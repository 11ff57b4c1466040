//! The kernel's words for a thousand connections, read: as the answers of a dump, many
//! a datagram, and as ends, each in one of its own.

use std::hint::black_box;

use sshmeter::kernel::message::{Message, messages};

use crate::{COUNT, Kinds, Work};

/// One answer, as a kernel gave it.
const ANSWER: &[u8] = include_bytes!("../../../fuzz/seeds/netlink/v4");
/// Where in it the socket's cookie is.
const COOKIE: usize = 16 + 44;

/// The kernel fills 32 KiB, and begins another datagram.
const IN_A_DATAGRAM: usize = 32 * 1024 / ANSWER.len();

/// What was received.
#[derive(Debug)]
pub struct Datagrams {
    all: Vec<Vec<u8>>,
    sockets: u64,
}

/// The kinds of datagrams.
pub const KINDS: Kinds<Datagrams, 2> =
    [("dump", Datagrams::of_a_dump), ("ends", Datagrams::of_ends)];

impl Datagrams {
    /// The answers of a dump.
    #[must_use]
    pub fn of_a_dump() -> Self {
        Self::of_answers(IN_A_DATAGRAM)
    }

    /// Words of ends.
    #[must_use]
    pub fn of_ends() -> Self {
        Self::of_answers(1)
    }

    fn of_answers(in_a_datagram: usize) -> Self {
        let answers: Vec<Vec<u8>> = (0..COUNT).map(answer).collect();
        Self {
            all: answers.chunks(in_a_datagram).map(<[_]>::concat).collect(),
            sockets: 0,
        }
    }
}

impl Work for Datagrams {
    fn count(&self) -> u64 {
        COUNT.into()
    }

    fn prepare(&mut self) {
        self.sockets = 0;
    }

    fn run(&mut self) {
        for datagram in &self.all {
            for message in messages(black_box(datagram)) {
                self.sockets += u64::from(matches!(black_box(message), Message::Socket(_)));
            }
        }
    }

    fn check(self) {
        assert_eq!(self.sockets, self.count());
    }
}

fn answer(number: u16) -> Vec<u8> {
    let mut answer = ANSWER.to_vec();
    answer[COOKIE..COOKIE + 2].copy_from_slice(&number.to_ne_bytes());
    answer
}
