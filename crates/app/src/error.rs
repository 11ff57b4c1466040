//! What a person sees when something went wrong: one sentence, the chain of
//! causes, and a hint; and the exit code that belongs to it.

use std::{
    borrow::Cow,
    io::{self, IsTerminal as _, Write as _},
    process::ExitCode,
};

use anyhow::Error;
use sshmeter_core::report::printed_name;

/// What a command gives back.
pub type Outcome<T = ()> = Result<T, Failure>;

/// The exit codes of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// 1: it was asked rightly and could not be done.
    Failed,
    /// 2: the command line or the config is wrong.
    Usage,
    /// 1, and everything worth saying was already printed.
    Told,
    /// The reader of our output went away (`sshmeter report | head`): 0, no words.
    PipeClosed,
}

/// A failure on its way to the user.
#[derive(Debug)]
pub struct Failure {
    kind: Kind,
    error: Error,
    hints: Vec<String>,
}

impl Failure {
    /// It could not be done.
    pub fn failed(error: impl Into<Error>) -> Self {
        Self {
            kind: Kind::Failed,
            error: error.into(),
            hints: Vec::new(),
        }
    }

    /// The command line or config is wrong.
    pub fn usage(error: impl Into<Error>) -> Self {
        Self {
            kind: Kind::Usage,
            error: error.into(),
            hints: Vec::new(),
        }
    }

    /// A failure whose words were already printed (a doctor's `fail` lines).
    #[must_use]
    pub fn told() -> Self {
        Self {
            kind: Kind::Told,
            error: Error::msg("told"),
            hints: Vec::new(),
        }
    }

    /// Adds what the user can do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// The same where there may be nothing to do about it.
    #[must_use]
    pub fn hint_if(mut self, hint: Option<impl Into<String>>) -> Self {
        self.hints.extend(hint.map(Into::into));
        self
    }

    /// The kind, and with it the exit code.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The sentence, its causes and hints, as `report` prints them.
    #[must_use]
    pub fn text(&self) -> String {
        let sentence = self.error.to_string();
        let mut text = format!("error: {sentence}\n");
        for cause in self.error.chain().skip(1).map(ToString::to_string) {
            // Some sentences end with their cause.
            if !sentence.ends_with(&cause) {
                text.push_str(&format!("  because: {cause}\n"));
            }
        }
        for hint in &self.hints {
            text.push_str(&format!("hint: {hint}\n"));
        }
        text
    }

    /// Prints the failure to stderr and gives the exit code.
    #[must_use]
    pub fn report(&self) -> ExitCode {
        match self.kind {
            Kind::PipeClosed => return ExitCode::SUCCESS,
            Kind::Told => {}
            Kind::Failed | Kind::Usage => say(&self.text()),
        }
        if self.kind == Kind::Usage {
            ExitCode::from(2)
        } else {
            ExitCode::FAILURE
        }
    }
}

/// Says words to stderr. Where stderr cannot be written, nobody is left to be
/// told, and what is being done goes on.
pub fn say(words: &str) {
    let _unheard = anstream::stderr().write_all(words.as_bytes());
}

/// Writes a command's whole answer to stdout.
///
/// # Errors
/// It cannot be written; a reader who went away is no failure.
pub fn print(answer: &[u8]) -> Outcome {
    // Where there is no style, nothing has to look for it in megabytes.
    if memchr::memchr(ESCAPE, answer).is_none() {
        return write(io::stdout().lock(), answer);
    }
    write(anstream::stdout().lock(), answer)
}

/// What styles begin with.
const ESCAPE: u8 = 0x1b;

fn write(mut stdout: impl io::Write, answer: &[u8]) -> Outcome {
    stdout
        .write_all(answer)
        .and_then(|()| stdout.flush())
        .map_err(unprinted)
}

/// Writes data to stdout, as it is: what looks like a style in it is a part of
/// somebody's name. A terminal would obey it, so there it is spelled out.
///
/// # Errors
/// It cannot be written; a reader who went away is no failure.
pub fn print_data(data: &str) -> Outcome {
    let stdout = io::stdout().lock();
    let shown = if stdout.is_terminal() {
        Cow::Owned(spelled_out(data))
    } else {
        Cow::Borrowed(data)
    };
    write(stdout, shown.as_bytes())
}

/// Lines without any other control character.
fn spelled_out(data: &str) -> String {
    let lines: Vec<String> = data.split('\n').map(printed_name).collect();
    lines.join("\n")
}

/// What it means that stdout took no more.
#[must_use]
pub fn unprinted(error: io::Error) -> Failure {
    if error.kind() == io::ErrorKind::BrokenPipe {
        return error.into();
    }
    Failure::failed(Error::from(error).context("standard output cannot be written"))
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let pipe_closed = error
            .downcast_ref::<io::Error>()
            .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe);
        let kind = if pipe_closed {
            Kind::PipeClosed
        } else {
            Kind::Failed
        };
        Self {
            kind,
            error,
            hints: Vec::new(),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Error::from(error).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_on_a_terminal_has_lines_and_nothing_to_obey() {
        assert_eq!(
            spelled_out("user\n\"a\u{1b}[31m\u{9b}b\"\n"),
            "user\n\"a\\x1b[31m\\x9bb\"\n"
        );
    }
}
