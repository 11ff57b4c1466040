//! What `report` and `sessions` share: the terminal, the zone, the period, and
//! the way out to stdout and stderr.

use std::io::IsTerminal as _;

use anstream::{AutoStream, ColorChoice};
use anyhow::anyhow;
use jiff::{Timestamp, tz::TimeZone};
use sshmeter_core::{
    identity::HostName,
    time::{Period, PeriodError, Unit, zone_named},
};

use crate::{
    cli::PeriodArguments,
    error::{self, Failure, Outcome},
};

/// How wide a table may be where nobody has a terminal.
const PIPE_WIDTH: usize = 100;

/// What stdout can show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Screen {
    pub(super) width: usize,
    pub(super) unicode: bool,
    pub(super) styled: bool,
}

impl Screen {
    /// The screen this program writes to.
    pub(super) fn of_stdout() -> Self {
        let stdout = std::io::stdout();
        let is_terminal = stdout.is_terminal();
        let size = rustix::termios::tcgetwinsize(&stdout).ok();
        let columns = size.map(|size| usize::from(size.ws_col));
        Self {
            width: columns
                .filter(|columns| is_terminal && *columns > 0)
                .unwrap_or(PIPE_WIDTH),
            unicode: is_utf8_locale(|name| std::env::var(name).ok()),
            styled: AutoStream::choice(&stdout) != ColorChoice::Never,
        }
    }
}

/// What this machine is called.
pub(super) fn host_name() -> HostName {
    HostName::new(rustix::system::uname().nodename().to_string_lossy())
}

/// Whether the locale's characters are UTF-8, by the precedence of locale(7).
fn is_utf8_locale(variable: impl Fn(&str) -> Option<String>) -> bool {
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
        .into_iter()
        .filter_map(variable)
        .find(|value| !value.is_empty())
        .unwrap_or_default()
        .to_lowercase();
    locale.contains("utf-8") || locale.contains("utf8")
}

/// What a command has to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    /// For stdout.
    pub(super) text: String,
    /// Whether the text is a table for people, with styles; else it is data.
    pub(super) is_table: bool,
    /// For stderr, a line each.
    pub(super) notes: Vec<String>,
}

impl Answer {
    /// Prints it.
    pub(super) fn print(&self) -> Outcome {
        if self.is_table {
            error::print(self.text.as_bytes())?;
        } else {
            error::print_data(&self.text)?;
        }
        for note in &self.notes {
            error::say(&format!("note: {note}\n"));
        }
        Ok(())
    }
}

/// The zone `--tz` names, or the ledger's `own`.
pub(super) fn zone(arguments: &PeriodArguments, own: &TimeZone) -> Outcome<TimeZone> {
    let Some(name) = arguments.tz.as_deref() else {
        return Ok(own.clone());
    };
    let found = if name == "system" {
        TimeZone::try_system().ok()
    } else {
        zone_named(name)
    };
    found.ok_or_else(|| {
        Failure::usage(anyhow!("there is no time zone `{name}` on this machine")).hint(
            "zones are named like `Europe/Berlin` or `UTC` (`timedatectl list-timezones` lists \
             them); they come with the package tzdata",
        )
    })
}

/// The period the arguments name.
pub(super) fn period(
    arguments: &PeriodArguments,
    now: Timestamp,
    zone: &TimeZone,
    default: Unit,
) -> Outcome<Period> {
    let since = arguments.since.as_deref();
    let until = arguments.until.as_deref();
    Period::resolve(since, until, now, zone, default).map_err(|error: PeriodError| {
        let hint = error.hint();
        Failure::usage(error).hint(hint)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_locale_that_is_set_decides() {
        let locale = |set: &[(&str, &str)]| {
            is_utf8_locale(|name| {
                set.iter()
                    .find(|(one, _)| *one == name)
                    .map(|(_, value)| (*value).to_owned())
            })
        };
        assert!(locale(&[("LANG", "de_DE.UTF-8")]));
        assert!(locale(&[("LC_ALL", ""), ("LANG", "C.utf8")]));
        assert!(!locale(&[("LC_ALL", "C"), ("LANG", "de_DE.UTF-8")]));
        assert!(!locale(&[]));
    }
}
