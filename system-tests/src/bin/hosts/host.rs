//! Hosts that only pretend to have an sshd: real ledgers, written by sshmeter's
//! own writer and mirrored by its own mirrors, filled with sessions that were
//! made up. Many fit on one machine, and they are killed as easily as a daemon.

use std::{
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use anyhow::{Context as _, Result};
use jiff::{SignedDuration, Timestamp};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng, seq::IndexedRandom as _};
use sshmeter::{
    config::{MirrorConfig, Retention},
    mirror::Mirrors,
    store::{Reader, Writer},
};
use sshmeter_core::{
    counter::Reading,
    identity::{BootId, Credential, Endpoint, Pid, SocketCookie, SocketId, UserName},
    ledger::{Batch, Closing, Entry, Login, SessionRecord},
    units::{Flow, Minute, Traffic},
};

/// Names as people and attackers choose them.
const ODD_NAMES: [&str; 8] = [
    "alice",
    "o'brien",
    r#"say "hello""#,
    r"DOMAIN\alice",
    r"back\\slash\n",
    "水 🦀 Zoë",
    "percent%20?;--",
    "blank at the end ",
];

/// How far back bytes are booked: some lie beyond what is kept.
const PAST_DAYS: i64 = 45;

/// A host that pretends.
pub(crate) struct PretendHost {
    ledger: PathBuf,
    name: String,
    writer: Writer,
    boot: BootId,
    sessions: Vec<SessionRecord>,
    next_cookie: u64,
    random: StdRng,
}

impl PretendHost {
    /// Opens, or begins, the ledger of a host in a folder.
    pub(crate) fn open(folder: &Path, number: usize) -> Result<Self> {
        let ledger = folder.join(format!("host-{number:04}.db"));
        let zones = ["UTC", "Europe/Berlin", "Asia/Kathmandu", "America/St_Johns"];
        let mut writer = Writer::open(&ledger, Some(zones[number % zones.len()]))?;
        writer.record_changes(true)?;
        // As if the list had not reached back far enough: all rows are copied anew.
        if rand::random_ratio(1, 4) {
            writer.record_changes(false)?;
            writer.record_changes(true)?;
        }
        Ok(Self {
            ledger,
            name: format!("host-{number}"),
            writer,
            boot: BootId(format!("{:032x}", rand::random::<u128>())),
            sessions: Vec::new(),
            next_cookie: 1,
            random: StdRng::from_rng(&mut rand::rng()),
        })
    }

    /// Lives until it is told to stop, with a commit every so often, and sends
    /// the rest before it goes.
    pub(crate) fn live(
        mut self,
        mirrors: &[MirrorConfig],
        pause: Duration,
        stop: &AtomicBool,
    ) -> Result<()> {
        let sent = Mirrors::start(mirrors, &self.ledger, &self.name)?;
        while !stop.load(Ordering::Relaxed) {
            self.one_commit()?;
            if self.random.random_ratio(1, 20) {
                self.writer.forget_changes(sent.reached().unwrap_or(0))?;
            }
            std::thread::sleep(pause);
        }
        self.wait_until_sent(&sent)
    }

    fn wait_until_sent(&self, sent: &Mirrors) -> Result<()> {
        for _ in 0..3_000 {
            let newest = Reader::open_beside_writer(&self.ledger)?
                .journal()?
                .map(|journal| journal.newest);
            if sent.reached() == newest {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        anyhow::bail!("{} was not sent in five minutes", self.name)
    }

    /// Commits something that happens on a host: sessions open, move bytes, are
    /// named, lose their name, and end; and old rows go.
    pub(crate) fn one_commit(&mut self) -> Result<()> {
        let now = Timestamp::now();
        let mut batch = Batch::default();
        for _ in 0..self.random.random_range(1..6) {
            self.something(&mut batch, now);
        }
        self.writer.commit(&batch).context("a commit")?;
        if self.random.random_ratio(1, 10) {
            self.retain(now)?;
        }
        Ok(())
    }

    fn something(&mut self, batch: &mut Batch, now: Timestamp) {
        if self.sessions.len() < 3 || self.random.random_ratio(1, 3) {
            let opened = self.opened(now);
            self.sessions.push(opened);
        }
        let chosen = self.random.random_range(0..self.sessions.len());
        match self.random.random_range(0..10) {
            0 => self.sessions[chosen].login = None,
            1 | 2 => self.sessions[chosen].login = Some(self.login()),
            3 => {
                let mut ended = self.sessions.swap_remove(chosen);
                ended.closed = Some(Closing {
                    at: now,
                    reason: self.reason(),
                });
                batch.sessions.push(ended);
                return;
            }
            _ => {
                let entry = self.entry(chosen, now);
                batch.entries.push(entry);
            }
        }
        let record = self.sessions[chosen].clone();
        batch.sessions.retain(|one| one.id != record.id);
        batch.sessions.push(record);
    }

    /// Mostly short; who calls from afar can have kilobytes of it written.
    fn reason(&mut self) -> String {
        let times = if self.random.random_ratio(1, 4) {
            400
        } else {
            1
        };
        "disconnected by user".repeat(times)
    }

    fn opened(&mut self, now: Timestamp) -> SessionRecord {
        let back = SignedDuration::from_hours(self.random.random_range(0..PAST_DAYS * 24));
        self.next_cookie += 1;
        let mut peer = [203, 0, 113, 0];
        peer[3] = self.random.random();
        SessionRecord {
            id: SocketId {
                boot: self.boot.clone(),
                cookie: SocketCookie(self.next_cookie),
            },
            peer: Endpoint::new(peer.into(), self.random.random_range(1024..=u16::MAX)),
            local: Endpoint::new([192, 0, 2, 1].into(), 22),
            pid: Some(Pid(self.random.random_range(300..4_000_000))),
            login: None,
            opened: now - back,
            closed: None,
            reading: Reading::default(),
            counters: None,
            total: Traffic::default(),
        }
    }

    fn login(&mut self) -> Login {
        let name = ODD_NAMES.choose(&mut self.random).copied();
        let with_key = self.random.random_bool(0.5);
        Login {
            user: UserName::new(name.unwrap_or_default()),
            method: Some("publickey".to_owned()),
            credential: with_key.then(|| Credential::new("SHA256:'\"\\ 🔑")),
        }
    }

    fn entry(&mut self, chosen: usize, now: Timestamp) -> Entry {
        let mut flow = || {
            Some(Flow {
                inbound: self.random.random_range(0..50_000_000_000),
                outbound: self.random.random_range(1..5_000_000),
            })
        };
        let traffic = Traffic {
            wire: flow(),
            payload: flow(),
        };
        let begin = self.sessions[chosen].opened;
        let span = now.duration_since(begin).as_secs().max(60);
        let at = begin + SignedDuration::from_secs(self.random.random_range(0..span));
        let record = &mut self.sessions[chosen];
        record.total = record.total.plus(traffic);
        record.reading = Reading(record.total);
        Entry {
            session: record.id.clone(),
            minute: Minute::of(at),
            traffic,
        }
    }

    fn retain(&mut self, now: Timestamp) -> Result<()> {
        const DAY: u64 = 24 * 3600;
        let retention = Retention {
            minute: Some(Duration::from_secs(20 * DAY)),
            hour: Some(Duration::from_secs(35 * DAY)),
            day: None,
        };
        self.writer.retain(now, &retention)?;
        Ok(())
    }
}
