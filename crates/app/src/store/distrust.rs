//! What a ledger's file may not make SQLite do.
//!
//! A ledger can be a copy from elsewhere, or damaged, or somebody's work. Ours
//! has tables and nothing that runs: no view, no trigger, no text without end.
//! And pages that point at one another can hold a small file's rows a billion
//! times, so a question may cost what the file's size explains and no more.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use rusqlite::{Connection, config::DbConfig, limits::Limit};

/// Names, reasons and checkpoints are far shorter.
const LONGEST_VALUE_BYTES: i32 = 1024 * 1024;

/// So many steps of SQLite's machine pass between two looks at the patience.
const STEPS_BETWEEN_LOOKS: u16 = 10_000;
/// What any question may cost: a fraction of a second.
const FEWEST_STEPS: u64 = 5_000_000;
/// A row has twelve bytes at least, and its reading some dozen steps.
const STEPS_A_BYTE: u64 = 64;

/// Allows a file its tables, and nothing that runs.
pub(super) fn allow_tables_only(connection: &Connection) -> rusqlite::Result<()> {
    for config in [
        DbConfig::SQLITE_DBCONFIG_ENABLE_VIEW,
        DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER,
        DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA,
    ] {
        connection.set_db_config(config, false)?;
    }
    connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, LONGEST_VALUE_BYTES)?;
    Ok(())
}

/// How long a question may still take; counted in steps, not in time, so that a
/// busy machine changes nothing.
#[derive(Clone, Debug)]
pub(super) struct Patience(Arc<AtomicU64>);

impl Patience {
    /// Watches over all that this connection does.
    pub(super) fn with(connection: &mut Connection) -> rusqlite::Result<Self> {
        let looks = Arc::new(AtomicU64::new(
            FEWEST_STEPS / u64::from(STEPS_BETWEEN_LOOKS),
        ));
        let left = looks.clone();
        let is_over = move || {
            let one_less = |looks: u64| looks.checked_sub(1);
            let (set, get) = (Ordering::Relaxed, Ordering::Relaxed);
            left.fetch_update(set, get, one_less).is_err()
        };
        connection.progress_handler(i32::from(STEPS_BETWEEN_LOOKS), Some(is_over))?;
        Ok(Self(looks))
    }

    /// Begins anew, for one question to the whole of a file.
    pub(super) fn begin(&self, connection: &Connection) -> rusqlite::Result<()> {
        let number = |pragma: &str| connection.query_row(pragma, [], |row| row.get::<_, u32>(0));
        let bytes =
            u64::from(number("PRAGMA page_count")?) * u64::from(number("PRAGMA page_size")?);
        let steps = FEWEST_STEPS.saturating_add(bytes.saturating_mul(STEPS_A_BYTE));
        let looks = steps / u64::from(STEPS_BETWEEN_LOOKS);
        self.0.store(looks, Ordering::Relaxed);
        Ok(())
    }
}
