//! `cargo xtask bench log`: what it costs to read a log, by sshmeter and by what
//! is at hand for that on any machine.
//!
//! All read the same two files, which lie in memory, on the same core, in turns.
//! What counts is processor time, the kernel's for handing out the file included. A
//! command that does not find every login that is in a log ends the bench.

mod reader;
mod turn;
mod written;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use tempfile::TempDir;
use xtask::build;

use self::{
    reader::{PERL_LOOP, READERS, Reader},
    turn::OneCore,
    written::Written,
};
use super::{
    Found,
    goal::Goal,
    page::{Figures, Place},
};
use crate::table::{Spread, Table, grouped};

/// Lines of each log: some hundred megabytes.
const LINES_OF_SSHD: u64 = 2_000_000;
const LINES_OF_A_SYSTEM: u64 = 4_000_000;
/// What both take, and a little more.
const ROOM: u64 = 1 << 30;

/// What one reader did with one log.
#[derive(Clone, Debug, Default)]
struct Measured {
    /// MB/s of each round.
    speeds: Vec<f64>,
    /// Beside sshmeter's table, in the same round.
    ratios: Vec<f64>,
}

impl Measured {
    fn speed(&self) -> f64 {
        Spread::of(&self.speeds).map_or(0.0, Spread::middle)
    }
}

/// Reads both logs by all readers.
pub(super) fn run(rounds: usize) -> Result<Found> {
    let sshmeter = build::sshmeter()?;
    let folder = folder()?;
    eprintln!("writing two logs to {}", folder.path().display());
    let logs = [
        written::of_sshd(&folder.path().join("sshd.log"), LINES_OF_SSHD)?,
        written::of_a_system(&folder.path().join("system.log"), LINES_OF_A_SYSTEM)?,
    ];
    let _core = OneCore::take()?;
    let mut both = Vec::new();
    for log in &logs {
        both.push(measure(&sshmeter, log, rounds)?);
    }
    Ok(Found {
        figures: vec![Figures {
            place: Place::Log,
            table: table(&both),
        }],
        goals: goals(&both),
    })
}

/// A folder in memory, where there is room for the logs.
fn folder() -> Result<TempDir> {
    let memory = PathBuf::from("/dev/shm");
    let free = rustix::fs::statvfs(&memory).map_or(0, |system| system.f_bavail * system.f_frsize);
    let within = if free > ROOM {
        memory
    } else {
        std::env::temp_dir()
    };
    TempDir::with_prefix_in("sshmeter-bench-", &within)
        .with_context(|| format!("{} takes no log", within.display()))
}

/// All readers in turns, after one that is not measured and brings the file, or
/// what of it there is room for, into memory.
fn measure(sshmeter: &Path, log: &Written, rounds: usize) -> Result<Vec<Measured>> {
    eprintln!(
        "{} MB in {} lines, with {} logins",
        log.bytes / 1_000_000,
        grouped(usize::try_from(log.lines)?),
        grouped(usize::try_from(log.logins)?)
    );
    for reader in READERS {
        reader.check(sshmeter, log)?;
    }
    let mut all = vec![Measured::default(); READERS.len()];
    for _ in 0..rounds {
        let mut speeds = Vec::new();
        for reader in READERS {
            let used = reader.read(sshmeter, log)?;
            speeds.push(megabytes(log) / used.as_secs_f64());
        }
        for (measured, speed) in all.iter_mut().zip(&speeds) {
            measured.speeds.push(*speed);
            measured.ratios.push(speed / speeds[0]);
        }
    }
    for (Reader { name, .. }, measured) in READERS.iter().zip(&all) {
        let speed = measured.speed();
        let lines = speed / megabytes(log) * log.lines as f64 / 1e6;
        eprintln!("{speed:>8.0} MB/s, {lines:>6.2} million lines a second: {name}");
    }
    Ok(all)
}

fn megabytes(log: &Written) -> f64 {
    log.bytes as f64 / 1e6
}

fn table(both: &[Vec<Measured>]) -> Table {
    let mut table = Table::new(["read by", "sshd's lines", "a system's log"].map(str::to_owned));
    for (index, reader) in READERS.iter().enumerate() {
        let ratios = both.iter().map(|all| Spread::of(&all[index].ratios));
        let cells = ratios.map(|ratio| ratio.map_or_else(String::new, |ratio| ratio.to_string()));
        table.row(reader.name, cells);
    }
    table
}

fn goals(both: &[Vec<Measured>]) -> Vec<Goal> {
    let [of_sshd, of_a_system] = both else {
        return Vec::new();
    };
    let times_perl = |all: &[Measured]| {
        let mut named = READERS.iter().zip(all);
        let perl = named.find(|(reader, _)| reader.name == PERL_LOOP);
        all[0].speed() / perl.map_or(0.0, |(_, measured)| measured.speed())
    };
    vec![
        Goal::at_least(300.0, "MB/s of sshd's lines", of_sshd[0].speed()),
        Goal::at_least(300.0, "MB/s of sshd's lines, to JSON", of_sshd[1].speed()),
        Goal::at_least(1_000.0, "MB/s of a system's log", of_a_system[0].speed()),
        Goal::at_least(
            10.0,
            "times the Perl loop, sshd's lines",
            times_perl(of_sshd),
        ),
        Goal::at_least(
            10.0,
            "times the Perl loop, a system's log",
            times_perl(of_a_system),
        ),
    ]
}
