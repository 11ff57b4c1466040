//! What a check of the ledger found: a line a fault, or JSON.

use std::path::Path;

use jiff::{Timestamp, tz::TimeZone};
use serde::Serialize;
use sshmeter_core::{
    identity::{Credential, Endpoint},
    report::{Who, printed_name},
    time::Unit,
};

use super::{counted, local_second, moment::bucket_label, rfc3339, zone_name};
use crate::store::{Difference, Fault, Figure, Owner, Subject, Verification, Wrong};

/// What was checked and found, for people.
#[must_use]
pub fn verification_text(found: &Verification, ledger: &Path, zone: &TimeZone) -> String {
    let mut text = String::new();
    let mut line = |words: String| text.extend([words.as_str(), "\n"]);
    let rows: Vec<String> = found
        .rows
        .iter()
        .map(|(table, rows)| counted(*rows, table, &format!("{table}s")))
        .collect();
    line(format!("checked {}", rows.join(", ")));
    if found.restarted > 0 {
        let sessions = counted(found.restarted, "session", "sessions");
        line(format!(
            "note: the kernel's counter of {sessions} began anew, so more moved than it shows"
        ));
    }
    for fault in &found.faults {
        line(format!("fault: {}", fault_sentence(fault, zone)));
    }
    let path = printed_name(&ledger.to_string_lossy());
    let told = u64::try_from(found.faults.len()).unwrap_or(u64::MAX);
    let all = counted(told.saturating_add(found.more), "fault", "faults");
    line(match found.more {
        _ if found.is_sound() => format!("{path} is sound"),
        0 => format!("{path} has {all}"),
        more => format!("{path} has {all}, {more} of them not told here"),
    });
    text
}

/// A fault in one line: which row, what is wrong with it, both figures.
#[must_use]
pub fn fault_sentence(fault: &Fault, zone: &TimeZone) -> String {
    let subject = subject_words(&fault.subject, zone);
    let wrong = match &fault.wrong {
        Wrong::Told(words) => printed_name(words),
        Wrong::Amounts { by, differences } => {
            let clauses: Vec<String> = differences
                .iter()
                .map(|difference| difference_words(*by, difference))
                .collect();
            clauses.join("; ")
        }
        Wrong::Times { earlier, later } => format!(
            "{} is at {}, after {} at {}",
            earlier.of,
            local_second(earlier.at, zone),
            later.of,
            local_second(later.at, zone),
        ),
    };
    format!("{subject}: {wrong}")
}

fn difference_words(by: [&str; 2], difference: &Difference) -> String {
    let [one, other] = difference
        .amounts
        .map(|bytes| bytes.map_or_else(|| "unknown".to_owned(), |bytes| format!("{bytes} bytes")));
    let figure = difference.figure.name();
    format!("{figure} is {one} by {}, {other} by {}", by[0], by[1])
}

fn subject_words(subject: &Subject, zone: &TimeZone) -> String {
    match subject {
        Subject::File => "the file".to_owned(),
        Subject::Fact(name) => format!("the ledger's {name}"),
        Subject::Checkpoint => "the log's checkpoint".to_owned(),
        Subject::Account(owner) => format!("account {} ({})", owner.account, owner_words(owner)),
        Subject::Session(session) => {
            let owner = owner_words(&session.owner);
            let (peer, port) = (printed_name(&session.peer_ip), session.peer_port);
            let from = match Endpoint::parse_ip(&session.peer_ip) {
                Some(ip) if ip.is_unspecified() => String::new(),
                _ => format!(" from {peer} port {port}"),
            };
            format!("session {} ({owner}{from})", session.id)
        }
        Subject::Minute { minute, session } => {
            let at = bucket_label(Unit::Minute, *minute, zone);
            format!("minute {at} of session {session}")
        }
        Subject::Bucket { unit, start, owner } => {
            let at = bucket_label(*unit, *start, zone);
            let table = subject.table().unwrap_or_default();
            format!("{table} {at} of {}", owner_words(owner))
        }
    }
}

fn owner_words(owner: &Owner) -> String {
    let who = owner.who.as_ref().map_or_else(
        || format!("account {}", owner.account),
        |who| printed_name(&who.label()),
    );
    match &owner.credential {
        Some(credential) => format!("{who} by {}", printed_name(credential.as_str())),
        None => who,
    }
}

/// What was checked and found, for programs.
///
/// # Errors
/// None in practice: all keys are texts.
pub fn verification_json(
    found: &Verification,
    ledger: &Path,
    zone: &TimeZone,
) -> serde_json::Result<String> {
    let rows = found.rows.iter().map(|(table, rows)| {
        let rows = serde_json::Value::from(*rows);
        ((*table).to_owned(), rows)
    });
    let document = VerificationDocument {
        ledger: ledger.to_string_lossy().into_owned(),
        timezone: zone_name(zone, Timestamp::UNIX_EPOCH),
        sound: found.is_sound(),
        checked: rows.collect(),
        restarted: found.restarted,
        faults: found
            .faults
            .iter()
            .map(|fault| FaultDocument::new(fault, zone))
            .collect(),
        more: found.more,
    };
    Ok(serde_json::to_string_pretty(&document)? + "\n")
}

#[derive(Serialize)]
struct VerificationDocument {
    ledger: String,
    timezone: String,
    sound: bool,
    checked: serde_json::Map<String, serde_json::Value>,
    restarted: u64,
    faults: Vec<FaultDocument>,
    more: u64,
}

/// A fault as programs see it. What does not belong to its row is null.
#[derive(Serialize)]
struct FaultDocument {
    table: Option<&'static str>,
    start: Option<String>,
    session: Option<i64>,
    account: Option<i64>,
    user: Option<String>,
    credential: Option<String>,
    differences: Vec<DifferenceDocument>,
    problem: String,
}

/// A figure of which there are two amounts, and by what each is known.
#[derive(Serialize)]
struct DifferenceDocument {
    figure: &'static str,
    bytes: [Option<i128>; 2],
    by: [&'static str; 2],
}

impl FaultDocument {
    fn new(fault: &Fault, zone: &TimeZone) -> Self {
        let (start, session, owner) = match &fault.subject {
            Subject::File | Subject::Fact(_) | Subject::Checkpoint => (None, None, None),
            Subject::Account(owner) => (None, None, Some(owner)),
            Subject::Session(session) => (None, Some(session.id), Some(&session.owner)),
            Subject::Minute { minute, session } => (Some(*minute), Some(*session), None),
            Subject::Bucket { start, owner, .. } => (Some(*start), None, Some(owner)),
        };
        let differences = match &fault.wrong {
            Wrong::Amounts { by, differences } => differences
                .iter()
                .map(|difference| DifferenceDocument {
                    figure: key(difference.figure),
                    bytes: difference.amounts,
                    by: *by,
                })
                .collect(),
            Wrong::Told(_) | Wrong::Times { .. } => Vec::new(),
        };
        Self {
            table: fault.subject.table(),
            start: start.map(|start| rfc3339(start.start(), zone)),
            session,
            account: owner.map(|owner| owner.account),
            user: owner.and_then(|owner| owner.who.as_ref()).map(Who::label),
            credential: owner
                .and_then(|owner| owner.credential.as_ref())
                .map(|credential| Credential::as_str(credential).to_owned()),
            differences,
            problem: fault_sentence(fault, zone),
        }
    }
}

/// What programs call a figure, in every output.
fn key(figure: Figure) -> &'static str {
    match figure {
        Figure::WireIn => "in",
        Figure::WireOut => "out",
        Figure::PayloadIn => "payload_in",
        Figure::PayloadOut => "payload_out",
    }
}
