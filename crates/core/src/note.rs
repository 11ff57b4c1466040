//! Notes of ends: the kernel's word that a connection ended, kept from before
//! it leaves the kernel's queue until the ledger has it.
//!
//! A note is a line, so that a text that was cut anywhere, by a kill in the
//! middle of writing or of clearing, still yields every whole one. Reading the
//! same note twice is harmless: counting goes by difference, and a connection
//! ends once. This file keeps nothing; it says how notes look.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{identity::BootId, meter::Socket};

/// The kernel's word that a connection ended. Fields that a later version adds
/// are ignored by an earlier one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// The boot in which the socket's cookie means something.
    pub boot: BootId,
    /// When it was heard.
    pub heard: Timestamp,
    /// The socket with its last figures.
    pub socket: Socket,
}

impl Note {
    /// The note as a line, its newline included.
    ///
    /// # Errors
    /// Where it cannot be written as JSON.
    pub fn line(&self) -> serde_json::Result<Vec<u8>> {
        let mut line = serde_json::to_vec(self)?;
        line.push(b'\n');
        Ok(line)
    }
}

/// What a text of notes holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Noted {
    /// The notes, oldest first.
    pub notes: Vec<Note>,
    /// Whole lines that are no notes known to this version.
    pub unreadable: usize,
    /// How many bytes the whole lines take. What follows is the beginning of a
    /// note whose writing was cut short; its end still waits in the queue.
    pub whole_bytes: usize,
}

/// Reads notes. Bytes of zero are what clearing leaves in front of the first
/// note that was not cleared, or, cut short, of the rest of one that was.
#[must_use]
pub fn read_notes(text: &[u8]) -> Noted {
    let whole_bytes = memchr::memrchr(b'\n', text).map_or(0, |newline| newline + 1);
    let mut noted = Noted {
        whole_bytes,
        ..Noted::default()
    };
    let lines = text[..whole_bytes].split(|byte| *byte == b'\n');
    for line in lines.filter(|line| !line.is_empty()) {
        let cleared = line.iter().take_while(|byte| **byte == 0).count();
        match serde_json::from_slice(&line[cleared..]) {
            Ok(note) => noted.notes.push(note),
            Err(_) if cleared > 0 => {}
            Err(_) => noted.unreadable += 1,
        }
    }
    noted
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        identity::{Endpoint, SocketCookie},
        meter::{Remains, TcpSample},
    };

    fn note(cookie: u64) -> Note {
        Note {
            boot: BootId("this-boot".into()),
            heard: Timestamp::from_second(1_795_368_000).unwrap(),
            socket: Socket {
                cookie: SocketCookie(cookie),
                local: Endpoint::new([192, 0, 2, 1].into(), 22),
                peer: Endpoint::new("2001:db8::7".parse().unwrap(), 4000),
                inode: None,
                rule: None,
                sample: TcpSample {
                    state: 7,
                    remains: Remains::HasFin,
                    unread: 1,
                    bytes_sent: Some(u64::MAX),
                    ..TcpSample::default()
                },
            },
        }
    }

    fn three() -> (Vec<Note>, Vec<Vec<u8>>) {
        let notes: Vec<Note> = [u64::MAX, 2, 3].map(note).into();
        let lines = notes.iter().map(|note| note.line().unwrap()).collect();
        (notes, lines)
    }

    #[test]
    fn a_text_cut_anywhere_yields_its_whole_notes() {
        let (notes, lines) = three();
        let text = lines.concat();
        for cut in 0..=text.len() {
            let mut ends = lines.iter().scan(0, |end, line| {
                *end += line.len();
                Some(*end)
            });
            let whole = ends.by_ref().take_while(|end| *end <= cut).count();
            let noted = read_notes(&text[..cut]);
            assert_eq!(noted.notes, notes[..whole], "cut at {cut}");
            assert_eq!(noted.whole_bytes, lines[..whole].concat().len());
            assert_eq!(noted.unreadable, 0);
        }
    }

    #[test]
    fn a_text_cleared_up_to_anywhere_yields_the_notes_behind() {
        let (notes, lines) = three();
        let text = lines.concat();
        let mut begin = 0;
        for (index, line) in lines.iter().enumerate() {
            for cleared in begin + 1..=begin + line.len() {
                let mut text = text.clone();
                text[..cleared].fill(0);
                let noted = read_notes(&text);
                assert_eq!(noted.notes, notes[index + 1..], "cleared to {cleared}");
                assert_eq!(noted.unreadable, 0);
            }
            begin += line.len();
        }
    }

    #[test]
    fn notes_of_other_versions_are_read_as_far_as_they_are_known() {
        let newer = r#"{"boot":"b","heard":"2026-11-22T22:00:00Z","why":"?","socket":{"cookie":1,
            "local":"192.0.2.1:22","peer":"[::ffff:192.0.2.7]:5","mark":7,
            "sample":{"state":7,"bytes_sent":9,"losses":{"a":1}}}}"#;
        let text = format!(
            "{}\nno note\n{{\"boot\":\"b\"}}\n\n",
            newer.replace('\n', " ")
        );
        let noted = read_notes(text.as_bytes());
        assert_eq!(noted.unreadable, 2);
        let socket = &noted.notes[0].socket;
        assert_eq!(socket.sample.bytes_sent, Some(9));
        assert_eq!(socket.sample.bytes_acked, None);
        assert_eq!(socket.peer, Endpoint::new([192, 0, 2, 7].into(), 5));
    }
}
