//! A thousand sessions, read once more: from the kernel's list to the batch with the
//! differences, and back to where the next list is waited for.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use sshmeter_core::{
    identity::{Credential, Pid, SocketCookie, UserName},
    ledger::Batch,
    meter::{Socket, TcpSample},
    session::{Moment, Table, Witness},
    sshd::{Event, Sender, What},
};

use crate::{COUNT, Kinds, Work, account, begin, boot, ends};

/// How many lists a table has seen before, so that it doubts no byte any more.
const LISTS_BEFORE: u32 = 3;
/// Seconds from one list to the next.
const INTERVAL: u64 = 10;

/// A table, and the list that it is about to be told.
#[derive(Debug)]
pub struct Reading {
    table: Table,
    list: Vec<Socket>,
    /// How many of the sessions move something from list to list.
    moving: u16,
    /// The seconds since it all began.
    seconds: u64,
    batch: Option<Batch>,
}

/// The kinds of readings.
pub const KINDS: Kinds<Reading, 3> = [
    ("none_moved", Reading::in_which_none_moved),
    ("a_tenth_moved", Reading::in_which_a_tenth_moved),
    ("all_moved", Reading::in_which_all_moved),
];

impl Reading {
    /// A quiet night.
    #[must_use]
    pub fn in_which_none_moved() -> Self {
        Self::new(0)
    }

    /// The usual: most sessions wait for somebody to type.
    #[must_use]
    pub fn in_which_a_tenth_moved() -> Self {
        Self::new(COUNT / 10)
    }

    /// The most that can be.
    #[must_use]
    pub fn in_which_all_moved() -> Self {
        Self::new(COUNT)
    }

    fn new(moving: u16) -> Self {
        let now = at(0);
        let (table, _) = Table::resume(boot(), Timestamp::UNIX_EPOCH, Vec::new(), None, now);
        let mut reading = Self {
            table,
            list: (0..COUNT).map(socket).collect(),
            moving,
            seconds: 0,
            batch: None,
        };
        for number in 0..LISTS_BEFORE {
            reading.prepare();
            reading.run();
            if number == 0 {
                reading.log_in();
            }
        }
        reading
    }

    fn log_in(&mut self) {
        let now = at(self.seconds);
        for number in 0..COUNT {
            let login = login(number, now.wall);
            self.table.hear(&login, Witness::Silent, now);
        }
    }
}

impl Work for Reading {
    fn count(&self) -> u64 {
        COUNT.into()
    }

    fn prepare(&mut self) {
        self.seconds += INTERVAL;
        for socket in &mut self.list[..self.moving.into()] {
            let sample = &mut socket.sample;
            for bytes in [
                &mut sample.bytes_acked,
                &mut sample.bytes_received,
                &mut sample.bytes_sent,
            ] {
                *bytes = bytes.map(|bytes| bytes + 4_000);
            }
            for segments in [&mut sample.segments_in, &mut sample.segments_out] {
                *segments = segments.map(|segments| segments + 5);
            }
        }
        self.batch = None;
    }

    fn run(&mut self) {
        self.table.dump(&self.list, at(self.seconds));
        self.batch = self.table.take_batch();
        self.table.committed();
    }

    fn check(self) {
        let entries = self.batch.as_ref().map_or(0, |batch| batch.entries.len());
        assert_eq!(entries, usize::from(self.moving));
        assert_eq!(self.table.nameless().count(), 0);
    }
}

fn at(seconds: u64) -> Moment {
    Moment {
        wall: begin() + SignedDuration::from_secs(seconds.cast_signed()),
        monotonic: Duration::from_secs(seconds),
    }
}

fn socket(number: u16) -> Socket {
    let [peer, local] = ends(number);
    Socket {
        cookie: SocketCookie(0x1000 + u64::from(number)),
        local,
        peer,
        inode: Some(70_000 + u32::from(number)),
        rule: None,
        sample: TcpSample {
            // ESTABLISHED, and all options that Linux agrees on with its like.
            state: 1,
            options: 7,
            bytes_acked: Some(3_500),
            bytes_received: Some(2_900),
            segments_out: Some(20),
            segments_in: Some(21),
            bytes_sent: Some(3_500),
            bytes_retransmitted: Some(0),
            duplicates_reported: Some(0),
            ..TcpSample::default()
        },
    }
}

/// By the journal's word, which needs no more proof.
fn login(number: u16, time: Timestamp) -> Event {
    let (user, credential) = account(number);
    Event {
        time: Some(time),
        pid: Some(Pid(4_000 + u32::from(number))),
        sender: Sender::Kernel { uid: 0, exe: None },
        what: What::Accepted {
            user: UserName::new(user),
            method: "publickey".to_owned(),
            peer: Some(ends(number)[0]),
            credential: Some(Credential::new(credential)),
        },
    }
}
