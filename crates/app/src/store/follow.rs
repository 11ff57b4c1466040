//! The ledger row by row, as a mirror follows it: what has changed since a
//! revision, or everything in the order of keys.
//!
//! All that one answer says is of one commit. Rows are given as they stand now,
//! not as they were when they were noted.

use rusqlite::{Connection, OptionalExtension as _, params};
use sshmeter_core::report::Kept;

use super::{
    StoreError,
    changes::{Journal, journal},
    reader::Reader,
    retain::kept,
    rows::{Kind, Row, RowKey, Table, Value},
    schema::meta,
};

/// What a ledger says of itself, as far as a mirror has to know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Random, so that no two ledgers are taken for one.
    pub ledger_id: String,
    /// The name of the zone whose hours, days and months it keeps.
    pub zone: String,
    /// From when on each kind of row is complete.
    pub kept: Kept,
}

/// What has changed since a revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changes {
    /// The journal it is from; where that is another than before, or its floor
    /// is above the revision asked for, more has changed than is told here.
    /// `None` where changes are not noted: nothing is told then.
    pub journal: Option<Journal>,
    /// The rows that changed, those that changed first first.
    pub rows: Vec<Row>,
    /// The revision up to which all changes are told.
    pub up_to: i64,
    /// More have changed since.
    pub more: bool,
    /// The ledger's facts at that commit.
    pub facts: Facts,
}

/// One entry of the list.
struct Entry {
    revision: i64,
    table: Option<Table>,
    key: RowKey,
}

impl Reader {
    /// The journal of the list of changes; `None` where there is no list.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn journal(&self) -> Result<Option<Journal>, StoreError> {
        journal(self.connection()).map_err(|error| self.failed(error))
    }

    /// What the ledger says of itself.
    ///
    /// # Errors
    /// The ledger cannot be read, or does not say it.
    pub fn facts(&self) -> Result<Facts, StoreError> {
        let read = ledger_id(self.connection()).and_then(|id| Ok((id, kept(self.connection())?)));
        let (ledger_id, kept) = read.map_err(|error| self.failed(error))?;
        self.facts_of(ledger_id, kept)
    }

    /// The rows of some tables that changed after a revision. At most `limit`
    /// entries of the list are looked at; those of other tables count among them.
    ///
    /// # Errors
    /// The ledger cannot be read, or does not say which it is.
    pub fn changes(
        &mut self,
        after: i64,
        limit: usize,
        tables: &[Table],
    ) -> Result<Changes, StoreError> {
        let (journal, entries, rows, ledger_id, kept) = self.in_snapshot(|connection, _| {
            let journal = journal(connection)?;
            let entries = match &journal {
                Some(_) => entries(connection, after, limit.saturating_add(1))?,
                None => Vec::new(),
            };
            let mut rows = Vec::new();
            for entry in entries.iter().take(limit) {
                if let Some(table) = entry.table.filter(|table| tables.contains(table)) {
                    rows.push(row_with(connection, table, entry.key)?);
                }
            }
            let (ledger_id, kept) = (ledger_id(connection)?, kept(connection)?);
            Ok((journal, entries, rows, ledger_id, kept))
        })?;
        let last = entries.iter().take(limit).next_back();
        Ok(Changes {
            journal,
            rows,
            up_to: last.map_or(after, |entry| entry.revision),
            more: entries.len() > limit,
            facts: self.facts_of(ledger_id, kept)?,
        })
    }

    /// The next rows of a table after a key, in the order of keys; from its
    /// beginning without one. At most `limit`; fewer are the last.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn rows_after(
        &mut self,
        table: Table,
        after: Option<RowKey>,
        limit: usize,
    ) -> Result<Vec<Row>, StoreError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.in_snapshot(|connection, _| {
            let [first, second] = key_of(table);
            let is_after = match (after, second) {
                (None, _) => "?1 IS NULL AND ?2 IS NULL".to_owned(),
                (Some(_), "0") => format!("{first} > ?1 AND ?2 = 0"),
                (Some(_), _) => format!("({first}, {second}) > (?1, ?2)"),
            };
            let mut statement = connection.prepare_cached(&format!(
                "SELECT {first}, {second}, {columns} FROM {table}
                 WHERE {is_after} ORDER BY {order} LIMIT ?3",
                columns = columns_of(table),
                table = table.name(),
                order = table.key().join(", "),
            ))?;
            let after = after.map_or([None, None], |key| key.map(Some));
            statement
                .query_map(params![after[0], after[1], limit], |row| {
                    Ok(Row {
                        table,
                        key: [row.get(0)?, row.get(1)?],
                        values: Some(values_at(row, table, 2)?),
                    })
                })?
                .collect()
        })
    }

    fn facts_of(&self, ledger_id: Option<String>, kept: Kept) -> Result<Facts, StoreError> {
        Ok(Facts {
            ledger_id: ledger_id.ok_or_else(|| self.corrupt("it does not say which it is"))?,
            zone: self.zone().to_owned(),
            kept,
        })
    }
}

fn ledger_id(connection: &Connection) -> rusqlite::Result<Option<String>> {
    meta(connection, "ledger_id")
}

/// The list's entries after a revision, in order.
fn entries(connection: &Connection, after: i64, limit: usize) -> rusqlite::Result<Vec<Entry>> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    connection
        .prepare_cached(
            "SELECT revision, kind, first, second FROM change
             WHERE revision > ?1 ORDER BY revision LIMIT ?2",
        )?
        .query_map([after, limit], |row| {
            let kind: i64 = row.get(1)?;
            Ok(Entry {
                revision: row.get(0)?,
                table: Table::ALL.into_iter().find(|table| table.number() == kind),
                key: [row.get(2)?, row.get(3)?],
            })
        })?
        .collect()
}

/// A row by its key, as it stands.
fn row_with(connection: &Connection, table: Table, key: RowKey) -> rusqlite::Result<Row> {
    let [first, second] = key_of(table);
    let values = connection
        .prepare_cached(&format!(
            "SELECT {columns} FROM {table} WHERE {first} = ?1 AND {second} = ?2",
            columns = columns_of(table),
            table = table.name(),
        ))?
        .query_row(key, |row| values_at(row, table, 0))
        .optional()?;
    Ok(Row { table, key, values })
}

/// The key's two columns; a zero stands for the second where there is one only.
pub(super) fn key_of(table: Table) -> [&'static str; 2] {
    match table.key() {
        [first, second, ..] => [first, second],
        [first] => [first, "0"],
        [] => ["0", "0"],
    }
}

fn columns_of(table: Table) -> String {
    let names = table.columns().iter().map(|(name, _)| *name);
    names.collect::<Vec<_>>().join(", ")
}

/// A table's values in a row, the first of which is in column `first`.
fn values_at(row: &rusqlite::Row<'_>, table: Table, first: usize) -> rusqlite::Result<Vec<Value>> {
    let columns = (first..).zip(table.columns());
    let value = |(place, (_, kind)): (usize, &(&str, Kind))| {
        Ok(match kind {
            Kind::Number => Value::Integer(row.get(place)?),
            Kind::MaybeNumber => row
                .get::<_, Option<i64>>(place)?
                .map_or(Value::Null, Value::Integer),
            Kind::Word => Value::Text(row.get(place)?),
            Kind::MaybeWord => row
                .get::<_, Option<String>>(place)?
                .map_or(Value::Null, Value::Text),
        })
    };
    columns.map(value).collect()
}
