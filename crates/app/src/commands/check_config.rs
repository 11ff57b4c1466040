//! `sshmeter check-config`.

use crate::{cli::Arguments, error::Outcome};

pub(super) fn run(_arguments: &Arguments) -> Outcome {
    Ok(())
}
