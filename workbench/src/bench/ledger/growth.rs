//! How large a ledger becomes.

use anyhow::{Context as _, Result};
use xtask::build;

use super::years::{USERS, YEARS, Years};
use crate::table::{Table, grouped};

/// A kind of row with its indexes, as SQLite names their pages, and in which time
/// there are so many.
const KINDS: [(&str, &str, usize); 5] = [
    ("minutes, for 30 days", "minute%", 1),
    (
        "sessions, for 400 days",
        "session%' OR name LIKE 'sqlite_autoindex_session%",
        1,
    ),
    ("hours, for 400 days", "hour", 1),
    ("days, each year", "day", YEARS),
    ("months, each year", "month", YEARS),
];

/// What each kind takes of the disk.
pub(super) fn table(years: &Years) -> Result<Table> {
    let mut table = Table::new(["kept", "bytes a user"].map(str::to_owned));
    for (kind, names, parts) in KINDS {
        let sql = format!("SELECT sum(pgsize) FROM dbstat WHERE name LIKE '{names}'");
        let said = build::said(&mut years.sqlite(&sql))?;
        let bytes: usize = said.parse().with_context(|| format!("{kind}: {said}"))?;
        table.row(kind, [grouped(bytes / parts / USERS)]);
    }
    Ok(table)
}
