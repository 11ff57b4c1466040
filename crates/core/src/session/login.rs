//! Logins on their way to a connection, and why one was refused.

use std::fmt;

use jiff::Timestamp;

use crate::{
    identity::{Endpoint, Pid, UserName},
    ledger::Login,
    sshd::LoggedSession,
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
        })
    }
}

/// Why a line's claim was not believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The connection has another name already.
    Contradiction {
        /// The connection's client.
        peer: Endpoint,
        /// The name it has.
        named: UserName,
        /// The name the line claims.
        claimed: UserName,
    },
    /// The line's writer is not sshd.
    Stranger {
        /// The pid the line gives.
        pid: Option<Pid>,
        /// The name the line claims.
        claimed: UserName,
    },
    /// The line's writer is an sshd, but of another connection.
    Elsewhere {
        /// The client the line names.
        peer: Endpoint,
        /// The pid the line gives.
        pid: Option<Pid>,
        /// The name the line claims.
        claimed: UserName,
    },
    /// No connection from there was ever seen on sshd's ports.
    NoConnection {
        /// The client the line names.
        peer: Endpoint,
        /// The name the line claims.
        claimed: UserName,
    },
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Contradiction {
                peer,
                named,
                claimed,
            } => write!(
                formatter,
                "a log line names {:?} for the connection from {peer}, which is {:?}'s already",
                claimed.as_str(),
                named.as_str(),
            ),
            Self::Stranger { pid, claimed } => write!(
                formatter,
                "a log line names {:?} in sshd's name, but process {} is not sshd's",
                claimed.as_str(),
                Number(*pid),
            ),
            Self::Elsewhere { peer, pid, claimed } => write!(
                formatter,
                "a log line names {:?} for the connection from {peer}, but sshd's process {} \
                 does not hold that connection",
                claimed.as_str(),
                Number(*pid),
            ),
            Self::NoConnection { peer, claimed } => write!(
                formatter,
                "a log line names {:?} for a connection from {peer}, which the kernel did not show \
                 on the ports that are counted",
                claimed.as_str(),
            ),
        }
    }
}

/// A pid for people.
struct Number(Option<Pid>);

impl fmt::Display for Number {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(Pid(pid)) => pid.fmt(formatter),
            None => formatter.write_str("(none)"),
        }
    }
}
