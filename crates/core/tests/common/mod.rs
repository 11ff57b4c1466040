//! What the parser's tests share: the corpus, and meanings as one line of text.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test binary includes this file and uses its own part"
)]

use std::path::{Path, PathBuf};

use jiff::tz::TimeZone;
use sshmeter_core::sshd::{Clock, Event, What};

/// A file or folder of the corpus.
pub fn corpus(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/corpus")
        .join(name)
}

/// A corpus file's bytes.
pub fn read(name: &str) -> Vec<u8> {
    std::fs::read(corpus(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The lines of a file, without their ends.
pub fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
}

/// The clock of the captures: right after the last of them.
pub fn clock() -> Clock {
    Clock::new(
        "2026-11-22T19:00:00Z".parse().expect("a time"),
        TimeZone::UTC,
    )
}

/// An event in one line.
pub fn describe_event(event: &Event) -> String {
    let time = event.time.map_or("-".to_owned(), |time| time.to_string());
    let pid = event.pid.map_or("-".to_owned(), |pid| pid.0.to_string());
    format!("{time} [{pid}] {}", describe(&event.what))
}

/// A meaning in one line.
pub fn describe(what: &What) -> String {
    fn or_none<T>(value: Option<&T>, show: impl Fn(&T) -> String) -> String {
        value.map_or_else(|| "-".to_owned(), show)
    }
    match what {
        What::Connected { peer, local } => format!(
            "connected {peer} to {}",
            or_none(local.as_ref(), ToString::to_string)
        ),
        What::Accepted {
            user,
            method,
            peer,
            credential,
        } => format!(
            "accepted {:?} by {method} from {} with {}",
            user.as_str(),
            or_none(peer.as_ref(), ToString::to_string),
            or_none(credential.as_ref(), |credential| format!(
                "{:?}",
                credential.as_str()
            ))
        ),
        What::Opened { user } => format!("opened {:?}", user.as_str()),
        What::Closed { user } => format!("closed {:?}", user.as_str()),
        What::Disconnected {
            user,
            peer,
            reason,
            before_login,
        } => format!(
            "disconnected {} from {}{}: {reason:?}",
            or_none(user.as_ref(), |user| format!("{:?}", user.as_str())),
            or_none(peer.as_ref(), ToString::to_string),
            if *before_login { " before login" } else { "" },
        ),
    }
}
