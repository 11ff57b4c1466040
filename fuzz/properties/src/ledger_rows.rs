//! A sound ledger in whose rows anybody wrote anything: what a file of random
//! bytes reaches only by great luck.

use rusqlite::{Connection, types::Value};

use crate::{
    choices::Choices,
    ledger::{LedgerFile, read_and_resume, sample_ledger},
};

/// Every column that is not part of a key to another table.
const COLUMNS: [(&str, &[&str]); 10] = [
    ("meta", &["key", "value"]),
    ("account", &["user", "credential"]),
    (
        "session",
        &[
            "account",
            "boot",
            "cookie",
            "method",
            "peer_ip",
            "peer_port",
            "local_ip",
            "local_port",
            "pid",
            "opened_ms",
            "closed_ms",
            "reason",
            "begin_minute",
            "end_minute",
            "reading_wire_in",
            "reading_wire_out",
            "reading_payload_in",
            "reading_payload_out",
            "total_wire_in",
            "total_wire_out",
            "total_payload_in",
            "total_payload_out",
            "pruned_wire_in",
            "pruned_wire_out",
            "pruned_payload_in",
            "pruned_payload_out",
            "pruned_first",
            "pruned_last",
        ],
    ),
    (
        "minute",
        &[
            "minute",
            "session",
            "wire_in",
            "wire_out",
            "payload_in",
            "payload_out",
        ],
    ),
    (
        "hour",
        &[
            "start",
            "account",
            "wire_in",
            "wire_out",
            "payload_in",
            "payload_out",
        ],
    ),
    (
        "day",
        &[
            "start",
            "account",
            "wire_in",
            "wire_out",
            "payload_in",
            "payload_out",
        ],
    ),
    (
        "month",
        &[
            "start",
            "account",
            "wire_in",
            "wire_out",
            "payload_in",
            "payload_out",
        ],
    ),
    ("checkpoint", &["value"]),
    ("change", &["revision", "kind", "first", "second"]),
    ("import", &["source", "user", "hour", "wire_in", "wire_out"]),
];

/// Numbers at the ends of ranges: SQLite's, of minutes and of milliseconds.
const ENDS: [i64; 14] = [
    i64::MIN,
    i64::MIN + 1,
    i64::MAX - 1,
    i64::MAX,
    -1,
    0,
    1,
    u32::MAX as i64,
    -6_293_000_000,
    4_223_000_000,
    -377_705_023_201_000,
    253_402_207_200_999,
    29_922_800,
    1_795_368_000_000,
];

/// Writes into rows of the sample ledger, past its own checks, and reads it.
pub fn ledger_rows(bytes: &[u8]) {
    let file = LedgerFile::of(sample_ledger());
    let changed = change(&file, bytes);
    let read = read_and_resume(&file.path);
    if !changed {
        read.expect("the sample is sound");
    }
}

/// Gives whether anything was changed.
fn change(file: &LedgerFile, bytes: &[u8]) -> bool {
    let connection = Connection::open(&file.path).expect("the sample");
    connection
        .execute_batch(
            "PRAGMA synchronous = OFF;
             PRAGMA foreign_keys = OFF;
             PRAGMA ignore_check_constraints = ON;
             BEGIN;",
        )
        .expect("pragmas");
    let mut choices = Choices::of(bytes);
    let mut changed = false;
    while let Some(rows) = write_one(&connection, &mut choices) {
        changed |= rows > 0;
    }
    connection.execute_batch("COMMIT").expect("a commit");
    changed
}

/// Writes one value into one row, or all of a table.
fn write_one(connection: &Connection, choices: &mut Choices<'_>) -> Option<usize> {
    let (table, columns) = choices.one_of(&COLUMNS)?;
    let column = choices.one_of(columns)?;
    let row = choices.byte()?;
    let value = value(choices)?;
    let key = if matches!(*table, "account" | "session" | "checkpoint") {
        "id"
    } else {
        columns[0]
    };
    let which = if row < 250 {
        format!(
            "WHERE {key} = (SELECT {key} FROM {table} ORDER BY 1 LIMIT 1 OFFSET {row} % (SELECT count(*) FROM {table}))"
        )
    } else {
        String::new()
    };
    // A type or a second row of one key that the table refuses changes nothing.
    let written = connection.execute(
        &format!("UPDATE {table} SET {column} = ?1 {which}"),
        [value],
    );
    Some(written.unwrap_or(0))
}

fn value(choices: &mut Choices<'_>) -> Option<Value> {
    Some(match choices.byte()? % 5 {
        0 => Value::Null,
        1 => Value::Integer(*choices.one_of(&ENDS)?),
        2 => Value::Integer(choices.number()?),
        3 => Value::Integer(i64::from(choices.byte()?)),
        _ => Value::Text(choices.text()?),
    })
}
