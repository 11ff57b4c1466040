//! Any bytes as one entry of `journalctl -o json`.

use sshmeter::source::entry;
use sshmeter_core::sshd::{Parsed, Sender, What, parse_journal};

/// Reads an entry as the source and the parser do, and asks who was believed.
pub fn journal(bytes: &[u8]) {
    let place = entry::cursor(bytes);
    if let Some(cursor) = &place {
        let _ = entry::second(cursor);
        assert_eq!(entry::same(cursor, cursor), has_identity(cursor));
    }
    let parsed = parse_journal(bytes);
    assert_eq!(parsed, parse_journal(bytes), "twice the same entry");
    let Ok(entry) = parsed else {
        return;
    };
    assert_eq!(entry.cursor, place, "one entry, one place");
    match entry.parsed {
        Parsed::Event(event) => {
            let Sender::Kernel { uid, exe } = &event.sender else {
                panic!("the journal knows its writers: {event:?}");
            };
            let is_end = matches!(event.what, What::Disconnected { .. });
            assert!(*uid == 0 || (is_end && exe.is_some()), "{event:?}");
            assert_eq!(event.time, entry.time);
        }
        Parsed::Refused(refusal) => assert!(!refusal.to_string().is_empty()),
        Parsed::NotSshd | Parsed::Known(_) | Parsed::Unrecognised => {}
    }
}

/// Whether a cursor has all that tells an entry from others.
fn has_identity(cursor: &str) -> bool {
    ["b", "m", "t", "x"].iter().all(|key| {
        cursor
            .split(';')
            .any(|part| part.split_once('=').is_some_and(|(name, _)| name == *key))
    })
}
