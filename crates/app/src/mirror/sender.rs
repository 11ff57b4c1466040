//! One round: connects, learns how far the server has come, and brings it up to
//! the ledger's last commit, a transaction at a time.
//!
//! A round may be cut off at any instant and begun again. It reads the ledger as
//! anybody does, in short snapshots, and never makes the daemon wait.

use std::{path::PathBuf, time::Duration};

use tracing::{debug, info, warn};

use super::{
    batch,
    error::MirrorError,
    history::History,
    host::{self, HostRow, Identity, Progress},
    schema,
    server::{Purpose, Server, ServerError},
    turn::Turn,
};
use crate::{
    config::MirrorConfig,
    store::{Journal, Reader, Table},
};

/// Rows in one transaction.
const BATCH_ROWS: usize = 2_000;
/// How often a transaction that met another one is tried again before its round
/// is given up.
const CONFLICTS: u32 = 20;

/// What a mirror is told to do.
#[derive(Clone, Debug)]
pub struct Task {
    /// Where to send.
    pub mirror: MirrorConfig,
    /// What to send.
    pub ledger: PathBuf,
    /// What the host is called.
    pub host_name: String,
}

/// Sends rounds of one mirror: when the daemon's own thread says so, or who else
/// has a ledger to send.
#[derive(Debug)]
pub struct Sender {
    task: Task,
    /// The revision that the server has reached, as far as it has told us.
    reached: Option<Reached>,
    history: History,
    notice: Option<String>,
    /// Which of the address's servers did last time.
    place: usize,
}

/// How far a server has come.
#[derive(Clone, Debug)]
struct Reached {
    journal: String,
    revision: i64,
}

/// What a round came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Rows written or deleted.
    pub rows: usize,
    /// The revision that the server has reached.
    pub revision: i64,
}

impl Sender {
    /// For a ledger that notes its changes by now.
    #[must_use]
    pub fn new(task: Task, history: History) -> Self {
        Self {
            task,
            reached: None,
            history,
            notice: None,
            place: 0,
        }
    }

    /// The newest revision in the ledger, if the server does not have it yet.
    pub(super) fn has_news(&self) -> Result<bool, MirrorError> {
        let journal = self.journal(&Reader::open_beside_writer(&self.task.ledger)?)?;
        let has_all =
            |reached: &Reached| reached.journal == journal.id && reached.revision == journal.newest;
        Ok(!self.reached.as_ref().is_some_and(has_all))
    }

    /// Runs a round, within a Tokio runtime.
    ///
    /// # Errors
    /// The server, the ledger, or another machine with a copy of it. What was
    /// committed before stays, and the next round goes on from there.
    pub async fn round(&mut self) -> Result<Sent, MirrorError> {
        let connecting =
            Server::connect_from(&self.task.mirror.address, Purpose::Write, self.place);
        let mut server = connecting.await?;
        self.place = server.index();
        let sent = self.send(&mut server).await;
        if matches!(sent, Err(MirrorError::Server(_))) {
            // It let us in and could not serve us: perhaps another one can.
            self.place += 1;
        }
        server.close().await;
        sent
    }

    async fn send(&mut self, server: &mut Server) -> Result<Sent, MirrorError> {
        host::settle_session(server).await?;
        let mut conflicts = 0;
        let mut rows = 0;
        let mut limit = BATCH_ROWS;
        loop {
            match self.attempt(server, limit, &mut rows).await {
                Ok(reached) => {
                    let revision = reached.revision;
                    self.reached = Some(reached);
                    return Ok(Sent { rows, revision });
                }
                Err(error) if error.is_momentary() && conflicts < CONFLICTS => {
                    debug!("once more: {error}");
                    conflicts += 1;
                    // The transaction may be over already.
                    server.run("ROLLBACK").await?;
                    let pause = rand::random_range(5..50) * u64::from(conflicts);
                    tokio::time::sleep(Duration::from_millis(pause)).await;
                }
                Err(MirrorError::Server(ServerError::TooLarge { .. })) if limit > 1 => {
                    limit = limit.min(batch::STATEMENT_ROWS) / 2;
                    server.run("ROLLBACK").await?;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Brings the server up to date, from what it says itself that it has.
    async fn attempt(
        &mut self,
        server: &mut Server,
        limit: usize,
        rows: &mut usize,
    ) -> Result<Reached, MirrorError> {
        let notice = schema::ensure(server).await?;
        if notice.is_some() && self.notice != notice {
            let words = notice.as_deref().unwrap_or_default();
            warn!("{}: {words}", self.task.mirror.address.shown());
            self.notice = notice;
        }
        let mut reader = Reader::open_beside_writer(&self.task.ledger)?;
        let journal = self.journal(&reader)?;
        let identity = Identity::of(&self.task.mirror, reader.facts()?, &self.task.host_name);
        let mut row = HostRow::enter(server, &identity).await?;
        if !row.goes_on(&identity, &journal, self.history.newest()) {
            if !row.progress.journal.is_empty() {
                info!(
                    "{}: this host's rows are copied anew, as the server and the ledger do not \
                     know the same past",
                    self.task.mirror.address.shown()
                );
            }
            row.progress = Progress {
                journal: journal.id.clone(),
                revision: journal.newest,
                copied: Some((Table::ALL[0], None)),
                resolution: identity.resolution.word().to_owned(),
            };
        }
        let mut turn = Turn {
            server,
            identity: &identity,
            resolution: self.task.mirror.resolution,
            limit,
            rows,
            history: &self.history,
        };
        while let Some((table, after)) = row.progress.copied {
            row = turn.copy(&mut reader, row, table, after).await?;
        }
        loop {
            let (next, more) = turn.changes(&mut reader, row).await?;
            row = next;
            if !more {
                return Ok(Reached {
                    journal: row.progress.journal,
                    revision: row.progress.revision,
                });
            }
        }
    }

    fn journal(&self, reader: &Reader) -> Result<Journal, MirrorError> {
        reader.journal()?.ok_or(MirrorError::NotNoted)
    }
}
