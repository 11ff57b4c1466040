//! How journalctl is asked: one place for its arguments.
//!
//! Entries are matched by identifier, not by unit: sshd's lines lie in
//! `ssh.service` or in a `session-N.scope`. Nor by uid or transport: who may be
//! believed is the parser's matter, and what is not is counted.

use std::process::{Command, Stdio};

/// The program.
pub(super) const JOURNALCTL: &str = "journalctl";

/// What sshd and dropbear call themselves (`sshd-session` from OpenSSH 9.8,
/// `sshd-auth` from 10.0).
const IDENTIFIERS: [&str; 4] = ["sshd", "sshd-session", "sshd-auth", "dropbear"];

/// The fields the parser looks at; `__CURSOR` and the times come in any case.
const FIELDS: &str = "MESSAGE,_PID,_UID,_EXE,_COMM,_TRANSPORT,_BOOT_ID,_HOSTNAME,\
                      SYSLOG_IDENTIFIER,SYSLOG_PID,_SOURCE_REALTIME_TIMESTAMP";

/// Where in the journal reading begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// At the oldest entry there is.
    Beginning,
    /// At the first entry of that Unix second or later.
    Since(i64),
    /// At the entry with this cursor, that entry included: so its absence
    /// shows, where `--after-cursor` would pass over its neighbour in silence.
    At(String),
}

/// Reads from `place` to the journal's present end and exits.
pub(super) fn read(place: &Place) -> Command {
    let mut command = base();
    command.args(place_argument(place));
    with_matches(command)
}

/// Reads from `place` on and stays.
pub(super) fn follow(place: &Place) -> Command {
    let mut command = base();
    command.args(["--follow", "--no-tail"]);
    command.args(place_argument(place));
    with_matches(command)
}

/// Reads the last matching entry alone.
pub(super) fn last() -> Command {
    let mut command = base();
    command.arg("--lines=1");
    with_matches(command)
}

/// Reads one entry of anybody's: the cheapest proof that reading works.
pub(super) fn probe() -> Command {
    let mut command = base();
    command.arg("--lines=1");
    command
}

fn base() -> Command {
    let mut command = Command::new(JOURNALCTL);
    command
        .args(["--output=json", "--no-pager", "--quiet"])
        .arg(format!("--output-fields={FIELDS}"))
        .env("LC_ALL", "C")
        .env_remove("SYSTEMD_LOG_LEVEL")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn place_argument(place: &Place) -> Option<String> {
    match place {
        Place::Beginning => None,
        Place::Since(second) => Some(format!("--since=@{second}")),
        Place::At(cursor) => Some(format!("--cursor={cursor}")),
    }
}

/// Matches of one field are alternatives.
fn with_matches(mut command: Command) -> Command {
    for identifier in IDENTIFIERS {
        command.arg(format!("SYSLOG_IDENTIFIER={identifier}"));
    }
    command
}
