//! `sshmeter report`.

use std::collections::BTreeMap;

use jiff::{Timestamp, tz::TimeZone};
use sshmeter_core::{
    report::{By, Per, Report, Request, Selection},
    time::{Calendar, Unit},
};

use super::{
    report_mirror,
    view::{Answer, Screen, host_name, period, zone},
};
use crate::{
    cli::{Arguments, ByArgument, Format, PerArgument, ReportArguments},
    config::Config,
    error::Outcome,
    render::{View, note_sentence, report_csv, report_json, report_table},
    store::Reader,
};

pub(super) fn run(arguments: &Arguments, report: &ReportArguments) -> Outcome {
    if let Some(address) = arguments.mirror() {
        return report_mirror::run(arguments, address, report);
    }
    let config = Config::load(arguments)?;
    let mut reader = Reader::open(config.ledger_path())?.host_name(host_name());
    let screen = Screen::of_stdout();
    answer(&mut reader, report, &config.keys, Timestamp::now(), &screen)?.print()
}

/// The whole answer, seen from `now`.
fn answer(
    reader: &mut Reader,
    arguments: &ReportArguments,
    keys: &BTreeMap<String, String>,
    now: Timestamp,
    screen: &Screen,
) -> Outcome<Answer> {
    let request = request(arguments, reader.calendar().zone(), now)?;
    let report = reader.report(&request)?;
    let mut answer = shown(&report, arguments, keys, screen)?;
    if report.rows.is_empty() && reader.is_empty()? {
        answer.notes.push(NOTHING_YET.to_owned());
    }
    Ok(answer)
}

/// What the arguments ask for; `own` is the zone of what is asked.
pub(super) fn request(
    arguments: &ReportArguments,
    own: &TimeZone,
    now: Timestamp,
) -> Outcome<Request> {
    let zone = zone(&arguments.period, own)?;
    Ok(Request {
        period: period(&arguments.period, now, &zone, Unit::Month)?,
        calendar: Calendar::new(zone),
        by: by(&arguments.by),
        per: per(arguments.per),
        selection: Selection {
            users: arguments.user.clone(),
            nameless: arguments.all,
        },
    })
}

/// The report as the arguments want it shown.
pub(super) fn shown(
    report: &Report,
    arguments: &ReportArguments,
    keys: &BTreeMap<String, String>,
    screen: &Screen,
) -> Outcome<Answer> {
    let view = View {
        width: screen.width,
        unicode: screen.unicode,
        styled: screen.styled,
        payload: arguments.payload,
        top: arguments
            .top
            .map(|top| usize::try_from(top).unwrap_or(usize::MAX)),
        keys,
    };
    let text = match arguments.format {
        Format::Table => report_table(report, &view),
        Format::Json => report_json(report, &view).map_err(anyhow::Error::from)?,
        Format::Csv => report_csv(report, &view),
    };
    let zone = report.calendar.zone();
    let notes = report.notes.iter().map(|note| note_sentence(note, zone));
    Ok(Answer {
        text,
        is_table: arguments.format == Format::Table,
        notes: notes.collect(),
    })
}

/// What is said of a ledger in which nothing was written yet.
pub(super) const NOTHING_YET: &str =
    "nothing has been counted yet; `sshmeter run` counts, as long as it runs";

/// The groupings, each once.
fn by(arguments: &[ByArgument]) -> Vec<By> {
    let mut by = Vec::new();
    for argument in arguments {
        let one = match argument {
            ByArgument::User => By::User,
            ByArgument::Credential => By::Credential,
            ByArgument::Peer => By::Peer,
            ByArgument::Session => By::Session,
            ByArgument::Host => By::Host,
        };
        if !by.contains(&one) {
            by.push(one);
        }
    }
    by
}

fn per(argument: PerArgument) -> Per {
    match argument {
        PerArgument::Minute => Per::Bucket(Unit::Minute),
        PerArgument::Hour => Per::Bucket(Unit::Hour),
        PerArgument::Day => Per::Bucket(Unit::Day),
        PerArgument::Month => Per::Bucket(Unit::Month),
        PerArgument::Total => Per::Total,
    }
}

#[cfg(test)]
#[path = "report_tests.rs"]
mod tests;
