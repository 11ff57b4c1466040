//! `sshmeter import`: what the scripts have counted comes into the ledger.

use std::{io::IsTerminal as _, path::Path};

use anyhow::anyhow;
use jiff::{Timestamp, tz::TimeZone};
use sshmeter_core::report::printed_name;

use super::copying::Meter;
use crate::{
    cli::{Arguments, ImportArguments},
    config::Config,
    error::{Failure, Outcome, print, say},
    mirror::{
        address::{Address, is_address},
        scripts::{ImportError, Scripts},
    },
    render::{ImportSummary, import_notes, import_text},
    store::{ImportOutcome, Imported, Reader, StoreError, Writer},
};

pub(super) fn run(arguments: &Arguments, import: &ImportArguments) -> Outcome {
    let config = Config::load(arguments)?;
    let address = address(&import.url)?;
    let mut scripts = Scripts::open(&address)?;
    let mut ledger = if import.dry_run {
        Ledger::seen(config.ledger_path())?
    } else {
        Ledger::open(&config)?
    };
    let source = source(&scripts, import.source.as_deref(), &ledger.sources()?)?;
    let is_watched = std::io::stderr().is_terminal();
    let all = if is_watched { scripts.count()? } else { 0 };
    let mut meter = Meter::new("imported");
    let mut outcome = ImportOutcome::default();
    let read = scripts.each_chunk(Timestamp::now(), |amounts, rows| {
        outcome = outcome.plus(ledger.take(&source, amounts)?);
        meter.show(rows, all);
        Ok::<_, StoreError>(())
    });
    meter.wipe();
    let totals = read.map_err(|error| ended_early(error, outcome, import.dry_run))?;
    let summary = ImportSummary {
        source: &printed_name(&source),
        totals: &totals,
        outcome,
        is_trial: import.dry_run,
        zone: &ledger.zone(),
    };
    print(import_text(&summary).as_bytes())?;
    for note in import_notes(&totals, outcome) {
        say(&format!("note: {note}\n"));
    }
    Ok(())
}

fn address(url: &str) -> Outcome<Address> {
    if is_address(url) {
        return Ok(Address::parse(url)?);
    }
    // What was meant as an address may hold a password.
    Err(Failure::usage(anyhow!("this is no address of a database")).hint(
        "write `mysql://USER@HOST/sshaccount`, or `mysql://USER@/sshaccount?socket=PATH`; a file \
         cannot be imported",
    ))
}

/// What the ledger calls the database. A server that calls itself otherwise than
/// before would have all of its bytes taken a second time.
fn source(scripts: &Scripts, named: Option<&str>, known: &[String]) -> Outcome<String> {
    if let Some(named) = named {
        return Ok(named.to_owned());
    }
    let source = scripts.source();
    if known.is_empty() || known.iter().any(|known| known == source) {
        return Ok(source.to_owned());
    }
    let [source, before] = [source.to_owned(), known.join("`, `")].map(|name| printed_name(&name));
    Err(Failure::failed(anyhow!(
        "the ledger has figures of another database, `{before}`, and this one is `{source}`"
    ))
    .hint(format!(
        "if it is the same one, moved or renamed, give `--source` with the name it had, and \
         nothing counts twice; if it is another, give `--source '{source}'`"
    )))
}

fn ended_early(error: ImportError<StoreError>, outcome: ImportOutcome, is_trial: bool) -> Failure {
    let failure = Failure::from(error);
    if is_trial || outcome.rows == 0 {
        failure
    } else {
        failure.hint("what was taken so far stays in the ledger; import again for the rest")
    }
}

/// The ledger, as far as it is needed.
enum Ledger {
    Written(Writer),
    Seen(Reader),
    /// There is none, and nobody asked for one to be made.
    None,
}

impl Ledger {
    fn open(config: &Config) -> Outcome<Self> {
        let zone = config.ledger.timezone.as_deref();
        match Writer::open(config.ledger_path(), zone) {
            Ok(mut writer) => {
                for notice in writer.take_notices() {
                    say(&format!("note: {notice}\n"));
                }
                Ok(Self::Written(writer))
            }
            Err(error @ StoreError::Held { .. }) => Err(Failure::failed(error).hint(
                "stop it first (`systemctl stop sshmeter`), and start it again afterwards: who \
                 is still connected then is counted on without loss; --dry-run needs no stop",
            )),
            Err(error) => Err(error.into()),
        }
    }

    fn seen(path: &Path) -> Outcome<Self> {
        match Reader::open(path) {
            Ok(reader) => Ok(Self::Seen(reader)),
            Err(StoreError::Missing(_)) => Ok(Self::None),
            Err(error) => Err(error.into()),
        }
    }

    fn sources(&self) -> Result<Vec<String>, StoreError> {
        match self {
            Self::Written(writer) => writer.import_sources(),
            Self::Seen(reader) => reader.import_sources(),
            Self::None => Ok(Vec::new()),
        }
    }

    fn take(&mut self, source: &str, amounts: &[Imported]) -> Result<ImportOutcome, StoreError> {
        match self {
            Self::Written(writer) => writer.import(source, amounts),
            Self::Seen(reader) => reader.would_import(source, amounts),
            Self::None => Ok(ImportOutcome::of_nothing_taken(amounts)),
        }
    }

    /// The zone whose hours, days and months it keeps.
    fn zone(&self) -> TimeZone {
        match self {
            Self::Written(writer) => TimeZone::get(writer.zone()).unwrap_or(TimeZone::UTC),
            Self::Seen(reader) => reader.calendar().zone().clone(),
            Self::None => TimeZone::try_system().unwrap_or(TimeZone::UTC),
        }
    }
}
