//! Aligned columns with a rule under the header and above the total.

use comfy_table::{CellAlignment, Table, presets};

use super::{Style, View};

/// Cells between columns.
const GAP: u16 = 2;

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

/// Rows under headings, and what they add up to.
#[derive(Clone, Debug, Default)]
pub(super) struct Grid {
    pub(super) headings: Vec<Heading>,
    pub(super) rows: Vec<Vec<String>>,
    pub(super) total: Option<Vec<String>>,
}

impl Grid {
    /// How many cells a line takes.
    pub(super) fn width(&self) -> usize {
        width_of(&self.table())
    }

    /// The lines, header, rules and total included.
    pub(super) fn lines(&self, view: &View<'_>) -> Vec<String> {
        let table = self.table();
        let rule = if view.unicode { "─" } else { "-" }.repeat(width_of(&table));
        let rule = view.styled(Style::Dim, &rule);
        let mut lines = Vec::new();
        let all = table.lines().collect::<Vec<_>>();
        let last = all.len().saturating_sub(1);
        for (index, line) in all.iter().enumerate() {
            let line = line.trim_end();
            if index == 0 {
                lines.push(view.styled(Style::Bold, line));
                lines.push(rule.clone());
            } else if index == last && self.total.is_some() {
                lines.push(rule.clone());
                lines.push(view.styled(Style::Bold, line));
            } else {
                lines.push(line.to_owned());
            }
        }
        lines
    }

    fn table(&self) -> Table {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        table.set_header(self.headings.iter().map(|heading| heading.name.as_str()));
        table.add_rows(&self.rows);
        if let Some(total) = &self.total {
            table.add_row(total);
        }
        let last = self.headings.len().saturating_sub(1);
        for (index, heading) in self.headings.iter().enumerate() {
            if let Some(column) = table.column_mut(index) {
                column.set_padding((0, if index == last { 0 } else { GAP }));
                if heading.is_figure {
                    column.set_cell_alignment(CellAlignment::Right);
                }
            }
        }
        table
    }
}

fn width_of(table: &Table) -> usize {
    let widths = table.column_max_content_widths();
    let gaps = widths.len().saturating_sub(1) * usize::from(GAP);
    widths.into_iter().map(usize::from).sum::<usize>() + gaps
}

/// A bar of a share of the largest, `room` cells for the largest itself.
pub(super) fn bar(size: u64, largest: u64, room: usize, unicode: bool) -> String {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    if largest == 0 {
        return String::new();
    }
    let room = u128::try_from(room).unwrap_or(0);
    let eighths = (u128::from(size) * room * 8 + u128::from(largest) / 2) / u128::from(largest);
    let eighths = usize::try_from(eighths).unwrap_or(0);
    // Whoever moved a byte is seen.
    let eighths = if size > 0 { eighths.max(1) } else { 0 };
    if unicode {
        format!("{}{}", "█".repeat(eighths / 8), EIGHTHS[eighths % 8])
    } else {
        "#".repeat(eighths.div_ceil(8))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_to_scale_and_seen() {
        assert_eq!(bar(100, 100, 4, true), "████");
        assert_eq!(bar(50, 100, 4, true), "██");
        assert_eq!(bar(55, 100, 4, true), "██▎");
        assert_eq!(bar(1, u64::MAX, 4, true), "▏");
        assert_eq!(bar(0, 100, 4, true), "");
        assert_eq!(bar(0, 0, 4, true), "");
        assert_eq!(bar(u64::MAX, u64::MAX, 4, false), "####");
        assert_eq!(bar(1, 100, 4, false), "#");
    }
}
