//! One file a command: each reads like what the command does, top to bottom.

use crate::{
    cli::{Arguments, Command},
    error::Outcome,
};

mod backup;
mod check_config;
mod clear_rules;
mod completions;
mod copying;
mod doctor;
mod import;
mod man;
mod parse;
mod report;
mod report_mirror;
mod restore;
mod run;
mod sessions;
mod verify;
mod view;

/// Does what the command line asks for.
///
/// # Errors
/// Whatever the command could not do, ready to be shown.
pub fn dispatch(arguments: &Arguments) -> Outcome {
    match &arguments.command {
        Command::Run => run::run(arguments),
        Command::Report(report) => report::run(arguments, report),
        Command::Sessions(sessions) => sessions::run(arguments, sessions),
        Command::Parse(parse) => parse::run(parse),
        Command::Doctor => doctor::run(arguments),
        Command::Verify(verify) => verify::run(arguments, verify),
        Command::Backup(backup) => backup::run(arguments, backup),
        Command::Restore(restore) => restore::run(arguments, restore),
        Command::Import(import) => import::run(arguments, import),
        Command::ClearRules => clear_rules::run(arguments),
        Command::CheckConfig => check_config::run(arguments),
        Command::Completions { shell } => completions::run(*shell),
        Command::Man { out } => man::run(out.as_deref()),
    }
}
