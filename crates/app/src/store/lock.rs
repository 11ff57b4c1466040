//! One daemon a ledger.
//!
//! The lock is the kernel's (`flock` on `LEDGER.lock`), so it ends with the
//! process however that ends. The file's text names the holder and decides
//! nothing.

use std::{
    fs::{File, OpenOptions},
    io::{Read as _, Seek as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use rustix::fs::{FlockOperation, flock};

use super::{
    error::{Doing, StoreError},
    rescue::FileIdentity,
};

/// The lock; held for as long as this lives.
#[derive(Debug)]
pub(super) struct LedgerLock {
    file: File,
}

impl LedgerLock {
    /// Takes the lock on a ledger, or says who has it.
    pub(super) fn take(ledger: &Path) -> Result<Self, StoreError> {
        let path = lock_path(ledger);
        let failed = |source| StoreError::from_io(ledger, Doing::Writing, source);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o640)
            .open(&path)
            .map_err(failed)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let mut text = String::new();
                let read = file.read_to_string(&mut text);
                return Err(StoreError::Held {
                    path: ledger.to_owned(),
                    holder: read.ok().and_then(|_| text.trim().parse().ok()),
                });
            }
            Err(errno) => return Err(failed(errno.into())),
        }
        // A full disk takes away the holder's name, not the lock.
        let _ = file
            .set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "{}", std::process::id()));
        Ok(Self { file })
    }

    /// Whether a ledger's lock is still this one: its file can be deleted too.
    pub(super) fn is_of(&self, ledger: &Path) -> bool {
        let ours = self.file.metadata().map(|it| FileIdentity::of(&it)).ok();
        ours.is_some() && FileIdentity::at(&lock_path(ledger)).is_ok_and(|found| found == ours)
    }
}

/// The lock's file beside a ledger.
fn lock_path(ledger: &Path) -> PathBuf {
    let mut name = ledger.as_os_str().to_owned();
    name.push(".lock");
    PathBuf::from(name)
}
