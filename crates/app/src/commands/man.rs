//! `sshmeter man`.

use std::path::Path;

use crate::error::Outcome;

pub(super) fn run(_out: Option<&Path>) -> Outcome {
    Ok(())
}
