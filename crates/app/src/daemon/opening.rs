//! The daemon's start: from a config to a running meter, in the order that
//! leaves no gap. Ends of connections are heard first, then the ledger is opened,
//! then the log's past is read to a known place, then the first reading is taken,
//! and from that place on the log is followed.

use std::time::Duration;

use anyhow::Result;
use jiff::{SignedDuration, Timestamp};
use sshmeter_core::{
    identity::BootId,
    ledger::{Checkpoint, SessionRecord},
    meter::Socket,
    session::{Moment, Owner, Table},
    sshd::{History, Parsed},
};
use tracing::{debug, info, warn};

use super::{
    Daemon, RETRY_DELAY, Signals,
    clock::{Clock, Schedule},
    hearing::understand,
    recorder::Recorder,
    refusals::Refusals,
    service,
    survey::Survey,
    trouble::Trouble,
};
use crate::{
    config::Config,
    error::{Failure, Outcome},
    kernel::{boot, ports, process, sockdiag::SocketMeter},
    source::{self, Choice},
    store::Writer,
};

/// How far back connections that ended without a name are still named.
const NAMELESS_KEPT: SignedDuration = SignedDuration::from_mins(5);
/// The log's lines may be a little older than what they speak of.
const PAST_SLACK: SignedDuration = SignedDuration::from_secs(60);

/// What a person wants to know of a daemon that starts.
#[derive(Clone, Debug)]
pub struct Opening {
    /// What log is followed, and why that one.
    pub log: String,
    /// The ports that are counted.
    pub ports: Vec<u16>,
    /// Whether they were found, or why not.
    pub ports_why: String,
    /// The zone of the ledger's days.
    pub zone: String,
    /// Connections that were open already.
    pub open: usize,
}

/// Opens ledger, meter and log, and takes the first reading.
///
/// # Errors
/// Whatever of these cannot be had, as a sentence with a hint.
pub async fn open(config: Config) -> Outcome<(Daemon, Opening)> {
    let source = source::choose(&config.source)?;
    let mut survey = Survey::new(config.meter.ports.as_deref());
    let ports_why = find_ports(&config, &mut survey)?;
    let mut meter = SocketMeter::open(&survey.watched()).map_err(needs_rights)?;
    let clock = Clock::start();
    let Opened {
        mut writer,
        endings,
        log_from,
    } = open_ledger(&config, &source, &mut meter, &clock).await?;
    let zone = writer.zone().to_owned();
    for notice in writer.take_notices() {
        warn!("{notice}");
    }
    let now = clock.now();

    let boot = boot::id()?;
    let saved = writer.saved(&boot, now.wall - NAMELESS_KEPT)?;
    survey.know(open_ports(&saved.sessions, &boot));
    meter.watch(&survey.watched())?;
    let (table, outlived) = Table::resume(
        boot,
        boot::time()?,
        saved.sessions,
        saved.checkpoint.clone(),
        now,
    );
    if !outlived.is_empty() {
        writer.commit(&outlived)?;
    }

    let mut daemon = Daemon {
        schedule: Schedule::new(config.meter.interval, service::watchdog(), now),
        clock,
        table,
        meter,
        survey,
        recorder: Recorder::start(writer)?,
        refusals: Refusals::default(),
        // Nothing is followed until the past is read.
        log: tokio::sync::mpsc::channel(1).1,
        source_is_down: false,
        source,
        ledger_trouble: Trouble::default(),
        meter_trouble: Trouble::default(),
        source_trouble: Trouble::default(),
        overrun_told: false,
        signals: Signals::new()?,
        config,
    };
    for (socket, when) in &endings {
        daemon.table.ended(socket, *when);
    }
    daemon.read_the_past(saved.checkpoint.or(log_from))?;
    let opening = Opening {
        log: daemon.source.why.clone(),
        ports: daemon.survey.watched(),
        ports_why,
        zone,
        open: daemon.table.open_count(),
    };
    Ok((daemon, opening))
}

/// A ledger that may have been waited for, and what happened meanwhile.
struct Opened {
    writer: Writer,
    endings: Vec<(Socket, Moment)>,
    /// The log's place when the wait began.
    log_from: Option<Checkpoint>,
}

/// Opens the ledger, also where it cannot be written yet: what ends meanwhile
/// is heard in time.
async fn open_ledger(
    config: &Config,
    source: &Choice,
    meter: &mut SocketMeter,
    clock: &Clock,
) -> Outcome<Opened> {
    let mut trouble = Trouble::default();
    let mut endings = Vec::new();
    let mut log_from = None;
    loop {
        match Writer::open(&config.ledger.path, config.ledger.timezone.as_deref()) {
            Ok(writer) => {
                if trouble.is_over() {
                    info!("the ledger can be written again; nothing was lost");
                }
                return Ok(Opened {
                    writer,
                    endings,
                    log_from,
                });
            }
            Err(error) if error.may_pass() => {
                if trouble.begins(error.to_string()) {
                    warn!("{error}; figures are kept in memory until it can");
                }
                log_from =
                    log_from.or_else(|| source::past(source, clock.now().wall, &mut |_| ()).ok());
                service::starting(2 * RETRY_DELAY);
                endings.extend(hear_endings(meter, clock, RETRY_DELAY).await?);
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Takes ends of connections for so long, each at its time.
async fn hear_endings(
    meter: &mut SocketMeter,
    clock: &Clock,
    period: Duration,
) -> Result<Vec<(Socket, Moment)>> {
    let mut endings = Vec::new();
    let over = tokio::time::sleep(period);
    tokio::pin!(over);
    loop {
        tokio::select! {
            () = &mut over => return Ok(endings),
            ended = meter.ended() => ended?,
        }
        let ended = meter.endings().sockets.into_iter();
        endings.extend(ended.map(|socket| (socket, clock.now())));
    }
}

impl Daemon {
    /// Names what was connected before we were, and follows the log from where
    /// the past ends.
    ///
    /// The first dump comes before the process table is read, so that of every
    /// connection it shows the owner is there to tell its age; those of after it
    /// are known to be younger.
    fn read_the_past(&mut self, checkpoint: Option<Checkpoint>) -> Result<()> {
        let sockets = self.meter.connections()?;
        let now = self.clock.now();
        self.table.dump(&sockets, now);
        let owners = process::owners(now.wall).unwrap_or_default();
        let since = oldest(&owners).unwrap_or(now.wall) - PAST_SLACK;
        let mut history = History::default();
        let read = source::past(&self.source, since, &mut |line| {
            if let Parsed::Event(event) = understand(&line, now) {
                history.note(&event);
            }
        });
        if let Err(error) = &read {
            warn!("the log's past cannot be read: {error:#}");
        }

        let sockets = self.meter.connections()?;
        let now = self.clock.now();
        self.table.dump(&sockets, now);
        for owner in &owners {
            self.table.adopt(owner);
        }
        self.table.recall(history.into_sessions());
        debug!(
            connections = sockets.len(),
            nameless = self.table.nameless().count(),
            "started"
        );
        self.refusals.tell(self.table.take_refusals());
        let checkpoint = checkpoint.filter(|place| self.source.has_place(place));
        self.follow(checkpoint.or(read.ok()));
        Ok(())
    }
}

fn oldest(owners: &[Owner]) -> Option<Timestamp> {
    owners.iter().map(|owner| owner.started).min()
}

/// The local ports of connections that the ledger has as open in this boot.
fn open_ports(sessions: &[SessionRecord], boot: &BootId) -> Vec<u16> {
    sessions
        .iter()
        .filter(|session| session.id.boot == *boot && session.closed.is_none())
        .map(|session| session.local.port())
        .collect()
}

/// Finds sshd's ports, and says how in a few words.
fn find_ports(config: &Config, survey: &mut Survey) -> Result<String> {
    if config.meter.ports.is_some() {
        return Ok("as meter.ports says".into());
    }
    let found = ports::find()?;
    survey.know(found.all());
    Ok(
        match (found.by_sshd.is_empty(), found.by_systemd.is_empty()) {
            (false, _) => "sshd listens there".into(),
            (true, false) => "systemd listens there for sshd".into(),
            (true, true) if found.hidden => {
                "sshd runs, but this user may not see where it listens; set meter.ports".into()
            }
            (true, true) => "no sshd runs yet; looked for again every minute".into(),
        },
    )
}

fn needs_rights(error: anyhow::Error) -> Failure {
    Failure::failed(error.context("the kernel's socket counters cannot be read"))
        .hint("`sshmeter doctor` says what this machine offers and which rights are missing")
}
