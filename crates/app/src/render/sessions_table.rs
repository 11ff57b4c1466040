//! A list of sessions as a table for people.

use jiff::{Timestamp, tz::TimeZone};
use sshmeter_core::{report::printed_name, time::Period};

use super::{
    Style, View, counted, duration,
    grid::{Grid, Heading},
    local_minute, local_second,
    report_table::{figure_words, flow_cells, left_out_sentence, shortened, user_cell},
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
    let mut lines = heading_lines(heading, view);
    lines.push(String::new());
    if list.sessions.is_empty() {
        lines.push(
            if heading.open_only {
                "No SSH session is open."
            } else {
                "No SSH session was open in this period."
            }
            .to_owned(),
        );
    } else {
        lines.extend(fitting_grid(list, heading, view).lines(view));
    }
    if let Some(foot) = left_out_sentence(&list.left_out, view) {
        lines.push(String::new());
        lines.push(view.styled(Style::Dim, &foot));
    }
    lines.join("\n") + "\n"
}

fn heading_lines(heading: &SessionsHeading<'_>, view: &View<'_>) -> Vec<String> {
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
    vec![view.styled(Style::Bold, title), period]
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
    let mut grid = Grid {
        headings,
        ..Grid::default()
    };
    for session in &list.sessions {
        grid.rows.push(cells(session, heading, view, details));
    }
    let mut total = vec![String::new(); words];
    total[user] = counted(
        u64::try_from(list.sessions.len()).unwrap_or(u64::MAX),
        "session",
        "sessions",
    );
    total.extend(flow_cells(view.figure(list.total.traffic), view));
    total.truncate(grid.headings.len());
    grid.total = Some(total);
    grid
}

fn cells(
    session: &ListedSession,
    heading: &SessionsHeading<'_>,
    view: &View<'_>,
    details: &[Detail],
) -> Vec<String> {
    let has = |detail| details.contains(&detail);
    let record = &session.record;
    let closed = record.closed.as_ref();
    let mut cells = Vec::new();
    if has(Detail::Session) {
        cells.push(session.id.to_string());
    }
    cells.push(user_cell(&session.who, view));
    if has(Detail::From) {
        let peer = record.peer.known_ip();
        cells.push(peer.map_or_else(|| view.nothing().to_owned(), |ip| ip.to_string()));
    }
    if has(Detail::Login) {
        cells.push(login_cell(session, view));
    }
    cells.push(if has(Detail::Seconds) {
        local_second(record.opened, heading.zone)
    } else {
        local_minute(record.opened, heading.zone)
    });
    if has(Detail::Lasted) {
        let end = closed.map_or(heading.now, |closing| closing.at);
        let lasted = duration(end.duration_since(record.opened));
        cells.push(if closed.is_none() && !has(Detail::Ended) {
            format!("open {lasted}")
        } else {
            lasted
        });
    }
    if has(Detail::Ended) {
        cells.push(closed.map_or_else(
            || "open".to_owned(),
            |closing| printed_name(&shortened(&closing.reason, 32, view)),
        ));
    }
    cells.extend(flow_cells(view.figure(session.traffic), view));
    if !has(Detail::Total) {
        cells.pop();
    }
    cells
}

/// The key's name or fingerprint, else how the login was made.
fn login_cell(session: &ListedSession, view: &View<'_>) -> String {
    let login = session.record.login.as_ref();
    let credential = login.and_then(|login| login.credential.as_ref());
    let method = login.and_then(|login| login.method.as_deref());
    match (credential, method) {
        (Some(credential), _) => match view.keys.get(credential.as_str()) {
            Some(name) => printed_name(name),
            None => printed_name(&shortened(credential.as_str(), 20, view)),
        },
        (None, Some(method)) => printed_name(method),
        (None, None) => view.nothing().to_owned(),
    }
}
