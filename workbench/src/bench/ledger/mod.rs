//! `cargo xtask bench ledger`: what a minute's commit takes, how large a ledger
//! becomes, and how long reports over years take.
//!
//! Ledgers are filled by `scribe`, which is made of sshmeter's own writer, and lie on
//! the disk that the build lies on. What is measured is held against plain SQLite in
//! turns, so that both meet the same machine: new rows without an index beside a
//! commit, and `sqlite3` with the same sums beside a report. Each ledger has to be
//! found sound by `sshmeter verify`, and every sum has to be right.

mod commits;
mod growth;
mod reports;
mod years;

use std::path::{Path, PathBuf};

use anyhow::Result;
use xtask::build;

use self::years::Years;
use super::{
    Found,
    page::{Figures, Place},
    programs::Programs,
};

/// Measures, and gives the tables.
pub(super) fn run(rounds: usize) -> Result<Found> {
    let programs = Programs::build(&["scribe"])?;
    let folder = tempfile::Builder::new()
        .prefix("ledger-")
        .tempdir_in(build::target())?;
    let (commits, mut goals) = commits::measure(&programs, folder.path(), rounds)?;
    let years = Years::make(&programs, folder.path())?;
    let (reports, of_reports) = reports::measure(&years, rounds)?;
    goals.extend(of_reports);
    let table = |place, table| Figures { place, table };
    Ok(Found {
        figures: vec![
            table(Place::LedgerCommits, commits),
            table(Place::LedgerGrowth, growth::table(&years)?),
            table(Place::LedgerReports, reports),
        ],
        goals,
    })
}

/// The program that fills ledgers.
fn scribe() -> PathBuf {
    build::target().join("release/scribe")
}

/// Fails where a ledger is not sound.
fn verify(programs: &Programs, ledger: &Path) -> Result<()> {
    let mut verify = std::process::Command::new(&programs.sshmeter);
    verify.arg("--ledger").arg(ledger).arg("verify");
    build::said(&mut verify).map(drop)
}
