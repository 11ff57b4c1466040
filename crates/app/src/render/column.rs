//! A column of a table: what is in its cells, and how wide that is.

use unicode_width::UnicodeWidthStr as _;

/// A column's heading and side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Heading {
    name: String,
    is_figure: bool,
}

impl Heading {
    /// A column of words, aligned to the left.
    pub(super) fn words(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            is_figure: false,
        }
    }

    /// A column of figures, aligned to the right.
    pub(super) fn figures(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            is_figure: true,
        }
    }
}

/// A column as wide as what is in it. Tables can have hundreds of thousands of rows:
/// cells are written one behind the other and are texts of their own at no time, and
/// each is measured once.
#[derive(Clone, Debug)]
pub(super) struct Column {
    heading: Heading,
    pub(super) width: usize,
    pub(super) is_shown: bool,
    /// Cell behind cell.
    text: String,
    cells: Vec<Cell>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Cell {
    /// Where in the column's text it ends.
    end: usize,
    width: usize,
}

impl Column {
    pub(super) fn new(heading: Heading) -> Self {
        Self {
            width: width_of(&heading.name),
            heading,
            is_shown: true,
            text: String::new(),
            cells: Vec::new(),
        }
    }

    /// Fills the next cell with what is added to a text.
    pub(super) fn cell(&mut self, add: impl FnOnce(&mut String)) {
        let start = self.text.len();
        add(&mut self.text);
        self.end_cell(width_of(&self.text[start..]));
    }

    /// Fills the next cell with a bar of a share of the largest, which has `room`
    /// cells of a terminal to itself.
    pub(super) fn bar(&mut self, size: u64, largest: u64, room: usize, unicode: bool) {
        let width = push_bar(&mut self.text, size, largest, room, unicode);
        self.end_cell(width);
    }

    fn end_cell(&mut self, width: usize) {
        self.width = self.width.max(width);
        self.cells.push(Cell {
            end: self.text.len(),
            width,
        });
    }

    /// Leaves cells empty up to that of a row.
    pub(super) fn leave_empty_until(&mut self, index: usize) {
        let end = self.text.len();
        self.cells.resize(index, Cell { end, width: 0 });
    }

    pub(super) fn is_figure(&self) -> bool {
        self.heading.is_figure
    }

    /// Its heading, and how wide that is.
    pub(super) fn name(&self) -> (&str, usize) {
        (&self.heading.name, width_of(&self.heading.name))
    }

    /// What is in a row's cell, and how wide that is.
    pub(super) fn cell_at(&self, index: usize) -> (&str, usize) {
        let Some(cell) = self.cells.get(index) else {
            return ("", 0);
        };
        let start = index.checked_sub(1).map_or(0, |last| self.cells[last].end);
        (&self.text[start..cell.end], cell.width)
    }
}

/// As many signs as are copied at once.
const RUN: usize = 32;
pub(super) const SPACES: &str = "                                ";
const HASHES: &str = "################################";
const BLOCKS: &str = "████████████████████████████████";

/// Adds so many of a run's signs, which are all the same.
pub(super) fn push_signs(text: &mut String, run: &str, number: usize) {
    let length = run.len() / RUN;
    let mut left = number;
    while left > 0 {
        let now = left.min(RUN);
        text.push_str(&run[..now * length]);
        left -= now;
    }
}

/// How many cells of a terminal a text takes.
fn width_of(text: &str) -> usize {
    // Texts that were cut are many, and otherwise as plain as most.
    match text.strip_suffix('…') {
        _ if text.is_ascii() => text.len(),
        Some(kept) if kept.is_ascii() => kept.len() + 1,
        _ => text.width(),
    }
}

/// Adds a bar and says how wide it is.
fn push_bar(text: &mut String, size: u64, largest: u64, room: usize, unicode: bool) -> usize {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    if largest == 0 {
        return 0;
    }
    let room = u128::try_from(room).unwrap_or(0);
    let eighths = (u128::from(size) * room * 8 + u128::from(largest) / 2) / u128::from(largest);
    let eighths = usize::try_from(eighths).unwrap_or(0);
    // Whoever moved a byte is seen.
    let eighths = if size > 0 { eighths.max(1) } else { 0 };
    let (full, part) = if unicode {
        (eighths / 8, EIGHTHS[eighths % 8])
    } else {
        (eighths.div_ceil(8), "")
    };
    push_signs(text, if unicode { BLOCKS } else { HASHES }, full);
    text.push_str(part);
    full + usize::from(!part.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widths_are_those_of_a_terminal() {
        for text in [
            "",
            "alice",
            "SHA256:xBbXq+gwq45U…",
            "…",
            "名前",
            "名前…",
            "zoë",
            "a…b",
        ] {
            assert_eq!(width_of(text), text.width(), "{text}");
        }
    }

    #[test]
    fn bars_are_to_scale_and_seen() {
        let bar = |size, largest, room, unicode| {
            let mut bar = String::new();
            let width = push_bar(&mut bar, size, largest, room, unicode);
            assert_eq!(width, width_of(&bar));
            bar
        };
        assert_eq!(bar(100, 100, 4, true), "████");
        assert_eq!(bar(50, 100, 4, true), "██");
        assert_eq!(bar(55, 100, 4, true), "██▎");
        assert_eq!(bar(1, u64::MAX, 4, true), "▏");
        assert_eq!(bar(0, 100, 4, true), "");
        assert_eq!(bar(0, 0, 4, true), "");
        assert_eq!(bar(u64::MAX, u64::MAX, 4, false), "####");
        assert_eq!(bar(1, 100, 4, false), "#");
        assert_eq!(bar(100, 100, 40, false), "#".repeat(40));
    }
}
