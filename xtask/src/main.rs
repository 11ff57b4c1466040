//! The project's own commands: `cargo xtask test`, `crash`, `outage`, `fuzz`, `lint`, `bench`
//! and `demo`.
//!
//! Each does all it needs by itself, on a machine that has nothing but Rust, and
//! says what it could not do. None of them is needed to build or use sshmeter.

mod bench;
mod build;
mod crash;
mod demo;
mod fuzz;
mod lint;
mod mysql;
mod outage;
mod packages;
mod test;
mod tool;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", about = "sshmeter's own commands")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Install what the tests need (as root, where it is missing) and run every test.
    Test {
        /// Passed on to `cargo test`: a name to filter by, `--test loss`, `-- --nocapture`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
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
    /// Check formatting, lints, and the licences and sources of dependencies.
    Lint,
    /// Give the fuzz targets hostile input for a while, and say what they found.
    Fuzz {
        /// The target, or `all`.
        #[arg(default_value = fuzz::ALL)]
        target: String,
        /// For how long, each.
        #[arg(default_value_t = 300)]
        seconds: u32,
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
        Command::Test { arguments } => test::run(&arguments),
        Command::Crash { rounds } => crash::run(rounds),
        Command::Outage { rounds } => outage::run(rounds),
        Command::Lint => lint::run(),
        Command::Fuzz { target, seconds } => fuzz::run(&target, seconds),
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
