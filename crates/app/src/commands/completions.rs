//! `sshmeter completions`.

use crate::error::Outcome;

pub(super) fn run(_shell: clap_complete::Shell) -> Outcome {
    Ok(())
}
