//! What a meter says, and the table of it: bytes of each user, and what part of the
//! truth that is.

use std::collections::BTreeMap;

use crate::table::{Table, grouped};

/// What a meter says of a stretch of time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Told {
    meter: &'static str,
    /// Bytes of each user; `None` of a meter that knows no users.
    users: Option<BTreeMap<String, u64>>,
    /// All that it counted.
    all: u64,
}

impl Told {
    /// Of a meter that knows users.
    pub(super) fn by_user(meter: &'static str, users: BTreeMap<String, u64>) -> Self {
        Self {
            meter,
            all: users.values().sum(),
            users: Some(users),
        }
    }

    /// Of one that does not.
    pub(super) fn as_a_whole(meter: &'static str, all: u64) -> Self {
        Self {
            meter,
            users: None,
            all,
        }
    }

    /// What it says of a user: nothing counted is 0, no users known is `None`.
    fn of(&self, user: &str) -> Option<u64> {
        let users = self.users.as_ref()?;
        Some(users.get(user).copied().unwrap_or_default())
    }
}

/// The table, whose first row is the truth that all are held against.
pub(super) fn table(users: &[&str], told: &[Told]) -> Table {
    let head = ["meter"].iter().chain(users).chain(&["all it counted"]);
    let mut table = Table::new(head.map(|&word| word.to_owned()));
    let Some(truth) = told.first() else {
        return table;
    };
    for one in told {
        let cells = users
            .iter()
            .map(|user| one.of(user).map(|bytes| (bytes, truth.of(user))))
            .chain([Some((one.all, Some(truth.all)))]);
        table.row(one.meter, cells.map(cell));
    }
    table
}

/// `BYTES (PERCENT of the truth)`.
fn cell(figures: Option<(u64, Option<u64>)>) -> String {
    let Some((bytes, truth)) = figures else {
        return "cannot tell".to_owned();
    };
    let shown = grouped(usize::try_from(bytes).unwrap_or(usize::MAX));
    match truth.filter(|truth| *truth > 0) {
        Some(truth) => format!("{shown} ({})", percent(bytes, truth)),
        None => shown,
    }
}

/// A part in percent, with two places, cut and not rounded: 100.00 % is all of it.
fn percent(part: u64, whole: u64) -> String {
    let hundredths = u128::from(part) * 10_000 / u128::from(whole);
    format!("{}.{:02} %", hundredths / 100, hundredths % 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_cut_so_that_a_byte_too_few_is_seen() {
        assert_eq!(percent(10_000, 10_000), "100.00 %");
        assert_eq!(percent(99_999, 100_000), "99.99 %");
        assert_eq!(percent(1, 3), "33.33 %");
        assert_eq!(percent(0, 3), "0.00 %");
        assert_eq!(percent(u64::MAX, 1), format!("{}00.00 %", u64::MAX));
    }

    #[test]
    fn all_are_held_against_the_first() {
        let users = |figures: &[(&str, u64)]| {
            let owned = figures
                .iter()
                .map(|(user, bytes)| ((*user).to_owned(), *bytes));
            owned.collect()
        };
        let told = [
            Told::by_user("truth", users(&[("a", 1_000), ("b", 3_000)])),
            Told::by_user("names", users(&[("a", 500), ("stranger", 1)])),
            Told::as_a_whole("none", 8_000),
        ];
        assert_eq!(
            table(&["a", "b"], &told).to_string(),
            "| meter |                a |                b |   all it counted |\n\
             |-------|-----------------:|-----------------:|-----------------:|\n\
             | truth | 1,000 (100.00 %) | 3,000 (100.00 %) | 4,000 (100.00 %) |\n\
             | names |    500 (50.00 %) |       0 (0.00 %) |    501 (12.52 %) |\n\
             | none  |      cannot tell |      cannot tell | 8,000 (200.00 %) |\n"
        );
    }
}
