//! A look at a mirror from outside the daemon: whether it can be reached, and how
//! far it has come. Nothing is written.

use std::path::Path;

use super::{
    error::MirrorError,
    host::{self, Identity},
    schema,
    server::{Purpose, Server},
};
use crate::{
    config::MirrorConfig,
    store::{Journal, Reader, StoreError},
};

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    /// The server and its version, in words.
    pub server: String,
    /// How far this host's rows have come.
    pub state: State,
}

/// How far a host's rows have come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Nothing of this host is there.
    Nothing,
    /// A whole copy is under way.
    Copying,
    /// It goes on from there.
    Behind {
        /// Rows that changed since, at most.
        changes: i64,
        /// Seconds since the host was heard of.
        seconds: i64,
    },
    /// The next round copies all rows anew.
    ToBeCopied,
}

/// Looks at a mirror of a ledger.
///
/// # Errors
/// The server cannot be used, or the ledger not be read.
pub fn inspect(mirror: &MirrorConfig, ledger: &Path) -> Result<Inspection, MirrorError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(MirrorError::NoRuntime)?;
    let inspection = runtime.block_on(look(mirror, ledger));
    runtime.shutdown_background();
    inspection
}

async fn look(mirror: &MirrorConfig, ledger: &Path) -> Result<Inspection, MirrorError> {
    let mut server = Server::connect(&mirror.address, Purpose::Write).await?;
    let inspection = Inspection {
        server: format!("{} ({})", server.place(), server.version()),
        state: state(&mut server, mirror, ledger).await?,
    };
    server.close().await;
    Ok(inspection)
}

async fn state(
    server: &mut Server,
    mirror: &MirrorConfig,
    ledger: &Path,
) -> Result<State, MirrorError> {
    match schema::found(server).await? {
        None => return Ok(State::Nothing),
        Some(version) if version > schema::VERSION => return Err(schema::newer(server, version)),
        Some(_) => {}
    }
    let reader = match Reader::open(ledger) {
        Ok(reader) => reader,
        Err(StoreError::Missing(_)) => return Ok(State::Nothing),
        Err(error) => return Err(error.into()),
    };
    let identity = Identity::of(mirror, reader.facts()?, "");
    let Some(found) = host::find(server, &identity.ledger).await? else {
        return Ok(State::Nothing);
    };
    let goes_on = |journal: &Journal| found.goes_on(&identity, journal, journal.newest);
    Ok(match reader.journal()? {
        Some(journal) if !goes_on(&journal) => State::ToBeCopied,
        Some(_) if found.progress.copied.is_some() => State::Copying,
        Some(journal) => State::Behind {
            changes: journal.newest - found.progress.revision,
            seconds: found.seconds,
        },
        None => State::ToBeCopied,
    })
}
