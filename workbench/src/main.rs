//! What `cargo xtask` shows and measures with machines of their own: the demo, the
//! documents' examples, Debian systems, other meters, the benches, and the harnesses that break things at random.
//!
//! Apart from `xtask`, since it needs all that the system tests are made of, and
//! `xtask` is to be there at once.

mod bench;
mod book;
mod compare;
mod crash;
mod debian;
mod demo;
mod outage;
mod table;

use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::{Parser, Subcommand};
use system_tests::missing;
use xtask::{debian::Release, packages};

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
    /// Meter three users on a throwaway server and hold the report against a packet capture.
    Demo,
    /// Write the documents' examples and picture anew, from what the program says.
    Book,
    /// A root shell, or a command, in a throwaway Debian system, with the package at hand.
    Debian {
        /// The release.
        #[arg(value_enum)]
        release: Release,
        /// The command, and what it is given.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
    /// Count the same traffic by sshmeter and by other meters, beside a packet capture.
    Compare,
    /// Measure what metering costs, and write the ratios into docs/performance.md.
    Bench(bench::Arguments),
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
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Demo => demo::run(),
        Command::Book => book::run(),
        Command::Debian { release, command } => debian::run(release, &command),
        Command::Compare => compare::run(),
        Command::Bench(arguments) => bench::run(&arguments),
        Command::Crash { rounds } => crash::run(rounds),
        Command::Outage { rounds } => outage::run(rounds),
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

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;
    use system_tests::book::xtask_commands;

    use super::*;

    #[test]
    fn commands_in_the_documents_are_commands() {
        let definition = Arguments::command();
        let mut seen = 0;
        for (place, words) in xtask_commands() {
            if definition.find_subcommand(&words[0]).is_none() {
                continue;
            }
            let whole = std::iter::once("xtask").chain(words.iter().map(String::as_str));
            if let Err(error) = Arguments::try_parse_from(whole) {
                panic!("{place}: {words:?}: {error}");
            }
            seen += 1;
        }
        assert!(seen > 5, "{seen} commands");
    }
}
