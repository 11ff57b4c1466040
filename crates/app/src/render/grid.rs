//! Aligned columns with a rule under the header and above the total.
//!
//! Cells are one line each, and hold nothing that drives a terminal: whoever writes
//! them sees to that.

use super::{
    Style, View,
    column::{Column, Heading, SPACES, push_signs},
};

/// Spaces between columns.
const GAP: usize = 2;

/// Rows under headings, and what they add up to.
#[derive(Clone, Debug)]
pub(super) struct Grid {
    columns: Vec<Column>,
    rows: usize,
    /// Whether the last row is what the others add up to.
    has_total: bool,
}

impl Grid {
    /// Columns in which nothing is but their headings.
    pub(super) fn new(headings: impl IntoIterator<Item = Heading>) -> Self {
        Self {
            columns: headings.into_iter().map(Column::new).collect(),
            rows: 0,
            has_total: false,
        }
    }

    /// A further row, to be filled from the left; what is not filled is empty.
    pub(super) fn row(&mut self) -> Row<'_> {
        let index = self.rows;
        self.rows += 1;
        Row {
            index,
            columns: self.columns.iter_mut(),
        }
    }

    /// The last row: what the others add up to.
    pub(super) fn total(&mut self) -> Row<'_> {
        self.has_total = true;
        self.row()
    }

    /// A further column, right of the others, to be filled from the top.
    pub(super) fn column(&mut self, heading: Heading) -> &mut Column {
        self.columns.push(Column::new(heading));
        let last = self.columns.len() - 1;
        &mut self.columns[last]
    }

    /// Does without a column.
    pub(super) fn leave_out(&mut self, index: usize) {
        self.columns[index].is_shown = false;
    }

    /// How many cells of a terminal a line takes.
    pub(super) fn width(&self) -> usize {
        let widths = self.shown().map(|column| column.width + GAP).sum::<usize>();
        widths.saturating_sub(GAP)
    }

    /// Adds the lines to a text: header, rules and total included.
    pub(super) fn write(&self, view: &View<'_>, text: &mut String) {
        let sign = if view.unicode { "─" } else { "-" };
        let rule = view.styled(Style::Dim, &sign.repeat(self.width())) + "\n";
        text.reserve((self.rows + 4) * (self.width() + 1));
        let mut names = String::new();
        self.write_line(Column::name, &mut names);
        push_line(text, &view.styled(Style::Bold, &names));
        text.push_str(&rule);
        let rows = self.rows - usize::from(self.has_total);
        for index in 0..rows {
            self.write_line(|column| column.cell_at(index), text);
            text.push('\n');
        }
        if self.has_total {
            text.push_str(&rule);
            let mut total = String::new();
            self.write_line(|column| column.cell_at(rows), &mut total);
            push_line(text, &view.styled(Style::Bold, &total));
        }
    }

    fn shown(&self) -> impl Iterator<Item = &Column> {
        self.columns.iter().filter(|column| column.is_shown)
    }

    /// Adds a line to the text, without a newline: of each column a text and its width.
    fn write_line<'a>(&'a self, of: impl Fn(&'a Column) -> (&'a str, usize), text: &mut String) {
        let start = text.len();
        let mut missing = 0;
        for column in self.shown() {
            let (cell, width) = of(column);
            let room = column.width - width;
            let (before, after) = if column.is_figure() {
                (room, 0)
            } else {
                (0, room)
            };
            // Spaces wait for something to stand behind them.
            push_signs(text, SPACES, missing + before);
            text.push_str(cell);
            missing = after + GAP;
        }
        let end = start + text[start..].trim_end().len();
        text.truncate(end);
    }
}

/// A row on its way.
pub(super) struct Row<'a> {
    index: usize,
    columns: std::slice::IterMut<'a, Column>,
}

impl Row<'_> {
    /// Fills the next cell with what is added to a text. Where there is no further
    /// column, nothing is.
    pub(super) fn cell(&mut self, add: impl FnOnce(&mut String)) {
        if let Some(column) = self.columns.next() {
            column.leave_empty_until(self.index);
            column.cell(add);
        }
    }

    /// Fills the next cell with a value, or with what stands where none is known.
    pub(super) fn known<T>(
        &mut self,
        value: Option<T>,
        view: &View<'_>,
        add: impl FnOnce(&mut String, T),
    ) {
        match value {
            Some(value) => self.cell(|text| add(text, value)),
            None => self.text(view.nothing()),
        }
    }

    /// Fills the next cell with a text.
    pub(super) fn text(&mut self, cell: &str) {
        self.cell(|text| text.push_str(cell));
    }

    /// Leaves so many cells empty.
    pub(super) fn skip(&mut self, cells: usize) {
        for _ in self.columns.by_ref().take(cells) {}
    }
}

fn push_line(text: &mut String, line: &str) {
    text.push_str(line);
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(grid: &Grid) -> String {
        let keys = std::collections::BTreeMap::new();
        let view = View::plain(&keys);
        let mut text = String::new();
        grid.write(&view, &mut text);
        let rule = text.lines().nth(1).unwrap_or_default();
        assert_eq!(rule.len(), grid.width());
        text
    }

    fn fill(mut row: Row<'_>, cells: &[&str]) {
        for cell in cells {
            row.text(cell);
        }
    }

    #[test]
    fn columns_are_as_wide_as_what_is_in_them() {
        let mut grid = Grid::new([
            Heading::words("User"),
            Heading::figures("In"),
            Heading::words("Ended"),
        ]);
        fill(grid.row(), &["alice", "1", "x"]);
        fill(grid.row(), &["名前", "1000", ""]);
        assert_eq!(
            lines(&grid),
            "User     In  Ended\n\
             ------------------\n\
             alice     1  x\n\
             名前   1000\n"
        );
        fill(grid.total(), &["2 sessions", "1001"]);
        assert_eq!(
            lines(&grid),
            "User          In  Ended\n\
             -----------------------\n\
             alice          1  x\n\
             名前        1000\n\
             -----------------------\n\
             2 sessions  1001\n"
        );
    }

    #[test]
    fn cells_stay_in_their_rows() {
        let mut grid = Grid::new(["a", "b"].map(Heading::words));
        fill(grid.row(), &["1"]);
        fill(grid.row(), &["2", "two", "too many"]);
        let mut row = grid.row();
        row.skip(1);
        row.text("three");
        grid.column(Heading::words("c")).cell(|text| text.push('I'));
        assert_eq!(
            lines(&grid),
            "a  b      c\n\
             -----------\n\
             1         I\n\
             2  two\n\
             \u{20}  three\n"
        );
    }

    #[test]
    fn a_column_can_be_done_without() {
        let mut grid = Grid::new(["a", "long", "c"].map(Heading::words));
        fill(grid.row(), &["1", "2", "333"]);
        assert_eq!(grid.width(), 12);
        grid.leave_out(1);
        assert_eq!(grid.width(), 6);
        assert_eq!(lines(&grid), "a  c\n------\n1  333\n");
    }
}
