//! What can be wrong with a ledger, in sentences, and what to do about it.

use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;

use crate::error::Failure;

/// Why a ledger could not be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no file.
    #[error("there is no ledger at {}: nothing has been counted yet", .0.display())]
    Missing(PathBuf),
    /// The file may not be read, or not be written.
    #[error("the ledger {} cannot be {verb}: permission denied", path.display())]
    NoRights {
        /// The ledger.
        path: PathBuf,
        /// `read` or `written`.
        verb: &'static str,
    },
    /// What a daemon has not yet moved into the file lies in files beside it,
    /// and those may not be read.
    #[error("the newest figures of the ledger {} lie beside it, where this user may not read them", .0.display())]
    Beside(PathBuf),
    /// The file is something else.
    #[error("{} is not an sshmeter ledger: it is {what}", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What it seems to be.
        what: &'static str,
    },
    /// The file is damaged.
    #[error("the ledger {} is damaged: {detail}", path.display())]
    Corrupt {
        /// The ledger.
        path: PathBuf,
        /// What SQLite or we found.
        detail: String,
    },
    /// A later sshmeter wrote it.
    #[error(
        "the ledger {} has format {found}, and this sshmeter knows formats up to {known}",
        path.display()
    )]
    Newer {
        /// The ledger.
        path: PathBuf,
        /// Its format.
        found: i64,
        /// The newest we know.
        known: i64,
    },
    /// An earlier sshmeter wrote it, and only the daemon may bring it up to date.
    #[error("the ledger {} has the older format {found}", path.display())]
    Older {
        /// The ledger.
        path: PathBuf,
        /// Its format.
        found: i64,
    },
    /// Another daemon counts into it.
    #[error("another sshmeter{} already counts into {}", holder.map(|pid| format!(" (pid {pid})")).unwrap_or_default(), path.display())]
    Held {
        /// The ledger.
        path: PathBuf,
        /// Who holds it, where that could be read.
        holder: Option<u32>,
    },
    /// Another program keeps it locked.
    #[error("the ledger {} is locked by another program", .0.display())]
    Locked(PathBuf),
    /// The disk is full.
    #[error("there is no space left for the ledger {}", .0.display())]
    NoSpace(PathBuf),
    /// The file system or the file is read-only.
    #[error("the ledger {} is on a read-only file system or is a read-only file", .0.display())]
    ReadOnly(PathBuf),
    /// The disk, or the file system on it, fails.
    #[error("the disk under the ledger {} fails ({detail})", path.display())]
    Disk {
        /// The ledger.
        path: PathBuf,
        /// SQLite's word for what it could not do.
        detail: String,
    },
    /// Another file was put in the ledger's place while it was open.
    #[error("the ledger {} was replaced by another file while sshmeter counted into it", .0.display())]
    Replaced(PathBuf),
    /// The ledger's or the config's time zone is not known here.
    #[error("there is no time zone `{0}` on this machine")]
    UnknownZone(String),
    /// An entry names a session that was never told of.
    #[error("an entry belongs to a session that is not in the ledger (cookie {cookie})")]
    UnknownSession {
        /// The session's socket.
        cookie: u64,
    },
    /// A figure that SQLite's signed 64 bits do not hold.
    #[error("a figure of {0} is too large for the ledger")]
    TooLarge(u64),
    /// The file could not be made or locked.
    #[error("the ledger {} cannot be opened: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's word.
        source: std::io::Error,
    },
    /// Anything else SQLite says.
    #[error("the ledger {} could not be used: {source}", path.display())]
    Sqlite {
        /// The ledger.
        path: PathBuf,
        /// SQLite's word.
        source: rusqlite::Error,
    },
}

/// What we were doing, which decides what a refusal means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doing {
    /// Reading.
    Reading,
    /// Writing.
    Writing,
}

impl StoreError {
    /// What SQLite's error means for this ledger.
    pub(super) fn from_sqlite(path: &Path, doing: Doing, error: rusqlite::Error) -> Self {
        let path = path.to_owned();
        let rusqlite::Error::SqliteFailure(failure, message) = &error else {
            return Self::Sqlite {
                path,
                source: error,
            };
        };
        // A full disk can also show while SQLite enlarges its shared memory.
        if failure.extended_code == rusqlite::ffi::SQLITE_IOERR_SHMSIZE {
            return Self::NoSpace(path);
        }
        match failure.code {
            ErrorCode::NotADatabase => Self::Foreign {
                path,
                what: "not an SQLite file",
            },
            ErrorCode::DatabaseCorrupt => Self::Corrupt {
                path,
                detail: message.clone().unwrap_or_else(|| failure.to_string()),
            },
            // Only a reader that lost its patience interrupts.
            ErrorCode::OperationInterrupted => Self::Corrupt {
                path,
                detail: "its pages hold more rows than a file of its size can".to_owned(),
            },
            ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => Self::Locked(path),
            ErrorCode::DiskFull => Self::NoSpace(path),
            ErrorCode::ReadOnly if doing == Doing::Writing => Self::ReadOnly(path),
            ErrorCode::SystemIoFailure => Self::Disk {
                path,
                detail: failure.to_string(),
            },
            ErrorCode::CannotOpen | ErrorCode::PermissionDenied | ErrorCode::ReadOnly => {
                Self::NoRights {
                    path,
                    verb: match doing {
                        Doing::Reading => "read",
                        Doing::Writing => "written",
                    },
                }
            }
            _ => Self::Sqlite {
                path,
                source: error,
            },
        }
    }

    /// What the system's error means for a file of the ledger.
    pub(super) fn from_io(path: &Path, doing: Doing, source: std::io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            std::io::ErrorKind::NotFound if doing == Doing::Reading => Self::Missing(path),
            std::io::ErrorKind::PermissionDenied => Self::NoRights {
                path,
                verb: match doing {
                    Doing::Reading => "read",
                    Doing::Writing => "written",
                },
            },
            std::io::ErrorKind::StorageFull => Self::NoSpace(path),
            std::io::ErrorKind::ReadOnlyFilesystem => Self::ReadOnly(path),
            _ => Self::Io { path, source },
        }
    }

    /// Whether it may pass by itself, or by somebody who makes room.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        matches!(
            self,
            Self::Locked(_) | Self::NoSpace(_) | Self::ReadOnly(_) | Self::Disk { .. }
        )
    }

    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::Missing(_) => {
                "start counting with `sshmeter run`, or name another file with --ledger"
            }
            Self::NoRights { verb: "read", .. } => "read it as root",
            Self::Beside(_) => {
                "read it as root, or let this user read the -wal and -shm files beside it, which \
                 are there while `sshmeter run` counts"
            }
            Self::NoRights { .. } => "run it as root, or choose another `ledger.path`",
            Self::Foreign { .. } => "name the right file with --ledger or `ledger.path`",
            Self::Corrupt { .. } => {
                "put back a backup with `sshmeter restore FILE`, which keeps the damaged file \
                 aside; without one, `sqlite3 LEDGER .recover` saves what can be read, and with \
                 the file moved away `sshmeter run` begins a new one"
            }
            Self::Newer { .. } => "use the sshmeter that wrote it, or a later one",
            Self::Older { .. } => "start `sshmeter run` once: it brings the ledger up to date",
            Self::Held { .. } => "stop that one first, or give this one another `ledger.path`",
            Self::Locked(_) => {
                "close the program that has it open for writing (such as `sqlite3`) and try again"
            }
            Self::NoSpace(_) => {
                "free some space; nothing is lost: what was counted is kept and written then"
            }
            Self::ReadOnly(_) => "make it writable, or choose another `ledger.path`",
            Self::Disk { .. } => {
                "the kernel's log (`dmesg`) says what is wrong with it; nothing is lost as long \
                 as sshmeter runs: what was counted is kept and written then"
            }
            Self::Replaced(_) => {
                "start `sshmeter run` again: it goes on with the file that is there now; before \
                 a ledger is moved or restored, stop it"
            }
            Self::UnknownZone(_) => {
                "zones are named like `Europe/Berlin` or `UTC`; they come with the package tzdata"
            }
            Self::UnknownSession { .. }
            | Self::TooLarge(_)
            | Self::Io { .. }
            | Self::Sqlite { .. } => return None,
        })
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let hint = error.hint();
        Self::failed(error).hint_if(hint)
    }
}
