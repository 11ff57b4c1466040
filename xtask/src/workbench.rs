//! The commands that need machines of their own are another program's, which is
//! built when one of them is asked for: to build it takes as long as sshmeter does.

use std::os::unix::process::CommandExt as _;

use anyhow::Result;
use clap::Args;
use xtask::build;

/// What goes to that program as it is, `--help` too.
#[derive(Debug, Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Arguments {
    /// See `--help` of the command.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    all: Vec<String>,
}

/// Runs the command in the place of this program, and ends as it does.
pub(crate) fn run(command: &str, arguments: &Arguments) -> Result<()> {
    let mut workbench = build::cargo();
    workbench
        .args(["run", "--quiet", "--package", "workbench", "--", command])
        .args(&arguments.all);
    Err(workbench.exec().into())
}
