//! Reports over years, each a whole process whose answer goes into a pipe.

use std::{
    process::{Command, Stdio},
    time::Instant,
};

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;
use xtask::build;

use super::years::Years;
use crate::{
    bench::{goal::Goal, processor},
    table::{Spread, Table, grouped},
};

/// What is aimed at.
const GOAL_MILLISECONDS: f64 = 50.0;

/// A period, in words and in minutes, and the rows that answer for it.
struct Period {
    arguments: &'static str,
    name: &'static str,
    rows: &'static str,
    minutes: [i64; 2],
}

const PERIODS: [Period; 2] = [
    Period {
        arguments: "--per day --since 2026-10-01 --until 2026-11-01",
        name: "a month by day",
        rows: "day",
        minutes: [29_846_760, 29_891_460],
    },
    Period {
        arguments: "--per month --since 2025-11-01 --until 2026-11-01",
        name: "a year by month",
        rows: "month",
        minutes: [29_365_860, 29_891_460],
    },
];

/// Whose figures, as sshmeter and as SQL say it.
struct Whose {
    name: &'static str,
    arguments: &'static str,
    grouped: &'static str,
    only: &'static str,
    /// How many of the largest rows are shown, of one that does not show all.
    limit: Option<usize>,
}

const WHOSE: [Whose; 5] = [
    Whose {
        name: "all users",
        arguments: "",
        grouped: "start, user",
        only: "true",
        limit: None,
    },
    Whose {
        name: "all users, CSV",
        arguments: "--format csv",
        grouped: "start, user",
        only: "true",
        limit: None,
    },
    Whose {
        name: "the 20 largest rows",
        arguments: "--top 20",
        grouped: "start, user",
        only: "true",
        limit: Some(20),
    },
    Whose {
        name: "one user",
        arguments: "--user user-00007",
        grouped: "start",
        only: "user = 'user-00007'",
        limit: None,
    },
    Whose {
        name: "the host",
        arguments: "--by host",
        grouped: "start",
        only: "true",
        limit: None,
    },
];

/// The table, and how far the goals were reached.
pub(super) fn measure(years: &Years, rounds: usize) -> Result<(Table, Vec<Goal>)> {
    let head = ["report", "rows", "ratio to sqlite3"].map(str::to_owned);
    let mut table = Table::new(head);
    let mut goals = Vec::new();
    for period in &PERIODS {
        for whose in &WHOSE {
            let name = format!("{}, {}", period.name, whose.name);
            eprintln!("report: {name}");
            let arguments = format!("{} {}", period.arguments, whose.arguments);
            let rows = check(years, period, whose, &arguments)
                .with_context(|| format!("report {arguments}"))?;
            let (mut seconds, mut ratios) = (Vec::new(), Vec::new());
            let mut processor = 0.0;
            for _ in 0..rounds {
                let (ours, used) = timed(&mut years.report(&arguments))?;
                let (theirs, _) = timed(&mut years.sqlite(&question(period, whose)))?;
                processor += used;
                seconds.push(ours);
                ratios.push(ours / theirs);
            }
            let ratio = Spread::of(&ratios).context("some rounds")?;
            table.row(&name, [grouped(rows), ratio.to_string()]);
            let middle = Spread::of(&seconds).context("some rounds")?.middle();
            let mean = processor / f64::from(u32::try_from(rounds)?);
            for (what, seconds) in [("", middle), (" of processor time", mean)] {
                let what = format!("ms{what}, report of {name}");
                goals.push(Goal::at_most(GOAL_MILLISECONDS, what, seconds * 1_000.0));
            }
        }
    }
    Ok((table, goals))
}

/// The same sums, asked by who knows SQL.
fn question(period: &Period, whose: &Whose) -> String {
    let grouped = whose.grouped;
    let size = "sum(wire_in + wire_out) DESC";
    let order = whose.limit.map_or_else(
        || format!("start, {size}"),
        |limit| format!("{size} LIMIT {limit}"),
    );
    format!(
        "SELECT {grouped}, {SUMS} {} GROUP BY {grouped} ORDER BY {order}",
        rows(period, whose)
    )
}

const SUMS: &str = "sum(wire_in), sum(wire_out), sum(payload_in), sum(payload_out)";

fn rows(period: &Period, whose: &Whose) -> String {
    let [since, until] = period.minutes;
    format!(
        "FROM {} JOIN account ON account.id = account
         WHERE start >= {since} AND start < {until} AND {}",
        period.rows, whose.only
    )
}

/// Fails where the report's total is not what the rows add up to, and says how many
/// rows it has.
fn check(years: &Years, period: &Period, whose: &Whose, arguments: &str) -> Result<usize> {
    #[derive(Deserialize)]
    struct Report {
        rows: Vec<serde_json::Value>,
        total: serde_json::Value,
    }
    let arguments = arguments.replace("--format csv", "");
    let said = build::said(&mut years.report(&format!("{arguments} --format json")))?;
    let Report { rows: given, total } = serde_json::from_str(&said)?;
    let sums = format!("SELECT {SUMS} {}", rows(period, whose));
    let sums = build::said(&mut years.sqlite(&sums))?;
    let figures = ["in", "out", "payload_in", "payload_out"].map(|name| total[name].to_string());
    ensure!(
        figures.join("|") == sums,
        "the total is {total}, and the rows add up to {sums}"
    );
    Ok(given.len())
}

/// How long a command took, and the processor time of it and of reading its answer,
/// by a clock of ten milliseconds: worth something over some rounds.
fn timed(command: &mut Command) -> Result<(f64, f64)> {
    let used = || processor::with_children(std::process::id());
    let (begin, before) = (Instant::now(), used()?);
    let output = command.stdin(Stdio::null()).output()?;
    let seconds = begin.elapsed().as_secs_f64();
    let processor = used()?.saturating_sub(before).as_secs_f64();
    ensure!(output.status.success(), "a report failed");
    Ok((seconds, processor))
}
