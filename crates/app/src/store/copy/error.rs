//! Why a copy could not be made or put back, and what to do about it.

use std::{
    io,
    path::{Path, PathBuf},
};

use crate::{
    error::Failure,
    store::{StoreError, error::Doing},
};

/// Why there is no copy.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// The ledger cannot be read, or not be replaced.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The file is there.
    #[error("{} is there already", .0.display())]
    Exists(PathBuf),
    /// It is the ledger, or a part of it, by this or another name.
    #[error("{} is the ledger itself", .0.display())]
    Itself(PathBuf),
    /// It is something else than a file.
    #[error("{} is no file", .0.display())]
    NoFile(PathBuf),
    /// What SQLite would take for a part of the copy is there.
    #[error("{} is there: it would be taken for a part of the copy", .0.display())]
    Stray(PathBuf),
    /// Something is wrong with the copy that was to be put back.
    #[error("{} is not sound ({faults} faults), so the ledger was left as it is", path.display())]
    Unsound {
        /// The copy.
        path: PathBuf,
        /// How many.
        faults: u64,
    },
    /// A signal came.
    #[error("interrupted; nothing was changed")]
    Interrupted,
    /// The disk is full.
    #[error("there is no space left for {}", .0.display())]
    NoSpace(PathBuf),
    /// The system refused.
    #[error("{} cannot be written: {source}", path.display())]
    Io {
        /// The copy.
        path: PathBuf,
        /// The system's word.
        source: io::Error,
    },
}

impl CopyError {
    pub(super) fn io(target: &Path, source: io::Error) -> Self {
        let path = target.to_owned();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::NoSpace(path),
            _ => Self::Io { path, source },
        }
    }

    /// What SQLite's error means: only a full disk is the target's.
    pub(super) fn from_sqlite(source: &Path, target: &Path, error: rusqlite::Error) -> Self {
        match StoreError::from_sqlite(source, Doing::Reading, error) {
            StoreError::NoSpace(_) => Self::NoSpace(target.to_owned()),
            error => Self::Store(error),
        }
    }

    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::Store(error) => return error.hint(),
            Self::Exists(_) => "name a new file, or replace that one with --force",
            Self::Itself(_) => "name another file",
            Self::NoFile(_) => "name a file: a copy is one",
            Self::Stray(_) => {
                "it belongs to another SQLite file that had this name: move it away, or name \
                 another file"
            }
            Self::Unsound { .. } => {
                "`sshmeter --ledger FILE verify` tells what is wrong with it; restore an older \
                 backup if there is one"
            }
            Self::NoSpace(_) => "free some space, or name a file on another disk",
            Self::Interrupted | Self::Io { .. } => return None,
        })
    }
}

impl From<CopyError> for Failure {
    fn from(error: CopyError) -> Self {
        let hint = error.hint();
        Self::failed(error).hint_if(hint)
    }
}
