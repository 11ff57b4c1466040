//! The daemon's start: from a config to a running meter, in the order that
//! leaves no gap. Ends of connections are heard first, then the log's past is
//! read to a known place, then the first reading is taken, and from that place
//! on the log is followed.

use anyhow::Result;
use jiff::{SignedDuration, Timestamp};
use sshmeter_core::{
    identity::BootId,
    ledger::{Checkpoint, SessionRecord},
    session::{Owner, Table},
    sshd::{History, Parsed},
};
use tracing::{debug, warn};

use super::{
    Daemon, Signals,
    clock::{Clock, Schedule},
    hearing::understand,
    inquiry::Inquiry,
    recorder::Recorder,
    refusals::Refusals,
    service,
    survey::Survey,
};
use crate::{
    config::Config,
    error::{Failure, Outcome},
    kernel::{boot, ports, process, sockdiag::SocketMeter},
    source,
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
pub fn open(config: Config) -> Outcome<(Daemon, Opening)> {
    let source = source::choose(&config.source)?;
    let mut writer = Writer::open(&config.ledger.path, config.ledger.timezone.as_deref())?;
    let zone = writer.zone().to_owned();
    for notice in writer.notices() {
        warn!("{notice}");
    }
    let clock = Clock::start();
    let now = clock.now();

    let boot = boot::id()?;
    let saved = writer.saved(&boot, now.wall - NAMELESS_KEPT)?;
    let mut survey = Survey::new(config.meter.ports.as_deref());
    survey.know(open_ports(&saved.sessions, &boot));
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

    let ports_why = find_ports(&config, &mut survey)?;
    let meter = SocketMeter::open(&survey.watched()).map_err(needs_rights)?;
    let mut daemon = Daemon {
        schedule: Schedule::new(config.meter.interval, service::watchdog(), now),
        clock,
        table,
        meter,
        survey,
        inquiry: Inquiry::new(),
        recorder: Recorder::start(writer)?,
        refusals: Refusals::default(),
        // Nothing is followed until the past is read.
        log: tokio::sync::mpsc::channel(1).1,
        source_is_down: false,
        source,
        trouble: None,
        meter_trouble: None,
        overrun_told: false,
        signals: Signals::new()?,
        config,
    };
    daemon.read_the_past(saved.checkpoint)?;
    let opening = Opening {
        log: daemon.source.why.clone(),
        ports: daemon.survey.watched(),
        ports_why,
        zone,
        open: daemon.table.open_count(),
    };
    Ok((daemon, opening))
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
        self.tell_refusals();
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
