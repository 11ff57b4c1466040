//! What `doctor` looks at, and how it says what it found.
//!
//! A check looks and changes nothing. `warn` is for what still counts but less
//! well, `fail` for what stops counting; both come with a hint.

mod checks;
mod mirrors;

use std::fmt::Write as _;

use crate::config::Config;

/// How a check went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// It counts, but something is missing.
    Warn,
    /// It cannot count like this.
    Fail,
}

/// One line of the doctor's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What was looked at.
    pub subject: &'static str,
    /// How it went.
    pub verdict: Verdict,
    /// What was found.
    pub words: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Finding {
    fn new(subject: &'static str, verdict: Verdict, words: impl Into<String>) -> Self {
        Self {
            subject,
            verdict,
            words: words.into(),
            hint: None,
        }
    }

    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// Looks at everything, in the order a byte travels.
#[must_use]
pub fn examine(config: &Config) -> Vec<Finding> {
    let mut findings = vec![checks::source(config), checks::sshd(config)];
    findings.extend(checks::impostors(config));
    findings.extend([
        checks::log_level(),
        checks::counters(config),
        checks::endings(config),
    ]);
    findings.extend(checks::meters(config));
    findings.extend(checks::rights(config));
    findings.extend([checks::ledger(config), checks::space(config)]);
    findings.extend(mirrors::mirrors(config));
    findings
}

/// The findings, a line each, with hints below.
#[must_use]
pub fn text(findings: &[Finding]) -> String {
    let mut text = String::new();
    for finding in findings {
        let (word, colour) = match finding.verdict {
            Verdict::Ok => ("ok", "\x1b[32m"),
            Verdict::Warn => ("warn", "\x1b[33m"),
            Verdict::Fail => ("fail", "\x1b[31m"),
        };
        // Writing to a String cannot fail.
        let _infallible = writeln!(
            text,
            "{colour}{word:<5}\x1b[0m {:<9} {}",
            finding.subject, finding.words
        );
        if let Some(hint) = &finding.hint {
            let _infallible = writeln!(text, "{:15} hint: {hint}", "");
        }
    }
    text
}
