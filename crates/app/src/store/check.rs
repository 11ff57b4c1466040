//! Whether a ledger is sound: SQLite's own quick check, and the sums that have
//! to agree.

use rusqlite::Connection;
use sshmeter_core::{time::Unit, units::Minute};

use super::{StoreError, amounts::table_of, reader::Reader, retain::kept};

/// What a check found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Check {
    /// The ledger's format.
    pub format: i64,
    /// What is wrong, in sentences; empty where all is well.
    pub problems: Vec<String>,
}

/// Checks a ledger. Reads all of it once, so this is for `doctor`, not for
/// every start.
///
/// # Errors
/// The ledger cannot be read at all.
pub fn check(reader: &Reader) -> Result<Check, StoreError> {
    let failed = |error| reader.failed(error);
    let connection = reader.connection().map_err(failed)?;
    let mut problems = quick_check(connection).map_err(failed)?;
    if problems.is_empty() {
        // One transaction, or a commit in between would look like a fault.
        let snapshot = connection.unchecked_transaction().map_err(failed)?;
        problems.extend(unequal_sums(&snapshot).map_err(failed)?);
    }
    Ok(Check {
        format: reader.format(),
        problems,
    })
}

fn quick_check(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut statement = connection.prepare("PRAGMA quick_check(5)")?;
    let words = statement
        .query_map([], |row| row.get::<_, String>(0))?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    Ok(words.into_iter().filter(|word| word != "ok").collect())
}

fn unequal_sums(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let kept = kept(connection)?;
    let mut problems = Vec::new();
    let minutes =
        sum(connection, "minute", "", None)? + sum(connection, "session", "pruned_", None)?;
    let sessions = sum(connection, "session", "total_", None)?;
    if minutes != sessions {
        problems.push(format!(
            "its minutes hold {minutes} bytes and its sessions {sessions}"
        ));
    }
    // Minutes of connections that may still be named can outlive their hours.
    for (fine, coarse, since) in [
        (
            Unit::Minute,
            Unit::Hour,
            kept.minutes_since.max(kept.hours_since),
        ),
        (Unit::Hour, Unit::Day, kept.hours_since.max(kept.days_since)),
        (Unit::Day, Unit::Month, kept.days_since),
    ] {
        let (fine, coarse) = (table_of(fine), table_of(coarse));
        let in_fine = sum(connection, fine, "", since)?;
        let in_coarse = sum(connection, coarse, "", since)?;
        if in_fine != in_coarse {
            problems.push(format!(
                "its {fine}s hold {in_fine} bytes and its {coarse}s {in_coarse}"
            ));
        }
    }
    Ok(problems)
}

/// All figures of a table added up, of rows that start at `since` or later.
fn sum(
    connection: &Connection,
    table: &str,
    prefix: &str,
    since: Option<Minute>,
) -> rusqlite::Result<i128> {
    let start = match table {
        "minute" => "minute",
        "session" => "begin_minute",
        _ => "start",
    };
    let figures = ["wire_in", "wire_out", "payload_in", "payload_out"]
        .map(|figure| format!("ifnull(sum({prefix}{figure}), 0)"))
        .join(", ");
    connection.query_row(
        &format!("SELECT {figures} FROM {table} WHERE {start} >= ?1"),
        [since.map_or(i64::MIN, |since| since.0)],
        |row| {
            (0..4).try_fold(0i128, |sum, column| {
                Ok(sum + i128::from(row.get::<_, i64>(column)?))
            })
        },
    )
}
