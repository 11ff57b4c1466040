//! Report → text. Nothing else formats bytes or times for people.
//!
//! All of it is pure: how wide the terminal is, and which characters it
//! knows come in as a [`View`].

mod bytes;
mod column;
mod csv;
mod grid;
mod import;
mod json;
mod moment;
mod notes;
mod number;
pub mod parse;
mod report_table;
mod sessions_table;
mod standing;
pub mod text;
mod verification;

use std::{
    collections::BTreeMap,
    fmt::{Display, Write as _},
};

pub use bytes::bytes;
pub use csv::{report_csv, sessions_csv};
pub use import::{ImportSummary, import_notes, import_text};
pub use json::{report_json, sessions_json};
pub use moment::{duration, local_minute, local_second, rfc3339, zone_name};
pub use notes::note_sentence;
pub use report_table::report_table;
pub use sessions_table::{SessionsHeading, sessions_table};
pub use standing::standing_notes;
pub use verification::{fault_sentence, verification_json, verification_text};

use sshmeter_core::{
    report::{Report, Row},
    units::{Flow, Traffic},
};

/// How something is shown.
#[derive(Clone, Debug)]
pub struct View<'a> {
    /// Columns of the terminal, or what a pipe is given.
    pub width: usize,
    /// Whether there are more characters than ASCII's.
    pub unicode: bool,
    /// Whether lines may be bold or dim.
    pub styled: bool,
    /// The SSH stream's own bytes instead of the wire's.
    pub payload: bool,
    /// Only so many rows.
    pub top: Option<usize>,
    /// Names for keys.
    pub keys: &'a BTreeMap<String, String>,
}

#[cfg(test)]
impl<'a> View<'a> {
    /// ASCII alone, as wide as a terminal of old.
    fn plain(keys: &'a BTreeMap<String, String>) -> Self {
        Self {
            width: 80,
            unicode: false,
            styled: false,
            payload: false,
            top: None,
            keys,
        }
    }
}

impl View<'_> {
    /// The figure that is shown of two.
    fn figure(&self, traffic: Traffic) -> Option<Flow> {
        if self.payload {
            traffic.payload
        } else {
            traffic.wire
        }
    }

    /// What stands where nothing is known or nothing is to be said.
    fn nothing(&self) -> &'static str {
        if self.unicode { "–" } else { "-" }
    }

    /// A text on a styled line.
    fn styled(&self, style: Style, text: &str) -> String {
        let code = match style {
            Style::Bold => "\u{1b}[1m",
            Style::Dim => "\u{1b}[2m",
        };
        if self.styled && !text.is_empty() {
            format!("{code}{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    }

    /// The rows that are shown, and those that `top` leaves to one line.
    fn chosen<'r>(&self, report: &'r Report) -> (Vec<&'r Row>, Vec<&'r Row>) {
        let size = |row: &Row| self.figure(row.sum.traffic).map_or(0, Flow::total);
        let mut rows = report.rows.iter().collect::<Vec<_>>();
        rows.sort_by_key(|row| (row.start, std::cmp::Reverse(size(row))));
        let Some(top) = self.top.filter(|top| *top < rows.len()) else {
            return (rows, Vec::new());
        };
        let mut by_size = (0..rows.len()).collect::<Vec<_>>();
        by_size.sort_by_key(|index| std::cmp::Reverse(size(rows[*index])));
        let mut is_shown = vec![false; rows.len()];
        for index in by_size.into_iter().take(top) {
            is_shown[index] = true;
        }
        let (mut shown, mut others) = (Vec::new(), Vec::new());
        for (row, is_shown) in rows.into_iter().zip(is_shown) {
            if is_shown {
                shown.push(row);
            } else {
                others.push(row);
            }
        }
        (shown, others)
    }
}

/// How a line stands out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    Bold,
    Dim,
}

/// What a value is shown as, behind a text.
fn push_shown(text: &mut String, value: impl Display) {
    // A text takes all that is written into it.
    let _taken = write!(text, "{value}");
}

/// `1 session`, `2 sessions`.
pub(crate) fn counted(number: u64, one: &str, many: &str) -> String {
    if number == 1 {
        format!("1 {one}")
    } else {
        format!("{number} {many}")
    }
}
