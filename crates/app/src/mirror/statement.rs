//! SQL for the server's tables: made from the list of columns, the same for both
//! protocols but for a few words. Values are never a part of it.

use crate::{
    mirror::address::Protocol,
    store::{Kind, Table},
};

/// How MySQL and MariaDB are told the collation of all text: bytes are compared,
/// blanks at the end too, so that no two names are ever one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Collation {
    /// MariaDB's.
    NopadBin,
    /// MySQL's.
    Utf8mb4Bin0900,
}

impl Collation {
    fn word(self) -> &'static str {
        match self {
            Self::NopadBin => "utf8mb4_nopad_bin",
            Self::Utf8mb4Bin0900 => "utf8mb4_0900_bin",
        }
    }
}

/// What follows a table's columns on MySQL and MariaDB.
pub(super) fn table_options(collation: Collation) -> String {
    format!(
        " ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE={}",
        collation.word()
    )
}

/// A table's name on a server.
pub(super) fn name(table: Table) -> String {
    format!("sshmeter_{}", table.name())
}

/// The index by which a host's sessions of a period are found.
pub(super) const SESSION_END: &str = "\"host\", \"end_minute\", \"begin_minute\"";

/// Whether a table has, on MySQL and MariaDB, a column with the row's time: for
/// the views, whose readers ask by time. PostgreSQL has an index on the
/// expression instead.
pub(super) fn has_time(protocol: Protocol, table: Table) -> bool {
    protocol == Protocol::Mysql && matches!(table, Table::Minute | Table::Hour)
}

/// A row's time in Unix seconds, as far as `TIMESTAMP` can hold it.
pub(super) fn time_of(minute: i64) -> Option<i64> {
    let seconds = minute.checked_mul(60)?;
    (1..=i64::from(i32::MAX))
        .contains(&seconds)
        .then_some(seconds)
}

/// Makes a table with its key.
pub(super) fn create(protocol: Protocol, table: Table, options: &str) -> String {
    let mut parts = vec!["\"host\" BIGINT NOT NULL".to_owned()];
    for key in table.key() {
        parts.push(format!("\"{key}\" BIGINT NOT NULL"));
    }
    for (column, kind) in table.columns() {
        let of_kind = match kind {
            Kind::Number => "BIGINT NOT NULL",
            Kind::MaybeNumber => "BIGINT",
            Kind::Word => "TEXT NOT NULL",
            Kind::MaybeWord => "TEXT",
        };
        parts.push(format!("\"{column}\" {of_kind}"));
    }
    if has_time(protocol, table) {
        parts.push("\"time\" TIMESTAMP NULL DEFAULT NULL".to_owned());
        parts.push("KEY \"by_time\" (\"time\")".to_owned());
    }
    if protocol == Protocol::Mysql && table == Table::Session {
        parts.push(format!("KEY \"by_end\" ({SESSION_END})"));
    }
    parts.push(format!(
        "PRIMARY KEY (\"host\", {})",
        quoted(table.key().iter().copied())
    ));
    format!(
        "CREATE TABLE IF NOT EXISTS \"{}\" (\n    {}\n){options}",
        name(table),
        parts.join(",\n    ")
    )
}

/// Writes so many rows as they stand, whether they are there or not.
pub(super) fn upsert(protocol: Protocol, table: Table, rows: usize) -> String {
    let columns: Vec<&str> = table.columns().iter().map(|(column, _)| *column).collect();
    let timed = has_time(protocol, table);
    let mut all: Vec<&str> = vec!["host"];
    all.extend(table.key());
    all.extend(&columns);
    let mut one = vec!["?"; all.len()];
    let mut set = columns;
    if timed {
        all.push("time");
        one.push("FROM_UNIXTIME(?)");
        set.push("time");
    }
    let row = format!("({})", one.join(", "));
    let values = vec![row; rows].join(", ");
    let set: Vec<String> = set
        .iter()
        .map(|column| match protocol {
            Protocol::Mysql => format!("\"{column}\" = VALUES(\"{column}\")"),
            Protocol::Postgres => format!("\"{column}\" = EXCLUDED.\"{column}\""),
        })
        .collect();
    let else_update = match protocol {
        Protocol::Mysql => "ON DUPLICATE KEY UPDATE".to_owned(),
        Protocol::Postgres => format!(
            "ON CONFLICT (\"host\", {}) DO UPDATE SET",
            quoted(table.key().iter().copied())
        ),
    };
    format!(
        "INSERT INTO \"{}\" ({}) VALUES {values} {else_update} {}",
        name(table),
        quoted(all),
        set.join(", ")
    )
}

/// Deletes so many rows by their keys.
pub(super) fn delete(table: Table, rows: usize) -> String {
    let parts = table.key().iter().map(|key| format!(" AND \"{key}\" = ?"));
    let one = format!("(\"host\" = ?{})", parts.collect::<String>());
    // Not a list of rows: MariaDB reads the whole table for a list of one, and
    // waits there for the locks of all other hosts.
    let keys = vec![one; rows].join(" OR ");
    format!("DELETE FROM \"{}\" WHERE {keys}", name(table))
}

/// Where a run of keys begins and ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bound {
    /// After the key whose parts are given.
    After,
    /// Up to that key and with it.
    UpTo,
}

/// Deletes a host's rows within bounds, all of them without any. Each bound takes
/// the key's parts, the first of them three times where there are two.
pub(super) fn delete_between(table: Table, bounds: &[Bound]) -> String {
    format!(
        "DELETE FROM \"{}\" WHERE {}",
        name(table),
        within(table, bounds)
    )
}

/// Asks for the key of a host's row of that number, the first being 0, among those
/// within bounds, in the order of their keys. It takes the same values.
pub(super) fn key_at(table: Table, bounds: &[Bound], number: usize) -> String {
    let key = quoted(table.key().iter().copied());
    format!(
        "SELECT {key} FROM \"{}\" WHERE {} ORDER BY {key} LIMIT 1 OFFSET {number}",
        name(table),
        within(table, bounds)
    )
}

fn within(table: Table, bounds: &[Bound]) -> String {
    let mut sql = "\"host\" = ?".to_owned();
    for bound in bounds {
        let (strict, wide) = match bound {
            Bound::After => (">", ">="),
            Bound::UpTo => ("<", "<="),
        };
        let last = if *bound == Bound::After { ">" } else { "<=" };
        match table.key() {
            [only] => sql.push_str(&format!(" AND \"{only}\" {last} ?")),
            // The first comparison lets the server use its index.
            [first, second] => sql.push_str(&format!(
                " AND \"{first}\" {wide} ? AND (\"{first}\" {strict} ? OR \"{first}\" = ? AND \
                 \"{second}\" {last} ?)"
            )),
            _ => {}
        }
    }
    sql
}

/// The values that one bound takes.
pub(super) fn bound_values(table: Table, [first, second]: [i64; 2]) -> Vec<i64> {
    if table.key().len() == 1 {
        vec![first]
    } else {
        vec![first, first, first, second]
    }
}

fn quoted<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<String> = names
        .into_iter()
        .map(|name| format!("\"{name}\""))
        .collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_written_as_they_stand() {
        assert_eq!(
            upsert(Protocol::Postgres, Table::Account, 2),
            "INSERT INTO \"sshmeter_account\" (\"host\", \"id\", \"user\", \"credential\") \
             VALUES (?, ?, ?, ?), (?, ?, ?, ?) ON CONFLICT (\"host\", \"id\") DO UPDATE SET \
             \"user\" = EXCLUDED.\"user\", \"credential\" = EXCLUDED.\"credential\""
        );
        assert_eq!(
            upsert(Protocol::Mysql, Table::Hour, 1),
            "INSERT INTO \"sshmeter_hour\" (\"host\", \"start\", \"account\", \"wire_in\", \
             \"wire_out\", \"payload_in\", \"payload_out\", \"time\") VALUES (?, ?, ?, ?, ?, ?, \
             ?, FROM_UNIXTIME(?)) ON DUPLICATE KEY UPDATE \"wire_in\" = VALUES(\"wire_in\"), \
             \"wire_out\" = VALUES(\"wire_out\"), \"payload_in\" = VALUES(\"payload_in\"), \
             \"payload_out\" = VALUES(\"payload_out\"), \"time\" = VALUES(\"time\")"
        );
    }

    #[test]
    fn rows_are_deleted_by_their_keys() {
        assert_eq!(
            delete(Table::Minute, 2),
            "DELETE FROM \"sshmeter_minute\" WHERE (\"host\" = ? AND \"minute\" = ? AND \
             \"session\" = ?) OR (\"host\" = ? AND \"minute\" = ? AND \"session\" = ?)"
        );
    }

    #[test]
    fn bounds_take_as_many_values_as_they_have_places() {
        for table in Table::ALL {
            for bounds in [&[][..], &[Bound::After], &[Bound::After, Bound::UpTo]] {
                let sql = delete_between(table, bounds);
                let values = 1 + bounds.len() * bound_values(table, [1, 2]).len();
                assert_eq!(sql.matches('?').count(), values, "{sql}");
            }
        }
    }

    #[test]
    fn times_that_a_timestamp_cannot_hold_are_none() {
        assert_eq!(time_of(0), None);
        assert_eq!(time_of(1), Some(60));
        assert_eq!(time_of(35_791_394), Some(2_147_483_640));
        assert_eq!(time_of(35_791_395), None);
        assert_eq!(time_of(i64::MAX), None);
        assert_eq!(time_of(-1), None);
    }
}
