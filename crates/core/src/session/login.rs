//! Logins on their way to a connection.

use jiff::Timestamp;

use crate::{
    identity::{Endpoint, Pid},
    ledger::Login,
    sshd::{LoggedSession, Sender},
};

/// What the kernel says about the process that wrote a line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Witness {
    /// Nothing: the process is gone, or we may not look.
    #[default]
    Silent,
    /// It is not sshd's.
    Stranger,
    /// It is sshd's, and these are the inodes of the sockets it holds.
    Holds(Vec<u32>),
}

/// How firmly a connection has its name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Standing {
    /// By the word of a log that anybody can write to: it is taken back where
    /// that word is contradicted.
    #[default]
    Unsure,
    /// By the journal's word, or the ledger's: it stays. The kernel is still
    /// asked, so that a difference is told.
    Sure,
    /// The kernel has said all it has to say: it agreed, or named the user
    /// itself, or its disagreement was told.
    Settled,
}

/// A login that a log line claims.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Who it is said to be.
    pub login: Login,
    /// The client's end, where the line names it.
    pub peer: Option<Endpoint>,
    /// The pid of the line's writer.
    pub pid: Option<Pid>,
    /// When it was logged.
    pub time: Timestamp,
    /// What the kernel says of the writer.
    pub witness: Witness,
    /// Whose word it is.
    pub sender: Sender,
}

impl Claim {
    /// Whether a connection not seen yet could be known as the one meant: by
    /// the client's address, or by the sockets the line's writer holds.
    pub(super) fn can_be_placed(&self) -> bool {
        self.peer.is_some() || matches!(self.witness, Witness::Holds(_))
    }

    /// The claim of a session that a log's past leaves open, if it names its
    /// client and its time.
    pub(super) fn of_past(session: LoggedSession) -> Option<Self> {
        if session.end.is_some() {
            return None;
        }
        Some(Self {
            login: Login {
                user: session.user,
                method: session.method,
                credential: session.credential,
            },
            peer: Some(session.peer?),
            pid: session.pid,
            time: session.opened?,
            witness: Witness::Silent,
            sender: session.sender,
        })
    }

    /// How firmly this word alone gives a name.
    pub(super) fn standing(&self) -> Standing {
        if self.is_vouched_for() {
            Standing::Sure
        } else {
            Standing::Unsure
        }
    }

    /// Whether the kernel, by journald, has said that sshd wrote the line.
    pub(super) fn is_vouched_for(&self) -> bool {
        self.sender != Sender::Claimed
    }
}
