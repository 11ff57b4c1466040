//! What `cargo xtask` shows and measures with machines of their own: the demo, the
//! benches, and the harnesses that break things at random.
//!
//! Apart from `xtask`, since it needs all that the system tests are made of, and
//! `xtask` is to be there at once.

mod bench;
mod crash;
mod demo;
mod outage;

use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::{Parser, Subcommand};
use system_tests::missing;
use xtask::packages;

#[derive(Debug, Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    disable_help_subcommand = true
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Kill the daemon at random moments over live traffic, and hold its ledger against the capture.
    Crash {
        /// How often.
        #[arg(default_value_t = 300)]
        rounds: u64,
    },
    /// Break mirrors at random, and hold the server against the ledgers.
    Outage {
        /// How many kills, for one host and for twenty, over each server.
        #[arg(default_value_t = 200)]
        rounds: u64,
    },
    /// Measure what each meter costs a stream of the server, and many hosts a mirror.
    Bench {
        /// What to measure; all there is, if not said.
        #[arg(value_enum)]
        part: Option<bench::Part>,
        /// For `mirror`: how many hosts, users on each, and minutes.
        sizes: Vec<usize>,
        /// How often everything is measured.
        #[arg(long, default_value_t = 9)]
        rounds: usize,
    },
    /// Meter three users on a throwaway server and hold the report against a packet capture.
    Demo,
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Crash { rounds } => crash::run(rounds),
        Command::Outage { rounds } => outage::run(rounds),
        Command::Bench {
            part,
            sizes,
            rounds,
        } => bench::run(part, &sizes, rounds),
        Command::Demo => demo::run(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Sees to all that these commands need: root, and the programs of the tests.
fn prepare(command: &str) -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        bail!(
            "`cargo xtask {command}` needs root, for network namespaces and real servers in them\n\
             hint: sudo --preserve-env=PATH cargo xtask {command}"
        );
    }
    packages::install()?;
    if let Some(reason) = missing() {
        bail!("`cargo xtask {command}` cannot run here: it {reason}");
    }
    Ok(())
}
