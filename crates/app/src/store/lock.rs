//! One daemon a ledger.
//!
//! The lock is the kernel's (`flock` on `LEDGER.lock`), so it ends with the
//! process however that ends. The file's text names the holder and decides
//! nothing.

use std::{
    fs::{File, OpenOptions},
    io::{Read as _, Seek as _, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
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

/// The process that has the lock of a ledger, by the kernel's word; `None` where
/// none has, or where this user may not see.
#[must_use]
pub fn holder(ledger: &Path) -> Option<u32> {
    let file = File::open(lock_path(ledger)).ok()?;
    let inode = file.metadata().ok()?.ino();
    std::fs::read_to_string("/proc/locks")
        .ok()?
        .lines()
        .find_map(|line| holder_in(line, inode))
}

/// The pid in a line of /proc/locks (proc(5)), where it is of a lock on this
/// inode. The device is not compared: overlays have another one there.
fn holder_in(line: &str, inode: u64) -> Option<u32> {
    let mut fields = line.split_ascii_whitespace().skip(1);
    let is_flock = fields.next() == Some("FLOCK");
    let pid = fields.nth(2)?.parse().ok()?;
    let place = fields.next()?.rsplit_once(':')?.1;
    (is_flock && place.parse() == Ok(inode)).then_some(pid)
}

/// The lock's file beside a ledger.
fn lock_path(ledger: &Path) -> PathBuf {
    let mut name = ledger.as_os_str().to_owned();
    name.push(".lock");
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_holder_is_known_while_the_lock_is_held() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = folder.path().join("ledger.db");
        assert_eq!(holder(&ledger), None);
        let lock = LedgerLock::take(&ledger).unwrap();
        assert_eq!(holder(&ledger), Some(std::process::id()));
        drop(lock);
        assert_eq!(holder(&ledger), None);
    }

    #[test]
    fn only_a_flock_on_the_same_file_counts() {
        let line = "3: FLOCK  ADVISORY  WRITE 412 fe:00:1234 0 EOF";
        assert_eq!(holder_in(line, 1234), Some(412));
        assert_eq!(holder_in(line, 123), None);
        assert_eq!(
            holder_in("3: POSIX  ADVISORY  WRITE 412 fe:00:1234 0 EOF", 1234),
            None
        );
        assert_eq!(
            holder_in("3: -> FLOCK  ADVISORY  WRITE 413 fe:00:1234 0 EOF", 1234),
            None
        );
    }
}
