//! A ledger whose file is taken away under the daemon. The kernel keeps a
//! deleted file for as long as it is open, and SQLite goes on writing into it
//! without a word; all of it would be gone with the process.
//!
//! So the path is looked at before each commit. A file that was deleted is
//! written anew from what is still open. One that was put in its place is
//! somebody's will, and is never touched.

use std::{
    ffi::OsString,
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use rusqlite::{Connection, config::DbConfig};
use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::{
    error::{Doing, StoreError},
    writer::{made_path, make_file},
};

/// Opens what lies at the ledger's path by then, as the writer wants it.
pub(super) type Connect<'a> = &'a dyn Fn() -> Result<Connection, StoreError>;

/// What the kernel knows a file by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileIdentity {
    device: u64,
    inode: u64,
}

impl FileIdentity {
    /// The file a path leads to, if any.
    pub(super) fn at(path: &Path) -> io::Result<Option<Self>> {
        match fs::metadata(path) {
            Ok(metadata) => Ok(Some(Self::of(&metadata))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) fn of(metadata: &fs::Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
        }
    }
}

/// What lies at a ledger's path and beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Files {
    /// The ledger.
    pub(super) ledger: Option<FileIdentity>,
    /// Its write-ahead log, where what was committed last is.
    pub(super) log: Option<FileIdentity>,
}

impl Files {
    /// Looks.
    pub(super) fn at(path: &Path) -> Result<Self, StoreError> {
        let find = |path: &Path| {
            FileIdentity::at(path).map_err(|error| StoreError::from_io(path, Doing::Writing, error))
        };
        Ok(Self {
            ledger: find(path)?,
            log: find(&beside(path, "-wal"))?,
        })
    }
}

/// Moves all that a deleted write-ahead log holds into the ledger, and opens it
/// with a new one. On an error the old connection goes on as it was.
pub(super) fn begin_log_anew(
    connection: &Connection,
    path: &Path,
    connect: Connect<'_>,
) -> Result<Connection, StoreError> {
    let sqlite = |error| StoreError::from_sqlite(path, Doing::Writing, error);
    let is_busy: bool = connection
        .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))
        .map_err(sqlite)?;
    if is_busy {
        return Err(StoreError::Locked(path.to_owned()));
    }
    connection
        .set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)
        .map_err(sqlite)?;
    connect()
}

/// Writes all that an open ledger holds to its path, where nothing is any more,
/// and opens that. On an error the old connection goes on as it was.
pub(super) fn write_anew(
    connection: &Connection,
    path: &Path,
    connect: Connect<'_>,
) -> Result<Connection, StoreError> {
    let io = |error| StoreError::from_io(path, Doing::Writing, error);
    made_path(path)?;
    let copy = beside(path, ".anew");
    // What an earlier try left is no longer complete.
    remove(&copy).map_err(io)?;
    make_file(&copy)?;
    connection
        .execute("VACUUM INTO ?1", [copy.to_string_lossy()])
        .map_err(|error| StoreError::from_sqlite(path, Doing::Writing, error))?;
    File::open(&copy)
        .and_then(|file| file.sync_all())
        .map_err(io)?;
    // The old connection has these open, or would make them again at its end:
    // by name they would be taken for the new file's.
    connection
        .set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)
        .map_err(|error| StoreError::from_sqlite(path, Doing::Writing, error))?;
    remove(&beside(path, "-wal")).map_err(io)?;
    remove(&beside(path, "-shm")).map_err(io)?;
    match renameat_with(CWD, &copy, CWD, path, RenameFlags::NOREPLACE) {
        Ok(()) => {}
        Err(rustix::io::Errno::EXIST) => return Err(StoreError::Replaced(path.to_owned())),
        Err(errno) => return Err(io(errno.into())),
    }
    connect().inspect_err(|_| {
        // The next try begins where this one did.
        let _ = fs::remove_file(path);
    })
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
