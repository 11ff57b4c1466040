//! `sshmeter report --ledger URL`: the same over all hosts of a mirror.

use std::collections::BTreeMap;

use jiff::{Timestamp, tz::TimeZone};
use sshmeter_core::report::{By, Request};

use super::{
    report::{request, shown},
    view::{Answer, Screen},
};
use crate::{
    cli::{Arguments, ReportArguments},
    config::Config,
    error::Outcome,
    mirror::{address::Address, reader::MirrorReader},
    render::{standing_notes, zone_name},
};

pub(super) fn run(arguments: &Arguments, address: &str, report: &ReportArguments) -> Outcome {
    let (config, _) = Config::load_beside_ledger(arguments)?;
    let mut reader = MirrorReader::open(&Address::parse(address)?)?;
    let answer = answer(&mut reader, report, &config.keys, Timestamp::now());
    reader.close();
    answer?.print()
}

/// The whole answer, seen from `now`.
fn answer(
    reader: &mut MirrorReader,
    arguments: &ReportArguments,
    keys: &BTreeMap<String, String>,
    now: Timestamp,
) -> Outcome<Answer> {
    let own = reader.zone().cloned().unwrap_or_else(system_zone);
    let request = with_hosts(request(arguments, &own, now)?);
    let report = reader.report(&request)?;
    let mut answer = shown(&report, arguments, keys, &Screen::of_stdout())?;
    let standings = reader.standings();
    if arguments.period.tz.is_none() && reader.zone().is_none() && !standings.is_empty() {
        answer.notes.push(format!(
            "the hosts are in several time zones; times are {}, this machine's",
            zone_name(&own, now)
        ));
    }
    let zone = request.calendar.zone();
    answer.notes.extend(standing_notes(standings, now, zone));
    Ok(answer)
}

/// A session is known by its host and number; people want to see both.
fn with_hosts(mut request: Request) -> Request {
    if request.by.contains(&By::Session) && !request.by.contains(&By::Host) {
        request.by.insert(0, By::Host);
    }
    request
}

fn system_zone() -> TimeZone {
    TimeZone::try_system().unwrap_or(TimeZone::UTC)
}

#[cfg(test)]
mod tests {
    use sshmeter_core::{
        report::{Per, Selection},
        time::{Calendar, Period},
        units::Minute,
    };

    use super::*;

    #[test]
    fn sessions_are_shown_with_their_host() {
        let by = |by: &[By]| {
            let request = Request {
                period: Period::new(Minute(0), Minute(1)),
                calendar: Calendar::new(TimeZone::UTC),
                by: by.to_vec(),
                per: Per::Total,
                selection: Selection::default(),
            };
            with_hosts(request).by
        };
        assert_eq!(by(&[By::Session]), [By::Host, By::Session]);
        assert_eq!(by(&[By::Session, By::Host]), [By::Session, By::Host]);
        assert_eq!(by(&[By::Peer]), [By::Peer]);
    }
}
