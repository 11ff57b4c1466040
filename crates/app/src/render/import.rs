//! What an import did, or would do, for people.

use jiff::tz::TimeZone;
use sshmeter_core::units::Flow;

use super::{bytes, counted, local_minute, zone_name};
use crate::{
    mirror::scripts::{LeftOut, Totals},
    store::ImportOutcome,
};

/// What is told of an import.
#[derive(Clone, Copy, Debug)]
pub struct ImportSummary<'a> {
    /// What the database is called.
    pub source: &'a str,
    /// What was read.
    pub totals: &'a Totals,
    /// What of it was taken.
    pub outcome: ImportOutcome,
    /// Nothing was: it would be.
    pub is_trial: bool,
    /// The zone that times are shown in.
    pub zone: &'a TimeZone,
}

/// What was there and what was taken, a line each.
#[must_use]
pub fn import_text(summary: &ImportSummary<'_>) -> String {
    let ImportSummary {
        source,
        totals,
        outcome,
        is_trial,
        zone,
    } = summary;
    let rows = counted(totals.rows, "row", "rows");
    let users = counted(totals.users, "user", "users");
    let mut text = format!(
        "read {rows} of {users} from {source}: {}",
        moved(totals.bytes)
    );
    if let Some((first, last)) = totals.period {
        let last = last.start();
        let [first, until] = [first.start(), last].map(|at| local_minute(at, zone));
        let zone = zone_name(zone, last);
        text.push_str(&format!(", {first} to {until} ({zone})"));
    }
    let took = if *is_trial { "would take" } else { "took" };
    let new = if outcome.rows == 0 {
        "nothing new".to_owned()
    } else {
        let rows = counted(outcome.rows, "new row", "new rows");
        format!("{rows}: {}", moved(outcome.bytes))
    };
    text.push_str(&format!("\n{took} {new}\n"));
    if outcome.already > 0 {
        let hours = counted(outcome.already, "hour of a user", "hours of users");
        text.push_str(&format!("had {hours} already, with all their bytes\n"));
    }
    text
}

/// What of it a person may wonder about, a sentence each.
#[must_use]
pub fn import_notes(totals: &Totals, outcome: ImportOutcome) -> Vec<String> {
    let LeftOut {
        times,
        figures,
        nameless,
        folding,
    } = totals.left_out;
    let mut notes = Vec::new();
    let mut note = |number, why: &str| {
        if number > 0 {
            let (rows, was) = (counted(number, "row", "rows"), was(number));
            notes.push(format!("{rows} {was} left out: {why}"));
        }
    };
    note(times, "the time is none, or has not come");
    note(figures, "a figure is negative, or none");
    note(nameless, "no user is named");
    note(
        folding,
        "the scripts were folding these minutes, and the hour may have them already; import once \
         more when that is done, within the hour",
    );
    if outcome.shrunk > 0 {
        let hours = counted(outcome.shrunk, "hour of a user", "hours of users");
        notes.push(format!(
            "{hours} held more when it was imported before than the database has now; nothing was \
             taken back"
        ));
    }
    notes
}

fn was(number: u64) -> &'static str {
    if number == 1 { "was" } else { "were" }
}

fn moved(flow: Flow) -> String {
    format!("{} in, {} out", bytes(flow.inbound), bytes(flow.outbound))
}

#[cfg(test)]
mod tests {
    use sshmeter_core::units::Minute;

    use super::*;

    fn flow(inbound: u64, outbound: u64) -> Flow {
        Flow { inbound, outbound }
    }

    #[test]
    fn what_was_taken_is_told_with_its_period() {
        let totals = Totals {
            rows: 4_312,
            users: 17,
            bytes: flow(1 << 30, 3 << 30),
            period: Some((Minute(29_000_000), Minute(29_922_000))),
            left_out: LeftOut::default(),
        };
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        let mut summary = ImportSummary {
            source: "mysql://meter:3306/sshaccount",
            totals: &totals,
            outcome: ImportOutcome {
                bytes: flow(2_048, 1),
                rows: 1,
                already: 4_000,
                ..ImportOutcome::default()
            },
            is_trial: false,
            zone: &zone,
        };
        assert_eq!(
            import_text(&summary),
            "read 4312 rows of 17 users from mysql://meter:3306/sshaccount: 1.00 GiB in, \
             3.00 GiB out, 2025-02-19 22:20 to 2026-11-22 05:00 (Europe/Berlin)\n\
             took 1 new row: 2.00 KiB in, 1 B out\n\
             had 4000 hours of users already, with all their bytes\n"
        );
        let nothing = Totals::default();
        summary.totals = &nothing;
        summary.outcome = ImportOutcome::default();
        summary.is_trial = true;
        assert_eq!(
            import_text(&summary),
            "read 0 rows of 0 users from mysql://meter:3306/sshaccount: 0 B in, 0 B out\n\
             would take nothing new\n"
        );
    }

    #[test]
    fn what_was_left_is_told_with_its_reason() {
        let totals = Totals {
            left_out: LeftOut {
                times: 1,
                figures: 2,
                nameless: 3,
                folding: 4,
            },
            ..Totals::default()
        };
        let outcome = ImportOutcome {
            shrunk: 1,
            ..ImportOutcome::default()
        };
        let notes = import_notes(&totals, outcome);
        let begins = [
            "1 row was left out: the time",
            "2 rows were left out: a figure",
            "3 rows were left out: no user",
            "4 rows were left out: the scripts were folding",
            "1 hour of a user held more",
        ];
        assert_eq!(notes.len(), begins.len());
        for (note, begin) in notes.iter().zip(begins) {
            assert!(note.starts_with(begin), "{note}");
        }
        assert!(import_notes(&Totals::default(), ImportOutcome::default()).is_empty());
    }
}
