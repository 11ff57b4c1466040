//! The page that shows the figures: `docs/performance.md`. A table there that stands
//! below `<!-- figures: NAME -->` is the bench's, and is written by nobody else.

use std::{fmt, fs, path::PathBuf};

use anyhow::{Context as _, Result};
use clap::{ValueEnum, builder::PossibleValue};
use xtask::build;

use crate::table::Table;

/// The places, by the names that they have on the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Place {
    /// Throughput of one stream, by meter and sessions.
    Streams,
    /// That of many.
    ManyStreams,
    /// Processor time of a byte.
    Bytes,
    /// What readings take, by meter.
    Readings,
    /// What a reading takes, by sessions.
    Sampling,
    /// The same as a part of a core.
    SamplingShare,
    /// What comings and goings take.
    Churn,
    /// How fast logs are read.
    Log,
    /// What commits take.
    LedgerCommits,
    /// How large ledgers become.
    LedgerGrowth,
    /// How long reports take.
    LedgerReports,
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.to_possible_value();
        formatter.write_str(value.as_ref().map_or("", PossibleValue::get_name))
    }
}

/// A table that has its place on the page.
#[derive(Clone, Debug)]
pub(crate) struct Figures {
    /// Where.
    pub(crate) place: Place,
    /// What stands there: ratios of one run.
    pub(crate) table: Table,
}

/// Writes the tables at their places.
pub(super) fn write(all: &[Figures]) -> Result<()> {
    let path = path();
    let mut text = fs::read_to_string(&path)?;
    for Figures { place, table } in all {
        text = with(&text, &place.to_string(), &table.to_string())
            .with_context(|| format!("{} has no place for `{place}`", path.display()))?;
    }
    Ok(fs::write(&path, text)?)
}

fn path() -> PathBuf {
    build::root().join("docs/performance.md")
}

/// The page with this table at its place, where there is such a place.
fn with(page: &str, place: &str, table: &str) -> Option<String> {
    let mark = format!("<!-- figures: {place} -->\n");
    let (before, after) = page.split_once(&mark)?;
    let after = after.trim_start_matches('\n');
    let mut rest = after;
    while rest.starts_with('|') {
        rest = rest.split_once('\n').map_or("", |(_, rest)| rest);
    }
    let gap = match rest.as_bytes().first() {
        None | Some(b'\n') => "",
        Some(_) => "\n",
    };
    Some(format!("{before}{mark}\n{table}{gap}{rest}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_has_its_place_on_the_page() {
        let page = fs::read_to_string(path()).unwrap();
        let marks = page.matches("<!-- figures: ").count();
        assert_eq!(marks, Place::value_variants().len());
        for place in Place::value_variants() {
            assert!(with(&page, &place.to_string(), "").is_some(), "{place}");
        }
    }

    #[test]
    fn a_table_takes_the_place_of_the_one_before() {
        let page = "# A\n\n<!-- figures: one -->\n\n| a |\n|---|\n| 1 |\n\nText.\n\n\
                    <!-- figures: two -->\n\n| b |\n";
        let said = with(page, "one", "| c |\n|---|\n").unwrap();
        assert_eq!(said, page.replace("| a |\n|---|\n| 1 |", "| c |\n|---|"));
        let said = with(page, "two", "| c |\n").unwrap();
        assert_eq!(said, page.replace("| b |", "| c |"));
        assert_eq!(with(page, "three", "| c |\n"), None);
        let new = with("<!-- figures: new -->\n\nText.\n", "new", "| c |\n").unwrap();
        assert_eq!(new, "<!-- figures: new -->\n\n| c |\n\nText.\n");
    }
}
