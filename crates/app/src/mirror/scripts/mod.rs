//! The database of the scripts: what they have counted, read at one moment.
//!
//! The scripts write a row of `minute` for each session and minute that moved
//! bytes, and once an hour add those of past hours to `hour` and delete them, in
//! two steps. Nothing here writes, neither there nor in the ledger.

mod error;
mod gather;
mod sql;
mod tables;

#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicBool, Ordering};

use jiff::Timestamp;
use tokio::{runtime::Runtime, sync::Notify};

pub use error::{ImportError, ScriptsError};
pub use gather::{LeftOut, Totals};

use self::{
    gather::Gatherer,
    sql::{Part, Words},
};
use super::{
    address::{Address, Protocol},
    server::{Purpose, Server, ServerError},
};
use crate::store::{Imported, Value};

/// How long the server may sort the rows of ten years.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(3_600);

/// What the scripts have counted, at the moment it was opened.
#[derive(Debug)]
pub struct Scripts {
    // The connection goes before the runtime that it needs.
    server: Server,
    runtime: Runtime,
    address: String,
    source: String,
    folds_case: bool,
}

impl Scripts {
    /// Connects, makes sure that the tables are the scripts', and begins to read
    /// at this moment; later changes are not seen.
    ///
    /// # Errors
    /// No server can be reached, or there are no such tables.
    pub fn open(address: &Address) -> Result<Self, ScriptsError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(ScriptsError::Runtime)?;
        let shown = address.shown();
        let failed = |source| ScriptsError::server(&shown, source);
        let mut server = runtime
            .block_on(Server::connect(address, Purpose::Read))
            .map_err(failed)?;
        server.set_patience(PATIENCE);
        let mut scripts = Self {
            server,
            runtime,
            address: shown,
            source: String::new(),
            folds_case: false,
        };
        scripts.source = scripts.asked_source(address)?;
        for statement in sql::begin(address.protocol) {
            scripts.run(statement)?;
        }
        let columns = scripts.rows(sql::columns(address.protocol))?;
        scripts.folds_case = tables::check(&address.database, &columns)?.folds_case;
        Ok(scripts)
    }

    /// What the database is called, however it was reached: by what the server says
    /// of itself. It holds no secret.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// How many rows there are.
    ///
    /// # Errors
    /// The server cannot be read.
    pub fn count(&mut self) -> Result<u64, ScriptsError> {
        let rows = self.rows(sql::COUNT)?;
        let counts = rows.iter().flatten().map(|value| match value {
            Value::Integer(count) => u64::try_from(*count).unwrap_or(0),
            _ => 0,
        });
        Ok(counts.sum())
    }

    /// Gives all amounts to `take`, from the first hour to the last and each hour
    /// whole; with them the number of rows read so far. What lies later than a day
    /// after `now` is left out, as is whatever cannot be true.
    ///
    /// # Errors
    /// The server cannot be read, or what `take` says; what was taken before stays
    /// taken.
    pub fn each_chunk<E>(
        &mut self,
        now: Timestamp,
        mut take: impl FnMut(&[Imported], u64) -> Result<(), E>,
    ) -> Result<Totals, ImportError<E>> {
        let mut gatherer = Gatherer::new(now, self.folds_case);
        let words = Words::of(self.server.protocol());
        // Hours before the first minute need not be sorted in among minutes.
        let first = self.rows(&words.first_hour_of_minutes())?;
        let first = match first.first().and_then(|row| row.first()) {
            Some(Value::Integer(first)) => *first,
            _ => i64::MAX,
        };
        for part in [Part::Before, Part::From] {
            let sql = words.figures(part);
            self.each_row(&sql, &[Value::Integer(first)], |row| {
                match gatherer.add(&row) {
                    Some(chunk) => {
                        take(&chunk, gatherer.totals().rows).map_err(ImportError::Taking)
                    }
                    None => Ok(()),
                }
            })?;
        }
        let rest = gatherer.finish();
        let totals = gatherer.totals();
        take(&rest, totals.rows).map_err(ImportError::Taking)?;
        Ok(totals)
    }

    fn asked_source(&mut self, address: &Address) -> Result<String, ScriptsError> {
        let protocol = self.server.protocol();
        let answer = self.rows(sql::identity(protocol))?;
        let parts = answer.into_iter().flatten().map(|value| match value {
            Value::Text(text) => text,
            Value::Integer(number) => number.to_string(),
            Value::Null => String::new(),
        });
        let parts: Vec<String> = parts.collect();
        match (protocol, parts.as_slice()) {
            (Protocol::Mysql, [host, port, database]) => {
                Ok(format!("mysql://{host}:{port}/{database}"))
            }
            (Protocol::Postgres, [system, database, schema]) => {
                Ok(format!("postgres://{system}/{database}/{schema}"))
            }
            _ => Err(ScriptsError::Nameless(address.shown())),
        }
    }

    fn run(&mut self, sql: &str) -> Result<(), ScriptsError> {
        self.runtime
            .block_on(self.server.run(sql))
            .map_err(|source| ScriptsError::server(&self.address, source))
    }

    /// A short answer.
    fn rows(&mut self, sql: &str) -> Result<Vec<Vec<Value>>, ScriptsError> {
        let mut rows = Vec::new();
        self.runtime
            .block_on(self.server.query(sql, &[], &mut |row| rows.push(row)))
            .map_err(|source| ScriptsError::server(&self.address, source))?;
        Ok(rows)
    }

    /// An answer of any length; it ends with the first row that `each` fails at.
    fn each_row<E>(
        &mut self,
        sql: &str,
        values: &[Value],
        mut each: impl FnMut(Vec<Value>) -> Result<(), ImportError<E>>,
    ) -> Result<(), ImportError<E>> {
        let mut done = Ok(());
        let (failed, is_over) = (Notify::new(), AtomicBool::new(false));
        let mut until_failure = |row| {
            if !is_over.load(Ordering::Relaxed) {
                done = each(row);
                if done.is_err() {
                    is_over.store(true, Ordering::Relaxed);
                    failed.notify_one();
                }
            }
        };
        let asked: Result<(), ServerError> = self.runtime.block_on(async {
            tokio::select! {
                asked = self.server.query(sql, values, &mut until_failure) => asked,
                () = failed.notified() => Ok(()),
            }
        });
        done?;
        asked.map_err(|source| ScriptsError::server(&self.address, source).into())
    }
}
