//! `sshmeter sessions`.

use crate::{
    cli::{Arguments, SessionsArguments},
    error::Outcome,
};

pub(super) fn run(_arguments: &Arguments, _sessions: &SessionsArguments) -> Outcome {
    Ok(())
}
