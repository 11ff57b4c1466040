//! sshmeter, the electricity meter of an SSH server: the acting part.
//!
//! [`source`] yields log lines, the core crate decides what they mean,
//! [`kernel`] reads the counters, [`daemon`] drives both and hands batches to
//! [`store`]; [`commands`] read the ledger back and [`render`] shows it.

pub mod cli;
pub mod commands;
pub mod config;
pub mod daemon;
pub mod doctor;
pub mod error;
pub mod input;
pub mod kernel;
pub mod mirror;
pub mod render;
pub mod source;
pub mod store;
pub mod telemetry;

use std::process::ExitCode;

use clap::Parser as _;

/// Runs the program: parses the command line, does what it says, prints what
/// went wrong. The exit code is 0 for done, 1 for failed, 2 for usage or config.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = cli::Arguments::parse();
    match commands::dispatch(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
