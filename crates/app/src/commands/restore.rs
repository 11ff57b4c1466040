//! `sshmeter restore`: a backup becomes the ledger again.

use jiff::Timestamp;

use super::copying::copying;
use crate::{
    cli::{Arguments, RestoreArguments},
    config::Config,
    error::{Outcome, say},
    render::bytes,
    store,
};

pub(super) fn run(arguments: &Arguments, restore: &RestoreArguments) -> Outcome {
    let config = Config::load(arguments)?;
    let ledger = config.ledger_path().to_owned();
    let (from, to) = (restore.file.clone(), ledger.clone());
    let restored = copying(move |progress| store::restore(&from, &to, Timestamp::now(), progress))?;
    say(&format!(
        "{} is what {} holds ({})\n",
        ledger.display(),
        restore.file.display(),
        bytes(restored.bytes)
    ));
    if let Some(aside) = restored.aside {
        say(&format!(
            "note: what it was before is {}\n",
            aside.display()
        ));
    }
    Ok(())
}
