//! Real logs beside the truth of who logged in: none missed, none invented.
//!
//! The captures were taken from sshd and dropbear while a client tried every
//! way in, with hostile names, banners, disconnect texts and key ids.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use serde::Deserialize;
use sshmeter_core::sshd::{Event, Parsed, What, parse_journal, parse_line};

mod common;
use common::{clock, lines, read};

/// The user whose sshd was told to be quiet: only PAM writes about him.
const QUIET: &str = "two-words-QUIET";

#[derive(Deserialize)]
struct Attempt {
    tag: String,
    user: String,
    ip: IpAddr,
    port: u16,
    method: String,
    accepted: bool,
}

/// User, address, port, method.
type LoginSeen = (String, IpAddr, u16, String);

fn truth(folder: &str) -> Vec<Attempt> {
    serde_json::from_slice(&read(&format!("{folder}/truth.json"))).expect("the truth is JSON")
}

fn true_logins(folder: &str) -> BTreeSet<LoginSeen> {
    let logins: BTreeSet<LoginSeen> = truth(folder)
        .into_iter()
        .filter(|attempt| attempt.accepted && attempt.tag != QUIET)
        .map(|attempt| (attempt.user, attempt.ip, attempt.port, attempt.method))
        .collect();
    assert!(logins.len() > 10, "{folder} has hardly any logins");
    logins
}

fn logins(events: &[Event]) -> Vec<LoginSeen> {
    events
        .iter()
        .filter_map(|event| match &event.what {
            What::Accepted {
                user, method, peer, ..
            } => {
                let peer = peer.expect("every login of the captures has an address");
                let user = user.as_str().to_owned();
                Some((user, peer.ip(), peer.port(), method.clone()))
            }
            _ => None,
        })
        .collect()
}

/// The client's address and port of every end that is told to be before a login.
fn ends_before_login(events: &[Event]) -> BTreeSet<(IpAddr, u16)> {
    let ends = events.iter().filter_map(|event| match &event.what {
        What::Disconnected {
            peer: Some(peer),
            before_login: true,
            ..
        } => Some((peer.ip(), peer.port())),
        _ => None,
    });
    ends.collect()
}

fn check_logins(events: &[Event], folder: &str, form: &str) {
    let seen = logins(events);
    let ends = ends_before_login(events);
    assert!(!ends.is_empty(), "{folder}/{form}: nobody failed");
    for (user, ip, port, _) in &seen {
        assert!(
            !ends.contains(&(*ip, *port)),
            "{folder}/{form}: {user} had logged in"
        );
    }
    let set: BTreeSet<LoginSeen> = seen.iter().cloned().collect();
    assert_eq!(set, true_logins(folder), "{folder}/{form}");
    assert_eq!(seen.len(), set.len(), "{folder}/{form}: a login came twice");
    for event in events {
        assert!(event.time.is_some(), "{folder}/{form}: {event:?}");
        assert!(event.pid.is_some(), "{folder}/{form}: {event:?}");
    }
}

/// Every user PAM opened a session for, and every one who is known to have had
/// one, among them the quiet one.
fn check_opened(events: &[Event], folder: &str, form: &str) {
    let mut opened: BTreeMap<String, usize> = BTreeMap::new();
    for event in events {
        if let What::Opened { user } = &event.what {
            *opened.entry(user.as_str().to_owned()).or_default() += 1;
        }
    }
    let mut expected: BTreeMap<String, usize> = BTreeMap::new();
    for attempt in truth(folder).into_iter().filter(|one| one.accepted) {
        *expected.entry(attempt.user).or_default() += 1;
    }
    assert_eq!(opened, expected, "{folder}/{form}");
    assert!(opened.contains_key("two words"));
}

/// All events of a log of lines; nothing of sshd's may be left unrecognised.
fn events_of_lines<'a>(lines: impl Iterator<Item = &'a [u8]>) -> Vec<Event> {
    let clock = clock();
    lines
        .filter_map(|line| match parse_line(line, &clock) {
            Parsed::Event(event) => Some(event),
            Parsed::Known(_) | Parsed::NotSshd => None,
            other => panic!("{other:?}: {}", String::from_utf8_lossy(line)),
        })
        .collect()
}

/// A line that sshd's limit of 500 bytes cut in the middle.
fn is_cut(line: &[u8]) -> bool {
    line.len() > 500
}

fn check_file(folder: &str, form: &str) -> Vec<Event> {
    let bytes = read(&format!("{folder}/{form}"));
    let events = events_of_lines(lines(&bytes).filter(|line| !is_cut(line)));
    check_logins(&events, folder, form);
    for line in lines(&bytes).filter(|line| is_cut(line)) {
        let parsed = parse_line(line, &clock());
        assert!(!matches!(parsed, Parsed::Event(_)), "{parsed:?}");
    }
    events
}

#[test]
fn openssh_in_every_syslog_form() {
    for folder in [
        "openssh-9.2-info",
        "openssh-9.2-verbose",
        "openssh-10.5-info",
    ] {
        for form in [
            "auth.traditional.log",
            "auth.iso8601.log",
            "auth.rfc5424.log",
        ] {
            let events = check_file(folder, form);
            check_opened(&events, folder, form);
        }
    }
}

#[test]
fn dropbear_in_every_syslog_form() {
    for form in [
        "auth.traditional.log",
        "auth.iso8601.log",
        "auth.rfc5424.log",
    ] {
        check_file("dropbear-2022.83", form);
    }
}

#[test]
fn journalctl_in_short_form() {
    let folder = "openssh-9.2-verbose-journald";
    let events = check_file(folder, "journal.short.sshd.txt");
    check_opened(&events, folder, "journal.short.sshd.txt");
}

#[test]
fn journal_entries() {
    let folder = "openssh-9.2-verbose-journald";
    let bytes = read(&format!("{folder}/journal.sshd.json"));
    let mut events = Vec::new();
    for line in lines(&bytes) {
        let entry = parse_journal(line).expect("an entry");
        assert!(entry.cursor.is_some() && entry.time.is_some());
        match entry.parsed {
            Parsed::Event(event) => events.push(event),
            Parsed::Known(_) => {}
            Parsed::Unrecognised if is_cut(line) => {}
            other => panic!("{other:?}: {}", String::from_utf8_lossy(line)),
        }
    }
    check_logins(&events, folder, "journal.sshd.json");
    check_opened(&events, folder, "journal.sshd.json");
}

#[test]
fn datagrams_as_sshd_sent_them() {
    #[derive(Deserialize)]
    struct Datagram {
        raw: String,
    }
    for folder in [
        "openssh-9.2-info",
        "openssh-9.2-verbose",
        "openssh-10.5-info",
    ] {
        let bytes = read(&format!("{folder}/capture.jsonl"));
        let datagrams: Vec<Datagram> = lines(&bytes)
            .map(|line| serde_json::from_slice(line).expect("a datagram"))
            .collect();
        let whole = datagrams
            .iter()
            .map(|datagram| datagram.raw.as_bytes())
            .filter(|line| !is_cut(line));
        let events = events_of_lines(whole);
        check_logins(&events, folder, "capture.jsonl");
        check_opened(&events, folder, "capture.jsonl");
    }
}

#[test]
fn what_sshd_writes_to_its_stderr_is_no_log() {
    let bytes = read("forged-by-sshd-e.debian-9.2p1.stderr");
    assert!(lines(&bytes).any(|line| line.starts_with(b"Accepted password for root from")));
    for line in lines(&bytes) {
        assert_eq!(parse_line(line, &clock()), Parsed::NotSshd);
    }
}
