//! The instructions that the hot paths take, counted by valgrind, beside those that
//! they are expected to take.
//!
//! A time says little on a machine that has other things to do. A count is the same
//! wherever the same program meets the same processor's instructions, so a slowdown of
//! some per cent shows at once. What is counted is in `crates/benches`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use xtask::{build, tool};

use crate::ground::{installed, left_out, say_left_out};

/// How far a count may be from the expected one, in per cent of that. Two runs differ by
/// less than a hundredth of it.
pub const TOLERANCE: u64 = 5;

/// What writes the file anew.
const COMMAND: &str = "cargo xtask bench code";

/// What was counted, or what is expected, by bench.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// The compiler of what was counted.
    pub compiler: String,
    /// The instructions of one run.
    pub instructions: BTreeMap<String, u64>,
}

/// The runner of the benches, or nothing: then it says that the test called `name` is
/// left out.
#[must_use]
pub fn runner(name: &str) -> Option<PathBuf> {
    if !cfg!(target_arch = "x86_64") {
        say_left_out(
            name,
            "the expected counts are those of x86-64's instructions",
        );
        return None;
    }
    let runner = tool::named_runner();
    let missing = match runner {
        None => "needs gungraun-runner: `cargo xtask test` installs it, GUNGRAUN_RUNNER names it",
        Some(_) if !installed("valgrind") => "needs valgrind: not installed",
        Some(_) => return runner,
    };
    left_out(name, missing);
    None
}

impl Counts {
    /// Those that are expected.
    ///
    /// # Errors
    /// Where the file is not there or says something else.
    pub fn expected() -> Result<Self> {
        let path = Self::path();
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        toml::from_str(&text).with_context(|| path.display().to_string())
    }

    /// Counts, once.
    ///
    /// # Errors
    /// Where the benches do not build or do not run.
    pub fn of(runner: &Path) -> Result<Self> {
        let mut benches = build::instructions(runner);
        benches.args(["--", "--output-format=json"]);
        let said = build::said(&mut benches)?;
        let instructions = said
            .lines()
            .map(count)
            .collect::<Result<BTreeMap<_, _>>>()?;
        ensure!(!instructions.is_empty(), "no bench was run");
        Ok(Self {
            compiler: build::said(Command::new("rustc").arg("--version"))?,
            instructions,
        })
    }

    /// Makes them the expected ones.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn expect(&self) -> Result<()> {
        let path = Self::path();
        fs::write(&path, self.text()).with_context(|| path.display().to_string())
    }

    /// Where those are that are expected.
    #[must_use]
    pub fn path() -> PathBuf {
        build::root().join("crates/benches/counts.toml")
    }

    /// The file's text: a line a bench.
    fn text(&self) -> String {
        let mut text = format!(
            "# How many instructions one run of each bench takes: `{COMMAND}` writes it,\n\
             # and `cargo xtask test --test instructions` counts again.\n\
             compiler = \"{}\"\n\n[instructions]\n",
            self.compiler
        );
        for (bench, count) in &self.instructions {
            text.push_str(&format!("\"{bench}\" = {count}\n"));
        }
        text
    }

    /// What differs from what is expected by more than the tolerance, a sentence each.
    #[must_use]
    pub fn differences(&self, expected: &Self) -> Vec<String> {
        let benches = self.instructions.keys().chain(expected.instructions.keys());
        let benches: BTreeSet<&String> = benches.collect();
        let of = |counts: &Self, bench| counts.instructions.get(bench).copied();
        benches
            .into_iter()
            .filter_map(|bench| difference(bench, of(self, bench), of(expected, bench)))
            .collect()
    }

    /// Panics with all that differs, and what to do about it.
    ///
    /// # Panics
    /// Where something differs.
    pub fn must_be(&self, expected: &Self) {
        let differences = self.differences(expected);
        assert!(
            differences.is_empty(),
            "{}\n\
             counted with {}, expected of {}\n\
             hint: where that is meant, or comes of the compiler, `{COMMAND}` writes the file anew",
            differences.join("\n"),
            self.compiler,
            expected.compiler,
        );
    }
}

/// One bench's name and count of what the runner says of it.
fn count(line: &str) -> Result<(String, u64)> {
    let said: serde_json::Value = serde_json::from_str(line).context("a bench's result")?;
    let name = ["/function_name", "/id"].map(|place| said.pointer(place)?.as_str());
    let counted = said.pointer("/profiles/0/data/total/metrics/Ir/values/new");
    match (name, counted.and_then(serde_json::Value::as_u64)) {
        ([Some(path), Some(kind)], Some(count)) => Ok((format!("{path}/{kind}"), count)),
        _ => bail!("a bench has no count: {line}"),
    }
}

/// A sentence, where the two are too far apart.
fn difference(bench: &str, counted: Option<u64>, expected: Option<u64>) -> Option<String> {
    let file = "crates/benches/counts.toml";
    let (counted, expected) = match (counted, expected) {
        (Some(counted), Some(expected)) => (counted, expected),
        (Some(_), None) => return Some(format!("{bench} is not in {file}")),
        _ => return Some(format!("{bench} is in {file}, and is no bench")),
    };
    let apart = counted.abs_diff(expected);
    let side = if counted < expected { "less" } else { "more" };
    (apart * 100 > expected * TOLERANCE).then(|| {
        format!(
            "{bench} takes {counted} instructions, {:.1} % {side} than the {expected} that \
             {file} expects; {TOLERANCE} % are tolerated",
            apart as f64 / expected as f64 * 100.0
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(instructions: &[(&str, u64)]) -> Counts {
        let named = |(bench, count): &(&str, u64)| ((*bench).to_owned(), *count);
        Counts {
            compiler: "rustc 1".to_owned(),
            instructions: instructions.iter().map(named).collect(),
        }
    }

    #[test]
    fn the_file_says_what_was_counted() {
        let counted = counts(&[("line/mixed", 2_438_865), ("commit/new", 88)]);
        assert_eq!(toml::from_str::<Counts>(&counted.text()).unwrap(), counted);
    }

    #[test]
    fn a_count_beyond_the_tolerance_is_told_on_either_side() {
        let expected = counts(&[("a/slower", 1_000), ("a/faster", 1_000), ("a/gone", 7)]);
        let same = counts(&[("a/slower", 1_050), ("a/faster", 950), ("a/gone", 7)]);
        assert_eq!(same.differences(&expected), [""; 0]);
        let other = counts(&[("a/slower", 1_051), ("a/faster", 900), ("a/new", 1)]);
        assert_eq!(
            other.differences(&expected),
            [
                "a/faster takes 900 instructions, 10.0 % less than the 1000 that \
                 crates/benches/counts.toml expects; 5 % are tolerated",
                "a/gone is in crates/benches/counts.toml, and is no bench",
                "a/new is not in crates/benches/counts.toml",
                "a/slower takes 1051 instructions, 5.1 % more than the 1000 that \
                 crates/benches/counts.toml expects; 5 % are tolerated",
            ]
        );
    }
}
