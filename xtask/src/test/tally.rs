//! What tests say while they run, shown and counted.

use std::{
    io::{BufRead, BufReader, PipeReader, Write, stdout},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result};

/// What runs of `cargo test` came to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) passed: u64,
    pub(super) failed: u64,
    failures: Vec<String>,
    left_out: Vec<String>,
}

impl Tally {
    /// Runs tests, showing and reading all they say; gives whether cargo was content.
    pub(super) fn follow(&mut self, tests: &mut Command) -> Result<bool> {
        let (reader, writer) = std::io::pipe().context("no pipe")?;
        tests
            .stdout(writer.try_clone().context("no pipe")?)
            .stderr(writer);
        let mut child = tests.spawn().context("cargo cannot be started")?;
        // The command still holds the pipe's other end, and reading would not end.
        tests.stdout(Stdio::null()).stderr(Stdio::null());
        self.read(reader);
        let status = child.wait().context("cargo cannot be waited for")?;
        Ok(status.success())
    }

    fn read(&mut self, pipe: PipeReader) {
        for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line);
            self.add(&line);
            // Whoever listened may have gone; the tests go on.
            let _ = writeln!(stdout(), "{line}");
        }
    }

    fn add(&mut self, line: &str) {
        if let Some((_, reason)) = line.split_once("left out: ") {
            self.left_out.push(reason.to_owned());
        } else if let Some(result) = line.strip_prefix("test result: ") {
            self.passed += number_before(result, " passed");
            self.failed += number_before(result, " failed");
        } else if let Some(name) = line
            .strip_prefix("test ")
            .and_then(|rest| rest.strip_suffix(" ... FAILED"))
        {
            self.failures.push(name.to_owned());
        }
    }

    pub(super) fn summary(&self) -> String {
        let mut text = String::new();
        if !self.left_out.is_empty() {
            // A test that was left out ended at once, and counts as passed to cargo.
            text.push_str(&format!(
                "\n{} of the tests that passed did nothing, since this machine lacks what they need:\n",
                self.left_out.len()
            ));
            for line in &self.left_out {
                text.push_str(&format!("  left out: {line}\n"));
            }
        }
        if !self.failures.is_empty() {
            text.push_str("\nfailed:\n");
            for name in &self.failures {
                text.push_str(&format!("  {name}\n"));
            }
        }
        let left_out = u64::try_from(self.left_out.len()).unwrap_or(u64::MAX);
        text.push_str(&format!(
            "\n{} passed, {} failed",
            self.passed.saturating_sub(left_out),
            self.failed
        ));
        if left_out > 0 {
            text.push_str(&format!(", {left_out} left out"));
        }
        text
    }
}

/// The number in front of a word: 5 in `ok. 5 passed; 0 failed`.
fn number_before(text: &str, word: &str) -> u64 {
    text.split_once(word)
        .and_then(|(before, _)| before.rsplit(' ').next())
        .and_then(|number| number.parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_several_programs_are_added_up() {
        let mut tally = Tally::default();
        for line in [
            "test result: ok. 12 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out",
            "test loss ... FAILED",
            "left out: idle (needs root)",
            "test result: FAILED. 3 passed; 1 failed; 0 ignored; 0 measured",
        ] {
            tally.add(line);
        }
        let summary = tally.summary();
        assert!(
            summary.ends_with("\n14 passed, 1 failed, 1 left out"),
            "{summary}"
        );
        assert!(summary.contains("left out: idle (needs root)"));
        assert!(summary.contains("failed:\n  loss\n"));
    }
}
