//! What `parse` shows: an event as one line of JSON, or sessions and a summary
//! as tables for people.

use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use serde::Serialize;
use sshmeter_core::{
    identity::{Credential, Endpoint, UserName},
    sshd::{Event, LoggedSession, What},
};

use super::{
    View,
    grid::{Grid, Heading},
    text::{printable, printable_json},
};

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
        What::Disconnected {
            user, peer, reason, ..
        } => Row::Disconnected {
            time,
            pid,
            user: user.as_ref().map(UserName::as_str),
            ip: ip(peer),
            port: port(peer),
            reason,
        },
    };
    serde_json::to_string(&row).map(printable_json)
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
const SPARE_COLUMNS: [usize; 4] = [6, 1, 4, 2];

/// The sessions as a table, in the order of their logins. Columns are left out
/// where the table would be wider than the view.
#[must_use]
pub fn sessions_table(sessions: &[LoggedSession], zone: &TimeZone, view: &View<'_>) -> String {
    let reason_width = if view.width >= WIDE {
        REASON_WIDTH
    } else {
        NARROW_REASON_WIDTH
    };
    let rows: Vec<[String; 8]> = sessions
        .iter()
        .map(|session| session_row(session, zone, reason_width, view))
        .collect();
    let mut shown: Vec<usize> = (0..COLUMNS.len()).collect();
    let mut spare = SPARE_COLUMNS.iter();
    loop {
        let headings = shown.iter().map(|index| match COLUMNS[*index] {
            "Duration" => Heading::figures("Duration"),
            name => Heading::words(name),
        });
        let cells = rows.iter().map(|row| {
            let cells = shown.iter().map(|index| row[*index].clone());
            cells.collect()
        });
        let grid = Grid {
            headings: headings.collect(),
            rows: cells.collect(),
            total: None,
        };
        let is_too_wide = grid.width() > view.width;
        let Some(index) = spare.next().filter(|_| is_too_wide) else {
            return text(&grid, view);
        };
        shown.retain(|column| column != index);
    }
}

fn session_row(
    session: &LoggedSession,
    zone: &TimeZone,
    reason_width: usize,
    view: &View<'_>,
) -> [String; 8] {
    let unknown = || view.nothing().to_owned();
    let fitted = |text: &str, width| shortened(text, width, view.unicode);
    let closed = session.end.as_ref().and_then(|end| end.time);
    let credential = session.credential.as_ref();
    [
        session
            .opened
            .map_or_else(unknown, |time| full_time(time, zone)),
        closed.map_or_else(unknown, |time| end_time(session.opened, time, zone)),
        length(session.opened, closed).unwrap_or_else(unknown),
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
pub fn summary_table(tallies: &[Tally], view: &View<'_>) -> String {
    let figures = [
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
    let mut headings = vec![Heading::words("Log")];
    headings.extend(figures.map(Heading::figures));
    let grid = Grid {
        headings,
        rows,
        total: None,
    };
    text(&grid, view)
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

fn text(grid: &Grid, view: &View<'_>) -> String {
    grid.lines(view).join("\n") + "\n"
}

/// Text of the log's, printable and not longer than its column.
pub(crate) fn fitted(text: &str, width: usize) -> String {
    shortened(text, width, true)
}

fn shortened(text: &str, width: usize, unicode: bool) -> String {
    let text = printable(text);
    if text.chars().count() <= width {
        return text.into_owned();
    }
    let dots = if unicode { "…" } else { "..." };
    let kept = width.saturating_sub(dots.chars().count());
    let mut short: String = text.chars().take(kept).collect();
    short.push_str(dots);
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

/// `3d 4h`, `2h 05m`, `1m 09s`, `45s`; none where a clock was set back.
fn length(opened: Option<Timestamp>, closed: Option<Timestamp>) -> Option<String> {
    let length: SignedDuration = closed?.duration_since(opened?);
    if length.is_negative() {
        return None;
    }
    let seconds = length.as_secs();
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    Some(match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m {:02}s", seconds % 60),
        (0, _, _) => format!("{hours}h {minutes:02}m"),
        _ => format!("{days}d {hours}h"),
    })
}
