//! Why a mirror cannot be read, in sentences, and what to do about it.

use sshmeter_core::report::printed_name;

use crate::{error::Failure, mirror::server::ServerError};

/// Why a mirror could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// There is nothing to wait with.
    #[error("no runtime can be had: {0}")]
    Runtime(std::io::Error),
    /// The server cannot be reached, or refuses.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// There are no tables of ours.
    #[error("no sshmeter has mirrored into the database {}", printed_name(.0))]
    Nothing(String),
    /// A later sshmeter made the tables.
    #[error(
        "the mirror in the database {} has format {found}, and this sshmeter knows formats up to {known}",
        printed_name(database)
    )]
    Newer {
        /// The database.
        database: String,
        /// Its format.
        found: i64,
        /// The newest we know.
        known: i64,
    },
    /// A row holds what no sshmeter writes.
    #[error("the mirror holds what no sshmeter writes: {0}")]
    Strange(String),
    /// A host's time zone is not known here.
    #[error(
        "{} keeps the hours of `{}`, a time zone that is not known on this machine",
        printed_name(host),
        printed_name(zone)
    )]
    UnknownZone {
        /// The host.
        host: String,
        /// Its zone.
        zone: String,
    },
}

impl ReadError {
    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Runtime(_) => return None,
            Self::Server(error) => return error.hint(),
            Self::Nothing(_) => {
                "name the database that the hosts' config names in `[[mirror]]`; the tables are \
                 made when `sshmeter run` first reaches it"
            }
            Self::Newer { .. } => "use the sshmeter that mirrors into it, or a later one",
            Self::Strange(_) => {
                "only sshmeter may write its tables; without them, `sshmeter run` copies \
                 everything anew"
            }
            Self::UnknownZone { .. } => {
                "time zones come with the package tzdata; update it on this machine"
            }
        };
        Some(hint.to_owned())
    }
}

impl From<ReadError> for Failure {
    fn from(error: ReadError) -> Self {
        let hint = error.hint();
        Self::failed(error).hint_if(hint)
    }
}
