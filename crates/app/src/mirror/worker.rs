//! The mirror's own thread: a round now and then, and patience with a server that
//! does not answer.
//!
//! Nothing waits for it. A server that is slow or dead costs the daemon a thread
//! that sleeps, and the ledger a list of what changed.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use tokio::sync::watch;
use tracing::{debug, error, info, warn};

use super::{
    error::MirrorError,
    history::History,
    host::SILENCE,
    sender::{Sender, Task},
};
use crate::config::MirrorConfig;

/// The first pause after a failure; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest.
const LAST_PAUSE: Duration = Duration::from_secs(120);
/// How long an orderly stop waits for the last rows to be sent.
const STOP_PATIENCE: Duration = Duration::from_secs(5);
/// What no server has reached yet.
const UNKNOWN: i64 = -1;

/// All mirrors of a daemon.
#[derive(Debug, Default)]
pub struct Mirrors(Vec<Mirror>);

#[derive(Debug)]
struct Mirror {
    task: Task,
    history: History,
    reached: Arc<AtomicI64>,
    stop: watch::Sender<bool>,
    thread: thread::JoinHandle<()>,
}

impl Mirrors {
    /// Starts a thread for each mirror of the config. The ledger has to note its
    /// changes by now, and nothing may be counted into it before.
    ///
    /// # Errors
    /// The ledger cannot be read, or no thread can be had.
    pub fn start(mirrors: &[MirrorConfig], ledger: &Path, host_name: &str) -> Result<Self> {
        if mirrors.is_empty() {
            return Ok(Self::default());
        }
        let history = History::begin(ledger)?;
        let started = mirrors.iter().map(|mirror| {
            let task = Task {
                mirror: mirror.clone(),
                ledger: ledger.to_owned(),
                host_name: host_name.to_owned(),
            };
            Mirror::start(task, history.clone())
        });
        started.collect::<Result<_>>().map(Self)
    }

    /// Starts a thread anew that is gone: that can only be a fault of ours or of a
    /// library's, and it is no reason to stop counting.
    pub fn revive(&mut self) {
        for mirror in &mut self.0 {
            if !mirror.thread.is_finished() {
                continue;
            }
            error!(
                "the mirror {} ended by a fault of sshmeter's own, told above; it is begun anew",
                mirror.task.mirror.address.shown()
            );
            match Mirror::start(mirror.task.clone(), mirror.history.clone()) {
                Ok(anew) => *mirror = anew,
                Err(error) => error!("it cannot be begun, in a minute again: {error:#}"),
            }
        }
    }

    /// Whether there is any.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The revision that all servers have reached; `None` while that of one is
    /// not known.
    #[must_use]
    pub fn reached(&self) -> Option<i64> {
        let all = self.0.iter().map(|one| one.reached.load(Ordering::Relaxed));
        all.min().filter(|reached| *reached != UNKNOWN)
    }

    /// Sends what is left, for a few seconds at most, and ends the threads.
    pub async fn stop(self) {
        for mirror in &self.0 {
            // A thread that is gone has nothing to send.
            let _ = mirror.stop.send(true);
        }
        let deadline = Instant::now() + STOP_PATIENCE;
        while self.0.iter().any(|one| !one.thread.is_finished()) && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Mirror {
    fn start(task: Task, history: History) -> Result<Self> {
        let mirror = &task.mirror;
        let sender = Sender::new(task.clone(), history.clone());
        let reached = Arc::new(AtomicI64::new(UNKNOWN));
        let (stop, stopped) = watch::channel(false);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("no runtime can be had for a mirror")?;
        let worker = Worker {
            place: mirror.address.shown(),
            sender,
            interval: mirror.interval,
            reached: reached.clone(),
            stopped,
            trouble: None,
        };
        let thread = thread::Builder::new()
            .name("mirror".into())
            .spawn(move || {
                runtime.block_on(worker.run());
                // A look-up of a name may hang; it is not awaited.
                runtime.shutdown_background();
            })?;
        Ok(Self {
            task,
            history,
            reached,
            stop,
            thread,
        })
    }
}

struct Worker {
    sender: Sender,
    place: String,
    interval: Duration,
    reached: Arc<AtomicI64>,
    stopped: watch::Receiver<bool>,
    trouble: Option<Trouble>,
}

/// A failure that lasts.
struct Trouble {
    error: MirrorError,
    since: Instant,
    pause: Duration,
}

impl Worker {
    async fn run(mut self) {
        // Hosts that start together do not come together.
        let mut pause = jittered(self.interval.min(Duration::from_secs(10)) / 5);
        let mut heard = Instant::now();
        loop {
            let is_last = self.stopped_within(pause).await;
            let is_due = self.trouble.is_some() || heard.elapsed() >= SILENCE;
            match self.sender.has_news() {
                Ok(false) if !is_due && self.knows() => pause = jittered(self.interval),
                Err(error) => pause = self.failed(error),
                Ok(_) => {
                    pause = match self.sender.round().await {
                        Ok(sent) => {
                            heard = Instant::now();
                            debug!(rows = sent.rows, "mirrored to {}", self.place);
                            self.went_well(sent.revision);
                            jittered(self.interval)
                        }
                        Err(error) => self.failed(error),
                    };
                }
            }
            if is_last {
                return;
            }
        }
    }

    /// Waits, and gives whether the daemon stops.
    async fn stopped_within(&mut self, pause: Duration) -> bool {
        let stop = self.stopped.wait_for(|stopped| *stopped);
        tokio::time::timeout(pause, stop).await.is_ok()
    }

    fn knows(&self) -> bool {
        self.reached.load(Ordering::Relaxed) != UNKNOWN
    }

    fn went_well(&mut self, revision: i64) {
        self.reached.store(revision, Ordering::Relaxed);
        if let Some(trouble) = self.trouble.take() {
            info!(
                "{} is up to date again after {} s; nothing was lost",
                self.place,
                trouble.since.elapsed().as_secs()
            );
        }
    }

    /// Tells a failure when it is new, and gives how long to wait.
    fn failed(&mut self, error: MirrorError) -> Duration {
        let before = self.trouble.take();
        if !before.as_ref().is_some_and(|it| it.error.is_like(&error)) {
            let hint = error.hint().map(|hint| format!(" ({hint})"));
            warn!(
                "{} lags behind, the ledger keeps all: {error}{}",
                self.place,
                hint.unwrap_or_default()
            );
        }
        let (since, pause) = match before {
            Some(before) => (before.since, (before.pause * 2).min(LAST_PAUSE)),
            None => (Instant::now(), FIRST_PAUSE),
        };
        self.trouble = Some(Trouble {
            error,
            since,
            pause,
        });
        jittered(pause)
    }
}

/// A pause that differs from host to host and from time to time, by a tenth each
/// way, so that many hosts do not come at once.
fn jittered(pause: Duration) -> Duration {
    pause.mul_f64(rand::random_range(0.9..1.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_stay_near_what_was_asked() {
        for _ in 0..1000 {
            let pause = jittered(Duration::from_secs(60));
            assert!((54..=66).contains(&pause.as_secs()), "{pause:?}");
        }
    }
}
