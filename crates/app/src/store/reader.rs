//! Reading the ledger, while a daemon writes it or without one.
//!
//! A reader opens the file read-only and sees one commit throughout a question.
//! In WAL mode it neither waits for the writer nor makes it wait.
//!
//! A process that writes the ledger must not open and close its file but through
//! SQLite: whichever descriptor of a file is closed, POSIX takes all locks of the
//! process on it away, SQLite's too. [`Reader::open_beside_writer`] is for it.

use std::{
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, ErrorCode, OpenFlags};
use sshmeter_core::{
    identity::HostName,
    report::{Report, Request, answer},
    time::Calendar,
};

use super::{
    answers::LedgerRows,
    distrust::{Patience, allow_tables_only},
    error::{Doing, StoreError},
    schema::{self, Format, MIGRATIONS},
    writer::refuse_foreign,
    zone::{ledger_zone, zone_named},
};

/// How long a reader waits for a lock that only recovery takes.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The ledger, open for reading.
#[derive(Debug)]
pub struct Reader {
    connection: Connection,
    patience: Patience,
    path: PathBuf,
    format: i64,
    calendar: Calendar,
    zone_name: String,
    host_name: HostName,
}

impl Reader {
    /// Opens the ledger.
    ///
    /// # Errors
    /// There is none, it may not be read, or it is no ledger this sshmeter
    /// knows.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        std::fs::metadata(path)
            .map_err(|error| StoreError::from_io(path, Doing::Reading, error))?;
        refuse_foreign(path)?;
        Self::of(path, connect(path)?)
    }

    /// The same in a process that writes the ledger.
    ///
    /// # Errors
    /// As [`Reader::open`].
    pub fn open_beside_writer(path: &Path) -> Result<Self, StoreError> {
        std::fs::metadata(path)
            .map_err(|error| StoreError::from_io(path, Doing::Reading, error))?;
        let opened = open(path).and_then(first_read);
        Self::of(
            path,
            opened.map_err(|error| StoreError::from_sqlite(path, Doing::Reading, error))?,
        )
    }

    fn of(path: &Path, (connection, patience): (Connection, Patience)) -> Result<Self, StoreError> {
        let newest = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
        let format = match schema::format_of(&connection, path, Doing::Reading, newest)? {
            Format::Empty => return Err(StoreError::Missing(path.to_owned())),
            Format::Ledger(format) if format < newest => {
                return Err(StoreError::Older {
                    path: path.to_owned(),
                    found: format,
                });
            }
            Format::Ledger(format) => format,
        };
        let zone_name = ledger_zone(&connection, path, Doing::Reading)?;
        Ok(Self {
            calendar: Calendar::new(zone_named(&zone_name)?),
            connection,
            patience,
            path: path.to_owned(),
            format,
            zone_name,
            host_name: HostName::new(""),
        })
    }

    /// Says what the host is called whose ledger it is; without it, it has no name.
    #[must_use]
    pub fn host_name(mut self, host_name: HostName) -> Self {
        self.host_name = host_name;
        self
    }

    /// The name of the zone whose hours, days and months the ledger keeps.
    #[must_use]
    pub fn zone(&self) -> &str {
        &self.zone_name
    }

    /// The calendar of that zone.
    #[must_use]
    pub fn calendar(&self) -> &Calendar {
        &self.calendar
    }

    /// The ledger's format.
    #[must_use]
    pub fn format(&self) -> i64 {
        self.format
    }

    /// Whether nothing was ever counted.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn is_empty(&self) -> Result<bool, StoreError> {
        self.connection
            .query_row(
                "SELECT NOT EXISTS (SELECT 1 FROM session) AND NOT EXISTS (SELECT 1 FROM month)",
                [],
                |row| row.get(0),
            )
            .map_err(|error| self.failed(error))
    }

    /// Answers a question.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn report(&mut self, request: &Request) -> Result<Report, StoreError> {
        let host_name = self.host_name.clone();
        self.in_snapshot(|connection, calendar| {
            answer(
                &mut LedgerRows {
                    connection,
                    calendar,
                    host_name,
                },
                request,
            )
        })
    }

    /// Runs reads that all see the same commit.
    pub(super) fn in_snapshot<T>(
        &mut self,
        work: impl FnOnce(&Connection, &Calendar) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        let Self {
            connection,
            patience,
            path,
            calendar,
            ..
        } = self;
        connection
            .transaction()
            .and_then(|transaction| {
                patience.begin(&transaction)?;
                work(&transaction, calendar)
            })
            .map_err(|error| StoreError::from_sqlite(path, Doing::Reading, error))
    }

    /// The connection, for the check of its rows.
    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// From here on one more question to the whole of the file may be asked.
    pub(super) fn begin_question(&self) -> rusqlite::Result<()> {
        self.patience.begin(&self.connection)
    }

    pub(super) fn corrupt(&self, detail: &str) -> StoreError {
        StoreError::Corrupt {
            path: self.path.clone(),
            detail: detail.to_owned(),
        }
    }

    pub(super) fn failed(&self, error: rusqlite::Error) -> StoreError {
        StoreError::from_sqlite(&self.path, Doing::Reading, error)
    }
}

pub(super) fn connect(path: &Path) -> Result<(Connection, Patience), StoreError> {
    let failed = |error| StoreError::from_sqlite(path, Doing::Reading, error);
    let connection = open(path).map_err(failed)?;
    match first_read(connection) {
        Ok(ready) => Ok(ready),
        Err(error) if is_cannot_open(&error) && !has_unsaved_log(path) => {
            // No daemon runs and SQLite may not make its -shm here: nobody
            // else writes, so the file can be read as it lies.
            let uri = immutable_uri(path);
            let flags = FLAGS | OpenFlags::SQLITE_OPEN_URI;
            Connection::open_with_flags(uri, flags)
                .and_then(first_read)
                .map_err(failed)
        }
        Err(error) if is_cannot_open(&error) => Err(StoreError::Beside(path.to_owned())),
        Err(error) => Err(failed(error)),
    }
}

const FLAGS: OpenFlags = OpenFlags::SQLITE_OPEN_READ_ONLY.union(OpenFlags::SQLITE_OPEN_NO_MUTEX);

fn open(path: &Path) -> rusqlite::Result<Connection> {
    Connection::open_with_flags(path, FLAGS)
}

/// Makes a connection ready, and reads for the first time.
fn first_read(mut connection: Connection) -> rusqlite::Result<(Connection, Patience)> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    allow_tables_only(&connection)?;
    let patience = Patience::with(&mut connection)?;
    connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok((connection, patience))
}

fn is_cannot_open(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly)
    )
}

/// Whether commits lie beside the file that are not yet in it.
fn has_unsaved_log(path: &Path) -> bool {
    let mut name = path.as_os_str().to_owned();
    name.push("-wal");
    std::fs::metadata(name).is_ok_and(|metadata| metadata.len() > 0)
}

fn immutable_uri(path: &Path) -> String {
    let mut uri = String::from("file:");
    for &byte in path.as_os_str().as_bytes() {
        if byte.is_ascii_alphanumeric() || b"/._-".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            uri.push_str(&format!("%{byte:02X}"));
        }
    }
    uri.push_str("?immutable=1");
    uri
}
