//! Whether a mirror is what the ledgers are, row by row.
//!
//! The ledger is read by SQLite, the server by its own client, and the questions
//! are this crate's own: nothing of sshmeter's code has a part in the answer, so
//! that a column which it forgets is missed here.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
};

use rusqlite::{Connection, OpenFlags, types::ValueRef};

use crate::{Backend, Database, Rows, ground};

/// How many differences of a table are told; the rest is counted.
const TOLD: usize = 3;

const FIGURES: &str = "wire_in, wire_out, payload_in, payload_out";

/// A table of the ledger: its name, its key, its other columns.
type TableOf = (&'static str, &'static [&'static str], &'static str);

const TABLES: [TableOf; 6] = [
    ("account", &["id"], r#""user", credential"#),
    (
        "session",
        &["id"],
        "boot, cookie, account, method, peer_ip, peer_port, local_ip, local_port, pid, \
         opened_ms, closed_ms, reason, begin_minute, end_minute, \
         total_wire_in, total_wire_out, total_payload_in, total_payload_out, \
         pruned_wire_in, pruned_wire_out, pruned_payload_in, pruned_payload_out, \
         pruned_first, pruned_last",
    ),
    ("minute", &["minute", "session"], FIGURES),
    ("hour", &["start", "account"], FIGURES),
    ("day", &["start", "account"], FIGURES),
    ("month", &["start", "account"], FIGURES),
];

/// Rows by their keys.
type ByKey = BTreeMap<Vec<i64>, Vec<Option<String>>>;

/// A server's database that hosts mirror their ledgers into.
#[derive(Clone, Copy, Debug)]
pub struct Mirror<'a> {
    server: &'a Database,
    database: &'a str,
}

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Comparison {
    /// Rows of ledgers that were compared.
    pub rows: usize,
    /// Whatever is not as it should be, in words.
    pub faults: Vec<String>,
}

impl<'a> Mirror<'a> {
    /// A mirror to be judged.
    #[must_use]
    pub fn of(server: &'a Database, database: &'a str) -> Self {
        Self { server, database }
    }

    /// Compares all ledgers of a folder, which no host may write to meanwhile, and
    /// looks whether the server has anything else.
    ///
    /// # Panics
    /// When the folder, a ledger or the server cannot be read.
    #[must_use]
    pub fn compare(&self, folder: &Path) -> Comparison {
        let mut found = Comparison::default();
        let ledgers = ledgers(folder);
        for ledger in &ledgers {
            let name = ledger.file_stem().unwrap_or_default().to_string_lossy();
            let of_one = self.compare_one(ledger);
            found.rows += of_one.rows;
            let told = of_one.faults.iter().map(|fault| format!("{name}: {fault}"));
            found.faults.extend(told);
        }
        let hosts = self.number("SELECT count(*) FROM sshmeter_host");
        if hosts != i64::try_from(ledgers.len()).unwrap_or(i64::MAX) {
            let fault = format!("{hosts} hosts on the server, {} ledgers", ledgers.len());
            found.faults.push(fault);
        }
        found.faults.extend(self.of_nobody());
        found.faults.extend(self.times());
        found
    }

    /// Compares a ledger, and has sshmeter check it.
    fn compare_one(&self, file: &Path) -> Comparison {
        let mut found = Comparison::default();
        found.faults.extend(unsound(file));
        let ledger = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY)
            .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let host = match self.host(&ledger) {
            Ok((host, faults)) => {
                found.faults.extend(faults);
                host
            }
            Err(fault) => {
                found.faults.push(fault);
                return found;
            }
        };
        for (table, key, columns) in TABLES {
            let key_columns = key.join(", ");
            let here = local(
                &ledger,
                &format!("SELECT {key_columns}, {columns} FROM {table}"),
            );
            let there = self.ask(&format!(
                "SELECT {key_columns}, {columns} FROM sshmeter_{table} WHERE host = {host}"
            ));
            found.rows += here.len();
            let (here, there) = (by_key(here, key.len()), by_key(there, key.len()));
            found.faults.extend(differences(table, &here, &there));
        }
        found
    }

    /// The number that the server has for a ledger, and what its row says wrongly.
    fn host(&self, ledger: &Connection) -> Result<(i64, Vec<String>), String> {
        let fact = |key: &str| -> String {
            ledger
                .query_row("SELECT value FROM meta WHERE key = ?1", [key], |row| {
                    row.get(0)
                })
                .unwrap_or_default()
        };
        let newest: i64 = ledger
            .query_row(
                "SELECT seq FROM sqlite_sequence WHERE name = 'change'",
                [],
                |row| row.get(0),
            )
            .unwrap_or(0);
        let id = fact("ledger_id");
        let rows = self.ask(&format!(
            "SELECT host, journal, revision, copied_table, zone FROM sshmeter_host \
             WHERE ledger = '{id}'"
        ));
        let [row] = &rows[..] else {
            return Err(format!("{} rows in sshmeter_host for it", rows.len()));
        };
        let host = row[0].as_deref().and_then(|host| host.parse().ok());
        let host = host.ok_or("its host has no number")?;
        let expected = [
            Some(fact("journal")),
            Some(newest.to_string()),
            None,
            Some(fact("timezone")),
        ];
        let faults = if row[1..] == expected {
            Vec::new()
        } else {
            vec![format!(
                "sshmeter_host has {:?} instead of {expected:?}",
                &row[1..]
            )]
        };
        Ok((host, faults))
    }

    /// Rows of hosts that there are not.
    fn of_nobody(&self) -> Vec<String> {
        let tables = TABLES.map(|(table, _, _)| table).into_iter();
        tables
            .filter_map(|table| {
                let strays = self.number(&format!(
                    "SELECT count(*) FROM sshmeter_{table} \
                     WHERE host NOT IN (SELECT host FROM sshmeter_host)"
                ));
                (strays != 0).then(|| format!("{strays} rows of no host in sshmeter_{table}"))
            })
            .collect()
    }

    /// Rows whose `time` is not what their minute says.
    fn times(&self) -> Vec<String> {
        if self.server.backend() == Backend::Postgres {
            return Vec::new();
        }
        [("minute", "minute"), ("hour", "start")]
            .into_iter()
            .filter_map(|(table, column)| {
                let wrong = self.number(&format!(
                    "SELECT count(*) FROM sshmeter_{table} \
                     WHERE NOT (UNIX_TIMESTAMP(time) <=> {column} * 60)"
                ));
                (wrong != 0).then(|| format!("{wrong} wrong times in sshmeter_{table}"))
            })
            .collect()
    }

    fn number(&self, question: &str) -> i64 {
        let rows = self.ask(question);
        let value = rows.first().and_then(|row| row[0].as_deref());
        value.and_then(|value| value.parse().ok()).expect("a count")
    }

    /// Asks with names that are quoted as in standard SQL, and times in UTC.
    fn ask(&self, question: &str) -> Rows {
        let settings = match self.server.backend() {
            Backend::Postgres => "",
            _ => "SET sql_mode = 'ANSI_QUOTES', time_zone = '+00:00'; ",
        };
        self.server
            .query_in(self.database, &format!("{settings}{question};"))
    }
}

/// The ledgers in a folder, in order.
fn ledgers(folder: &Path) -> Vec<PathBuf> {
    let files = std::fs::read_dir(folder).expect("a folder of ledgers");
    let mut ledgers: Vec<PathBuf> = files
        .map(|file| file.expect("a file").path())
        .filter(|file| file.extension().is_some_and(|extension| extension == "db"))
        .collect();
    ledgers.sort();
    ledgers
}

/// What `sshmeter verify` holds against a ledger.
fn unsound(file: &Path) -> Option<String> {
    let verified = Command::new(ground::binary())
        .arg("--ledger")
        .arg(file)
        .arg("verify")
        .output()
        .expect("sshmeter can be started");
    (!verified.status.success()).then(|| {
        format!(
            "`sshmeter verify` is not content: {}{}",
            String::from_utf8_lossy(&verified.stdout),
            String::from_utf8_lossy(&verified.stderr)
        )
    })
}

fn local(ledger: &Connection, question: &str) -> Rows {
    let mut statement = ledger.prepare(question).expect("a table of the ledger");
    let columns = statement.column_count();
    let rows = statement.query_map([], |row| {
        (0..columns)
            .map(|column| {
                Ok(match row.get_ref(column)? {
                    ValueRef::Null => None,
                    ValueRef::Integer(number) => Some(number.to_string()),
                    ValueRef::Text(text) => Some(String::from_utf8_lossy(text).into_owned()),
                    other => panic!("a ledger holds {other:?}"),
                })
            })
            .collect()
    });
    let rows = rows.expect("rows of the ledger");
    rows.map(|row| row.expect("a row of the ledger")).collect()
}

fn by_key(rows: Rows, parts: usize) -> ByKey {
    let keyed = |mut row: Vec<Option<String>>| {
        let values = row.split_off(parts);
        let number = |part: Option<String>| part?.parse().ok();
        let key = row.into_iter().map(number).collect::<Option<_>>();
        (key.expect("a key of integers"), values)
    };
    rows.into_iter().map(keyed).collect()
}

/// What differs between a ledger's table and the server's: the first few.
fn differences(table: &str, here: &ByKey, there: &ByKey) -> Vec<String> {
    let missing = here.iter().filter_map(|(key, row)| match there.get(key) {
        None => Some(format!("{table} {key:?} is missing on the server: {row:?}")),
        Some(other) if other != row => Some(format!(
            "{table} {key:?} is {row:?}, and on the server {other:?}"
        )),
        Some(_) => None,
    });
    let surplus = there.iter().filter(|(key, _)| !here.contains_key(*key));
    let surplus =
        surplus.map(|(key, row)| format!("{table} {key:?} is on the server only: {row:?}"));
    let mut all: Vec<String> = missing.chain(surplus).collect();
    if let Some(more) = all.len().checked_sub(TOLD + 1) {
        all.truncate(TOLD);
        all.push(format!("{table}: {} differences more", more + 1));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(rows: &[(i64, &str)]) -> ByKey {
        let pair = |(key, value): &(i64, &str)| (vec![*key], vec![Some((*value).to_owned())]);
        rows.iter().map(pair).collect()
    }

    #[test]
    fn what_differs_is_told_and_nothing_else() {
        let here = rows(&[(1, "a"), (2, "b"), (3, "c")]);
        assert!(differences("t", &here, &here).is_empty());
        let there = rows(&[(1, "a"), (2, "x"), (4, "d")]);
        let told = differences("t", &here, &there);
        assert_eq!(told.len(), 3, "{told:?}");
        assert!(told[0].starts_with("t [2] is "), "{told:?}");
        assert!(told[1].starts_with("t [3] is missing"), "{told:?}");
        assert!(
            told[2].starts_with("t [4] is on the server only"),
            "{told:?}"
        );
        let many = differences(
            "t",
            &rows(&[]),
            &rows(&[(1, ""), (2, ""), (3, ""), (4, ""), (5, "")]),
        );
        assert_eq!(many.len(), 4);
        assert_eq!(many[3], "t: 2 differences more");
    }
}
