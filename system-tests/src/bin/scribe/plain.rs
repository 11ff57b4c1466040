//! What SQLite itself takes for as many rows: new ones of six integers each, at the
//! end of a table that has no index, by one statement that is prepared once.

use std::path::Path;

use anyhow::Result;
use rusqlite::{Connection, params};
use sshmeter_core::units::Minute;

/// A file of plain rows, kept as safely as a ledger, and as leniently: with as many pages
/// in memory, and going into the file as seldom.
pub(super) struct Plain(Connection);

impl Plain {
    pub(super) fn begin(path: &Path) -> Result<Self> {
        let connection = Connection::open(path)?;
        connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
        connection.execute_batch(
            "PRAGMA synchronous = FULL;
             PRAGMA cache_size = -8192;
             PRAGMA wal_autocheckpoint = 4096;
             CREATE TABLE amount (
                 minute INTEGER, owner INTEGER,
                 wire_in INTEGER, wire_out INTEGER, payload_in INTEGER, payload_out INTEGER
             ) STRICT;",
        )?;
        Ok(Self(connection))
    }

    /// Writes so many, in one transaction.
    pub(super) fn write(&mut self, minute: Minute, rows: usize) -> Result<()> {
        let transaction = self.0.transaction()?;
        let mut insert =
            transaction.prepare_cached("INSERT INTO amount VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?;
        for owner in 0..i64::try_from(rows)? {
            insert.execute(params![
                minute.0, owner, 70_000, 9_000_000, 65_000, 8_900_000
            ])?;
        }
        drop(insert);
        Ok(transaction.commit()?)
    }
}
