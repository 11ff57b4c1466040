//! The project's own commands: `cargo xtask test`, `crash`, `outage`, `fuzz`, `lint`, `bench`
//! and `demo`.
//!
//! Each does all it needs by itself, on a machine that has nothing but Rust, and
//! says what it could not do. None of them is needed to build or use sshmeter.

mod fuzz;
mod lint;
mod mysql;
mod test;
mod tool;
mod workbench;

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
    /// Kill the daemon at random moments over live traffic, and hold its ledger against the capture.
    Crash(workbench::Arguments),
    /// Break mirrors at random, and hold the server against the ledgers.
    Outage(workbench::Arguments),
    /// Measure what each meter costs a stream of the server, and many hosts a mirror.
    Bench(workbench::Arguments),
    /// Meter three users on a throwaway server and hold the report against a packet capture.
    Demo(workbench::Arguments),
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Test { arguments } => test::run(&arguments),
        Command::Lint => lint::run(),
        Command::Fuzz { target, seconds } => fuzz::run(&target, seconds),
        Command::Crash(arguments) => workbench::run("crash", &arguments),
        Command::Outage(arguments) => workbench::run("outage", &arguments),
        Command::Bench(arguments) => workbench::run("bench", &arguments),
        Command::Demo(arguments) => workbench::run("demo", &arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
