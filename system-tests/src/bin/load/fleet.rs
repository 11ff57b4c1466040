//! Hosts whose users all move bytes in every minute.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use jiff::Timestamp;
use rustix::time::{ClockId, clock_gettime};
use sshmeter::{
    config::MirrorConfig,
    mirror::{History, Sender, Task},
    store::{Reader, Writer},
};
use sshmeter_core::{
    counter::Reading,
    identity::{BootId, Endpoint, Pid, SocketCookie, SocketId, UserName},
    ledger::{Batch, Entry, Login, SessionRecord},
    units::{Flow, Minute, Traffic},
};
use tokio::runtime::Runtime;

use system_tests::told::Part;

/// Readings that a minute brings together, as by default: the daemon commits each.
const READINGS: u64 = 6;

/// All hosts, on one thread, so that its processor time is theirs.
pub(crate) struct Fleet {
    hosts: Vec<Host>,
    runtime: Runtime,
    next: Minute,
}

/// A host's ledger, and who fills and who sends it.
pub(crate) struct Host {
    ledger: PathBuf,
    pub(crate) writer: Writer,
    sessions: Vec<SessionRecord>,
    sender: Option<Sender>,
    mirror: MirrorConfig,
    name: String,
}

impl Fleet {
    /// Begins the ledgers, so that the last minute is about now.
    pub(crate) fn begin(
        folder: &Path,
        mirror: &MirrorConfig,
        hosts: usize,
        users: usize,
        minutes: i64,
    ) -> Result<Self> {
        let begin = Minute(Minute::of(Timestamp::now()).0 - minutes - 1);
        let hosts = (0..hosts).map(|number| {
            let mut host = Host::begin(folder, mirror, number, users, begin)?;
            host.writer.record_changes(true)?;
            host.mirror_anew()?;
            Ok(host)
        });
        Ok(Self {
            hosts: hosts.collect::<Result<_>>()?,
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .context("no runtime")?,
            next: begin,
        })
    }

    /// Counts so many minutes, and sends each.
    pub(crate) fn minutes(&mut self, minutes: i64) -> Result<Part> {
        let mut part = Part::default();
        for _ in 0..minutes {
            for host in &mut self.hosts {
                let (done, seconds) = timed(|| host.count(self.next));
                done?;
                part.commit_seconds += seconds;
                send(&self.runtime, host, &mut part)?;
            }
            self.next.0 += 1;
        }
        Ok(part)
    }

    /// Sends though there is nothing new.
    pub(crate) fn silence(&mut self) -> Result<Part> {
        let mut part = Part::default();
        for host in &mut self.hosts {
            send(&self.runtime, host, &mut part)?;
        }
        Ok(part)
    }

    /// Copies a tenth of the hosts anew.
    pub(crate) fn copies(&mut self) -> Result<Part> {
        let mut part = Part::default();
        let tenth = self.hosts.len().div_ceil(10);
        for host in self.hosts.iter_mut().take(tenth) {
            host.writer.record_changes(false)?;
            host.writer.record_changes(true)?;
            host.mirror_anew()?;
            send(&self.runtime, host, &mut part)?;
            let newest = Reader::open_beside_writer(&host.ledger)?.journal()?;
            anyhow::ensure!(newest.is_some(), "changes are noted");
        }
        Ok(part)
    }
}

fn send(runtime: &Runtime, host: &mut Host, part: &mut Part) -> Result<()> {
    let sender = host.sender.as_mut().context("the host has a mirror")?;
    let (sent, seconds) = timed(|| runtime.block_on(sender.round()));
    part.rows += sent?.rows;
    part.rounds += 1;
    part.round_seconds += seconds;
    Ok(())
}

impl Host {
    /// Mirrors with a sender that knows nothing of what was sent before.
    fn mirror_anew(&mut self) -> Result<()> {
        let history = History::begin(&self.ledger)?;
        let task = Task {
            mirror: self.mirror.clone(),
            ledger: self.ledger.clone(),
            host_name: self.name.clone(),
        };
        self.sender = Some(Sender::new(task, history));
        Ok(())
    }

    /// A host with an empty ledger.
    pub(crate) fn begin(
        folder: &Path,
        mirror: &MirrorConfig,
        number: usize,
        users: usize,
        begin: Minute,
    ) -> Result<Self> {
        let name = format!("host-{number:04}");
        let ledger = folder.join(format!("{name}.db"));
        let writer = Writer::open(&ledger, Some("Europe/Berlin"))?;
        let boot = BootId(format!("{number:032x}"));
        Ok(Self {
            ledger,
            writer,
            sessions: (0..users).map(|user| session(&boot, user, begin)).collect(),
            sender: None,
            mirror: mirror.clone(),
            name,
        })
    }

    /// Counts what every user moved in a minute, as so many readings find it.
    pub(crate) fn count(&mut self, minute: Minute) -> Result<()> {
        for reading in 1..=READINGS {
            let moved = Flow {
                inbound: 70_000 * reading,
                outbound: 9_000_000 / reading,
            };
            let traffic = Traffic {
                wire: Some(moved),
                payload: Some(moved),
            };
            let mut batch = Batch::default();
            for session in &mut self.sessions {
                session.total = session.total.plus(traffic);
                session.reading = Reading(session.total);
                batch.sessions.push(session.clone());
                batch.entries.push(Entry {
                    session: session.id.clone(),
                    minute,
                    traffic,
                });
            }
            self.writer.commit(&batch)?;
        }
        Ok(())
    }
}

fn session(boot: &BootId, user: usize, begin: Minute) -> SessionRecord {
    let number = u16::try_from(user).unwrap_or(u16::MAX);
    SessionRecord {
        id: SocketId {
            boot: boot.clone(),
            cookie: SocketCookie(user as u64 + 1),
        },
        peer: Endpoint::new([203, 0, 113, 7].into(), number.saturating_add(1024)),
        local: Endpoint::new([192, 0, 2, 1].into(), 22),
        pid: Some(Pid(u32::from(number) + 1_000)),
        login: Some(Login {
            user: UserName::new(format!("user-{user}")),
            method: Some("publickey".to_owned()),
            credential: None,
        }),
        opened: Timestamp::from_second(begin.0 * 60).unwrap_or_default(),
        closed: None,
        reading: Reading::default(),
        counters: None,
        total: Traffic::default(),
    }
}

/// What was done, and this thread's processor time for it.
pub(crate) fn timed<T>(work: impl FnOnce() -> T) -> (T, f64) {
    let seconds = || {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        std::time::Duration::try_from(time).map_or(0.0, |time| time.as_secs_f64())
    };
    let begin = seconds();
    let done = work();
    (done, seconds() - begin)
}
