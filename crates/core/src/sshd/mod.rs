//! What sshd's log says: from bytes to [`Event`].
//!
//! [`parse_line`] takes a syslog line and [`parse_journal`] a journal entry.
//! Behind them, `envelope` takes a line's wrapping off (syslog's many forms),
//! `journal` opens a journal entry and asks `trust` who wrote it, `login`,
//! `connection`, `pam` and `dropbear` know those programs' own sentences, and
//! `known` the sentences that say nothing to a meter.
//!
//! Log text is data: everything is matched from the message's first byte by
//! grammar, and what does not fit is left unparsed, never guessed. A line
//! without an envelope (`sshd -e`, `journalctl -o cat`) is no line of sshd's at
//! all, since anybody's user name could have begun it.

mod clock;
mod connection;
mod dropbear;
mod envelope;
mod escape;
mod event;
mod history;
mod journal;
mod known;
mod login;
mod message;
mod pam;
mod pattern;
mod peer;
mod search;
mod stamp;
mod trust;

use memchr::memmem::Finder;
use std::sync::LazyLock;

pub use clock::Clock;
pub use event::{Event, Sender, What};
pub use history::{End, History, LoggedSession, Noted};
pub use journal::{JournalEntry, NotAnEntry, parse_journal};
pub use message::{Meaning, Program, understand};
pub use pattern::{Pattern, patterns};
pub use trust::{Refusal, is_daemon};

/// What became of one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// Another program's line, or none that can be told.
    NotSshd,
    /// A line that means something.
    Event(Event),
    /// A line of sshd's that means nothing to a meter (`Failed password …`).
    Known(Pattern),
    /// A line of sshd's that fits no known sentence, or only the beginning of one.
    Unrecognised,
    /// A line that would mean something, from a writer who may not say it.
    Refused(Refusal),
}

/// Reads one syslog line, without its newline. Never fails, whatever the bytes.
///
/// The event's sender is [`Sender::Claimed`]: a file's lines prove nothing.
#[must_use]
pub fn parse_line(line: &[u8], clock: &Clock) -> Parsed {
    if !mentions_daemon(line) {
        return Parsed::NotSshd;
    }
    let Some(wrapped) = envelope::unwrap(line) else {
        return Parsed::NotSshd;
    };
    match understand(wrapped.program, wrapped.message) {
        None => Parsed::Unrecognised,
        Some(Meaning {
            pattern,
            what: None,
        }) => Parsed::Known(pattern),
        Some(Meaning {
            what: Some(what), ..
        }) => Parsed::Event(Event {
            time: wrapped.time.resolve(clock),
            pid: wrapped.pid,
            sender: Sender::Claimed,
            what,
        }),
    }
}

/// Whether a tag of ours can be in the line at all: two substring searches,
/// so that the lines of all other programs cost next to nothing.
fn mentions_daemon(line: &[u8]) -> bool {
    static SSHD: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("sshd"));
    static DROPBEAR: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("dropbear"));
    SSHD.find(line).is_some() || DROPBEAR.find(line).is_some()
}
