//! How each kind of block in the documents is held against the program. This is
//! the one place that says what is not run, and why.

use clap::{Parser as _, error::ErrorKind};
use sshmeter::cli::Arguments;

use crate::Backend;

/// How a block is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// Commands, run as they stand on a throwaway machine, in the page's order,
    /// but for the lines of [`ELSEWHERE`].
    Commands,
    /// A config, which `check-config` has to take. One that names its file in a
    /// comment on its first line is put there on the machine too.
    Config,
    /// A drop-in of `sshmeter.service`, with which the service has to start.
    DropIn,
    /// SQL for a server of this kind, which has to take it.
    Sql(Backend),
    /// `$ command` and what it says, over the sample ledger, to the letter.
    Example,
    /// Part of a test: each method in it has to be one of `system-tests`.
    Excerpt,
    /// Nothing in it can be run: a form, a drawing, a message that is talked about.
    Shown,
}

/// How a block of this language is held; nothing for one that nobody has thought of.
#[must_use]
pub fn held(language: &str) -> Option<Held> {
    Some(match language {
        "sh" => Held::Commands,
        "toml" => Held::Config,
        "ini" => Held::DropIn,
        "sql mariadb" => Held::Sql(Backend::MariaDb),
        "sql postgresql" => Held::Sql(Backend::Postgres),
        "console" => Held::Example,
        "rust" => Held::Excerpt,
        "text" => Held::Shown,
        _ => return None,
    })
}

/// Who holds a command that is not run on the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Elsewhere {
    /// xtask's own definition of its commands, and the tests' names.
    Checkout,
    /// The packages that continuous integration installs.
    Network,
    /// The package: they are typed on a machine of their own, which has nothing else.
    Package,
    /// The system tests of the static archive.
    Archive,
}

/// What commands begin with that are not run on the machine, the longest first.
pub const ELSEWHERE: [(&str, Elsewhere); 8] = [
    ("apt-get install ./", Elsewhere::Package),
    ("apt-get remove sshmeter", Elsewhere::Package),
    ("apt-get purge sshmeter", Elsewhere::Package),
    ("tar -xzf sshmeter-", Elsewhere::Archive),
    ("cd sshmeter-*/", Elsewhere::Archive),
    ("./install.sh", Elsewhere::Archive),
    ("apt-get install ", Elsewhere::Network),
    ("cargo ", Elsewhere::Checkout),
];

/// Who else holds this line, if it is not run.
fn elsewhere(line: &str) -> Option<Elsewhere> {
    let known = ELSEWHERE.iter().find(|(begin, _)| line.starts_with(begin));
    known.map(|(_, elsewhere)| *elsewhere)
}

/// What of a block is run on the machine.
///
/// # Panics
/// When a line that is not has a second one.
#[must_use]
pub fn runnable(block: &str) -> String {
    let lines = block.lines().filter(|line| {
        let left_out = elsewhere(line).is_some();
        assert!(!(left_out && line.ends_with('\\')), "two lines: {line}");
        !left_out
    });
    lines.map(|line| format!("{line}\n")).collect()
}

/// The lines of a block that somebody else holds.
#[must_use]
pub fn own_commands(block: &str, whose: Elsewhere) -> Vec<String> {
    block
        .lines()
        .filter(|line| elsewhere(line) == Some(whose))
        .map(|line| line.split(" #").next().unwrap_or(line).trim().to_owned())
        .collect()
}

/// Why sshmeter would not take a command in the prose, or nothing. A command is
/// often named without all that it needs.
#[must_use]
pub fn parsed_by(command: &str) -> Option<String> {
    let words = shlex::split(command)?;
    let error = Arguments::try_parse_from(words).err()?;
    let harmless = [
        ErrorKind::MissingRequiredArgument,
        ErrorKind::DisplayHelp,
        ErrorKind::DisplayVersion,
    ];
    (!harmless.contains(&error.kind())).then(|| error.to_string())
}
