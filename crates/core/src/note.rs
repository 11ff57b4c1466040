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
