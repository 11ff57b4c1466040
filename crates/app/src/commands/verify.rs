//! `sshmeter verify`: every row of the ledger against all that it has to agree
//! with.

use crate::{
    cli::{Arguments, VerifyArguments, VerifyFormat},
    config::Config,
    error::{Failure, Outcome, print_data, say},
    render::{verification_json, verification_text},
    store::{self, Depth, Reader},
};

pub(super) fn run(arguments: &Arguments, verify: &VerifyArguments) -> Outcome {
    let config = Config::load(arguments)?;
    let path = config.ledger_path();
    let reader = Reader::open(path)?;
    let limit = usize::try_from(verify.limit).unwrap_or(usize::MAX);
    let found = store::verify(&reader, Depth::Full, limit)?;
    let zone = reader.calendar().zone();
    print_data(&match verify.format {
        VerifyFormat::Text => verification_text(&found, path, zone),
        VerifyFormat::Json => verification_json(&found, path, zone).map_err(anyhow::Error::from)?,
    })?;
    if found.is_sound() {
        return Ok(());
    }
    say("hint: `sshmeter restore FILE` puts back a backup; keep the faulty file for a report\n");
    Err(Failure::told())
}
