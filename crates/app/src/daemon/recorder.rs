//! The ledger's own thread: it alone writes, so a slow disk never holds up
//! counting.

use std::{sync::mpsc as jobs, thread};

use anyhow::{Context as _, Result};
use jiff::Timestamp;
use sshmeter_core::ledger::Batch;
use tokio::sync::mpsc as outcomes;
use tracing::warn;

use crate::{
    config::Retention,
    store::{Forgotten, StoreError, Writer},
};

enum Job {
    Commit(Batch),
    Retain(Timestamp, Retention),
    Forget(i64),
}

/// How a job went.
#[derive(Debug)]
pub(super) enum Outcome {
    /// A batch is in the ledger, or nothing of it is.
    Committed(Result<(), StoreError>),
    /// Old rows were deleted; whether more wait to be.
    Retained(Result<bool>),
    /// Changes that all mirrors have were forgotten.
    Forgotten(Result<Forgotten, StoreError>),
}

/// The thread's other end.
#[derive(Debug)]
pub(super) struct Recorder {
    jobs: jobs::Sender<Job>,
    outcomes: outcomes::UnboundedReceiver<Outcome>,
    pending: usize,
    thread: thread::JoinHandle<()>,
}

impl Recorder {
    pub(super) fn start(mut writer: Writer) -> Result<Self> {
        let (jobs, incoming) = jobs::channel();
        let (outgoing, outcomes) = outcomes::unbounded_channel();
        let thread = thread::Builder::new()
            .name("ledger".into())
            .spawn(move || {
                for job in incoming {
                    let outcome = match job {
                        Job::Commit(batch) => Outcome::Committed(writer.commit(&batch)),
                        Job::Retain(now, retention) => {
                            let retained = writer.retain(now, &retention);
                            Outcome::Retained(retained.map(|it| it.more).map_err(Into::into))
                        }
                        Job::Forget(up_to) => Outcome::Forgotten(writer.forget_changes(up_to)),
                    };
                    for notice in writer.take_notices() {
                        warn!("{notice}");
                    }
                    if outgoing.send(outcome).is_err() {
                        return;
                    }
                }
            })?;
        Ok(Self {
            jobs,
            outcomes,
            pending: 0,
            thread,
        })
    }

    pub(super) fn commit(&mut self, batch: Batch) {
        self.give(Job::Commit(batch));
    }

    pub(super) fn retain(&mut self, now: Timestamp, retention: Retention) {
        self.give(Job::Retain(now, retention));
    }

    /// Forgets changes up to a revision that all mirrors have reached, and what
    /// is too much to be kept.
    pub(super) fn forget(&mut self, up_to: i64) {
        self.give(Job::Forget(up_to));
    }

    /// Closes the ledger, so that all of it is in its one file. Without this it
    /// is as whole, but for a part in the write-ahead log beside it.
    pub(super) fn close(self) {
        drop(self.jobs);
        if self.thread.join().is_err() {
            warn!("the ledger's thread did not end well");
        }
    }

    /// Whether an answer is still owed.
    pub(super) fn is_busy(&self) -> bool {
        self.pending > 0
    }

    fn give(&mut self, job: Job) {
        // Should the thread be gone, `outcome` says so.
        if self.jobs.send(job).is_ok() {
            self.pending += 1;
        }
    }

    /// The next answer; waits for as long as nothing was given.
    ///
    /// # Errors
    /// Where the thread is gone, or the ledger is another one by now.
    pub(super) async fn outcome(&mut self) -> Result<Outcome> {
        let outcome = self
            .outcomes
            .recv()
            .await
            .context("the ledger's thread is gone")?;
        self.pending -= 1;
        match outcome {
            Outcome::Committed(Err(error @ StoreError::Replaced(_))) => Err(error.into()),
            outcome => Ok(outcome),
        }
    }
}
