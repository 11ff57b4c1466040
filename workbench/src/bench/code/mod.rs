//! The hot paths by themselves, outside the daemon: how long each takes, by criterion,
//! and how many instructions, by gungraun. What is done is in `crates/benches`.
//!
//! The counts become the expected ones, which a test holds against what it counts.
//! Times depend on the machine, and are printed only.

mod times;

use anyhow::{Context as _, Result, bail};
use system_tests::instructions::Counts;
use xtask::tool::{self, GUNGRAUN_RUNNER};

use self::times::Times;
use super::Found;
use crate::table::{Table, grouped};

/// What each path does many of.
const UNITS: [(&str, &str); 4] = [
    ("commit", "session written"),
    ("difference", "session read"),
    ("line", "line"),
    ("netlink", "message"),
];

/// Counts and measures; prints both, and writes the counts where they are expected.
pub(super) fn run(print_only: bool) -> Result<Found> {
    let runner = tool::named_runner().map_or_else(|| tool::installed(&GUNGRAUN_RUNNER), Ok)?;
    eprintln!("counting instructions");
    let counted = Counts::of(&runner)?;
    eprintln!("measuring times, for two minutes");
    let times = Times::measure()?;
    println!("\n{}", table(&counted, &times)?);
    if print_only {
        for difference in counted.differences(&Counts::expected()?) {
            println!("{difference}");
        }
    } else {
        counted.expect()?;
        println!("written into {}", Counts::path().display());
    }
    Ok(Found::default())
}

/// Fails where one of the two has a bench that the other has not.
fn table(counted: &Counts, times: &Times) -> Result<Table> {
    let timed = times.benches()?;
    let of_one = counted.instructions.keys().find(|it| !timed.contains(*it));
    if let Some(bench) = of_one {
        bail!("{bench} is counted, and its time is not measured");
    }
    let of_other = timed
        .iter()
        .find(|it| !counted.instructions.contains_key(*it));
    if let Some(bench) = of_other {
        bail!("the time of {bench} is measured, and it is not counted");
    }
    let head = ["bench", "of each", "instructions", "ns"];
    let mut table = Table::new(head.map(str::to_owned));
    for (bench, count) in &counted.instructions {
        let time = times.of(bench)?;
        let unit = UNITS.iter().find(|(path, _)| bench.starts_with(path));
        let (_, unit) = unit.with_context(|| format!("{bench} has no unit"))?;
        table.row(
            bench,
            [
                (*unit).to_owned(),
                grouped(usize::try_from(count.div_ceil(time.units))?),
                format!("{:.0}", time.nanoseconds / time.units as f64),
            ],
        );
    }
    Ok(table)
}
