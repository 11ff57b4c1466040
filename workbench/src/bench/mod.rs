//! `cargo xtask bench`: what metering costs, part by part.
//!
//! Machines differ, so bare times say little: what is compared is measured side by
//! side in one run, as ratios, or counted in processor time. The ratios go to
//! `docs/performance.md`; what this machine reached of what is aimed at is printed.

mod churn;
mod code;
mod crowd;
mod goal;
mod ground;
mod iptables;
mod ledger;
mod log;
mod login;
mod metering;
mod mirror;
mod packets;
mod page;
mod processor;
mod programs;
mod sampling;

use anyhow::{Result, ensure};
use clap::{Args, ValueEnum};

use self::{goal::Goal, page::Figures};
use crate::prepare;

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// TCP streams through the rules of each meter, with up to 5,000 sessions.
    Packets,
    /// Readings of up to 50,000 connections.
    Sampling,
    /// A thousand logins a second, and other connections that close.
    Churn,
    /// Reading logs.
    Log,
    /// Commits, the file's growth, and reports.
    Ledger,
    /// A server that many hosts share: HOSTS USERS MINUTES, or some minutes' worth.
    Mirror,
    /// The hot paths by themselves: times, and counts of instructions.
    Code,
}

/// How to measure.
#[derive(Clone, Debug, Args)]
pub(crate) struct Arguments {
    /// What to measure; all there is, if not said.
    #[arg(value_enum)]
    part: Option<Part>,
    /// For `mirror`: how many hosts, users on each, and minutes.
    sizes: Vec<usize>,
    /// How often packets, sampling, log and ledger measure.
    #[arg(long, default_value_t = 9)]
    rounds: usize,
    /// Leave docs/performance.md, and with `code` the expected counts, as they are.
    #[arg(long)]
    print_only: bool,
}

/// What a part has found.
#[derive(Clone, Debug, Default)]
struct Found {
    /// For the page.
    figures: Vec<Figures>,
    /// For who runs it.
    goals: Vec<Goal>,
}

/// Measures one part, or all.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let Arguments {
        part,
        rounds,
        print_only,
        ..
    } = *arguments;
    ensure!(rounds > 0, "nothing is measured in no rounds");
    ensure!(
        arguments.sizes.is_empty() || part == Some(Part::Mirror),
        "HOSTS USERS MINUTES are for `mirror` alone"
    );
    let size = mirror::Size::from_words(&arguments.sizes)?;
    prepare("bench")?;
    let parts = part.map_or_else(|| Part::value_variants().to_vec(), |part| vec![part]);
    let is_named = part.is_some();
    for part in parts {
        let found = match part {
            Part::Packets => packets::run(rounds)?,
            Part::Sampling => sampling::run(rounds)?,
            Part::Churn => churn::run()?,
            Part::Log => log::run(rounds)?,
            Part::Ledger => ledger::run(rounds)?,
            Part::Mirror => mirror::run(size)?,
            // Whoever measures all does not mean to expect other counts.
            Part::Code => code::run(print_only || !is_named)?,
        };
        tell(&found);
        if !print_only {
            page::write(&found.figures)?;
        }
    }
    Ok(())
}

fn tell(found: &Found) {
    for Figures { place, table } in &found.figures {
        print!("\n{place}\n\n{table}");
    }
    if !found.goals.is_empty() {
        print!("\n{}", goal::measured(&found.goals));
    }
}
