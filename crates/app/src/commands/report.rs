//! `sshmeter report`.

use crate::{
    cli::{Arguments, ReportArguments},
    error::Outcome,
};

pub(super) fn run(_arguments: &Arguments, _report: &ReportArguments) -> Outcome {
    Ok(())
}
