//! What `parse` shows: an event as one line of JSON, or sessions and a summary
//! as tables for people.

mod event;
mod sessions;

pub use event::event_json;
pub use sessions::sessions_table;

use super::{
    View,
    column::Heading,
    grid::{Grid, Row},
    number::push_number,
    text::{dots, printable, push_beginning},
};

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
    let mut headings = vec![Heading::words("Log")];
    headings.extend(figures.map(Heading::figures));
    let mut grid = Grid::new(headings);
    for tally in tallies {
        fill_row(grid.row(), tally);
    }
    if tallies.len() > 1 {
        fill_row(grid.row(), &total(tallies));
    }
    let mut text = String::new();
    grid.write(view, &mut text);
    text
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

fn fill_row(mut row: Row<'_>, tally: &Tally) {
    row.text(&printable(&tally.name));
    for figure in [
        tally.lines,
        tally.daemon,
        tally.logins,
        tally.closings,
        tally.unrecognised,
        tally.refused,
    ] {
        row.cell(|text| push_number(text, figure));
    }
}

/// Text of the log's, printable and not longer than its column.
pub(crate) fn fitted(text: &str, width: usize) -> String {
    let mut fitted = String::new();
    push_shortened(&mut fitted, text, width, true);
    fitted
}

fn push_shortened(cell: &mut String, words: &str, width: usize, unicode: bool) {
    let kept = width.saturating_sub(dots(unicode).chars().count());
    push_beginning(cell, &printable(words), width, kept, unicode);
}
