//! What must hold in every ledger, asked of the file itself.
//!
//! The questions are this crate's own, in SQL, and nothing is taken over from
//! sshmeter: a check that shares its mistakes would find none of them.

use std::{collections::BTreeMap, path::Path};

use rusqlite::{Connection, OpenFlags};

const FIGURES: [&str; 4] = ["wire_in", "wire_out", "payload_in", "payload_out"];

/// What is wrong with a ledger that no daemon writes to, one line each.
///
/// # Panics
/// When the file cannot be read at all.
#[must_use]
pub fn ledger_faults(file: &Path) -> Vec<String> {
    let ledger = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY)
        .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let mut faults = words(&ledger, "PRAGMA integrity_check");
    faults.retain(|word| word != "ok");
    faults.extend(words(
        &ledger,
        "SELECT 'two sessions from ' || peer_ip || ' port ' || peer_port FROM session
         GROUP BY peer_ip, peer_port HAVING count(*) > 1",
    ));
    faults.extend(words(
        &ledger,
        "SELECT 'session ' || id || ' from ' || peer_ip || ' is open' FROM session
         WHERE closed_ms IS NULL",
    ));
    for figure in FIGURES {
        faults.extend(sessions_beside_minutes(&ledger, figure));
        faults.extend(resolutions(&ledger, figure));
    }
    faults
}

/// Sessions whose minutes are not their total, or whose total is not their
/// last reading.
fn sessions_beside_minutes(ledger: &Connection, figure: &str) -> Vec<String> {
    words(
        ledger,
        &format!(
            "SELECT 'session ' || id || ' from ' || peer_ip || ': {figure} is '
                 || ifnull(minutes, 'nothing') || ' in minutes, ' || ifnull(total, 'nothing')
                 || ' in total, ' || ifnull(reading, 'nothing') || ' read'
             FROM (SELECT id, peer_ip, total_{figure} AS total, reading_{figure} AS reading,
                 (SELECT sum({figure}) FROM minute WHERE session = id) AS minutes FROM session)
             WHERE ifnull(minutes, 0) IS NOT total OR total IS NOT reading"
        ),
    )
}

/// Accounts whose hours, days or months are not the sum of their sessions.
fn resolutions(ledger: &Connection, figure: &str) -> Vec<String> {
    let sums = |table: &str, column: &str| -> BTreeMap<i64, i64> {
        let query = format!("SELECT account, sum({column}) FROM {table} GROUP BY account");
        let mut statement = ledger.prepare(&query).expect("a table of the ledger");
        let rows = statement.query_map([], |row| {
            Ok((row.get(0)?, row.get::<_, Option<i64>>(1)?.unwrap_or(0)))
        });
        rows.expect("rows")
            .map(|row| row.expect("a row"))
            .filter(|(_, sum)| *sum != 0)
            .collect()
    };
    let sessions = sums("session", &format!("total_{figure}"));
    ["hour", "day", "month"]
        .into_iter()
        .filter_map(|table| {
            let coarse = sums(table, figure);
            (coarse != sessions).then(|| {
                format!("by account, {figure} of {table}s is {coarse:?}, of sessions {sessions:?}")
            })
        })
        .collect()
}

fn words(ledger: &Connection, query: &str) -> Vec<String> {
    let mut statement = ledger.prepare(query).expect("a question to the ledger");
    let rows = statement.query_map([], |row| row.get(0)).expect("rows");
    rows.map(|row| row.expect("a line")).collect()
}
