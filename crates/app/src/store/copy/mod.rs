//! Whole copies of a ledger: one to keep, and one to put back.
//!
//! SQLite's online backup copies pages, and begins again when another process
//! commits in between; with commits every second a large ledger's would never
//! end. Here its source is in one read transaction throughout: it sees one
//! commit from its first page to its last, and in WAL mode makes no commit wait.
//! A copy is made under another name, and gets its own when it is whole.

mod error;
mod restore;

use std::{
    fs::{self, File, OpenOptions},
    io,
    ops::ControlFlow,
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use rusqlite::{
    Connection, OpenFlags,
    backup::{Backup, StepResult},
};
use rustix::fs::{CWD, RenameFlags, renameat_with};

pub use error::CopyError;
pub use restore::{Restored, restore};

use super::{
    StoreError,
    error::Doing,
    reader,
    schema::{Format, MIGRATIONS, format_of},
    writer::refuse_foreign,
};

/// Pages copied between two looks at whether to go on: half a MiB.
const STEP_PAGES: i32 = 128;

/// What SQLite keeps beside a file, and takes for a part of it.
const COMPANIONS: [&str; 3] = ["-wal", "-shm", "-journal"];

/// Told how many pages of how many are copied; decides whether to go on.
pub type Progress<'a> = dyn FnMut(u64, u64) -> ControlFlow<()> + 'a;

/// Copies a ledger, as it was at one commit, to a file of its own; gives the
/// file's size. An existing file is replaced only where that is asked for.
///
/// # Errors
/// Nothing is left of a copy that was not finished.
pub fn back_up(
    ledger: &Path,
    target: &Path,
    replace: bool,
    progress: &mut Progress<'_>,
) -> Result<u64, CopyError> {
    let target = free_target(ledger, target, replace)?;
    let draft = Draft::beside(&target)?;
    copy(ledger, &draft, progress)?;
    let bytes = draft.sync()?;
    draft.publish(replace)?;
    Ok(bytes)
}

/// The target's real path, where a copy may be put there.
fn free_target(ledger: &Path, target: &Path, replace: bool) -> Result<PathBuf, CopyError> {
    let Some(name) = target.file_name() else {
        return Err(CopyError::NoFile(target.to_owned()));
    };
    let target = match target.canonicalize() {
        Ok(real) => real,
        Err(_) => folder_of(target)
            .canonicalize()
            .map_err(|source| CopyError::io(target, source))?
            .join(name),
    };
    if let Ok(there) = fs::metadata(&target) {
        if is_part_of(ledger, &there) {
            return Err(CopyError::Itself(target));
        }
        if !there.is_file() {
            return Err(CopyError::NoFile(target));
        }
        if !replace {
            return Err(CopyError::Exists(target));
        }
    }
    for suffix in ["-wal", "-journal"] {
        let beside = with_suffix(&target, suffix);
        if fs::metadata(&beside).is_ok_and(|beside| beside.len() > 0) {
            return Err(CopyError::Stray(beside));
        }
    }
    Ok(target)
}

/// Whether a file is the ledger, or one that SQLite or we keep beside it, by
/// whatever name.
fn is_part_of(ledger: &Path, file: &fs::Metadata) -> bool {
    let real = ledger.canonicalize().unwrap_or_else(|_| ledger.to_owned());
    companions(&real)
        .chain([with_suffix(&real, ".lock"), real.clone()])
        .filter_map(|part| fs::metadata(part).ok())
        .any(|part| (part.dev(), part.ino()) == (file.dev(), file.ino()))
}

fn companions(path: &Path) -> impl Iterator<Item = PathBuf> {
    COMPANIONS
        .map(|suffix| with_suffix(path, suffix))
        .into_iter()
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Copies one commit of a ledger into a draft: a plain file that needs no other
/// beside it, with sound pages.
fn copy(ledger: &Path, draft: &Draft, progress: &mut Progress<'_>) -> Result<(), CopyError> {
    let source = open_source(ledger)?;
    let of_source = |error| CopyError::from_sqlite(ledger, &draft.target, error);
    let snapshot = source.unchecked_transaction().map_err(of_source)?;
    // A transaction sees nothing before its first read.
    snapshot
        .query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))
        .map_err(of_source)?;
    let mut target = draft.open().map_err(of_source)?;
    // Nobody reads a draft, and after a failure nothing is left of it.
    target
        .execute_batch("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;")
        .map_err(of_source)?;
    let backup = Backup::new(&snapshot, &mut target).map_err(of_source)?;
    loop {
        match backup.step(STEP_PAGES).map_err(of_source)? {
            StepResult::Done => break,
            StepResult::More => {}
            _ => return Err(StoreError::Locked(ledger.to_owned()).into()),
        }
        let at = backup.progress();
        let pages = |count: i32| u64::try_from(count).unwrap_or(0);
        let done = pages(at.pagecount).saturating_sub(pages(at.remaining));
        if progress(done, pages(at.pagecount)).is_break() {
            return Err(CopyError::Interrupted);
        }
    }
    drop(backup);
    target.close().map_err(|(_, error)| of_source(error))?;
    let target = draft.open().map_err(of_source)?;
    // In WAL mode a reader would want to write beside it.
    target
        .query_row("PRAGMA journal_mode = DELETE", [], |_| Ok(()))
        .map_err(of_source)?;
    let said: String = target
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .map_err(of_source)?;
    if said != "ok" {
        let detail = said.lines().last().unwrap_or_default().to_owned();
        let path = ledger.to_owned();
        return Err(StoreError::Corrupt { path, detail }.into());
    }
    target.close().map_err(|(_, error)| of_source(error))?;
    // The check may have taken a while.
    match progress(1, 1) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(CopyError::Interrupted),
    }
}

/// Opens a ledger to be copied. An older format is no hindrance: a copy is
/// wanted above all before the ledger is brought up to date.
fn open_source(path: &Path) -> Result<Connection, StoreError> {
    fs::metadata(path).map_err(|error| StoreError::from_io(path, Doing::Reading, error))?;
    refuse_foreign(path)?;
    let (connection, _) = reader::connect(path)?;
    let newest = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    match format_of(&connection, path, Doing::Reading, newest)? {
        Format::Empty => Err(StoreError::Missing(path.to_owned())),
        Format::Ledger(_) => Ok(connection),
    }
}

/// A copy that is not whole yet. Nothing is left of it unless it is published.
#[derive(Debug)]
struct Draft {
    path: PathBuf,
    target: PathBuf,
}

impl Draft {
    fn beside(target: &Path) -> Result<Self, CopyError> {
        let path = with_suffix(target, &format!(".{}.partial", std::process::id()));
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o640)
            .open(&path)
            .map_err(|source| CopyError::io(target, source))?;
        Ok(Self {
            path,
            target: target.to_owned(),
        })
    }

    fn open(&self) -> rusqlite::Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        Connection::open_with_flags(&self.path, flags)
    }

    /// Waits until the copy is on the disk; gives its size.
    fn sync(&self) -> Result<u64, CopyError> {
        File::open(&self.path)
            .and_then(|file| {
                file.sync_all()?;
                Ok(file.metadata()?.len())
            })
            .map_err(|source| CopyError::io(&self.target, source))
    }

    /// Gives the copy its own name. What had that name is gone then.
    fn publish(self, replace: bool) -> Result<(), CopyError> {
        let flags = if replace {
            RenameFlags::empty()
        } else {
            RenameFlags::NOREPLACE
        };
        renameat_with(CWD, &self.path, CWD, &self.target, flags)
            .map_err(io::Error::from)
            .and_then(|()| File::open(folder_of(&self.target))?.sync_all())
            .map_err(|source| match source.kind() {
                io::ErrorKind::AlreadyExists => CopyError::Exists(self.target.clone()),
                _ => CopyError::io(&self.target, source),
            })
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // After it got its own name there is nothing of this one.
        for path in companions(&self.path).chain([self.path.clone()]) {
            let _is_gone = fs::remove_file(path);
        }
    }
}
