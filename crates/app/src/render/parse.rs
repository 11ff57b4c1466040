//! What `parse` shows: an event as one line of JSON, or sessions and a summary
//! as tables for people.

use comfy_table::{CellAlignment, Table, presets};
use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use serde::Serialize;
use sshmeter_core::{
    identity::{Credential, Endpoint, UserName},
    sshd::{Event, LoggedSession, What},
};

use super::text::printable;

/// Signs of a fingerprint or certificate id that a table shows.
const CREDENTIAL_WIDTH: usize = 20;
/// Signs of a reason that a table shows, and a table on a narrow terminal.
const REASON_WIDTH: usize = 48;
const NARROW_REASON_WIDTH: usize = 24;
/// What a terminal must have to be called wide.
const WIDE: usize = 160;
/// Signs of a name that a table shows.
const NAME_WIDTH: usize = 32;

/// What was read from one input.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// The input's name.
    pub name: String,
    /// All lines.
    pub lines: u64,
    /// Lines of sshd's or dropbear's.
    pub daemon: u64,
    /// Sessions that began.
    pub logins: u64,
    /// Sessions that ended.
    pub closings: u64,
    /// Lines of sshd's that fit no known sentence.
    pub unrecognised: u64,
    /// Lines from a writer who may not say it.
    pub refused: u64,
}

#[derive(Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
enum Row<'a> {
    Connected {
        time: Option<String>,
        pid: Option<u32>,
        ip: Option<String>,
        port: Option<u16>,
    },
    Accepted {
        time: Option<String>,
        pid: Option<u32>,
        user: &'a str,
        method: &'a str,
        ip: Option<String>,
        port: Option<u16>,
        credential: Option<&'a str>,
    },
    Opened {
        time: Option<String>,
        pid: Option<u32>,
        user: &'a str,
    },
    Closed {
        time: Option<String>,
        pid: Option<u32>,
        user: &'a str,
    },
    Disconnected {
        time: Option<String>,
        pid: Option<u32>,
        user: Option<&'a str>,
        ip: Option<String>,
        port: Option<u16>,
        reason: &'a str,
    },
}

/// One event as one JSON object, without a newline.
///
/// # Errors
/// None that an event could cause.
pub fn event_json(event: &Event) -> serde_json::Result<String> {
    let time = event.time.map(|time| time.to_string());
    let pid = event.pid.map(|pid| pid.0);
    let ip = |peer: &Option<Endpoint>| peer.map(|peer| peer.ip().to_string());
    let port = |peer: &Option<Endpoint>| peer.map(Endpoint::port);
    let row = match &event.what {
        What::Connected { peer, .. } => Row::Connected {
            time,
            pid,
            ip: Some(peer.ip().to_string()),
            port: Some(peer.port()),
        },
        What::Accepted {
            user,
            method,
            peer,
            credential,
        } => Row::Accepted {
            time,
            pid,
            user: user.as_str(),
            method,
            ip: ip(peer),
            port: port(peer),
            credential: credential.as_ref().map(Credential::as_str),
        },
        What::Opened { user } => Row::Opened {
            time,
            pid,
            user: user.as_str(),
        },
        What::Closed { user } => Row::Closed {
            time,
            pid,
            user: user.as_str(),
        },
        What::Disconnected { user, peer, reason } => Row::Disconnected {
            time,
            pid,
            user: user.as_ref().map(UserName::as_str),
            ip: ip(peer),
            port: port(peer),
            reason,
        },
    };
    serde_json::to_string(&row)
}

/// The columns of the sessions' table.
const COLUMNS: [&str; 8] = [
    "Opened",
    "Closed",
    "Duration",
    "User",
    "Method",
    "From",
    "Credential",
    "Ended",
];
/// Those that a narrow terminal can do without, the first to go first.
const SPARE_COLUMNS: [usize; 3] = [6, 1, 4];

/// The sessions as a table, in the order of their logins. Columns are left out
/// where the table would be wider than `width`.
#[must_use]
pub fn sessions_table(sessions: &[LoggedSession], zone: &TimeZone, width: Option<usize>) -> String {
    let is_wide = width.is_none_or(|width| width >= WIDE);
    let reason_width = if is_wide {
        REASON_WIDTH
    } else {
        NARROW_REASON_WIDTH
    };
    let rows: Vec<[String; 8]> = sessions
        .iter()
        .map(|session| session_row(session, zone, reason_width))
        .collect();
    let mut shown: Vec<usize> = (0..COLUMNS.len()).collect();
    let mut spare = SPARE_COLUMNS.iter();
    loop {
        let header: Vec<&str> = shown.iter().map(|index| COLUMNS[*index]).collect();
        let cells = rows.iter().map(|row| {
            let cells = shown.iter().map(|index| row[*index].clone());
            cells.collect()
        });
        let duration = header.iter().position(|name| *name == "Duration");
        let (table, table_width) = grid(&header, cells.collect(), duration.as_slice());
        let is_too_wide = width.is_some_and(|width| table_width > width);
        let Some(index) = spare.next().filter(|_| is_too_wide) else {
            return table;
        };
        shown.retain(|column| column != index);
    }
}

fn session_row(session: &LoggedSession, zone: &TimeZone, reason_width: usize) -> [String; 8] {
    let closed = session.end.as_ref().and_then(|end| end.time);
    let credential = session.credential.as_ref();
    [
        session
            .opened
            .map_or_else(unknown, |time| full_time(time, zone)),
        closed.map_or_else(unknown, |time| end_time(session.opened, time, zone)),
        length(session.opened, closed),
        fitted(session.user.as_str(), NAME_WIDTH),
        session
            .method
            .as_ref()
            .map_or_else(unknown, |method| fitted(method, NAME_WIDTH)),
        session.peer.map_or_else(unknown, |peer| peer.to_string()),
        credential.map_or_else(unknown, |credential| {
            fitted(credential.as_str(), CREDENTIAL_WIDTH)
        }),
        session.end.as_ref().map_or_else(
            || "not in this log".to_owned(),
            |end| fitted(&end.reason, reason_width),
        ),
    ]
}

/// What was read, a line for each input and one for all.
#[must_use]
pub fn summary_table(tallies: &[Tally]) -> String {
    let header = [
        "Log",
        "Lines",
        "Of sshd",
        "Logins",
        "Closings",
        "Unrecognised",
        "Refused",
    ];
    let mut rows: Vec<Vec<String>> = tallies.iter().map(tally_row).collect();
    if tallies.len() > 1 {
        rows.push(tally_row(&total(tallies)));
    }
    grid(&header, rows, &[1, 2, 3, 4, 5, 6]).0
}

/// All inputs together.
#[must_use]
pub fn total(tallies: &[Tally]) -> Tally {
    let mut all = Tally {
        name: "all".to_owned(),
        ..Tally::default()
    };
    for tally in tallies {
        all.lines += tally.lines;
        all.daemon += tally.daemon;
        all.logins += tally.logins;
        all.closings += tally.closings;
        all.unrecognised += tally.unrecognised;
        all.refused += tally.refused;
    }
    all
}

fn tally_row(tally: &Tally) -> Vec<String> {
    let figures = [
        tally.lines,
        tally.daemon,
        tally.logins,
        tally.closings,
        tally.unrecognised,
        tally.refused,
    ];
    let mut row = vec![printable(&tally.name).into_owned()];
    row.extend(figures.iter().map(u64::to_string));
    row
}

/// A header, a rule and rows, and how wide they are; the columns in `figures`
/// are aligned to the right.
fn grid(header: &[&str], rows: Vec<Vec<String>>, figures: &[usize]) -> (String, usize) {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(header);
    table.add_rows(rows);
    for (index, column) in table.column_iter_mut().enumerate() {
        let is_last = index + 1 == header.len();
        column.set_padding((0, if is_last { 0 } else { 2 }));
        if figures.contains(&index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let text = table.to_string();
    let width = text
        .lines()
        .map(|line| line.trim_end().chars().count())
        .max()
        .unwrap_or(0);
    let mut lines = text.lines().map(str::trim_end);
    let mut shown = format!(
        "\u{1b}[1m{}\u{1b}[0m\n{}\n",
        lines.next().unwrap_or_default(),
        "─".repeat(width)
    );
    for line in lines {
        shown.push_str(line);
        shown.push('\n');
    }
    (shown, width)
}

fn unknown() -> String {
    "–".to_owned()
}

/// Text of the log's, printable and not longer than its column.
pub(crate) fn fitted(text: &str, width: usize) -> String {
    let text = printable(text);
    if text.chars().count() <= width {
        return text.into_owned();
    }
    let mut short: String = text.chars().take(width.saturating_sub(1)).collect();
    short.push('…');
    short
}

fn full_time(time: Timestamp, zone: &TimeZone) -> String {
    time.to_zoned(zone.clone())
        .strftime("%Y-%m-%d %H:%M:%S")
        .to_string()
}

/// The clock's time alone, where the day is the one it began on.
fn end_time(opened: Option<Timestamp>, closed: Timestamp, zone: &TimeZone) -> String {
    let date = |time: Timestamp| time.to_zoned(zone.clone()).date();
    if opened.is_some_and(|opened| date(opened) == date(closed)) {
        closed
            .to_zoned(zone.clone())
            .strftime("%H:%M:%S")
            .to_string()
    } else {
        full_time(closed, zone)
    }
}

/// `3d 4h`, `2h 05m`, `1m 09s`, `45s`; unknown where a clock was set back.
fn length(opened: Option<Timestamp>, closed: Option<Timestamp>) -> String {
    let (Some(opened), Some(closed)) = (opened, closed) else {
        return unknown();
    };
    let length: SignedDuration = closed.duration_since(opened);
    if length.is_negative() {
        return unknown();
    }
    let seconds = length.as_secs();
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m {:02}s", seconds % 60),
        (0, _, _) => format!("{hours}h {minutes:02}m"),
        _ => format!("{days}d {hours}h"),
    }
}
