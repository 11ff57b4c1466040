//! `sshmeter doctor`: checks this machine, a line a check.

use crate::{
    cli::Arguments,
    config::Config,
    doctor::{self, Verdict},
    error::{Failure, Outcome, print},
};

pub(super) fn run(arguments: &Arguments) -> Outcome {
    let config = Config::load(arguments)?;
    let findings = doctor::examine(&config);
    print(doctor::text(&findings).as_bytes())?;
    if findings
        .iter()
        .any(|finding| finding.verdict == Verdict::Fail)
    {
        return Err(Failure::told());
    }
    Ok(())
}
