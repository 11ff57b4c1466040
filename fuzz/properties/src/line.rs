//! Any bytes as lines of a log file.

use std::collections::BTreeMap;

use jiff::{Timestamp, tz::TimeZone};
use sshmeter::render::{
    View,
    parse::{event_json, sessions_table},
};
use sshmeter_core::sshd::{Clock, History, Noted, Parsed, parse_line, patterns};

use crate::said::assert_said;

/// Reads lines and what they add up to, and shows both as `parse` does.
pub fn line(bytes: &[u8]) {
    // The clock of the seeds: right after the last of them.
    let now = Timestamp::constant(1_795_374_000, 0);
    let clock = Clock::new(now, TimeZone::UTC);
    let mut history = History::default();
    let (mut logins, mut closings) = (0, 0);
    for line in bytes.split(|byte| *byte == b'\n') {
        let parsed = parse_line(line, &clock);
        assert_eq!(parsed, parse_line(line, &clock), "twice the same line");
        let with_end = [line, b"\r\n"].concat();
        if !line.ends_with(b"\r") {
            assert_eq!(parsed, parse_line(&with_end, &clock), "with its end");
        }
        match &parsed {
            Parsed::Event(event) => {
                assert_said(event, line);
                let json = event_json(event).expect("an event is JSON");
                serde_json::from_str::<serde_json::Value>(&json).expect("what we wrote");
                assert!(!json.contains(char::is_control));
                match history.note(event) {
                    Noted::Login => logins += 1,
                    Noted::Closing => closings += 1,
                    Noted::Nothing => {}
                }
            }
            Parsed::Known(pattern) => assert!(patterns().any(|known| known == *pattern)),
            Parsed::NotSshd | Parsed::Unrecognised => {}
            Parsed::Refused(refusal) => panic!("a file's line proves nothing: {refusal}"),
        }
    }
    let sessions = history.into_sessions();
    assert_eq!(sessions.len(), logins, "a session for each login");
    let ended = sessions.iter().filter(|session| session.end.is_some());
    assert_eq!(ended.count(), closings, "an end for each closing");
    let keys = BTreeMap::new();
    let view = View {
        width: 100,
        unicode: true,
        styled: false,
        payload: false,
        top: None,
        keys: &keys,
    };
    let table = sessions_table(&sessions, &TimeZone::UTC, &view);
    assert!(!table.contains(|letter: char| letter.is_control() && letter != '\n'));
}
