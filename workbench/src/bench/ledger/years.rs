//! A ledger of two years, at the default retention.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Result;
use xtask::build;

use super::{scribe, verify};
use crate::bench::programs::Programs;

/// Its users.
pub(super) const USERS: usize = 1_000;
/// How long it was kept.
pub(super) const YEARS: usize = 2;
/// How long each user's session of a day is open, and how many of its minutes move
/// something.
const HOURS: usize = 8;
const MINUTES: usize = 60;

/// The ledger, and who reads it.
pub(super) struct Years {
    pub(super) ledger: PathBuf,
    sshmeter: PathBuf,
}

impl Years {
    /// Has it written, and checks it.
    pub(super) fn make(programs: &Programs, folder: &Path) -> Result<Self> {
        eprintln!("two years of {USERS} users");
        let ledger = folder.join("years.db");
        let mut years = Command::new(scribe());
        years.arg("years").arg(&ledger);
        years.args([USERS, YEARS * 365, HOURS, MINUTES].map(|number| number.to_string()));
        build::succeed(&mut years, "scribe failed")?;
        verify(programs, &ledger)?;
        Ok(Self {
            ledger,
            sshmeter: programs.sshmeter.clone(),
        })
    }

    /// `sshmeter report` over it.
    pub(super) fn report(&self, arguments: &str) -> Command {
        let mut report = Command::new(&self.sshmeter);
        report.arg("--ledger").arg(&self.ledger).arg("report");
        report.args(arguments.split_whitespace());
        report
    }

    /// `sqlite3` with a question to it.
    pub(super) fn sqlite(&self, sql: &str) -> Command {
        let mut sqlite = Command::new("sqlite3");
        sqlite.arg("-readonly").arg(&self.ledger).arg(sql);
        sqlite
    }
}
