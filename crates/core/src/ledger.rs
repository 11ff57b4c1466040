//! What is written down: the types that go to the ledger and come back.
//!
//! A [`Batch`] is committed whole or not at all. Session records carry absolute
//! values and entries carry differences; the store applies both, and the
//! checkpoint, in one transaction. This file knows no SQL.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    counter::Reading,
    identity::{Credential, Endpoint, Pid, SocketId, UserName},
    rule::Counters,
    units::{Minute, Traffic},
};

/// Who a connection belongs to, as the log said and the kernel did not deny.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// The user.
    pub user: UserName,
    /// sshd's word for how (`publickey`, `keyboard-interactive/pam`, …);
    /// unknown where only the process table named the user.
    pub method: Option<String>,
    /// The key or certificate, where there was one.
    pub credential: Option<Credential>,
}

/// A connection's end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closing {
    /// When the kernel said so.
    pub at: Timestamp,
    /// Why: the log's words, or `closed`, `reboot`, `unseen`.
    pub reason: String,
}

/// The state of one session: a connection to sshd, from its first byte to its last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionRecord {
    /// The connection.
    pub id: SocketId,
    /// The client's end.
    pub peer: Endpoint,
    /// sshd's end.
    pub local: Endpoint,
    /// sshd's process that logged the login (the privileged monitor).
    pub pid: Option<Pid>,
    /// Who it is; `None` until a login is known.
    pub login: Option<Login>,
    /// When it began, as well as is known.
    pub opened: Timestamp,
    /// When and why it ended; `None` while it lives.
    pub closed: Option<Closing>,
    /// The last reading: how far the connection's bytes are counted.
    pub reading: Reading,
    /// What that reading's wire figure was read from, where a firewall's rule has
    /// counted; else it is the socket's own.
    pub counters: Option<Counters>,
    /// All the session moved: the sum of its entries.
    pub total: Traffic,
}

/// Bytes that one session moved in one minute, to be added to what is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The session.
    pub session: SocketId,
    /// The minute of UTC the bytes moved in.
    pub minute: Minute,
    /// How many.
    pub traffic: Traffic,
}

/// How far a log was read. All before it is in the ledger; what follows is not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Checkpoint {
    /// The journal's own `__CURSOR`.
    Journal {
        /// Opaque text of journald.
        cursor: String,
    },
    /// A place in a log file.
    File {
        /// The path that was followed.
        path: String,
        /// `st_dev` of the file.
        device: u64,
        /// `st_ino` of the file.
        inode: u64,
        /// Bytes from the file's start; always at a line's start.
        offset: u64,
        /// CRC-32 of the first line with its newline; `None` while that line
        /// is not complete. Tells a reused inode from the old file.
        first_line_crc: Option<u32>,
    },
}

/// Everything one commit writes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// Sessions that are new or changed, as they stand.
    pub sessions: Vec<SessionRecord>,
    /// What moved, by session and minute.
    pub entries: Vec<Entry>,
    /// The log's place that belongs to all this, where it moved.
    pub checkpoint: Option<Checkpoint>,
}

impl Batch {
    /// Whether there is nothing to write.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty() && self.entries.is_empty() && self.checkpoint.is_none()
    }
}
