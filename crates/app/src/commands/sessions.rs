//! `sshmeter sessions`.

use std::collections::BTreeMap;

use jiff::Timestamp;
use sshmeter_core::{report::Selection, time::Unit};

use super::{
    report::NOTHING_YET,
    view::{Answer, Screen, period, zone},
};
use crate::{
    cli::{Arguments, Format, SessionsArguments},
    config::Config,
    error::Outcome,
    render::{SessionsHeading, View, note_sentence, sessions_csv, sessions_json, sessions_table},
    store::{Reader, SessionQuery},
};

pub(super) fn run(arguments: &Arguments, sessions: &SessionsArguments) -> Outcome {
    let config = Config::load(arguments)?;
    let mut reader = Reader::open(config.ledger_path())?;
    let screen = Screen::of_stdout();
    answer(
        &mut reader,
        sessions,
        &config.keys,
        Timestamp::now(),
        &screen,
    )?
    .print()
}

/// The whole answer, seen from `now`.
fn answer(
    reader: &mut Reader,
    arguments: &SessionsArguments,
    keys: &BTreeMap<String, String>,
    now: Timestamp,
    screen: &Screen,
) -> Outcome<Answer> {
    let zone = zone(&arguments.period, reader.calendar().zone())?;
    // Who is asked for open sessions wants all they moved, unless a period is named.
    let names_period = arguments.period.since.is_some() || arguments.period.until.is_some();
    let period = if arguments.open && !names_period {
        None
    } else {
        Some(period(&arguments.period, now, &zone, Unit::Day)?)
    };
    let list = reader.sessions(&SessionQuery {
        period,
        open_only: arguments.open,
        selection: Selection {
            users: arguments.user.clone(),
            nameless: arguments.all,
        },
    })?;
    let view = View {
        width: screen.width,
        unicode: screen.unicode,
        styled: screen.styled,
        payload: arguments.payload,
        top: None,
        keys,
    };
    let heading = SessionsHeading {
        period,
        open_only: arguments.open,
        zone: &zone,
        now,
    };
    let text = match arguments.format {
        Format::Table => sessions_table(&list, &heading, &view),
        Format::Json => sessions_json(&list, &zone, &view).map_err(anyhow::Error::from)?,
        Format::Csv => sessions_csv(&list, &zone, &view),
    };
    let mut notes = list
        .notes
        .iter()
        .map(|note| note_sentence(note, &zone))
        .collect::<Vec<_>>();
    if list.sessions.is_empty() && reader.is_empty()? {
        notes.push(NOTHING_YET.to_owned());
    }
    Ok(Answer {
        text,
        is_table: arguments.format == Format::Table,
        notes,
    })
}

#[cfg(test)]
#[path = "sessions_tests.rs"]
mod tests;
