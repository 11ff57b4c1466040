//! Why the scripts' database cannot be read, in sentences, and what to do about it.

use sshmeter_core::report::printed_name;

use super::super::server::ServerError;
use crate::error::Failure;

/// Why the scripts' database could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ScriptsError {
    /// There is nothing to wait with.
    #[error("no runtime can be had: {0}")]
    Runtime(std::io::Error),
    /// The server cannot be reached, or refuses.
    #[error("the database {address} cannot be read")]
    Server {
        /// The database, without a secret.
        address: String,
        /// The server's word.
        source: Box<ServerError>,
    },
    /// The server does not say which it is.
    #[error("the server of {0} does not say which it is")]
    Nameless(String),
    /// A table is missing, or may not be read.
    #[error(
        "the database {} has no table `{table}`, or none that this user may read",
        printed_name(database)
    )]
    NoTable {
        /// The database.
        database: String,
        /// The table.
        table: &'static str,
    },
    /// A table is another program's.
    #[error(
        "the table `{table}` in the database {} has no column `{column}`: it is not the scripts'",
        printed_name(database)
    )]
    NoColumn {
        /// The database.
        database: String,
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
    },
    /// It is a view, as mirrors have.
    #[error(
        "`{table}` in the database {} is a view, and no table of the scripts",
        printed_name(database)
    )]
    View {
        /// The database.
        database: String,
        /// The view.
        table: &'static str,
    },
}

impl ScriptsError {
    pub(super) fn server(address: &str, source: ServerError) -> Self {
        Self::Server {
            address: address.to_owned(),
            source: Box::new(source),
        }
    }

    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Runtime(_) | Self::Nameless(_) => return None,
            Self::Server { source, .. } => return source.hint(),
            Self::NoTable { .. } => {
                "name the scripts' database (`sshaccount` if nobody chose another), and a user \
                 who may SELECT from `minute` and `hour`"
                    .to_owned()
            }
            Self::NoColumn { .. } => {
                "the scripts have `minute(time, user, pid, in, out)` and `hour(time, user, in, out)`"
                    .to_owned()
            }
            Self::View { .. } => {
                "a mirror's views show what sshmeter itself has counted, which would then count \
                 twice; name the database with the scripts' own tables"
                    .to_owned()
            }
        })
    }
}

impl From<ScriptsError> for Failure {
    fn from(error: ScriptsError) -> Self {
        let hint = error.hint();
        Self::failed(error).hint_if(hint)
    }
}

/// Why an import ended early.
#[derive(Debug)]
pub enum ImportError<E> {
    /// The scripts' database cannot be read.
    Reading(ScriptsError),
    /// What was read could not be taken.
    Taking(E),
}

impl<E> From<ScriptsError> for ImportError<E> {
    fn from(error: ScriptsError) -> Self {
        Self::Reading(error)
    }
}

impl<E: Into<Failure>> From<ImportError<E>> for Failure {
    fn from(error: ImportError<E>) -> Self {
        match error {
            ImportError::Reading(error) => error.into(),
            ImportError::Taking(error) => error.into(),
        }
    }
}
