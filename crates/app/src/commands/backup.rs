//! `sshmeter backup`: a whole copy of the ledger, also while it is written.

use anyhow::anyhow;

use super::copying::copying;
use crate::{
    cli::{Arguments, BackupArguments},
    config::Config,
    error::{Failure, Outcome, say},
    render::bytes,
    store,
};

pub(super) fn run(arguments: &Arguments, backup: &BackupArguments) -> Outcome {
    let config = Config::load(arguments)?;
    if backup.file.as_os_str() == "-" {
        return Err(Failure::usage(anyhow!("a backup needs a file of its own"))
            .hint("it is checked before it gets its name, which no pipe can wait for"));
    }
    let ledger = config.ledger_path().to_owned();
    let (from, to) = (ledger.clone(), backup.file.clone());
    let force = backup.force;
    let size = copying(move |progress| store::back_up(&from, &to, force, progress))?;
    say(&format!(
        "{} is a backup of {} ({})\n",
        backup.file.display(),
        ledger.display(),
        bytes(size)
    ));
    Ok(())
}
