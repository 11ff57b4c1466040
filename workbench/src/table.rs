//! Ratios as people read them: the middle one with the least and the most, in a
//! table of Markdown.

use std::fmt;

/// The middle of some figures, and how far they lie apart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    middle: f64,
    least: f64,
    most: f64,
}

impl Spread {
    /// `None` of no figures.
    pub(crate) fn of(figures: &[f64]) -> Option<Self> {
        let mut sorted = figures.to_vec();
        sorted.sort_by(f64::total_cmp);
        let half = sorted.len() / 2;
        let upper = *sorted.get(half)?;
        let is_even = sorted.len().is_multiple_of(2);
        Some(Self {
            middle: if is_even {
                f64::midpoint(sorted[half - 1], upper)
            } else {
                upper
            },
            least: *sorted.first()?,
            most: *sorted.last()?,
        })
    }

    /// The middle one, or what is halfway between the two in the middle.
    pub(crate) fn middle(self) -> f64 {
        self.middle
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            middle,
            least,
            most,
        } = self;
        write!(formatter, "{middle:.2} ({least:.2}–{most:.2})")
    }
}

/// A table whose first column is words, and whose others are figures.
#[derive(Clone, Debug)]
pub(crate) struct Table(Vec<Vec<String>>);

impl Table {
    /// A table with these columns.
    pub(crate) fn new(head: impl IntoIterator<Item = String>) -> Self {
        Self(vec![head.into_iter().collect()])
    }

    /// Adds a row; cells that are not given are empty.
    pub(crate) fn row(&mut self, name: &str, figures: impl IntoIterator<Item = String>) {
        let row = std::iter::once(name.to_owned()).chain(figures);
        self.0.push(row.collect());
    }

    fn widths(&self) -> Vec<usize> {
        let columns = 0..self.0[0].len();
        let width = |row: &Vec<String>, column| {
            row.get(column)
                .map_or(0, |cell: &String| cell.chars().count())
        };
        let widest = |column| self.0.iter().map(|row| width(row, column)).max();
        columns.map(|column| widest(column).unwrap_or(0)).collect()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths = self.widths();
        for (number, row) in self.0.iter().enumerate() {
            for (column, width) in widths.iter().copied().enumerate() {
                let cell = row.get(column).map_or("", String::as_str);
                if column == 0 {
                    write!(formatter, "| {cell:<width$} |")?;
                } else {
                    write!(formatter, " {cell:>width$} |")?;
                }
            }
            writeln!(formatter)?;
            if number == 0 {
                write!(formatter, "|-{}-|", "-".repeat(widths[0]))?;
                for width in &widths[1..] {
                    write!(formatter, "-{}:|", "-".repeat(*width))?;
                }
                writeln!(formatter)?;
            }
        }
        Ok(())
    }
}

/// A number with its thousands apart.
pub(crate) fn grouped(number: usize) -> String {
    match number / 1_000 {
        0 => number.to_string(),
        thousands => format!("{},{:03}", grouped(thousands), number % 1_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_of_figures_is_theirs_in_order() {
        let said = |figures: &[f64]| Spread::of(figures).map(|spread| spread.to_string());
        assert_eq!(said(&[]), None);
        assert_eq!(said(&[1.0, 0.5, 0.9]).as_deref(), Some("0.90 (0.50–1.00)"));
        assert_eq!(said(&[1.0, 0.5]).as_deref(), Some("0.75 (0.50–1.00)"));
    }

    #[test]
    fn a_table_is_markdown() {
        let mut table = Table::new(["meter", "0"].map(str::to_owned));
        table.row("none", ["1.00".to_owned()]);
        table.row("a", []);
        assert_eq!(
            table.to_string(),
            "| meter |    0 |\n|-------|-----:|\n| none  | 1.00 |\n| a     |      |\n"
        );
    }

    #[test]
    fn thousands_stand_apart() {
        let said = [0, 100, 5_000, 1_002_003].map(grouped);
        assert_eq!(said, ["0", "100", "5,000", "1,002,003"]);
    }
}
