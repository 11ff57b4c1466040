//! A minute of ten thousand sessions, committed.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;
use system_tests::told::Commit;
use xtask::build;

use super::{scribe, verify};
use crate::{
    bench::{goal::Goal, programs::Programs},
    table::{Spread, Table, grouped},
};

const SESSIONS: usize = 10_000;

/// Whose they are, and how many minutes were counted before.
const CASES: [(usize, usize); 3] = [(1_000, 1), (10_000, 1), (1_000, 120)];

/// What is aimed at, until the minute is on the disk.
const GOAL_MILLISECONDS: f64 = 100.0;

/// Bytes on the wire and of the streams, in and out.
type Moved = [[u64; 2]; 2];

/// The table, and how far the goals were reached.
pub(super) fn measure(
    programs: &Programs,
    folder: &Path,
    rounds: usize,
) -> Result<(Table, Vec<Goal>)> {
    let head = ["10,000 sessions of", "rows", "processor time", "time"];
    let mut table = Table::new(head.map(str::to_owned));
    let mut goals = Vec::new();
    for (users, past) in CASES {
        eprintln!("commits: {} users, after {past} minutes", grouped(users));
        let minutes = minutes(programs, folder, [users, past, rounds])?;
        let name = format!("{} users, {}", grouped(users), age(past));
        let rows = minutes.first().map_or(0, |minute| minute.rows);
        let spread = |ratio: fn(&Commit) -> f64| {
            Spread::of(&minutes.iter().map(ratio).collect::<Vec<_>>()).context("some minutes")
        };
        let processor = spread(|minute| minute.commit.processor / minute.plain.processor)?;
        let time = spread(|minute| minute.commit.wall / minute.plain.wall)?;
        let cells = [grouped(rows), processor.to_string(), time.to_string()];
        table.row(&name, cells);
        for (what, seconds) in [
            ("", spread(|minute| minute.commit.wall)?),
            (
                " of processor time",
                spread(|minute| minute.commit.processor)?,
            ),
        ] {
            let what = format!("ms{what}, a minute of {SESSIONS} sessions, {name}");
            let measured = seconds.middle() * 1_000.0;
            goals.push(Goal::at_most(GOAL_MILLISECONDS, what, measured));
        }
    }
    Ok((table, goals))
}

fn age(past: usize) -> String {
    match past / 60 {
        0 => "just opened".to_owned(),
        hours => format!("open for {hours} hours"),
    }
}

/// Some minutes, of which each session and each sum is in the ledger afterwards.
fn minutes(
    programs: &Programs,
    folder: &Path,
    [users, past, measured]: [usize; 3],
) -> Result<Vec<Commit>> {
    let ledger = folder.join(format!("minutes-{users}-{past}.db"));
    let output = Command::new(scribe())
        .arg("minutes")
        .arg(&ledger)
        .args([SESSIONS, users, past, measured].map(|number| number.to_string()))
        .stderr(Stdio::inherit())
        .output()?;
    ensure!(output.status.success(), "scribe failed");
    let text = String::from_utf8(output.stdout)?;
    let mut lines = text.lines().collect::<Vec<_>>();
    let moved: Moved = serde_json::from_str(lines.pop().context("scribe said nothing")?)?;
    verify(programs, &ledger)?;
    let counted = counted(programs, &ledger)?;
    ensure!(
        counted == moved,
        "the ledger has {counted:?} bytes, and {moved:?} were moved"
    );
    let minutes = lines.into_iter().map(serde_json::from_str);
    Ok(minutes.collect::<Result<_, _>>()?)
}

/// What a ledger says that all have moved.
fn counted(programs: &Programs, ledger: &Path) -> Result<Moved> {
    #[derive(Deserialize)]
    struct Report {
        total: Total,
    }
    #[derive(Deserialize)]
    struct Total {
        r#in: u64,
        out: u64,
        payload_in: u64,
        payload_out: u64,
    }
    let mut report = Command::new(&programs.sshmeter);
    report.arg("--ledger").arg(ledger).args([
        "report",
        "--by=host",
        "--since=2026-01-01",
        "--until=2027-01-01",
        "--format=json",
    ]);
    let Report { total } = serde_json::from_str(&build::said(&mut report)?)?;
    Ok([
        [total.r#in, total.out],
        [total.payload_in, total.payload_out],
    ])
}
