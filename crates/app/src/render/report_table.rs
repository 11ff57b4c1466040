//! A report as a table for people.

use sshmeter_core::{
    report::{By, Key, Per, Report, Row, Sum, Who, printed_name},
    time::Unit,
    units::{Flow, Traffic},
};

use super::{
    Style, View, bytes,
    bytes::push_bytes,
    column::Heading,
    counted,
    grid::{Grid, Row as Cells},
    local_minute,
    moment::{Starts, bucket_label},
    number::push_number,
    push_shown,
    text::{dots, push_beginning},
    zone_name,
};

/// The narrowest and widest a bar may be.
const BAR: std::ops::RangeInclusive<usize> = 8..=32;

/// The table, from its heading to its foot.
#[must_use]
pub fn report_table(report: &Report, view: &View<'_>) -> String {
    let mut text = heading(report, view);
    if report.rows.is_empty() {
        text.push_str("No SSH traffic in this period.\n");
    } else {
        let (rows, others) = view.chosen(report);
        grid(report, &rows, &others, view).write(view, &mut text);
    }
    push_foot(&mut text, &report.left_out, view);
    text
}

fn heading(report: &Report, view: &View<'_>) -> String {
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
    format!("{}\n{period}\n\n", view.styled(Style::Bold, &title))
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
    let mut headings = headings(report);
    let words = headings.len();
    if counts_sessions(report) {
        headings.push(Heading::figures("Sessions"));
    }
    headings.extend(["In", "Out", "Total"].map(Heading::figures));
    let mut grid = Grid::new(headings);
    let columns = columns(&report.by);
    let mut starts = Starts::default();
    for row in rows {
        let mut cells = grid.row();
        if let Per::Bucket(unit) = report.per {
            let label = |start| bucket_label(unit, start, report.calendar.zone());
            cells.text(starts.label(row.start, label));
        }
        for column in &columns {
            fill_subject(&mut cells, *column, &row.key, view);
        }
        fill_figures(&mut cells, report, &row.sum, view);
    }
    if !others.is_empty() {
        let number = u64::try_from(others.len()).unwrap_or(u64::MAX);
        let number = counted(number, "other", "others");
        let traffic = others
            .iter()
            .fold(Traffic::default(), |sum, row| sum.plus(row.sum.traffic));
        let sum = Sum {
            sessions: None,
            traffic,
        };
        let label = format!("{} {number}", dots(view.unicode));
        fill_labelled(grid.row(), &label, words, report, &sum, view);
    }
    fill_labelled(grid.total(), "Total", words, report, &report.total, view);
    if rows.len() + others.len() > 1 {
        add_bars(&mut grid, report, rows, view);
    }
    grid
}

/// A row of more than one subject.
fn fill_labelled(
    mut cells: Cells<'_>,
    label: &str,
    words: usize,
    report: &Report,
    sum: &Sum,
    view: &View<'_>,
) {
    if words > 0 {
        cells.text(label);
        cells.skip(words - 1);
    }
    fill_figures(&mut cells, report, sum, view);
}

fn fill_subject(cells: &mut Cells<'_>, column: By, key: &Key, view: &View<'_>) {
    match column {
        By::User => cells.known(key.user.as_ref(), view, |text, user| {
            push_user(text, user, view);
        }),
        By::Credential => cells.known(key.credential.as_ref(), view, |text, credential| {
            let name = view.keys.get(credential.as_str());
            let name = name.map_or(credential.as_str(), String::as_str);
            text.push_str(&printed_name(name));
        }),
        By::Peer => cells.known(key.peer, view, push_shown),
        By::Session => cells.known(key.session, view, push_shown),
        By::Host => cells.known(key.host.as_ref(), view, |text, host| {
            text.push_str(&printed_name(host.as_str()));
        }),
    }
}

/// Characters of a name that a table has room for.
const NAME_WIDTH: usize = 40;

/// A user as people read the name; of a very long one, its beginning.
pub(super) fn push_user(text: &mut String, who: &Who, view: &View<'_>) {
    push_shortened(text, &printed_name(&who.label()), NAME_WIDTH, view);
}

/// A text's beginning, where it is longer.
pub(super) fn push_shortened(text: &mut String, words: &str, length: usize, view: &View<'_>) {
    push_beginning(text, words, length, length, view.unicode);
}

/// Rows of single sessions have no need to count them.
fn counts_sessions(report: &Report) -> bool {
    !report.by.contains(&By::Session)
}

fn fill_figures(cells: &mut Cells<'_>, report: &Report, sum: &Sum, view: &View<'_>) {
    if counts_sessions(report) {
        cells.known(sum.sessions, view, push_number);
    }
    fill_flow(cells, sum.traffic, view);
}

/// In, out and both together.
pub(super) fn fill_flow(cells: &mut Cells<'_>, traffic: Traffic, view: &View<'_>) {
    let flow = view.figure(traffic);
    for figure in [
        flow.map(|flow| flow.inbound),
        flow.map(|flow| flow.outbound),
        flow.map(Flow::total),
    ] {
        cells.known(figure, view, push_bytes);
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
    let shares = grid.column(Heading::figures("Share"));
    for row in rows {
        shares.cell(|text| {
            if let Some(flow) = view.figure(row.sum.traffic) {
                push_percentage(text, flow.total(), total);
            }
        });
    }
    let bars = grid.column(Heading::words(""));
    for row in rows {
        let size = size(row.sum.traffic);
        bars.bar(size, largest.unwrap_or(0), room, view.unicode);
    }
}

fn push_percentage(text: &mut String, size: u64, total: u64) {
    let total = u128::from(total.max(1));
    let tenths = (u128::from(size) * 1000 + total / 2) / total;
    if size > 0 && tenths == 0 {
        text.push_str("<0.1 %");
        return;
    }
    match u64::try_from(tenths) {
        Ok(tenths) if tenths < 1000 => {
            push_number(text, tenths / 10);
            text.push('.');
            push_number(text, tenths % 10);
            text.push_str(" %");
        }
        _ => text.push_str("100 %"),
    }
}

/// Adds the sentence about what is not in the table, where something is not.
pub(super) fn push_foot(text: &mut String, left_out: &Sum, view: &View<'_>) {
    if let Some(foot) = left_out_sentence(left_out, view) {
        text.push('\n');
        text.push_str(&view.styled(Style::Dim, &foot));
        text.push('\n');
    }
}

/// What of the nameless is not in the table.
fn left_out_sentence(left_out: &Sum, view: &View<'_>) -> Option<String> {
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
        let view = View::plain(&keys);
        let who = Who::User(sshmeter_core::identity::UserName::new("x".repeat(200)));
        let mut cell = String::new();
        push_user(&mut cell, &who, &view);
        assert_eq!(cell, format!("{}...", "x".repeat(40)));
    }
}
