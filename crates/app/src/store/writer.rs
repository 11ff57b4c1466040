//! The one writer: makes the ledger, commits batches.
//!
//! A batch is one transaction: sessions, minutes, hours, days, months and the
//! checkpoint are written together or not at all. Entries are differences, so a
//! batch whose commit succeeded must not be committed again.

use std::{
    fs::{DirBuilder, File, OpenOptions},
    io::Read as _,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    time::Duration,
};

use jiff::Timestamp;
use rusqlite::{Connection, OpenFlags, OptionalExtension as _, TransactionBehavior, params};
use sshmeter_core::{
    identity::{BootId, SocketCookie},
    ledger::{Batch, Checkpoint, SessionRecord},
    session::UNSEEN,
    time::Calendar,
    units::Minute,
};

use super::{
    amounts::AmountError,
    changes,
    commit::store_batch,
    distrust::allow_tables_only,
    error::{Doing, StoreError},
    lock::LedgerLock,
    rescue::{Connect, Files, begin_log_anew, write_anew},
    schema::{self, MIGRATIONS, OPEN},
    sessions::{RECORD_COLUMNS, record_of},
    zone::{asked_zone, ledger_zone, zone_named},
};

/// How long a commit waits for a program that holds the file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The ledger, open for writing; no other process can have it so.
#[derive(Debug)]
pub struct Writer {
    pub(super) connection: Connection,
    pub(super) path: PathBuf,
    pub(super) calendar: Calendar,
    zone_name: String,
    notices: Vec<String>,
    /// The files that are open, whatever lies at their paths by now.
    files: Files,
    newest: i64,
    /// Whether the connection notes what it changes.
    pub(super) records_changes: bool,
    lock: LedgerLock,
}

/// How files that were deleted are made again.
type Rescue = fn(&Connection, &Path, Connect<'_>) -> Result<Connection, StoreError>;

/// What a daemon goes on from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SavedState {
    /// Open sessions, and closed ones of which there may still be news.
    pub sessions: Vec<SessionRecord>,
    /// How far the log was read.
    pub checkpoint: Option<Checkpoint>,
}

impl Writer {
    /// Opens the ledger, and makes it where there is none.
    ///
    /// `zone` names the zone whose hours, days and months a new ledger keeps;
    /// without it that is the system's. A ledger that exists keeps its own,
    /// so that the figures of a closed month never move.
    ///
    /// # Errors
    /// No rights, no space, no such zone, a file that is no ledger or one of a
    /// later format, or another process that writes it.
    pub fn open(path: &Path, zone: Option<&str>) -> Result<Self, StoreError> {
        Self::open_with(path, zone, MIGRATIONS)
    }

    pub(super) fn open_with(
        path: &Path,
        zone: Option<&str>,
        migrations: &[&str],
    ) -> Result<Self, StoreError> {
        let path = made_path(path)?;
        refuse_foreign(&path)?;
        let lock = LedgerLock::take(&path)?;
        make_file(&path)?;
        let (asked_zone, mut notices) = asked_zone(zone)?;
        let newest = i64::try_from(migrations.len()).unwrap_or(i64::MAX);
        let mut connection = connect(&path, newest)?;
        schema::migrate(&mut connection, &path, migrations, |connection| {
            begin_ledger(connection, &asked_zone)
        })?;
        let zone_name = ledger_zone(&connection, &path, Doing::Writing)?;
        if zone_name != asked_zone {
            notices.push(format!(
                "the ledger's hours, days and months are those of {zone_name}, not of \
                 {asked_zone}: a ledger keeps the zone it was begun with"
            ));
        }
        let calendar = Calendar::new(zone_named(&zone_name)?);
        // Whoever opens it and knows nothing of mirrors must not leave a gap.
        let records_changes = changes::has_journal(&connection)
            .and_then(|is_there| {
                if is_there {
                    changes::watch(&connection)?;
                }
                Ok(is_there)
            })
            .map_err(|error| StoreError::from_sqlite(&path, Doing::Writing, error))?;
        let files = Files::at(&path)?;
        Ok(Self {
            connection,
            path,
            calendar,
            zone_name,
            notices,
            files,
            newest,
            records_changes,
            lock,
        })
    }

    /// The name of the ledger's zone.
    #[must_use]
    pub fn zone(&self) -> &str {
        &self.zone_name
    }

    /// What a person should know about the ledger, since the last call.
    pub fn take_notices(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notices)
    }

    /// Writes a batch, whole or not at all.
    ///
    /// # Errors
    /// Nothing of the batch is in the ledger then; commit it again later,
    /// together with what came since.
    pub fn commit(&mut self, batch: &Batch) -> Result<(), StoreError> {
        self.keep_the_files()?;
        self.in_transaction(|connection, calendar| store_batch(connection, calendar, batch))
    }

    /// Makes sure that what is written can be found again.
    pub(super) fn keep_the_files(&mut self) -> Result<(), StoreError> {
        let there = Files::at(&self.path)?;
        if there == self.files {
            return Ok(());
        }
        if there.ledger.is_some() && there.ledger != self.files.ledger {
            return Err(StoreError::Replaced(self.path.clone()));
        }
        let (rescue, what): (Rescue, _) = match there.ledger {
            None => (write_anew, "ledger"),
            Some(_) => (begin_log_anew, "write-ahead log of the ledger"),
        };
        let (path, newest, records_changes) = (&self.path, self.newest, self.records_changes);
        self.connection = rescue(&self.connection, path, &|| {
            let connection = connect(path, newest)?;
            if records_changes {
                changes::watch(&connection)
                    .map_err(|error| StoreError::from_sqlite(path, Doing::Writing, error))?;
            }
            Ok(connection)
        })?;
        self.files = Files::at(&self.path)?;
        if !self.lock.is_of(&self.path) {
            self.lock = LedgerLock::take(&self.path)?;
        }
        self.notices.push(format!(
            "the {what} {} was deleted while sshmeter counted into it; all of it was still \
             open, and it was written anew (to begin a new ledger, stop sshmeter first)",
            self.path.display()
        ));
        Ok(())
    }

    /// Runs one immediate transaction; an error leaves nothing of it.
    pub(super) fn in_transaction<T>(
        &mut self,
        work: impl FnOnce(&Connection, &Calendar) -> Result<T, AmountError>,
    ) -> Result<T, StoreError> {
        let Self {
            connection,
            path,
            calendar,
            ..
        } = self;
        let of_path = |error: AmountError| error.of(path);
        let transaction = connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(|error| of_path(error.into()))?;
        let result = work(&transaction, calendar).map_err(of_path)?;
        transaction
            .commit()
            .map_err(|error| of_path(error.into()))?;
        Ok(result)
    }

    /// What a daemon goes on from: the sessions that are open, those that
    /// closed at or after `cutoff` without a login, those of this boot whose end
    /// was a guess or is told of (`ended`) once more, and the log's place.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn saved(
        &self,
        boot: &BootId,
        cutoff: Timestamp,
        ended: &[SocketCookie],
    ) -> Result<SavedState, StoreError> {
        self.read_saved(boot, cutoff, ended)
            .map_err(|error| StoreError::from_sqlite(&self.path, Doing::Reading, error))
    }

    /// The minute in which the last session ended that the ledger has the end of.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn last_end(&self) -> Result<Option<Minute>, StoreError> {
        let last = "SELECT max(end_minute) FROM session WHERE end_minute < ?1";
        self.connection
            .query_row(last, [OPEN], |row| row.get(0))
            .map(|minute: Option<i64>| minute.map(Minute))
            .map_err(|error| StoreError::from_sqlite(&self.path, Doing::Reading, error))
    }

    fn read_saved(
        &self,
        boot: &BootId,
        cutoff: Timestamp,
        ended: &[SocketCookie],
    ) -> rusqlite::Result<SavedState> {
        let mut statement = self.connection.prepare(&format!(
            "SELECT {RECORD_COLUMNS} FROM session JOIN account ON account.id = session.account
             WHERE end_minute = ?1
                OR (end_minute >= ?2 AND account.user IS NULL AND closed_ms >= ?3)
                OR (session.boot = ?4 AND reason = ?5)
                OR (session.boot = ?4 AND session.cookie IN (SELECT value FROM json_each(?6)))
             ORDER BY session.id"
        ))?;
        let cutoff_ms = cutoff.as_millisecond();
        let ended: Vec<i64> = ended.iter().map(|cookie| cookie.0.cast_signed()).collect();
        let ended = serde_json::to_string(&ended)
            .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
        let sessions = statement
            .query_map(
                params![OPEN, Minute::of(cutoff).0, cutoff_ms, boot.0, UNSEEN, ended],
                record_of,
            )?
            .collect::<rusqlite::Result<Vec<_>>>()?;
        let checkpoint = self
            .connection
            .query_row("SELECT value FROM checkpoint", [], |row| {
                row.get::<_, String>(0)
            })
            .optional()?;
        let checkpoint = checkpoint
            .map(|text| serde_json::from_str(&text))
            .transpose()
            .map_err(|error| {
                rusqlite::Error::FromSqlConversionFailure(
                    0,
                    rusqlite::types::Type::Text,
                    Box::new(error),
                )
            })?;
        Ok(SavedState {
            sessions,
            checkpoint,
        })
    }
}

/// The ledger's real path, its folders made: two names of one file have to
/// meet at one lock.
pub(super) fn made_path(path: &Path) -> Result<PathBuf, StoreError> {
    let failed = |error| StoreError::from_io(path, Doing::Writing, error);
    if let Ok(real) = path.canonicalize() {
        return Ok(real);
    }
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    DirBuilder::new()
        .recursive(true)
        .mode(0o750)
        .create(folder)
        .map_err(failed)?;
    let name = path.file_name().ok_or_else(|| {
        failed(std::io::Error::new(
            std::io::ErrorKind::InvalidInput,
            "it names no file",
        ))
    })?;
    Ok(folder.canonicalize().map_err(failed)?.join(name))
}

/// Refuses a file that is no SQLite file before anything is made beside it.
pub(super) fn refuse_foreign(path: &Path) -> Result<(), StoreError> {
    const MAGIC: &[u8; 16] = b"SQLite format 3\0";
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(StoreError::from_io(path, Doing::Reading, error)),
    };
    let mut start = Vec::new();
    let read = file.by_ref().take(16).read_to_end(&mut start);
    match read {
        Ok(0) => Ok(()),
        Ok(_) if start == MAGIC => Ok(()),
        Ok(_) => Err(StoreError::Foreign {
            path: path.to_owned(),
            what: "not an SQLite file",
        }),
        Err(error) if error.kind() == std::io::ErrorKind::IsADirectory => {
            Err(StoreError::Foreign {
                path: path.to_owned(),
                what: "a folder",
            })
        }
        Err(error) => Err(StoreError::from_io(path, Doing::Reading, error)),
    }
}

/// Makes the file with our rights before SQLite would with its own.
pub(super) fn make_file(path: &Path) -> Result<(), StoreError> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o640)
        .open(path)
        .map(drop)
        .map_err(|error| StoreError::from_io(path, Doing::Writing, error))
}

pub(super) fn connect(path: &Path, newest: i64) -> Result<Connection, StoreError> {
    let sqlite = |error| StoreError::from_sqlite(path, Doing::Writing, error);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(sqlite)?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(sqlite)?;
    allow_tables_only(&connection).map_err(sqlite)?;
    // Before the first pragma that writes: a foreign file is left as it is.
    schema::format_of(&connection, path, Doing::Writing, newest)?;
    connection
        .query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))
        .map_err(sqlite)?;
    // A commit of ten thousand sessions writes 6 MiB of pages, most of them those of
    // the commit before: they are kept, and go into the file once for some commits. The
    // log may keep as much as it has by then.
    connection
        .execute_batch(
            "PRAGMA synchronous = FULL;
             PRAGMA foreign_keys = ON;
             PRAGMA temp_store = MEMORY;
             PRAGMA cache_size = -8192;
             PRAGMA wal_autocheckpoint = 4096;
             PRAGMA journal_size_limit = 20971520;",
        )
        .map_err(sqlite)?;
    // The first read opens the write-ahead log, so that it can be known again.
    connection
        .query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))
        .map_err(sqlite)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

/// A new ledger's facts about itself.
fn begin_ledger(connection: &Connection, zone: &str) -> rusqlite::Result<()> {
    let id: String =
        connection.query_row("SELECT lower(hex(randomblob(16)))", [], |row| row.get(0))?;
    let created: String =
        connection.query_row("SELECT strftime('%Y-%m-%dT%H:%M:%SZ', 'now')", [], |row| {
            row.get(0)
        })?;
    schema::set_meta(connection, "ledger_id", &id)?;
    schema::set_meta(connection, "created", &created)?;
    schema::set_meta(connection, "timezone", zone)
}
