//! What an import would do, and what was imported from: the questions to a ledger
//! that come before one.

use rusqlite::Connection;
use sshmeter_core::units::Flow;

use super::{
    error::{Doing, StoreError},
    import::{Hour, ImportOutcome, Imported, by_hour, new_since},
    reader::Reader,
    writer::Writer,
};

impl ImportOutcome {
    /// What importing into a ledger that is not there yet would do, but for its
    /// sessions.
    #[must_use]
    pub fn of_nothing_taken(amounts: &[Imported]) -> Self {
        let mut outcome = Self::default();
        for amounts in by_hour(amounts).into_values() {
            let new = new_since(Flow::default(), &amounts, &mut outcome);
            outcome.count(&new);
        }
        outcome
    }
}

impl Reader {
    /// What [`Writer::import`] would do now, but for its sessions.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn would_import(
        &self,
        source: &str,
        amounts: &[Imported],
    ) -> Result<ImportOutcome, StoreError> {
        let mut outcome = ImportOutcome::default();
        for ((user, hour), amounts) in by_hour(amounts) {
            let of_hour = Hour { source, user, hour };
            let taken = of_hour.taken(self.connection());
            let taken = taken.map_err(|error| self.failed(error))?;
            let new = new_since(taken, &amounts, &mut outcome);
            outcome.count(&new);
        }
        Ok(outcome)
    }

    /// What was imported from.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn import_sources(&self) -> Result<Vec<String>, StoreError> {
        sources(self.connection()).map_err(|error| self.failed(error))
    }
}

impl Writer {
    /// What was imported from.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn import_sources(&self) -> Result<Vec<String>, StoreError> {
        sources(&self.connection)
            .map_err(|error| StoreError::from_sqlite(&self.path, Doing::Reading, error))
    }
}

/// What was imported from, each once. A source has as many rows as users' hours,
/// so that it is stepped from one to the next.
fn sources(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut sources: Vec<String> = Vec::new();
    let mut next = connection.prepare_cached("SELECT min(source) FROM import WHERE source > ?1")?;
    loop {
        let last = sources.last().map_or("", String::as_str);
        match next.query_row([last], |row| row.get(0))? {
            Some(source) => sources.push(source),
            None => return Ok(sources),
        }
    }
}
