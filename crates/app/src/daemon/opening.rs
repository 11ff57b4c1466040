//! The daemon's start: from a config to a running meter, in the order that
//! leaves no gap. Ends of connections are heard first, then the ledger is opened,
//! then the log's past is read to a known place, then the first reading is taken,
//! and from that place on the log is followed.
//!
//! What ended since the last commit of a daemon before comes from the notes and
//! the queue that were kept. Nothing of it is let go before it is committed, so
//! the start may be cut short at any instant and begun again.

use std::{
    collections::{BTreeMap, HashSet},
    time::Duration,
};

use anyhow::Result;
use jiff::{SignedDuration, Timestamp};
use sshmeter_core::{
    identity::{BootId, Endpoint, SocketCookie},
    ledger::{Checkpoint, SessionRecord},
    note::Note,
    session::{Moment, Owner, Table},
    sshd::{History, Parsed},
    units::Minute,
};
use tracing::{debug, info, warn};

use super::{
    Daemon, LOOK_DELAY, RETRY_DELAY, Signals,
    clock::{Clock, Schedule},
    ear::Ear,
    hearing::understand,
    inquiry::Inquiry,
    keeping::{self, Kept},
    recorder::Recorder,
    refusals::Refusals,
    service,
    survey::Survey,
    trouble::Trouble,
};
use crate::{
    config::Config,
    error::Outcome,
    kernel::{boot, ports, process},
    mirror::Mirrors,
    source::{self, Choice},
    store::{StoreError, Writer},
};

/// How long connections that ended without a name are still named.
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
    /// Connections that ended since the last commit of a daemon before.
    pub ended: usize,
    /// What becomes of ends while no daemon listens.
    pub ends: &'static str,
}

/// Opens ledger, meter and log, and takes the first reading.
///
/// # Errors
/// Whatever of these cannot be had, as a sentence with a hint.
pub async fn open(config: Config) -> Outcome<(Daemon, Opening)> {
    // Before anything else is opened: they have the first numbers.
    let kept = Kept::take();
    let source = source::choose(&config.source)?;
    let mut survey = Survey::new(config.meter.ports.as_deref());
    let ports_why = find_ports(&config, &mut survey)?;
    let clock = Clock::start();
    let boot = boot::id()?;
    let (mut ear, noted) = Ear::open(kept, &boot, config.meter.kind)?;
    let Opened {
        mut writer,
        ended,
        log_from,
    } = open_ledger(&config, &source, &survey, &mut ear, &clock).await?;
    let zone = writer.zone().to_owned();
    for notice in writer.take_notices() {
        warn!("{notice}");
    }
    let mirrors = Mirrors::start(&config.mirrors, &config.ledger.path, &config.host.name())?;

    let now = clock.now();
    let notes = noted.into_iter().chain(ended).chain(ear.hear(now.wall));
    let (ended, earlier_boots): (Vec<Note>, Vec<Note>) = notes.partition(|note| note.boot == boot);
    let booted = boot::time()?;
    finish_earlier_boots(&mut writer, earlier_boots, booted, now)?;

    let cookies: Vec<SocketCookie> = ended.iter().map(|note| note.socket.cookie).collect();
    let since = nameless_since(writer.last_end()?, now.wall, config.ledger.retention.minute);
    let saved = writer.saved(&boot, since, &cookies)?;
    survey.know(open_ports(&saved.sessions, &boot));
    let (table, outlived) =
        Table::resume(boot, booted, saved.sessions, saved.checkpoint.clone(), now);
    if !outlived.is_empty() {
        writer.commit(&outlived)?;
    }

    ear.watch(&survey)?;
    let mut daemon = Daemon {
        schedule: Schedule::new(config.meter.pause(), service::watchdog(), now),
        clock,
        table,
        meter: ear.meter,
        notes: ear.notes,
        gaps: ear.gaps,
        survey,
        inquiry: Inquiry::new(),
        recorder: Recorder::start(writer)?,
        mirrors,
        mirror_may_lack_changes: false,
        refusals: Refusals::default(),
        // Nothing is followed until the past is read.
        log: tokio::sync::mpsc::channel(1).1,
        source_is_down: false,
        source,
        ledger_trouble: Trouble::default(),
        meter_trouble: Trouble::default(),
        source_trouble: Trouble::default(),
        signals: Signals::new()?,
        config,
    };
    daemon.read_the_past(saved.checkpoint.or(log_from), &ended)?;
    let opening = Opening {
        log: daemon.source.why.clone(),
        ports: daemon.survey.watched(),
        ports_why,
        zone,
        open: daemon.table.open_count(),
        ended: ended.len(),
        ends: keeping::promise(),
    };
    Ok((daemon, opening))
}

/// From when on connections that ended without a name are still named. The lines that
/// name them may be behind the log's place, however long no daemon has run; but a name
/// that comes after retention has folded minutes away no longer moves them.
fn nameless_since(
    last_end: Option<Minute>,
    now: Timestamp,
    minutes_kept: Option<Duration>,
) -> Timestamp {
    let lately = now - NAMELESS_KEPT;
    let last = last_end.map_or(now, Minute::start);
    let before_the_pause = last.checked_sub(NAMELESS_KEPT).unwrap_or(Timestamp::MIN);
    let kept = minutes_kept.and_then(|kept| SignedDuration::try_from(kept).ok());
    let folded = kept.and_then(|kept| now.checked_sub(kept).ok());
    // They can be named for as long again from now on, while retention goes on.
    let kept_since = folded.map_or(Timestamp::MIN, |folded| folded + 2 * NAMELESS_KEPT);
    before_the_pause.max(kept_since).min(lately)
}

/// Opens the ledger; from here on it notes what changes, where mirrors want that.
fn open_writer(config: &Config) -> Result<Writer, StoreError> {
    let mut writer = Writer::open(&config.ledger.path, config.ledger.timezone.as_deref())?;
    writer.record_changes(!config.mirrors.is_empty())?;
    Ok(writer)
}

/// A ledger that may have been waited for, and what happened meanwhile.
struct Opened {
    writer: Writer,
    ended: Vec<Note>,
    /// The log's place when the wait began.
    log_from: Option<Checkpoint>,
}

/// Opens the ledger, also where it cannot be written yet: what ends meanwhile
/// is heard in time.
async fn open_ledger(
    config: &Config,
    source: &Choice,
    survey: &Survey,
    ear: &mut Ear,
    clock: &Clock,
) -> Outcome<Opened> {
    let mut trouble = Trouble::default();
    let mut ended = Vec::new();
    let mut log_from = None;
    loop {
        match open_writer(config) {
            Ok(writer) => {
                if trouble.is_over() {
                    info!("the ledger can be written again; nothing was lost");
                }
                return Ok(Opened {
                    writer,
                    ended,
                    log_from,
                });
            }
            Err(error) if error.may_pass() => {
                if trouble.begins(error.to_string()) {
                    warn!("{error}; figures are kept in memory until it can");
                    ear.watch(survey)?;
                }
                log_from =
                    log_from.or_else(|| source::past(source, clock.now().wall, &mut |_| ()).ok());
                service::starting(2 * RETRY_DELAY);
                ended.extend(ear.hear_for(RETRY_DELAY, clock).await?);
            }
            Err(error) => return Err(error.into()),
        }
    }
}

impl Daemon {
    /// Names what was connected before we were, and follows the log from where
    /// the past ends.
    ///
    /// The first dump comes before the process table is read, so that of every
    /// connection it shows the owner is there to tell its age; those of after it
    /// are known to be younger. What `ended` meanwhile comes last: the past is
    /// to name connections that live, and those that are over are named, in
    /// their order, by the lines that no daemon before has heard.
    fn read_the_past(&mut self, checkpoint: Option<Checkpoint>, ended: &[Note]) -> Result<()> {
        let dump = self.list_connections()?;
        self.take_dump(&dump);
        self.tell_notices();
        let now = self.clock.now();
        let owners = process::owners(now.wall, &self.survey.watched()).unwrap_or_default();
        let since = oldest(&owners).unwrap_or(now.wall) - PAST_SLACK;
        let mut history = History::default();
        let mut start = service::LongStart::begin();
        let read = source::past(&self.source, since, &mut |line| {
            start.goes_on();
            if let Parsed::Event(event) = understand(&line, now) {
                history.note(&event);
            }
        });
        if let Err(error) = &read {
            warn!("the log's past cannot be read: {error:#}");
        }

        let dump = self.list_connections()?;
        self.take_dump(&dump);
        for owner in &owners {
            self.table.adopt(owner);
        }
        self.table.recall(history.into_sessions());
        let now = self.clock.now();
        for note in ended {
            self.table.ended_meanwhile(&note.socket, note.heard, now);
        }
        debug!(
            connections = dump.sockets.len(),
            ended = ended.len(),
            nameless = self.table.nameless().count(),
            "started"
        );
        self.tell_refusals();
        let heard_to = checkpoint.filter(|place| self.source.has_place(place));
        if heard_to.is_none() {
            self.hear_the_past();
            if let Ok(place) = &read {
                self.table.read_to(place.clone());
            }
        }
        self.follow(heard_to.or(read.ok()));
        self.inquire();
        self.count_sessions();
        Ok(())
    }

    /// Hears what the log said lately of connections that have no name yet.
    ///
    /// That is needed where the ledger knows no place in the log: a daemon
    /// before may have been killed before its first commit, and then nobody has
    /// heard, or will hear, the lines that name what ended since.
    fn hear_the_past(&mut self) {
        self.take_endings();
        let clients: HashSet<Endpoint> = self.table.nameless_clients().collect();
        if clients.is_empty() {
            return;
        }
        let now = self.clock.now();
        let mut events = Vec::new();
        let mut start = service::LongStart::begin();
        let since = now.wall - NAMELESS_KEPT;
        let read = source::past(&self.source, since, &mut |line| {
            start.goes_on();
            if let Parsed::Event(event) = understand(&line, now)
                && event
                    .what
                    .peer()
                    .is_some_and(|peer| clients.contains(&peer))
            {
                events.push(event);
            }
        });
        if let Err(error) = read {
            warn!("the log's past cannot be read: {error:#}");
        }
        for event in events {
            let witness = self.witness(&event, now);
            self.table.hear(&event, witness, now);
        }
        if self.table.awaits_a_dump() {
            self.schedule.sample_within(LOOK_DELAY);
        }
    }
}

/// Ends of an earlier boot that were noted and not committed: its sessions get
/// their last figures before they are closed for the reboot.
fn finish_earlier_boots(
    writer: &mut Writer,
    notes: Vec<Note>,
    booted: Timestamp,
    now: Moment,
) -> Outcome<()> {
    let mut boots: BTreeMap<BootId, Vec<Note>> = BTreeMap::new();
    for note in notes {
        boots.entry(note.boot.clone()).or_default().push(note);
    }
    for (boot, notes) in boots {
        let cookies: Vec<SocketCookie> = notes.iter().map(|note| note.socket.cookie).collect();
        let mut saved = writer.saved(&boot, now.wall, &cookies)?;
        saved.sessions.retain(|session| session.id.boot == boot);
        let (mut table, _) = Table::resume(boot, booted, saved.sessions, None, now);
        for note in &notes {
            table.ended_meanwhile(&note.socket, note.heard, now);
        }
        if let Some(batch) = table.take_batch() {
            writer.commit(&batch)?;
        }
    }
    Ok(())
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

#[cfg(test)]
mod tests {

    use sshmeter_core::{
        identity::Endpoint,
        meter::{Socket, TcpSample},
        session::Witness,
        sshd,
    };

    use super::*;

    fn socket(cookie: u64, bytes: u64) -> Socket {
        Socket {
            cookie: SocketCookie(cookie),
            local: Endpoint::new([192, 0, 2, 1].into(), 22),
            peer: Endpoint::new([192, 0, 2, 7].into(), 4000),
            inode: None,
            rule: None,
            sample: TcpSample {
                state: 1,
                // The newest byte may be a FIN as yet.
                bytes_received: Some(bytes + 1),
                bytes_sent: Some(bytes),
                bytes_retransmitted: Some(0),
                ..TcpSample::default()
            },
        }
    }

    #[test]
    fn what_ended_in_an_earlier_boot_gets_its_last_figures_before_the_reboot_ends_the_rest() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = Writer::open(&folder.path().join("ledger.db"), Some("UTC")).unwrap();
        let boot = BootId("earlier".into());
        let now = Moment {
            wall: "2026-11-22T22:00:00Z".parse().unwrap(),
            monotonic: Duration::ZERO,
        };
        let (mut table, _) = Table::resume(boot.clone(), now.wall, Vec::new(), None, now);
        table.dump(&[socket(1, 100), socket(2, 200)], now);
        writer.commit(&table.take_batch().unwrap()).unwrap();

        let noted = |cookie, bytes| Note {
            boot: boot.clone(),
            heard: now.wall,
            socket: socket(cookie, bytes),
        };
        let notes = vec![noted(1, 130), noted(3, 7), noted(1, 130)];
        for _ in 0..2 {
            finish_earlier_boots(&mut writer, notes.clone(), now.wall, now).unwrap();
        }
        let cookies = [1, 2, 3].map(SocketCookie);
        let saved = writer.saved(&boot, now.wall, &cookies).unwrap();
        let told = saved.sessions.iter().map(|session| {
            let reason = session
                .closed
                .as_ref()
                .map(|closing| closing.reason.as_str());
            (
                session.id.cookie.0,
                session.total.payload.unwrap().inbound,
                reason,
            )
        });
        let expected = [
            (1, 130, Some("closed")),
            (2, 200, None),
            (3, 7, Some("closed")),
        ];
        assert_eq!(told.collect::<Vec<_>>(), expected);
    }

    /// The daemon stopped when the session's end had been told, and the line of its
    /// login had not found it yet, or had not been read.
    #[test]
    fn a_line_that_waited_at_a_stop_names_its_session_however_long_nobody_ran() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = Writer::open(&folder.path().join("ledger.db"), Some("UTC")).unwrap();
        let boot = BootId("this".into());
        let stopped: Timestamp = "2026-11-22T22:00:30Z".parse().unwrap();
        let at = |minutes: i32| Moment {
            wall: stopped + SignedDuration::from_mins(minutes.into()),
            monotonic: Duration::from_secs(60 * u64::from(minutes.unsigned_abs())),
        };
        let place = |offset| Checkpoint::File {
            path: "log".into(),
            device: 1,
            inode: 2,
            offset,
            first_line_crc: None,
        };
        let line = format!(
            "{stopped} host sshd[7]: Accepted password for alice from 192.0.2.7 port 4000 ssh2"
        );
        let clock = sshd::Clock::new(stopped, jiff::tz::TimeZone::UTC);
        let Parsed::Event(login) = sshd::parse_line(line.as_bytes(), &clock) else {
            panic!("it is a login");
        };
        let hear = |table: &mut Table, now| {
            table.hear(&login, Witness::Silent, now);
            table.read_to(place(100));
        };

        let booted = Timestamp::UNIX_EPOCH;
        let (mut table, _) = Table::resume(boot.clone(), booted, Vec::new(), None, at(0));
        table.read_to(place(0));
        hear(&mut table, at(0));
        table.ended(&socket(1, 5000), at(0));
        writer.commit(&table.take_batch().unwrap()).unwrap();

        let now = at(600);
        let since = nameless_since(writer.last_end().unwrap(), now.wall, None);
        let saved = writer.saved(&boot, since, &[]).unwrap();
        assert_eq!(saved.checkpoint, Some(place(0)), "the line is read again");
        let (mut table, _) = Table::resume(boot, booted, saved.sessions, saved.checkpoint, now);
        hear(&mut table, now);
        table.dump(&[], now);
        let written = table.take_batch().unwrap();
        assert_eq!(written.checkpoint, Some(place(100)));
        let named = written.sessions[0].login.as_ref().unwrap();
        assert_eq!(named.user.as_str(), "alice");
    }

    #[test]
    fn nobody_is_taken_up_whose_minutes_retention_may_fold_away() {
        let now: Timestamp = "2026-11-22T22:00:00Z".parse().unwrap();
        let ago = |hours: i64| now - SignedDuration::from_hours(hours);
        let since = |pause, kept: u64| {
            let kept = Duration::from_secs(kept * 3600);
            nameless_since(Some(Minute::of(ago(pause))), now, Some(kept))
        };
        assert_eq!(since(10, 24), ago(10) - NAMELESS_KEPT);
        assert_eq!(since(48, 24), ago(24) + 2 * NAMELESS_KEPT);
        assert_eq!(since(48, 0), now - NAMELESS_KEPT);
        assert_eq!(since(-1, 24), now - NAMELESS_KEPT, "a clock was put back");
        assert_eq!(nameless_since(None, now, None), now - NAMELESS_KEPT);
    }
}
