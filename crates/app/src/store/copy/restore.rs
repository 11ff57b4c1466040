//! Puts a copy back as the ledger.
//!
//! A write-ahead log left beside the ledger belongs to the file that was there:
//! SQLite would write it into whatever file has that name, and ruin it. So the
//! log goes aside with its own ledger before the copy comes.

use std::{
    fs, io,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown},
    path::{Path, PathBuf},
};

use jiff::Timestamp;

use super::{COMPANIONS, CopyError, Draft, Progress, copy, folder_of, with_suffix};
use crate::store::{
    Depth, Reader, StoreError, Verification, changes::end_journal, distrust::allow_tables_only,
    lock::LedgerLock, verify, writer::made_path,
};

/// What was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// Where the ledger went that was there before; `None` where there was none.
    pub aside: Option<PathBuf>,
    /// Bytes of the new one.
    pub bytes: u64,
}

/// Puts a copy back as the ledger; the ledger that is there is kept aside, by a
/// name with the time `now`. No daemon may count into it meanwhile.
///
/// # Errors
/// The copy is not sound, a daemon runs, or the files cannot be written. The
/// ledger is as it was then.
pub fn restore(
    backup: &Path,
    ledger: &Path,
    now: Timestamp,
    progress: &mut Progress<'_>,
) -> Result<Restored, CopyError> {
    let ledger = made_path(ledger)?;
    let _lock = LedgerLock::take(&ledger)?;
    if let Ok(there) = fs::metadata(backup)
        && super::is_part_of(&ledger, &there)
    {
        return Err(CopyError::Itself(ledger));
    }
    let draft = Draft::beside(&ledger)?;
    copy(backup, &draft, progress)?;
    sound(backup, &draft)?;
    let of_backup = |error| CopyError::from_sqlite(backup, &ledger, error);
    forget_journal(&draft).map_err(of_backup)?;
    let failed = |source| CopyError::io(&ledger, source);
    like_its_place(&ledger, &draft.path).map_err(failed)?;
    let bytes = draft.sync()?;
    let aside = put_aside(&ledger, now)?;
    draft
        .publish(true)
        .inspect_err(|_| take_back(&ledger, aside.as_deref()))?;
    Ok(Restored { aside, bytes })
}

/// Refuses a copy in which anything is wrong.
fn sound(backup: &Path, draft: &Draft) -> Result<(), CopyError> {
    let found = match Reader::open(&draft.path) {
        Ok(reader) => verify(&reader, Depth::Full, 0)?,
        // Its pages are sound, and the daemon will bring it up to date.
        Err(StoreError::Older { .. }) => Verification::default(),
        Err(error) => return Err(error.into()),
    };
    if found.is_sound() {
        Ok(())
    } else {
        Err(CopyError::Unsound {
            path: backup.to_owned(),
            faults: found.more,
        })
    }
}

/// A ledger that is put back is in an earlier time than what mirrors have seen of
/// it: there is no journal that leads from there to here.
fn forget_journal(draft: &Draft) -> rusqlite::Result<()> {
    let connection = draft.open()?;
    allow_tables_only(&connection)?;
    // Older formats have no list; the daemon will bring them up to date.
    if connection.table_exists(None, "change")? {
        let transaction = connection.unchecked_transaction()?;
        end_journal(&transaction)?;
        transaction.commit()?;
    }
    connection.close().map_err(|(_, error)| error)
}

/// Gives a file, and the lock that was perhaps just made, to whom the ledger
/// belongs, or its folder where there is none: the daemon may be another user.
fn like_its_place(ledger: &Path, file: &Path) -> io::Result<()> {
    let (model, mode) = match fs::metadata(ledger) {
        Ok(there) => (there.clone(), there.mode() & 0o777),
        Err(_) => (fs::metadata(folder_of(ledger))?, 0o640),
    };
    fs::set_permissions(file, fs::Permissions::from_mode(mode))?;
    for path in [file, &with_suffix(ledger, ".lock")] {
        let own = fs::metadata(path)?;
        if (own.uid(), own.gid()) != (model.uid(), model.gid()) {
            chown(path, Some(model.uid()), Some(model.gid()))?;
        }
    }
    Ok(())
}

/// Gives the ledger a second name, and moves what lies beside it to that name:
/// together they stay the ledger they were. There is no moment without a file
/// of the ledger's name, which a daemon would take for a new beginning.
fn put_aside(ledger: &Path, now: Timestamp) -> Result<Option<PathBuf>, CopyError> {
    let failed = |source| CopyError::io(ledger, source);
    let aside = match fs::metadata(ledger) {
        Ok(_) => {
            let stamp = now.strftime("%Y%m%dT%H%M%SZ");
            let aside = with_suffix(ledger, &format!(".until-{stamp}"));
            fs::hard_link(ledger, &aside).map_err(failed)?;
            Some(aside)
        }
        Err(_) => None,
    };
    for suffix in COMPANIONS {
        let beside = with_suffix(ledger, suffix);
        let moved = match &aside {
            Some(aside) if suffix != "-shm" => fs::rename(beside, with_suffix(aside, suffix)),
            // SQLite makes its index of the log anew; a log without a ledger is of no use.
            _ => fs::remove_file(beside),
        };
        match moved {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
    }
    Ok(aside)
}

/// Undoes what [`put_aside`] did, as well as it can be.
fn take_back(ledger: &Path, aside: Option<&Path>) {
    let Some(aside) = aside else { return };
    for suffix in COMPANIONS {
        let _is_back = fs::rename(with_suffix(aside, suffix), with_suffix(ledger, suffix));
    }
    let _is_gone = fs::remove_file(aside);
}
