//! The project's own commands: `cargo xtask test`, `lint`, `fuzz`, `deb`, `tarball`,
//! and those of `workbench`: `demo`, `book`, `debian`, `compare`, `bench`, `crash`
//! and `outage`.
//!
//! Each does all it needs by itself, on a machine that has nothing but Rust, and
//! says what it could not do. None of them is needed to build or use sshmeter.

mod busybox;
mod copyright;
mod deb;
mod fuzz;
mod lint;
mod mysql;
mod tarball;
mod test;
mod unpacked;
mod workbench;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use xtask::debian::Release;

#[derive(Debug, Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    about = "sshmeter's own commands"
)]
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
    /// Make the Debian package of this machine's release, or of another, and print its path.
    Deb {
        /// The other release.
        #[arg(value_enum)]
        release: Option<Release>,
        /// Debian's revision: the same sources packed anew have a higher one.
        #[arg(long, default_value_t = 1)]
        revision: u32,
    },
    /// Make the static release for Linuxes that have no package of sshmeter.
    Tarball,
    /// Meter three users on a throwaway server and hold the report against a packet capture.
    Demo(workbench::Arguments),
    /// Write the documents' examples and picture anew, from what the program says.
    Book(workbench::Arguments),
    /// A root shell, or a command, in a throwaway Debian system, with the package at hand.
    Debian(workbench::Arguments),
    /// Count the same traffic by sshmeter and by other meters, beside a packet capture.
    Compare(workbench::Arguments),
    /// Measure what each meter costs a stream of the server, and many hosts a mirror.
    Bench(workbench::Arguments),
    /// Kill the daemon at random moments over live traffic, and hold its ledger against the capture.
    Crash(workbench::Arguments),
    /// Break mirrors at random, and hold the server against the ledgers.
    Outage(workbench::Arguments),
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        // As they were typed: a parser takes the first `--` for its own.
        Command::Test { .. } => test::run(&std::env::args().skip(2).collect::<Vec<_>>()),
        Command::Lint => lint::run(),
        Command::Fuzz { target, seconds } => fuzz::run(&target, seconds),
        Command::Deb { release, revision } => deb::run(release, revision),
        Command::Tarball => tarball::run(),
        Command::Demo(arguments) => workbench::run("demo", &arguments),
        Command::Book(arguments) => workbench::run("book", &arguments),
        Command::Debian(arguments) => workbench::run("debian", &arguments),
        Command::Compare(arguments) => workbench::run("compare", &arguments),
        Command::Bench(arguments) => workbench::run("bench", &arguments),
        Command::Crash(arguments) => workbench::run("crash", &arguments),
        Command::Outage(arguments) => workbench::run("outage", &arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use system_tests::book::xtask_commands;

    use super::*;

    /// Which commands a document may name is decided by the definition above.
    #[test]
    fn commands_in_the_documents_are_commands() {
        let commands = xtask_commands();
        assert!(commands.len() > 20, "{} commands", commands.len());
        for (place, words) in commands {
            let whole = std::iter::once("xtask").chain(words.iter().map(String::as_str));
            if let Err(error) = Arguments::try_parse_from(whole) {
                panic!("{place}: {words:?}: {error}");
            }
        }
    }
}
