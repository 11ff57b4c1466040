//! `sshmeter parse`.

use crate::{cli::ParseArguments, error::Outcome};

pub(super) fn run(_parse: &ParseArguments) -> Outcome {
    Ok(())
}
