//! The sessions of a log as a table for people. A log can tell of hundreds of
//! thousands: no cell is a text of its own.

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};
use sshmeter_core::{identity::Credential, sshd::LoggedSession};

use super::push_shortened;
use crate::render::{
    View,
    column::Heading,
    duration,
    grid::{Grid, Row},
    moment::{push_clock, push_second},
    push_shown,
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
    let mut grid = Grid::new(COLUMNS.map(|name| match name {
        "Duration" => Heading::figures(name),
        _ => Heading::words(name),
    }));
    for session in sessions {
        let row = grid.row();
        Cells { view, row }.fill(session, zone);
    }
    for index in SPARE_COLUMNS {
        if grid.width() > view.width {
            grid.leave_out(index);
        }
    }
    let mut text = String::new();
    grid.write(view, &mut text);
    text
}

/// The cells of a row.
struct Cells<'a> {
    view: &'a View<'a>,
    row: Row<'a>,
}

impl Cells<'_> {
    fn fill(mut self, session: &LoggedSession, zone: &TimeZone) {
        let local = |time: Timestamp| zone.to_datetime(time);
        let closed = session.end.as_ref().and_then(|end| end.time);
        let (opened_here, closed_here) = (session.opened.map(local), closed.map(local));
        let reason_width = if self.view.width >= WIDE {
            REASON_WIDTH
        } else {
            NARROW_REASON_WIDTH
        };
        self.cell(opened_here, push_second);
        self.cell(closed_here, |text, closed| {
            push_end(text, opened_here, closed);
        });
        self.cell(length(session.opened, closed), |text, length| {
            text.push_str(&length);
        });
        self.shortened(Some(session.user.as_str()), NAME_WIDTH);
        self.shortened(session.method.as_deref(), NAME_WIDTH);
        self.cell(session.peer, push_shown);
        let credential = session.credential.as_ref();
        self.shortened(credential.map(Credential::as_str), CREDENTIAL_WIDTH);
        let reason = session.end.as_ref().map(|end| end.reason.as_str());
        self.shortened(reason.or(Some("not in this log")), reason_width);
    }

    /// Text of the log's.
    fn shortened(&mut self, words: Option<&str>, width: usize) {
        let unicode = self.view.unicode;
        self.cell(words, |text, words| {
            push_shortened(text, words, width, unicode);
        });
    }

    fn cell<T>(&mut self, value: Option<T>, push: impl FnOnce(&mut String, T)) {
        self.row.known(value, self.view, push);
    }
}

/// The clock's time alone, where the day is the one it began on.
fn push_end(text: &mut String, opened: Option<DateTime>, closed: DateTime) {
    if opened.is_some_and(|opened| opened.date() == closed.date()) {
        push_clock(text, closed.time());
    } else {
        push_second(text, closed);
    }
}

/// `3d 4h`, `2h 05m`, `1m 09s`, `45s`; none where a clock was set back.
fn length(opened: Option<Timestamp>, closed: Option<Timestamp>) -> Option<String> {
    let length = closed?.duration_since(opened?);
    (!length.is_negative()).then(|| duration(length))
}
