//! A report as a table for people.

use sshmeter_core::{
    report::{By, Key, Per, Report, Row, Sum, Who, printed_name},
    time::Unit,
    units::{Flow, Traffic},
};

use super::{
    Style, View, bytes, counted,
    grid::{Grid, Heading, bar},
    local_minute,
    moment::bucket_label,
    zone_name,
};

/// The narrowest and widest a bar may be.
const BAR: std::ops::RangeInclusive<usize> = 8..=32;

/// The table, from its heading to its foot.
#[must_use]
pub fn report_table(report: &Report, view: &View<'_>) -> String {
    let mut lines = heading(report, view);
    lines.push(String::new());
    if report.rows.is_empty() {
        lines.push("No SSH traffic in this period.".to_owned());
    } else {
        let (rows, others) = view.chosen(report);
        lines.extend(grid(report, &rows, &others, view).lines(view));
    }
    if let Some(foot) = left_out_sentence(&report.left_out, view) {
        lines.push(String::new());
        lines.push(view.styled(Style::Dim, &foot));
    }
    lines.join("\n") + "\n"
}

fn heading(report: &Report, view: &View<'_>) -> Vec<String> {
    let by = report.by.iter().map(|by| match by {
        By::User => "user",
        By::Credential => "key",
        By::Peer => "address",
        By::Session => "session",
        By::Host => "host",
    });
    let per = match report.per {
        Per::Total => "",
        Per::Bucket(Unit::Minute) => ", per minute",
        Per::Bucket(Unit::Hour) => ", per hour",
        Per::Bucket(Unit::Day) => ", per day",
        Per::Bucket(Unit::Month) => ", per month",
    };
    let by = by.collect::<Vec<_>>().join(" and ");
    let title = format!("SSH traffic by {by}{per}");
    let zone = report.calendar.zone();
    let (since, until) = (report.period.since().start(), report.period.until().start());
    let period = format!(
        "{} to {}, {}, {}",
        local_minute(since, zone),
        local_minute(until, zone),
        zone_name(zone, since),
        figure_words(view),
    );
    vec![view.styled(Style::Bold, &title), period]
}

/// Which of the two figures a table shows.
pub(super) fn figure_words(view: &View<'_>) -> &'static str {
    if view.payload {
        "bytes of the SSH streams"
    } else {
        "bytes on the wire"
    }
}

/// The columns that say what a row is about.
fn headings(report: &Report) -> Vec<Heading> {
    let mut headings = Vec::new();
    if let Per::Bucket(unit) = report.per {
        headings.push(Heading::words(match unit {
            Unit::Minute => "Minute",
            Unit::Hour => "Hour",
            Unit::Day => "Day",
            Unit::Month => "Month",
        }));
    }
    for column in columns(&report.by) {
        headings.push(match column {
            By::User => Heading::words("User"),
            By::Credential => Heading::words("Key"),
            By::Peer => Heading::words("From"),
            By::Session => Heading::figures("Session"),
            By::Host => Heading::words("Host"),
        });
    }
    headings
}

/// What rows are told apart by. A session's number alone tells people nothing,
/// so its user and address follow it.
pub(super) fn columns(by: &[By]) -> Vec<By> {
    let mut columns = Vec::new();
    for &one in by {
        let with = match one {
            By::Session => &[By::Session, By::User, By::Peer][..],
            By::User => &[By::User],
            By::Credential => &[By::Credential],
            By::Peer => &[By::Peer],
            By::Host => &[By::Host],
        };
        for &column in with {
            let comes_later = column != one && by.contains(&column);
            if !columns.contains(&column) && !comes_later {
                columns.push(column);
            }
        }
    }
    columns
}

fn grid(report: &Report, rows: &[&Row], others: &[&Row], view: &View<'_>) -> Grid {
    let mut grid = Grid {
        headings: headings(report),
        ..Grid::default()
    };
    let words = grid.headings.len();
    if counts_sessions(report) {
        grid.headings.push(Heading::figures("Sessions"));
    }
    grid.headings
        .extend(["In", "Out", "Total"].map(Heading::figures));
    for row in rows {
        let mut cells = subject(report, row, view);
        cells.extend(figures(report, &row.sum, view));
        grid.rows.push(cells);
    }
    if !others.is_empty() {
        let traffic = others
            .iter()
            .fold(Traffic::default(), |sum, row| sum.plus(row.sum.traffic));
        let label = format!(
            "{} {}",
            if view.unicode { "…" } else { "..." },
            counted(
                u64::try_from(others.len()).unwrap_or(u64::MAX),
                "other",
                "others"
            )
        );
        let mut cells = labelled(label, words);
        cells.extend(figures(
            report,
            &Sum {
                sessions: None,
                traffic,
            },
            view,
        ));
        grid.rows.push(cells);
    }
    let mut total = labelled("Total".to_owned(), words);
    total.extend(figures(report, &report.total, view));
    grid.total = Some(total);
    if rows.len() + others.len() > 1 {
        add_bars(&mut grid, report, rows, view);
    }
    grid
}

fn labelled(label: String, words: usize) -> Vec<String> {
    let mut cells = vec![String::new(); words];
    if let Some(first) = cells.first_mut() {
        *first = label;
    }
    cells
}

fn subject(report: &Report, row: &Row, view: &View<'_>) -> Vec<String> {
    let mut cells = Vec::new();
    if let Per::Bucket(unit) = report.per {
        cells.push(bucket_label(unit, row.start, report.calendar.zone()));
    }
    for column in columns(&report.by) {
        cells.push(subject_cell(column, &row.key, view));
    }
    cells
}

fn subject_cell(column: By, key: &Key, view: &View<'_>) -> String {
    let nothing = || view.nothing().to_owned();
    match column {
        By::User => key
            .user
            .as_ref()
            .map_or_else(nothing, |user| user_cell(user, view)),
        By::Credential => key.credential.as_ref().map_or_else(nothing, |credential| {
            let name = view.keys.get(credential.as_str());
            printed_name(name.map_or(credential.as_str(), String::as_str))
        }),
        By::Peer => key.peer.map_or_else(nothing, |peer| peer.to_string()),
        By::Session => key
            .session
            .map_or_else(nothing, |session| session.to_string()),
        By::Host => key
            .host
            .as_ref()
            .map_or_else(nothing, |host| printed_name(host.as_str())),
    }
}

/// Characters of a name that a table has room for.
const NAME_WIDTH: usize = 40;

/// A user as people read the name; of a very long one, its beginning.
pub(super) fn user_cell(who: &Who, view: &View<'_>) -> String {
    shortened(&printed_name(&who.label()), NAME_WIDTH, view)
}

/// A text's beginning, where it is longer.
pub(super) fn shortened(text: &str, length: usize, view: &View<'_>) -> String {
    if text.chars().count() <= length {
        return text.to_owned();
    }
    let kept = text.chars().take(length).collect::<String>();
    kept + if view.unicode { "…" } else { "..." }
}

/// Rows of single sessions have no need to count them.
fn counts_sessions(report: &Report) -> bool {
    !report.by.contains(&By::Session)
}

fn figures(report: &Report, sum: &Sum, view: &View<'_>) -> Vec<String> {
    let mut cells = Vec::new();
    if counts_sessions(report) {
        cells.push(sum.sessions.map_or_else(
            || view.nothing().to_owned(),
            |sessions| sessions.to_string(),
        ));
    }
    cells.extend(flow_cells(view.figure(sum.traffic), view));
    cells
}

/// In, out and both together.
pub(super) fn flow_cells(flow: Option<Flow>, view: &View<'_>) -> [String; 3] {
    match flow {
        Some(flow) => [flow.inbound, flow.outbound, flow.total()].map(bytes),
        None => [view.nothing(); 3].map(str::to_owned),
    }
}

/// Adds each row's share, where the line has room for it.
fn add_bars(grid: &mut Grid, report: &Report, rows: &[&Row], view: &View<'_>) {
    const SHARE_AND_GAPS: usize = "  99.9 %  ".len();
    let size = |traffic: Traffic| view.figure(traffic).map_or(0, Flow::total);
    let room = view.width.saturating_sub(grid.width() + SHARE_AND_GAPS);
    let total = size(report.total.traffic);
    if room < *BAR.start() || total == 0 {
        return;
    }
    let room = room.min(*BAR.end());
    let largest = rows.iter().map(|row| size(row.sum.traffic)).max();
    grid.headings.push(Heading::figures("Share"));
    grid.headings.push(Heading::words(""));
    for (cells, row) in grid.rows.iter_mut().zip(rows) {
        let size = size(row.sum.traffic);
        let share = view
            .figure(row.sum.traffic)
            .map(|_| percentage(size, total));
        cells.push(share.unwrap_or_default());
        cells.push(bar(size, largest.unwrap_or(0), room, view.unicode));
    }
    for cells in grid.rows.iter_mut().skip(rows.len()).chain(&mut grid.total) {
        cells.extend([String::new(), String::new()]);
    }
}

fn percentage(size: u64, total: u64) -> String {
    let total = u128::from(total.max(1));
    let tenths = (u128::from(size) * 1000 + total / 2) / total;
    if size > 0 && tenths == 0 {
        "<0.1 %".to_owned()
    } else if tenths >= 1000 {
        "100 %".to_owned()
    } else {
        format!("{}.{} %", tenths / 10, tenths % 10)
    }
}

/// What of the nameless is not in the table.
pub(super) fn left_out_sentence(left_out: &Sum, view: &View<'_>) -> Option<String> {
    let moved = view.figure(left_out.traffic).map(Flow::total);
    if left_out.sessions.unwrap_or(0) == 0 && moved.unwrap_or(0) == 0 {
        return None;
    }
    let connections = match left_out.sessions {
        Some(sessions) => counted(sessions, "connection", "connections"),
        None => "Connections".to_owned(),
    };
    let moved = moved.map_or_else(String::new, |moved| format!(" ({})", bytes(moved)));
    Some(format!(
        "{connections} that never logged in{moved} left out; --all shows them."
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_very_long_name_leaves_room_for_the_figures() {
        let keys = std::collections::BTreeMap::new();
        let view = View {
            width: 80,
            unicode: false,
            styled: false,
            payload: false,
            top: None,
            keys: &keys,
        };
        let who = Who::User(sshmeter_core::identity::UserName::new("x".repeat(200)));
        assert_eq!(user_cell(&who, &view), format!("{}...", "x".repeat(40)));
    }
}
