//! Whether tables are the scripts'. A mirror of ours shows views of the same
//! names: what they show was counted by sshmeter, and taken over it would count
//! twice.

use super::ScriptsError;
use crate::store::Value;

/// The tables, and the columns that are read.
const TABLES: [(&str, &[&str]); 2] = [
    ("minute", &["time", "user", "pid", "in", "out"]),
    ("hour", &["time", "user", "in", "out"]),
];

/// What is to be known of the tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tables {
    /// Whether `Bob` and `bob` are one user there.
    pub(super) folds_case: bool,
}

/// Checks the tables by their columns: table, kind, column, collation.
pub(super) fn check(database: &str, columns: &[Vec<Value>]) -> Result<Tables, ScriptsError> {
    let text = |value: &Value| match value {
        Value::Text(text) => text.to_ascii_lowercase(),
        _ => String::new(),
    };
    let columns: Vec<Vec<String>> = columns
        .iter()
        .map(|row| row.iter().map(text).collect())
        .collect();
    let mut folds_case = false;
    for (table, wanted) in TABLES {
        let mut found = Vec::new();
        for column in &columns {
            let [of, kind, name, collation] = column.as_slice() else {
                continue;
            };
            if of != table {
                continue;
            }
            if kind.contains("view") {
                return Err(ScriptsError::View {
                    database: database.to_owned(),
                    table,
                });
            }
            folds_case |= name == "user" && collation.contains("_ci");
            found.push(name.as_str());
        }
        if found.is_empty() {
            return Err(ScriptsError::NoTable {
                database: database.to_owned(),
                table,
            });
        }
        if let Some(column) = wanted.iter().find(|column| !found.contains(*column)) {
            return Err(ScriptsError::NoColumn {
                database: database.to_owned(),
                table,
                column,
            });
        }
    }
    Ok(Tables { folds_case })
}
