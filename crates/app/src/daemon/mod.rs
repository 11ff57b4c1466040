//! The loop that drives sources, sessions, meter and ledger.
//!
//! Everything that can happen is one [`Happening`]; [`Daemon::next`] waits for
//! it and [`Daemon::handle`] acts on it. The decisions are the core's
//! (`session::Table`); this folder only carries: lines and sockets in, batches
//! out.

mod beside;
mod clock;
mod counting;
mod ear;
mod gaps;
mod hearing;
mod inquiry;
mod keeping;
mod opening;
mod recorder;
mod refusals;
mod service;
mod survey;
mod trouble;

use std::time::Duration;

use anyhow::{Context as _, Result};
use sshmeter_core::{ledger::Checkpoint, session::Table};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::mpsc,
};
use tracing::{debug, error, info, warn};

use self::{
    clock::{Clock, Due, Schedule},
    gaps::Gaps,
    inquiry::{Answers, Inquiry},
    keeping::NoteBook,
    recorder::{Outcome, Recorder},
    refusals::Refusals,
    survey::{Findings, Questions, Survey},
    trouble::Trouble,
};
use crate::{
    config::{Config, MeterConfig},
    kernel::{meter::Meter, sockdiag::Dump},
    mirror::Mirrors,
    source::{self, Choice, Delivery},
};

pub use opening::{Opening, open};

use self::ear::hear;

/// After news, how long until it is written: long enough for a burst to share
/// one commit, short enough that a crash loses little of what only we know.
const COMMIT_DELAY: Duration = Duration::from_secs(1);
/// After a login whose connection is not known yet, how long until we look.
const LOOK_DELAY: Duration = Duration::from_millis(200);
/// After a failed commit or reading, how long until the next try.
const RETRY_DELAY: Duration = Duration::from_secs(5);
/// How many deliveries of lines may wait before the source does.
const DELIVERIES: usize = 16;
/// How long an orderly stop waits for the ledger.
const STOP_PATIENCE: Duration = Duration::from_secs(20);

/// The running daemon.
pub struct Daemon {
    config: Config,
    clock: Clock,
    schedule: Schedule,
    table: Table,
    meter: Box<dyn Meter>,
    notes: NoteBook,
    gaps: Gaps,
    survey: Survey,
    inquiry: Inquiry,
    recorder: Recorder,
    mirrors: Mirrors,
    /// It was told that more changes wait than are kept.
    mirror_may_lack_changes: bool,
    refusals: Refusals,
    source: Choice,
    log: mpsc::Receiver<Delivery>,
    /// The log is not followed until it is tried again.
    source_is_down: bool,
    ledger_trouble: Trouble,
    meter_trouble: Trouble,
    source_trouble: Trouble,
    signals: Signals,
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }
}

/// All that can happen to a daemon.
enum Happening {
    /// The log has something to say.
    Log(Delivery),
    /// The task that follows the log is gone.
    LogEnded,
    /// Connections ended.
    Endings,
    /// It is time for something.
    Due(Due),
    /// The ledger answered.
    Written(Outcome),
    /// A survey of ports and owners is done.
    Surveyed(Findings),
    /// The kernel's word on names came.
    Answered(Answers),
    /// SIGHUP.
    Reload,
    /// SIGTERM or SIGINT.
    Stop,
}

impl Daemon {
    /// Counts until it is told to stop; then takes a last reading and writes it.
    ///
    /// # Errors
    /// Where the kernel can no longer be read, or the last figures could not be
    /// written.
    pub async fn run(mut self, reload: impl Fn() -> Option<Config>) -> Result<()> {
        // A kill from here on finds all that was there at the start, and the
        // log's place, in the ledger.
        self.commit();
        if self.recorder.is_busy() {
            let outcome = self.recorder.outcome().await?;
            self.written(outcome);
        }
        service::ready();
        loop {
            match self.next().await? {
                Happening::Stop => return self.stop().await,
                Happening::Reload => self.reload(&reload),
                happening => self.handle(happening),
            }
        }
    }

    async fn next(&mut self) -> Result<Happening> {
        let happening = tokio::select! {
            _ = self.signals.terminate.recv() => Happening::Stop,
            _ = self.signals.interrupt.recv() => Happening::Stop,
            _ = self.signals.hangup.recv() => Happening::Reload,
            outcome = self.recorder.outcome() => Happening::Written(outcome?),
            ended = self.meter.queue().ready() => { ended?; Happening::Endings }
            due = self.schedule.next() => Happening::Due(due),
            findings = self.survey.findings() => Happening::Surveyed(findings?),
            answers = self.inquiry.answers() => Happening::Answered(answers?),
            delivery = self.log.recv(), if !self.source_is_down => {
                delivery.map_or(Happening::LogEnded, Happening::Log)
            }
        };
        Ok(happening)
    }

    fn handle(&mut self, happening: Happening) {
        match happening {
            Happening::Log(delivery) => self.hear(delivery),
            Happening::LogEnded => self.source_failed("what followed it ended unasked"),
            Happening::Endings => self.take_endings(),
            Happening::Due(Due::Sample) => self.sample(),
            Happening::Due(Due::Commit) => self.commit(),
            Happening::Due(Due::Source) => self.follow(self.table.heard_to().cloned()),
            Happening::Written(outcome) => self.written(outcome),
            Happening::Due(Due::Watchdog) => service::alive(),
            Happening::Surveyed(findings) => self.surveyed(findings),
            Happening::Answered(answers) => self.take_answers(&answers),
            Happening::Due(Due::Inquiry) => self.inquire(),
            Happening::Due(Due::Rules) => self.count_sessions(),
            Happening::Reload | Happening::Stop => {}
        }
        if self.table.has_news() {
            self.schedule.commit_within(COMMIT_DELAY);
        }
        self.sessions_may_have_changed();
        self.tell_refusals();
    }

    fn tell_refusals(&mut self) {
        for refusal in self.table.take_refusals() {
            self.refusals.tell(refusal.kind(), refusal);
        }
    }

    /// Ends before the dump belong to the minute that ends with it.
    fn sample(&mut self) {
        if !self.read_connections() {
            self.schedule.sample_failed(RETRY_DELAY);
            return;
        }
        let now = self.clock.now();
        let minute_ended = self.schedule.sampled(self.config.meter.pause(), now);
        if minute_ended {
            self.minute_ended();
        } else if self.table.awaited().next().is_some() {
            self.look_around();
        }
        self.inquire();
        if self.table.has_news() {
            self.commit();
        }
    }

    /// Takes ends and a dump; gives whether the kernel answered. When it does
    /// not, nothing is lost: its counters go on, and so do we.
    fn read_connections(&mut self) -> bool {
        self.take_endings();
        let read = self.list_connections();
        match &read {
            Ok(dump) => {
                debug!(connections = dump.sockets.len(), "sample");
                self.take_dump(dump);
                self.tell_notices();
                if self.meter_trouble.is_over() {
                    info!("the kernel tells of connections again");
                }
            }
            Err(error) => {
                let words = format!("{error:#}");
                if self.meter_trouble.begins(words.clone()) {
                    warn!(
                        "connections cannot be read; tried again every {} s: {words}",
                        RETRY_DELAY.as_secs()
                    );
                }
            }
        }
        read.is_ok()
    }

    fn list_connections(&mut self) -> Result<Dump> {
        self.table.asked_for_a_dump(self.clock.now());
        self.meter.connections()
    }

    /// What is done once a minute, beside counting.
    fn minute_ended(&mut self) {
        self.refusals.sum_up();
        self.inquiry.about_all();
        self.gaps.minute_ended();
        self.look_around();
        // A checkpoint that moved without news is written now and then.
        self.commit();
        if self.schedule.retention_is_due() {
            self.retain();
        }
        self.mirrors.revive();
        self.forget_changes();
    }

    /// What all mirrors have need not be noted any more.
    fn forget_changes(&mut self) {
        if !self.mirrors.is_empty() {
            self.recorder.forget(self.mirrors.reached().unwrap_or(0));
        }
    }

    /// Old rows go a piece at a time, so that commits come in between.
    fn retain(&mut self) {
        let now = self.clock.now().wall;
        self.recorder.retain(now, self.config.ledger.retention);
    }

    /// Takes the ends that wait; where some were missed, connections are read
    /// anew.
    fn take_endings(&mut self) {
        let now = self.clock.now().wall;
        let heard = hear(&mut *self.meter, &mut self.notes, &mut self.gaps, now);
        let now = self.clock.now();
        for socket in &heard.sockets {
            self.table.ended(socket, now);
        }
        self.tell_notices();
        if heard.overruns + heard.strange > 0 {
            self.schedule.sample_within(LOOK_DELAY);
        }
    }

    fn take_dump(&mut self, dump: &Dump) {
        let now = self.clock.now();
        if dump.is_complete {
            self.table.dump(&dump.sockets, now);
        } else {
            self.table.partial_dump(&dump.sockets, now);
        }
        self.rules_removed(dump.removed.clone());
        self.gaps.interrupted(dump.interruptions, dump.is_complete);
    }

    fn commit(&mut self) {
        if self.schedule.commits_are_held() {
            return;
        }
        if let Some(batch) = self.table.take_batch() {
            self.notes.batch_taken();
            self.recorder.commit(batch);
        }
    }

    fn written(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Committed(Ok(())) => {
                self.table.committed();
                self.notes.committed();
                if self.ledger_trouble.is_over() {
                    info!("the ledger can be written again; nothing was lost");
                }
            }
            Outcome::Committed(Err(error)) => {
                self.table.failed();
                self.schedule.hold_commits(RETRY_DELAY);
                let words = error.to_string();
                if self.ledger_trouble.begins(words.clone()) {
                    warn!("{words}; figures are kept in memory until it can");
                }
            }
            Outcome::Retained(Ok(more)) => {
                if more {
                    self.retain();
                }
            }
            Outcome::Retained(Err(error)) => {
                warn!("old rows could not be deleted, later again: {error:#}");
            }
            Outcome::Forgotten(Ok(forgotten)) => {
                if forgotten.unseen && !self.mirror_may_lack_changes {
                    self.mirror_may_lack_changes = true;
                    warn!(
                        "a mirror lags behind by more changes than are kept; all rows may have \
                         to be copied to it"
                    );
                }
                if forgotten.more {
                    self.forget_changes();
                }
            }
            Outcome::Forgotten(Err(error)) => {
                debug!("old changes could not be forgotten, later again: {error}");
            }
        }
    }

    /// Looks for ports that sshd serves by now, and for the owners of those
    /// whom the log has not named.
    fn look_around(&mut self) {
        let awaited = self.table.awaited().collect();
        let owners = self.table.nameless().next().is_some();
        self.survey.begin(Questions { awaited, owners });
    }

    fn surveyed(&mut self, findings: Findings) {
        for owner in &findings.owners {
            self.table.adopt(owner);
        }
        let found = match findings.ports {
            Ok(found) => found,
            Err(error) => {
                warn!("sshd's ports could not be looked for: {error:#}");
                return;
            }
        };
        let new = self.survey.know(found.all());
        if !new.is_empty() {
            info!("sshd serves {} too", port_list(&new));
            self.watch_ports();
        }
    }

    fn watch_ports(&mut self) {
        if let Err(error) = self.meter.watch(&self.survey.watched()) {
            warn!("{error:#}");
        }
        self.schedule.sample_within(Duration::ZERO);
    }

    /// The log is followed no more; it is tried again, ever more rarely.
    fn source_failed(&mut self, cause: &str) {
        if self.source_trouble.begins(cause.to_owned()) {
            error!("the log cannot be followed, bytes are counted on: {cause}; tried again");
        }
        self.source_is_down = true;
        self.schedule.follow_within(self.source_trouble.pause());
    }

    /// Follows the log from a place; the task ends when its listener does.
    fn follow(&mut self, from: Option<Checkpoint>) {
        let (sender, log) = mpsc::channel(DELIVERIES);
        tokio::spawn(source::follow(self.source.clone(), from, sender));
        self.log = log;
        self.source_is_down = false;
    }

    fn reload(&mut self, read: impl Fn() -> Option<Config>) {
        let Some(config) = read() else {
            warn!("the config has a mistake; the running one stays");
            return;
        };
        if config.source != self.config.source
            || config.ledger.path != self.config.ledger.path
            || config.ledger.timezone != self.config.ledger.timezone
            || config.meter.kind != self.config.meter.kind
            || config.host != self.config.host
            || config.mirrors != self.config.mirrors
        {
            warn!(
                "host, source, meter.kind, ledger.path, ledger.timezone and mirrors change with \
                 the next start"
            );
        }
        let kind = self.config.meter.kind;
        self.survey.configure(config.meter.ports.as_deref());
        self.config.meter = MeterConfig {
            kind,
            ..config.meter
        };
        self.config.ledger.retention = config.ledger.retention;
        self.watch_ports();
        info!("config read again");
    }

    async fn stop(mut self) -> Result<()> {
        service::stopping();
        while let Ok(delivery) = self.log.try_recv() {
            self.hear(delivery);
        }
        // Twice: who ends under the first list is named by the lines that wait after
        // the second.
        self.read_connections();
        self.read_connections();
        self.take_endings();
        self.tell_refusals();
        self.refusals.sum_up();
        let written = tokio::time::timeout(STOP_PATIENCE, self.write_all()).await;
        written.context("the ledger did not take the last figures in time")??;
        std::mem::take(&mut self.mirrors).stop().await;
        self.recorder.close();
        if !self.config.meter.keep_rules {
            self.meter.leave()?;
        }
        Ok(())
    }

    /// Writes until nothing waits. A commit that was under way may fail, since
    /// it goes whole with the next; a failure of one begun here is final.
    async fn write_all(&mut self) -> Result<()> {
        let mut begun_here = false;
        loop {
            if let Some(batch) = self.table.take_batch() {
                self.notes.batch_taken();
                self.recorder.commit(batch);
                begun_here = true;
            } else if !self.recorder.is_busy() {
                return Ok(());
            }
            match self.recorder.outcome().await? {
                Outcome::Committed(Err(error)) if begun_here => {
                    return Err(error).context(
                        "the last figures could not be written; the next start reads from the \
                         kernel what is still connected by then",
                    );
                }
                // The rest of the old rows is the next start's.
                Outcome::Retained(_) | Outcome::Forgotten(_) => {}
                outcome @ Outcome::Committed(_) => self.written(outcome),
            }
        }
    }
}

/// `port 22` or `ports 22, 2222`.
#[must_use]
pub fn port_list(ports: &[u16]) -> String {
    let word = if ports.len() == 1 { "port" } else { "ports" };
    let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
    format!("{word} {}", ports.join(", "))
}
