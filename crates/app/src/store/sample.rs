//! Ledgers made for tests.

use std::path::PathBuf;

use jiff::Timestamp;
use sshmeter_core::{
    counter::Reading,
    identity::{BootId, Credential, Endpoint, Pid, SocketCookie, SocketId, UserName},
    ledger::{Batch, Closing, Entry, Login, SessionRecord},
    units::{Flow, Minute, Traffic},
};
use tempfile::TempDir;

use super::{Reader, Writer};

/// A folder for one ledger, gone with the test.
pub(crate) struct SampleFolder {
    folder: TempDir,
}

impl SampleFolder {
    pub(crate) fn new() -> Self {
        Self {
            folder: TempDir::new().expect("a folder"),
        }
    }

    pub(crate) fn ledger(&self) -> PathBuf {
        self.folder.path().join("ledger.db")
    }

    pub(crate) fn writer(&self, zone: &str) -> Writer {
        Writer::open(&self.ledger(), Some(zone)).expect("a ledger to write")
    }

    pub(crate) fn reader(&self) -> Reader {
        Reader::open(&self.ledger()).expect("a ledger to read")
    }
}

pub(crate) fn instant(text: &str) -> Timestamp {
    text.parse().expect("an instant")
}

pub(crate) fn minute(text: &str) -> Minute {
    Minute::of(instant(text))
}

pub(crate) fn flow(inbound: u64, outbound: u64) -> Option<Flow> {
    Some(Flow { inbound, outbound })
}

/// A wire figure, and a payload a little below it.
pub(crate) fn traffic(inbound: u64, outbound: u64) -> Traffic {
    Traffic {
        wire: flow(inbound, outbound),
        payload: flow(inbound / 8 * 7, outbound / 8 * 7),
    }
}

pub(crate) fn login(user: &str, method: &str, credential: Option<&str>) -> Login {
    Login {
        user: UserName::new(user),
        method: Some(method.to_owned()),
        credential: credential.map(Credential::new),
    }
}

pub(crate) fn socket(cookie: u64) -> SocketId {
    SocketId {
        boot: BootId("3b1f7c1e-5a3d-4c7e-9d53-0d9f6a1c2e44".to_owned()),
        cookie: SocketCookie(cookie),
    }
}

/// A session that was just opened.
pub(crate) fn session(cookie: u64, peer: &str, opened: &str) -> SessionRecord {
    SessionRecord {
        id: socket(cookie),
        peer: Endpoint::new(peer.parse().expect("an address"), 40_000),
        local: Endpoint::new("192.0.2.1".parse().expect("an address"), 22),
        pid: Some(Pid(4_000 + u32::try_from(cookie).unwrap_or(0))),
        login: None,
        opened: instant(opened),
        closed: None,
        reading: Reading(Traffic::ZERO),
        counters: None,
        total: Traffic::ZERO,
    }
}

/// Lets a session move bytes, and gives the entry for it.
pub(crate) fn moved(record: &mut SessionRecord, at: &str, traffic: Traffic) -> Entry {
    record.total = record.total.plus(traffic);
    record.reading = Reading(record.total);
    Entry {
        session: record.id.clone(),
        minute: minute(at),
        traffic,
    }
}

pub(crate) fn closed(record: &mut SessionRecord, at: &str, reason: &str) {
    record.closed = Some(Closing {
        at: instant(at),
        reason: reason.to_owned(),
    });
}

/// The fingerprint that the samples' config calls `alice-laptop`.
pub(crate) const ALICE_KEY: &str = "SHA256:Wk1zoqBgm5eYH0VQ3y2mGcHqRZ6O8uQq0D5a5o0xg5M";
/// A fingerprint without a name.
pub(crate) const GIT_KEY: &str = "SHA256:9fJv0bq3ZkWg7yQ1mT5n2s8xR4c6uLhVpDaEoIiKjMw";

/// A small server's month, as of 2026-11-22T17:05:30Z, in Berlin.
pub(crate) fn sample_month(folder: &SampleFolder) {
    let mut writer = folder.writer("Europe/Berlin");
    let mut batch = Batch::default();

    let mut alice = session(1, "198.51.100.7", "2026-11-03T08:15:02Z");
    alice.login = Some(login("alice", "publickey", Some(ALICE_KEY)));
    for (at, inbound, outbound) in [
        ("2026-11-03T08:15:00Z", 48_211, 2_104_882),
        ("2026-11-03T09:00:00Z", 734_003_201, 41_220_111),
        ("2026-11-04T22:59:00Z", 1_204, 5_120_334_871),
        ("2026-11-04T23:00:00Z", 980, 733_210),
    ] {
        batch
            .entries
            .push(moved(&mut alice, at, traffic(inbound, outbound)));
    }
    closed(&mut alice, "2026-11-04T23:04:41Z", "disconnected by user");

    let mut again = session(2, "2001:db8::7", "2026-11-22T16:01:11.250Z");
    again.login = Some(login("alice", "publickey", Some(ALICE_KEY)));
    batch.entries.push(moved(
        &mut again,
        "2026-11-22T16:01:00Z",
        traffic(88_304_122, 1_920_554),
    ));

    let mut bob = session(3, "203.0.113.20", "2026-11-21T10:00:00Z");
    bob.login = Some(login("bob", "password", None));
    batch.entries.push(moved(
        &mut bob,
        "2026-11-21T10:00:00Z",
        traffic(12_404, 930_112),
    ));
    closed(&mut bob, "2026-11-21T10:00:48Z", "closed");

    let mut git = session(4, "203.0.113.90", "2026-11-22T09:30:00Z");
    git.login = Some(login("git", "publickey", Some(GIT_KEY)));
    batch.entries.push(moved(
        &mut git,
        "2026-11-22T09:30:00Z",
        traffic(5_204, 412_882_120),
    ));
    closed(&mut git, "2026-11-22T09:31:12Z", "disconnected by user");

    // A hostile name, a wide one, and a figure that an old kernel did not give.
    let mut odd = session(5, "203.0.113.91", "2026-11-22T11:00:00Z");
    odd.login = Some(login("eve\u{1b}[31m, \"root\"", "password", None));
    odd.total = Traffic::default();
    let unknown = Traffic {
        wire: None,
        payload: flow(2_048, 4_096),
    };
    batch
        .entries
        .push(moved(&mut odd, "2026-11-22T11:00:00Z", unknown));
    closed(&mut odd, "2026-11-22T11:00:03Z", "closed");

    let mut wide = session(6, "203.0.113.92", "2026-11-22T12:00:00Z");
    wide.login = Some(login("田中さん", "keyboard-interactive/pam", None));
    batch.entries.push(moved(
        &mut wide,
        "2026-11-22T12:00:00Z",
        traffic(61_002, 9_224_010),
    ));
    closed(&mut wide, "2026-11-22T14:20:09Z", "disconnected by user");

    let mut knock = session(7, "192.0.2.66", "2026-11-22T13:00:00Z");
    batch.entries.push(moved(
        &mut knock,
        "2026-11-22T13:00:00Z",
        traffic(2_216, 2_901),
    ));
    closed(&mut knock, "2026-11-22T13:00:02Z", "closed");

    batch.sessions = vec![alice, again, bob, git, odd, wide, knock];
    writer.commit(&batch).expect("a commit");
}
