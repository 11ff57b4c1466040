//! A thousand sessions that all moved something since the last commit, written into a
//! ledger that knows them: as a new minute of each, or added to the minute it is in.

use sshmeter::store::Writer;
use sshmeter_core::{
    counter::Reading,
    identity::{Credential, Pid, SocketCookie, SocketId, UserName},
    ledger::{Batch, Entry, Login, SessionRecord},
    units::{Flow, Minute, Traffic},
};
use tempfile::TempDir;

use crate::{COUNT, Kinds, Work, account, begin, boot, ends};

/// How many minutes are in the ledger before.
const MINUTES_BEFORE: usize = 3;

/// A ledger, and what is about to be written into it.
#[derive(Debug)]
pub struct Commit {
    writer: Writer,
    sessions: Vec<SessionRecord>,
    minute: Minute,
    begins_a_minute: bool,
    batch: Batch,
    is_done: bool,
    /// It goes when the writer is gone.
    _folder: TempDir,
}

/// The kinds of commits.
pub const KINDS: Kinds<Commit, 2> = [
    ("new_minute", Commit::of_a_new_minute),
    ("same_minute", Commit::of_the_same_minute),
];

impl Commit {
    /// It begins a minute for every session.
    #[must_use]
    pub fn of_a_new_minute() -> Self {
        Self::new(true)
    }

    /// It adds to the minute that every session is in.
    #[must_use]
    pub fn of_the_same_minute() -> Self {
        Self::new(false)
    }

    fn new(begins_a_minute: bool) -> Self {
        let folder = TempDir::new().expect("a folder");
        let path = folder.path().join("ledger.db");
        let mut commit = Self {
            writer: Writer::open(&path, Some("Europe/Berlin")).expect("a ledger"),
            sessions: (0..COUNT).map(session).collect(),
            minute: Minute::of(begin()),
            begins_a_minute: true,
            batch: Batch::default(),
            is_done: false,
            _folder: folder,
        };
        for _ in 0..MINUTES_BEFORE {
            commit.prepare();
            commit.run();
        }
        commit.begins_a_minute = begins_a_minute;
        commit
    }
}

impl Work for Commit {
    fn count(&self) -> u64 {
        COUNT.into()
    }

    fn prepare(&mut self) {
        if self.begins_a_minute {
            self.minute = self.minute.next();
        }
        for session in &mut self.sessions {
            session.total = session.total.plus(traffic());
            session.reading = Reading(session.total);
        }
        let entry = |session: &SessionRecord| Entry {
            session: session.id.clone(),
            minute: self.minute,
            traffic: traffic(),
        };
        self.batch = Batch {
            entries: self.sessions.iter().map(entry).collect(),
            sessions: self.sessions.clone(),
            checkpoint: None,
        };
        self.is_done = false;
    }

    fn run(&mut self) {
        self.is_done = self.writer.commit(&self.batch).is_ok();
    }

    fn check(self) {
        assert!(self.is_done);
    }
}

fn traffic() -> Traffic {
    let flow = |inbound, outbound| Some(Flow { inbound, outbound });
    Traffic {
        wire: flow(1_480, 52_904),
        payload: flow(1_036, 50_112),
    }
}

fn session(number: u16) -> SessionRecord {
    let [peer, local] = ends(number);
    let (user, credential) = account(number);
    SessionRecord {
        id: SocketId {
            boot: boot(),
            cookie: SocketCookie(0x1000 + u64::from(number)),
        },
        peer,
        local,
        pid: Some(Pid(4_000 + u32::from(number))),
        login: Some(Login {
            user: UserName::new(user),
            method: Some("publickey".to_owned()),
            credential: Some(Credential::new(credential)),
        }),
        opened: begin(),
        closed: None,
        reading: Reading(Traffic::ZERO),
        counters: None,
        total: Traffic::ZERO,
    }
}
