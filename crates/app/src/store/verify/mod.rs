//! Whether a ledger is sound: every row against all that it has to agree with.
//!
//! Everything is read in one snapshot, so a daemon may write meanwhile, and
//! nothing is written, so a file that may not be written can be checked too.
//! Rows are read in an order in which they can be added up as they come: but for the
//! accounts' names, memory does not grow with the ledger. (SQLite sorts the minutes by
//! session, and puts what is too much for its cache into a file of its own.) Sums are
//! made here and nowhere else.

mod buckets;
mod fault;
mod file;
mod sessions;

use std::collections::HashMap;

use rusqlite::Connection;
use sshmeter_core::{report::Kept, time::Calendar};

pub use fault::{Difference, Fault, Figure, Owner, SessionName, Subject, Time, Wrong};

use super::{StoreError, reader::Reader, retain::kept};

/// The most memory that SQLite may keep pages in.
const CACHE_KIBIBYTES: i64 = 128 * 1024;

/// How closely the file below the rows is looked at; rows always are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// Its pages.
    Quick,
    /// Its pages, and every index against its table.
    Full,
}

/// What was looked at, and what was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verification {
    /// How many rows of each table were checked.
    pub rows: Vec<(&'static str, u64)>,
    /// What is wrong, as many as were asked for.
    pub faults: Vec<Fault>,
    /// How many more faults there are.
    pub more: u64,
    /// Sessions whose counter began anew, so that they moved more than it shows.
    pub restarted: u64,
}

impl Verification {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.faults.is_empty() && self.more == 0
    }
}

/// Checks a ledger, and tells at most `limit` of its faults.
///
/// # Errors
/// The ledger cannot be read at all. That rows of it cannot be, is a fault.
pub fn verify(reader: &Reader, depth: Depth, limit: usize) -> Result<Verification, StoreError> {
    let failed = |error| reader.failed(error);
    // Indexes lead all over their tables, and minutes are sorted: with SQLite's usual
    // 2 MB, pages of a large ledger would be read and written again and again.
    reader
        .connection()
        .pragma_update(None, "cache_size", -CACHE_KIBIBYTES)
        .map_err(failed)?;
    // One transaction, or a commit in between would look like a fault.
    let snapshot = reader
        .connection()
        .unchecked_transaction()
        .map_err(failed)?;
    let mut check = Check {
        reader,
        connection: &snapshot,
        calendar: reader.calendar(),
        accounts: HashMap::new(),
        limit,
        found: Verification::default(),
    };
    check
        .tolerating(|check| check.file(depth))
        .map_err(failed)?;
    for step in [
        Check::facts,
        Check::accounts,
        Check::sessions,
        Check::buckets,
    ] {
        check.tolerating(step).map_err(failed)?;
    }
    Ok(check.found)
}

/// A check under way.
struct Check<'a> {
    reader: &'a Reader,
    connection: &'a Connection,
    calendar: &'a Calendar,
    accounts: HashMap<i64, Owner>,
    limit: usize,
    found: Verification,
}

impl Check<'_> {
    fn tell(&mut self, subject: Subject, wrong: Wrong) {
        if self.found.faults.len() < self.limit {
            self.found.faults.push(Fault { subject, wrong });
        } else {
            self.found.more += 1;
        }
    }

    fn tell_all(&mut self, subject: &Subject, wrongs: Vec<Wrong>) {
        for wrong in wrongs {
            self.tell(subject.clone(), wrong);
        }
    }

    fn counted(&mut self, table: &'static str, rows: u64) {
        self.found.rows.push((table, rows));
    }

    fn kept(&self) -> rusqlite::Result<Kept> {
        kept(self.connection)
    }

    /// The owner of an account's number.
    fn owner(&self, account: i64) -> Owner {
        self.accounts.get(&account).cloned().unwrap_or(Owner {
            account,
            who: None,
            credential: None,
        })
    }

    /// Takes damage that stops a step as a fault; the other steps go on.
    fn tolerating(
        &mut self,
        step: impl FnOnce(&mut Self) -> rusqlite::Result<()>,
    ) -> rusqlite::Result<()> {
        let done = self.reader.begin_question().and_then(|()| step(self));
        match done {
            Err(error) if is_damage(&error) => {
                let words = format!("some of its rows cannot be read: {error}");
                self.tell(Subject::File, Wrong::Told(words));
                Ok(())
            }
            done => done,
        }
    }
}

/// Whether an error is the file's own fault, not that of how it is read.
fn is_damage(error: &rusqlite::Error) -> bool {
    match error {
        rusqlite::Error::SqliteFailure(failure, _) => matches!(
            failure.code,
            rusqlite::ErrorCode::DatabaseCorrupt
                | rusqlite::ErrorCode::NotADatabase
                | rusqlite::ErrorCode::Unknown
                // It took more than a file of that size explains.
                | rusqlite::ErrorCode::OperationInterrupted
        ),
        _ => true,
    }
}
