//! The list of changed rows, from which mirrors learn what to copy.
//!
//! While there is a mirror, the writer's connection notes the key of every
//! mirrored row that it writes, in the transaction that writes it. A key stands
//! in the list once, at the revision of its last change; what the row holds is
//! read when it is asked for. Without a mirror nothing is noted, and nothing is
//! spent on it.
//!
//! What notes are triggers of the connection, none of the file: no file may
//! make a connection do anything (see `distrust`). So each new connection of
//! the writer needs them anew, and a list is worth something only under one
//! journal: a time without a gap, known by its id.

use std::time::{Duration, Instant};

use rusqlite::{Connection, OptionalExtension as _};

use super::{
    error::StoreError,
    follow::key_of,
    rows::Table,
    schema::{meta, set_meta},
    writer::Writer,
};

/// The journal's id, among the ledger's facts about itself.
const ID: &str = "journal";
/// The highest revision that was forgotten in this journal.
pub(super) const FLOOR: &str = "journal_floor";

/// Changes that stay in the list after every mirror has seen them, in
/// revisions: a server that lost its last seconds need not be copied whole.
const KEPT: i64 = 100_000;

/// The most changes that wait for a mirror: to copy the whole ledger is cheaper
/// by then.
const LONGEST: i64 = 1_000_000;

/// Changes forgotten in one transaction.
const STEP_ROWS: i64 = 2_000;

/// How long one call goes on with the next step.
const BUDGET: Duration = Duration::from_millis(50);

/// A time through which every change was noted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Journal {
    /// Random, so that no two are taken for one.
    pub id: String,
    /// Changes up to this revision may have been forgotten: who has seen less
    /// has to copy all rows.
    pub floor: i64,
    /// The highest revision that was ever given.
    pub newest: i64,
}

/// What one call of [`Writer::forget_changes`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Forgotten {
    /// Changes forgotten.
    pub changes: usize,
    /// More are to be forgotten: call again soon.
    pub more: bool,
    /// Too many waited, and some of the forgotten were not yet seen: whoever is
    /// below the floor now has to copy all rows.
    pub unseen: bool,
}

/// How long the list may become.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Revisions kept behind what was seen.
    pub(super) kept: i64,
    /// Changes in the list, seen or not.
    pub(super) longest: i64,
}

impl Writer {
    /// Notes from now on which rows change, or stops that. A ledger goes on with
    /// it when it is opened again; a change that is not noted ends the journal,
    /// so that a later one has another id.
    ///
    /// # Errors
    /// The ledger cannot be written; it goes on as before.
    pub fn record_changes(&mut self, wanted: bool) -> Result<(), StoreError> {
        if wanted == self.records_changes {
            return Ok(());
        }
        self.in_transaction(|connection, _| {
            if wanted {
                watch(connection)?;
                begin_journal(connection)?;
            } else {
                unwatch(connection)?;
                end_journal(connection)?;
            }
            Ok(())
        })?;
        self.records_changes = wanted;
        Ok(())
    }

    /// Forgets changes that every mirror has seen (those up to a revision), but
    /// for the last hundred thousand; and the oldest of more than a million,
    /// seen or not. Goes on for at most about a twentieth of a second.
    ///
    /// # Errors
    /// The ledger cannot be written. What was forgotten before is forgotten.
    pub fn forget_changes(&mut self, up_to: i64) -> Result<Forgotten, StoreError> {
        self.forget_within(
            up_to,
            Bounds {
                kept: KEPT,
                longest: LONGEST,
            },
        )
    }

    pub(super) fn forget_within(
        &mut self,
        up_to: i64,
        bounds: Bounds,
    ) -> Result<Forgotten, StoreError> {
        let started = Instant::now();
        let mut forgotten = Forgotten::default();
        if !self.records_changes {
            return Ok(forgotten);
        }
        loop {
            let gone = self.in_transaction(|connection, _| {
                let Some(last) = last_to_go(connection, up_to, bounds)? else {
                    return Ok(0);
                };
                forgotten.unseen |= last > up_to;
                set_meta(connection, FLOOR, &last.to_string())?;
                let gone = connection
                    .prepare_cached("DELETE FROM change WHERE revision <= ?1")?
                    .execute([last])?;
                Ok(gone)
            })?;
            forgotten.changes += gone;
            forgotten.more = gone > 0;
            if gone == 0 || started.elapsed() >= BUDGET {
                return Ok(forgotten);
            }
        }
    }
}

/// The highest revision of the next step; `None` where nothing is to go.
fn last_to_go(
    connection: &Connection,
    up_to: i64,
    bounds: Bounds,
) -> rusqlite::Result<Option<i64>> {
    let mut last = connection.prepare_cached(
        "SELECT max(revision) FROM
             (SELECT revision FROM change WHERE revision <= ?1 ORDER BY revision LIMIT ?2)",
    )?;
    let mut last = |up_to: i64, limit: i64| {
        last.query_row([up_to, limit.min(STEP_ROWS)], |row| {
            row.get::<_, Option<i64>>(0)
        })
    };
    let count: i64 = connection
        .prepare_cached("SELECT count(*) FROM change")?
        .query_row([], |row| row.get(0))?;
    let seen = last(up_to.saturating_sub(bounds.kept), STEP_ROWS)?;
    let too_many = last(i64::MAX, (count - bounds.longest).max(0))?;
    Ok(seen.max(too_many))
}

/// Whether a ledger's changes are noted.
pub(super) fn has_journal(connection: &Connection) -> rusqlite::Result<bool> {
    Ok(meta(connection, ID)?.is_some())
}

/// The journal of a ledger; `None` where changes are not noted.
pub(super) fn journal(connection: &Connection) -> rusqlite::Result<Option<Journal>> {
    let Some(id) = meta(connection, ID)? else {
        return Ok(None);
    };
    let newest = newest_revision(connection)?;
    // Of a list whose floor cannot be read nothing is believed.
    let floor = meta(connection, FLOOR)?.and_then(|text| text.parse().ok());
    Ok(Some(Journal {
        id,
        floor: floor.unwrap_or(newest),
        newest,
    }))
}

/// Empties the list and gives the journal a new id. Revisions go on.
fn begin_journal(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute("DELETE FROM change", [])?;
    let id: String =
        connection.query_row("SELECT lower(hex(randomblob(16)))", [], |row| row.get(0))?;
    set_meta(connection, ID, &id)?;
    set_meta(connection, FLOOR, &newest_revision(connection)?.to_string())
}

/// Empties the list and takes the journal away, so that mirrors copy anew.
pub(super) fn end_journal(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute("DELETE FROM change", [])?;
    connection.execute("DELETE FROM meta WHERE key IN (?1, ?2)", [ID, FLOOR])?;
    Ok(())
}

fn newest_revision(connection: &Connection) -> rusqlite::Result<i64> {
    let newest = connection
        .prepare_cached("SELECT seq FROM sqlite_sequence WHERE name = 'change'")?
        .query_row([], |row| row.get(0))
        .optional()?;
    Ok(newest.unwrap_or(0))
}

/// Makes a connection note what it changes. Its triggers live as long as it does.
pub(super) fn watch(connection: &Connection) -> rusqlite::Result<()> {
    for table in Table::ALL {
        for event in Event::ALL {
            connection.execute_batch(&event.trigger(table))?;
        }
    }
    Ok(())
}

fn unwatch(connection: &Connection) -> rusqlite::Result<()> {
    for table in Table::ALL {
        for event in Event::ALL {
            connection.execute_batch(&format!("DROP TRIGGER temp.{}", event.name(table)))?;
        }
    }
    Ok(())
}

/// What can happen to a row.
#[derive(Clone, Copy)]
enum Event {
    Insert,
    Update,
    Delete,
}

impl Event {
    const ALL: [Self; 3] = [Self::Insert, Self::Update, Self::Delete];

    fn word(self) -> &'static str {
        match self {
            Self::Insert => "INSERT",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
        }
    }

    fn name(self, table: Table) -> String {
        format!("note_{}_{}", self.word(), table.name())
    }

    /// The trigger that notes it. A key never changes: nothing updates one.
    fn trigger(self, table: Table) -> String {
        let row = if matches!(self, Self::Delete) {
            "OLD"
        } else {
            "NEW"
        };
        let of_row = |column: &str| match column {
            "0" => column.to_owned(),
            column => format!("{row}.{column}"),
        };
        let [first, second] = key_of(table).map(of_row);
        // A session is written whenever its counter moves; most of what is
        // written then is as it was, or is of no use to a mirror.
        let condition = if matches!(self, Self::Update) {
            let changed = table
                .columns()
                .iter()
                .map(|(column, _)| format!("OLD.{column} IS NOT NEW.{column}"));
            format!("WHEN {}", changed.collect::<Vec<_>>().join(" OR "))
        } else {
            String::new()
        };
        // Not INSERT OR REPLACE: an upsert that sets a trigger off forbids it.
        format!(
            "CREATE TEMP TRIGGER {name} AFTER {event} ON main.{table} {condition} BEGIN
                 DELETE FROM change
                     WHERE kind = {kind} AND first = {first} AND second = {second};
                 INSERT INTO change (kind, first, second) VALUES ({kind}, {first}, {second});
             END",
            name = self.name(table),
            event = self.word(),
            table = table.name(),
            kind = table.number(),
        )
    }
}
