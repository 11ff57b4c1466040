//! The ledger's tables, and how older ones are brought up to date.
//!
//! All tables are STRICT: a sum that would outgrow SQLite's signed 64 bits is
//! an error there, never a rounded number. Figures are NULL where unknown.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use super::{
    changes,
    error::{Doing, StoreError},
};

/// Tells our SQLite files from everyone else's: the letters `sshm`.
pub(super) const APPLICATION_ID: i64 = 0x7373_686d;

/// What `end_minute` holds while a session is open: later than any minute.
pub const OPEN: i64 = i64::MAX;

/// The steps from an empty file to the newest format; a ledger's
/// `user_version` is the number of steps it has behind it.
pub(super) const MIGRATIONS: &[&str] = &[FORMAT_1, FORMAT_2, FORMAT_3, FORMAT_4];

const FORMAT_1: &str = "
CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Whom bytes are booked under. Both are NULL for connections without a login.
CREATE TABLE account (
    id         INTEGER PRIMARY KEY,
    user       TEXT,
    credential TEXT
) STRICT;
CREATE UNIQUE INDEX account_by_name ON account (
    user IS NULL, ifnull(user, ''), credential IS NULL, ifnull(credential, '')
);

-- One row a connection. `begin_minute` and `end_minute` span its entries too,
-- whatever a stepped clock did to its times; `end_minute` is the largest
-- integer while it is open. The pruned columns hold what its deleted minute
-- rows said, and which minutes those were.
CREATE TABLE session (
    id                  INTEGER PRIMARY KEY AUTOINCREMENT,
    boot                TEXT NOT NULL,
    cookie              INTEGER NOT NULL,
    account             INTEGER NOT NULL REFERENCES account (id),
    method              TEXT,
    peer_ip             TEXT NOT NULL,
    peer_port           INTEGER NOT NULL,
    local_ip            TEXT NOT NULL,
    local_port          INTEGER NOT NULL,
    pid                 INTEGER,
    opened_ms           INTEGER NOT NULL,
    closed_ms           INTEGER,
    reason              TEXT,
    begin_minute        INTEGER NOT NULL,
    end_minute          INTEGER NOT NULL,
    reading_wire_in     INTEGER,
    reading_wire_out    INTEGER,
    reading_payload_in  INTEGER,
    reading_payload_out INTEGER,
    total_wire_in       INTEGER,
    total_wire_out      INTEGER,
    total_payload_in    INTEGER,
    total_payload_out   INTEGER,
    pruned_wire_in      INTEGER,
    pruned_wire_out     INTEGER,
    pruned_payload_in   INTEGER,
    pruned_payload_out  INTEGER,
    pruned_first        INTEGER,
    pruned_last         INTEGER,
    UNIQUE (boot, cookie)
) STRICT;
CREATE INDEX session_by_end ON session (end_minute, begin_minute, account);

CREATE TABLE minute (
    minute      INTEGER NOT NULL,
    session     INTEGER NOT NULL REFERENCES session (id),
    wire_in     INTEGER CHECK (wire_in >= 0),
    wire_out    INTEGER CHECK (wire_out >= 0),
    payload_in  INTEGER CHECK (payload_in >= 0),
    payload_out INTEGER CHECK (payload_out >= 0),
    PRIMARY KEY (minute, session)
) STRICT, WITHOUT ROWID;
CREATE INDEX minute_by_session ON minute (session);

-- `start` is the first minute of the hour, day or month in the ledger's zone.
CREATE TABLE hour (
    start       INTEGER NOT NULL,
    account     INTEGER NOT NULL REFERENCES account (id),
    wire_in     INTEGER CHECK (wire_in >= 0),
    wire_out    INTEGER CHECK (wire_out >= 0),
    payload_in  INTEGER CHECK (payload_in >= 0),
    payload_out INTEGER CHECK (payload_out >= 0),
    PRIMARY KEY (start, account)
) STRICT, WITHOUT ROWID;
CREATE TABLE day (
    start       INTEGER NOT NULL,
    account     INTEGER NOT NULL REFERENCES account (id),
    wire_in     INTEGER CHECK (wire_in >= 0),
    wire_out    INTEGER CHECK (wire_out >= 0),
    payload_in  INTEGER CHECK (payload_in >= 0),
    payload_out INTEGER CHECK (payload_out >= 0),
    PRIMARY KEY (start, account)
) STRICT, WITHOUT ROWID;
CREATE TABLE month (
    start       INTEGER NOT NULL,
    account     INTEGER NOT NULL REFERENCES account (id),
    wire_in     INTEGER CHECK (wire_in >= 0),
    wire_out    INTEGER CHECK (wire_out >= 0),
    payload_in  INTEGER CHECK (payload_in >= 0),
    payload_out INTEGER CHECK (payload_out >= 0),
    PRIMARY KEY (start, account)
) STRICT, WITHOUT ROWID;

CREATE TABLE checkpoint (
    id    INTEGER PRIMARY KEY CHECK (id = 1),
    value TEXT NOT NULL
) STRICT;
";

/// What the last reading's wire figure was read from, where a firewall's rule has
/// counted: the socket's counter and the rule's.
const FORMAT_2: &str = "
ALTER TABLE session ADD COLUMN socket_wire_in  INTEGER CHECK (socket_wire_in >= 0);
ALTER TABLE session ADD COLUMN socket_wire_out INTEGER CHECK (socket_wire_out >= 0);
ALTER TABLE session ADD COLUMN rule_wire_in    INTEGER CHECK (rule_wire_in >= 0);
ALTER TABLE session ADD COLUMN rule_wire_out   INTEGER CHECK (rule_wire_out >= 0);
";

/// Which rows have changed, for mirrors; and what was taken from other programs'
/// counts, so that it is taken once.
const FORMAT_3: &str = "
CREATE TABLE change (
    revision INTEGER PRIMARY KEY AUTOINCREMENT,
    kind     INTEGER NOT NULL,
    first    INTEGER NOT NULL,
    second   INTEGER NOT NULL,
    UNIQUE (kind, first, second)
) STRICT;

CREATE TABLE import (
    source   TEXT NOT NULL,
    user     TEXT NOT NULL,
    hour     INTEGER NOT NULL,
    wire_in  INTEGER NOT NULL CHECK (wire_in >= 0),
    wire_out INTEGER NOT NULL CHECK (wire_out >= 0),
    PRIMARY KEY (source, user, hour)
) STRICT, WITHOUT ROWID;
";

/// Minutes are found by their time alone: an index by session, and a lookup of the
/// session for each row, made a minute of very many sessions several times as dear as
/// its rows. What a session has is found without one, see `session_minutes`.
const FORMAT_4: &str = "
CREATE TABLE minute_of_session (
    minute      INTEGER NOT NULL,
    session     INTEGER NOT NULL,
    wire_in     INTEGER CHECK (wire_in >= 0),
    wire_out    INTEGER CHECK (wire_out >= 0),
    payload_in  INTEGER CHECK (payload_in >= 0),
    payload_out INTEGER CHECK (payload_out >= 0),
    PRIMARY KEY (minute, session)
) STRICT, WITHOUT ROWID;
INSERT INTO minute_of_session SELECT * FROM minute ORDER BY minute, session;
DROP TABLE minute;
ALTER TABLE minute_of_session RENAME TO minute;
";

/// What a file's header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// An SQLite file without a table: ours to begin with.
    Empty,
    /// A ledger with so many migrations behind it.
    Ledger(i64),
}

/// Reads what a file is, and refuses what is not ours.
pub(super) fn format_of(
    connection: &Connection,
    path: &Path,
    doing: Doing,
    newest: i64,
) -> Result<Format, StoreError> {
    let sqlite = |error| StoreError::from_sqlite(path, doing, error);
    let pragma = |name: &str| {
        connection
            .query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, i64>(0))
            .map_err(sqlite)
    };
    let application = pragma("application_id")?;
    let version = pragma("user_version")?;
    let tables: i64 = connection
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .map_err(sqlite)?;
    if application == APPLICATION_ID && version > newest {
        return Err(StoreError::Newer {
            path: path.to_owned(),
            found: version,
            known: newest,
        });
    }
    match (application, version, tables) {
        (APPLICATION_ID, 1.., 1..) => Ok(Format::Ledger(version)),
        (0, 0, 0) => Ok(Format::Empty),
        (APPLICATION_ID, _, _) => Err(StoreError::Corrupt {
            path: path.to_owned(),
            detail: format!("it says format {version} and has {tables} tables and indexes"),
        }),
        _ => Err(StoreError::Foreign {
            path: path.to_owned(),
            what: "another program's SQLite file",
        }),
    }
}

/// Brings a ledger up to the newest format, all steps in one transaction.
/// `begin` fills a ledger that is new.
pub(super) fn migrate(
    connection: &mut Connection,
    path: &Path,
    migrations: &[&str],
    begin: impl FnOnce(&Connection) -> rusqlite::Result<()>,
) -> Result<(), StoreError> {
    let sqlite = |error| StoreError::from_sqlite(path, Doing::Writing, error);
    let newest = i64::try_from(migrations.len()).unwrap_or(i64::MAX);
    let found = match format_of(connection, path, Doing::Writing, newest)? {
        Format::Empty => 0,
        Format::Ledger(version) => version,
    };
    if found == newest {
        return Ok(());
    }
    let done = usize::try_from(found).unwrap_or(usize::MAX);
    let transaction = connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(sqlite)?;
    for migration in migrations.iter().skip(done) {
        transaction.execute_batch(migration).map_err(sqlite)?;
    }
    // What a step changed is not in the list of changes.
    if changes::has_journal(&transaction).map_err(sqlite)? {
        changes::end_journal(&transaction).map_err(sqlite)?;
    }
    transaction
        .pragma_update(None, "application_id", APPLICATION_ID)
        .map_err(sqlite)?;
    transaction
        .pragma_update(None, "user_version", newest)
        .map_err(sqlite)?;
    if found == 0 {
        begin(&transaction).map_err(sqlite)?;
    }
    transaction.commit().map_err(sqlite)
}

/// One value of the ledger's own facts.
pub(super) fn meta(connection: &Connection, key: &str) -> rusqlite::Result<Option<String>> {
    use rusqlite::OptionalExtension as _;
    connection
        .prepare_cached("SELECT value FROM meta WHERE key = ?1")?
        .query_row([key], |row| row.get(0))
        .optional()
}

/// Sets one of the ledger's own facts.
pub(super) fn set_meta(connection: &Connection, key: &str, value: &str) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO meta (key, value) VALUES (?1, ?2)
             ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        )?
        .execute([key, value])?;
    Ok(())
}
