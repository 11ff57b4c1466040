//! What can go wrong between a ledger and its mirror, in sentences, and what to
//! do about it.

use std::mem::discriminant;

use sshmeter_core::report::printed_name;

use super::server::ServerError;
use crate::{error::Failure, store::StoreError};

/// Why a mirror could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum MirrorError {
    /// The server, or the way there.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// The ledger.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A newer sshmeter made the tables.
    #[error(
        "the tables at {place} are of version {found}, and this sshmeter knows versions up to \
         {known}"
    )]
    Newer {
        /// The server.
        place: String,
        /// Their version.
        found: i64,
        /// The newest we know.
        known: i64,
    },
    /// Another machine has a copy of this ledger, and mirrors it.
    #[error(
        "another machine, {}, mirrors a copy of this ledger: figures of two machines would be \
         mixed up",
        printed_name(.0)
    )]
    Twin(
        /// What it calls itself.
        String,
    ),
    /// Somebody else wrote this host's rows in between.
    #[error("this host's rows were written by another connection meanwhile")]
    Overtaken,
    /// A single row is larger than the server takes.
    #[error("a single row of the table {table} is larger than the server takes: {source}")]
    RowTooLarge {
        /// The table.
        table: &'static str,
        /// The server's word.
        source: ServerError,
    },
    /// The system has nothing left to wait with.
    #[error("no runtime can be had: {0}")]
    NoRuntime(std::io::Error),
    /// The ledger does not note what changes.
    #[error("the ledger does not note its changes: it is not written by a daemon with mirrors")]
    NotNoted,
}

impl MirrorError {
    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Server(error) => error.hint(),
            Self::Store(error) => error.hint().map(str::to_owned),
            Self::Newer { .. } => Some(
                "update sshmeter here; until then all is kept in this host's ledger".to_owned(),
            ),
            Self::Twin(_) => Some(
                "if one of the two is a copy of the other, stop sshmeter on the copy, move its \
                 ledger away and start it again: a new ledger is a new host; if the ledger has \
                 moved here, wait some minutes"
                    .to_owned(),
            ),
            Self::RowTooLarge { .. } => Some("raise max_allowed_packet on the server".to_owned()),
            Self::Overtaken | Self::NoRuntime(_) | Self::NotNoted => None,
        }
    }

    /// Whether it is the same that was told before, whatever a server's words are.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Server(one), Self::Server(other)) => one.is_like(other),
            _ => discriminant(self) == discriminant(other),
        }
    }

    /// Whether the same is worth trying again at once.
    pub(super) fn is_momentary(&self) -> bool {
        matches!(
            self,
            Self::Server(ServerError::Conflict { .. }) | Self::Overtaken
        )
    }
}

impl From<MirrorError> for Failure {
    fn from(error: MirrorError) -> Self {
        let hint = error.hint();
        Self::failed(error).hint_if(hint)
    }
}
