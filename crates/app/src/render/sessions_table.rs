//! A list of sessions as a table for people.

use jiff::{Timestamp, tz::TimeZone};
use sshmeter_core::{report::printed_name, time::Period};

use super::{
    Style, View,
    column::Heading,
    counted, duration,
    grid::{Grid, Row},
    local_minute, local_second, push_shown,
    report_table::{figure_words, fill_flow, push_foot, push_shortened, push_user},
    zone_name,
};
use crate::store::{ListedSession, SessionList};

/// What is said above the list.
#[derive(Clone, Debug)]
pub struct SessionsHeading<'a> {
    /// The period; without one, bytes are all that a session moved.
    pub period: Option<Period>,
    /// Only open sessions are listed.
    pub open_only: bool,
    /// The zone times are shown in.
    pub zone: &'a TimeZone,
    /// Now, for how long an open session has lasted.
    pub now: Timestamp,
}

/// The table, from its heading to its foot.
#[must_use]
pub fn sessions_table(
    list: &SessionList,
    heading: &SessionsHeading<'_>,
    view: &View<'_>,
) -> String {
    let mut text = heading_text(heading, view);
    if list.sessions.is_empty() {
        text.push_str(if heading.open_only {
            "No SSH session is open.\n"
        } else {
            "No SSH session was open in this period.\n"
        });
    } else {
        fitting_grid(list, heading, view).write(view, &mut text);
    }
    push_foot(&mut text, &list.left_out, view);
    text
}

fn heading_text(heading: &SessionsHeading<'_>, view: &View<'_>) -> String {
    let title = if heading.open_only {
        "Open SSH sessions"
    } else {
        "SSH sessions"
    };
    let zone = zone_name(heading.zone, heading.now);
    let figure = figure_words(view);
    let period = match heading.period {
        Some(period) => format!(
            "{} to {}, {zone}, {figure} in that time",
            local_minute(period.since().start(), heading.zone),
            local_minute(period.until().start(), heading.zone),
        ),
        None => format!("{zone}, {figure} since they were opened"),
    };
    format!("{}\n{period}\n\n", view.styled(Style::Bold, title))
}

/// What can be done without, the first to go first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Detail {
    Login,
    Ended,
    Seconds,
    Session,
    Total,
    From,
    Lasted,
}

const DETAILS: [Detail; 7] = [
    Detail::Login,
    Detail::Ended,
    Detail::Seconds,
    Detail::Session,
    Detail::Total,
    Detail::From,
    Detail::Lasted,
];

/// The columns, as many as the line has room for.
fn fitting_grid(list: &SessionList, heading: &SessionsHeading<'_>, view: &View<'_>) -> Grid {
    let mut details = &DETAILS[..];
    loop {
        let grid = grid(list, heading, view, details);
        match details {
            [_, fewer @ ..] if grid.width() > view.width => details = fewer,
            _ => return grid,
        }
    }
}

fn grid(
    list: &SessionList,
    heading: &SessionsHeading<'_>,
    view: &View<'_>,
    details: &[Detail],
) -> Grid {
    let has = |detail| details.contains(&detail);
    let mut headings = Vec::new();
    if has(Detail::Session) {
        headings.push(Heading::figures("Session"));
    }
    let user = headings.len();
    headings.push(Heading::words("User"));
    if has(Detail::From) {
        headings.push(Heading::words("From"));
    }
    if has(Detail::Login) {
        headings.push(Heading::words("Login"));
    }
    headings.push(Heading::words("Opened"));
    if has(Detail::Lasted) {
        headings.push(Heading::figures("Lasted"));
    }
    if has(Detail::Ended) {
        headings.push(Heading::words("Ended"));
    }
    let words = headings.len();
    headings.extend(["In", "Out"].map(Heading::figures));
    if has(Detail::Total) {
        headings.push(Heading::figures("Total"));
    }
    let mut grid = Grid::new(headings);
    for session in &list.sessions {
        fill_row(grid.row(), session, heading, view, details);
    }
    let mut total = grid.total();
    total.skip(user);
    let sessions = u64::try_from(list.sessions.len()).unwrap_or(u64::MAX);
    total.text(&counted(sessions, "session", "sessions"));
    total.skip(words - user - 1);
    fill_flow(&mut total, list.total.traffic, view);
    grid
}

/// The total of both directions comes last, and is dropped without a column.
fn fill_row(
    mut row: Row<'_>,
    session: &ListedSession,
    heading: &SessionsHeading<'_>,
    view: &View<'_>,
    details: &[Detail],
) {
    let has = |detail| details.contains(&detail);
    let record = &session.record;
    let closed = record.closed.as_ref();
    if has(Detail::Session) {
        row.cell(|text| push_shown(text, session.id));
    }
    row.cell(|text| push_user(text, &session.who, view));
    if has(Detail::From) {
        row.known(record.peer.known_ip(), view, push_shown);
    }
    if has(Detail::Login) {
        row.cell(|text| push_login(text, session, view));
    }
    if has(Detail::Seconds) {
        row.text(&local_second(record.opened, heading.zone));
    } else {
        row.text(&local_minute(record.opened, heading.zone));
    }
    if has(Detail::Lasted) {
        let end = closed.map_or(heading.now, |closing| closing.at);
        let lasted = duration(end.duration_since(record.opened));
        row.cell(|text| {
            if closed.is_none() && !has(Detail::Ended) {
                text.push_str("open ");
            }
            text.push_str(&lasted);
        });
    }
    if has(Detail::Ended) {
        row.cell(|text| match closed {
            Some(closing) => push_printed(text, &closing.reason, 32, view),
            None => text.push_str("open"),
        });
    }
    fill_flow(&mut row, session.traffic, view);
}

/// The key's name or fingerprint, else how the login was made.
fn push_login(text: &mut String, session: &ListedSession, view: &View<'_>) {
    let login = session.record.login.as_ref();
    let credential = login.and_then(|login| login.credential.as_ref());
    let method = login.and_then(|login| login.method.as_deref());
    match (credential, method) {
        (Some(credential), _) => match view.keys.get(credential.as_str()) {
            Some(name) => text.push_str(&printed_name(name)),
            None => push_printed(text, credential.as_str(), 20, view),
        },
        (None, Some(method)) => text.push_str(&printed_name(method)),
        (None, None) => text.push_str(view.nothing()),
    }
}

/// A text's beginning as people read it.
fn push_printed(text: &mut String, words: &str, length: usize, view: &View<'_>) {
    let mut beginning = String::new();
    push_shortened(&mut beginning, words, length, view);
    text.push_str(&printed_name(&beginning));
}
