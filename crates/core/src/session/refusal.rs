//! Why a line's word was not taken, in sentences for people and in kinds for
//! counting. Nothing is decided here.

use std::fmt;

use crate::identity::{Endpoint, Pid, UserName};

/// Why a line's word was not believed.
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
    /// Two lines name one connection differently and the kernel can no longer
    /// be asked: it is nobody's.
    Disputed {
        /// The connection's client.
        peer: Endpoint,
        /// The name it had until now.
        named: UserName,
        /// The name the other line claims.
        claimed: UserName,
    },
    /// Two lines name two keys for one login: which it was is not known.
    AnotherKey {
        /// The connection's client.
        peer: Endpoint,
        /// Whose login it is.
        named: UserName,
    },
    /// The kernel says that the connection is another user's.
    Denied {
        /// The connection's client.
        peer: Endpoint,
        /// The name the line claims.
        claimed: UserName,
    },
    /// Nobody has logged in there: so the kernel says, or sshd itself.
    NoLogin {
        /// The connection's client.
        peer: Endpoint,
        /// The name the line claims.
        claimed: UserName,
    },
    /// A line says that nobody logged in where somebody did.
    LoggedIn {
        /// The connection's client.
        peer: Endpoint,
        /// Whose it is.
        named: UserName,
    },
    /// A line tells of an end, and the connection goes on.
    GoesOn {
        /// The connection's client.
        peer: Endpoint,
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
    /// The client had several connections at the time, and nothing tells which
    /// of them is meant.
    Ambiguous {
        /// The client the line names.
        peer: Endpoint,
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

impl Refusal {
    /// What kind it is, in words that follow a number of log lines.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Contradiction { .. } => "against a name that stands",
            Self::Disputed { .. } => "against another line's name",
            Self::AnotherKey { .. } => "with another key",
            Self::Denied { .. } => "for another user's connection",
            Self::NoLogin { .. } => "for a connection without a login",
            Self::LoggedIn { .. } => "denying a login",
            Self::GoesOn { .. } => "of an end that was none",
            Self::Stranger { .. } => "by a process that is not sshd's",
            Self::Elsewhere { .. } => "by the sshd of another connection",
            Self::Ambiguous { .. } => "that may mean several connections",
            Self::NoConnection { .. } => "for a connection that never was",
        }
    }
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
            Self::Disputed {
                peer,
                named,
                claimed,
            } => write!(
                formatter,
                "one log line names {:?} and another {:?} for the connection from {peer}",
                named.as_str(),
                claimed.as_str(),
            ),
            Self::AnotherKey { peer, named } => write!(
                formatter,
                "two log lines name different keys for {:?}'s connection from {peer}",
                named.as_str(),
            ),
            Self::Denied { peer, claimed } => write!(
                formatter,
                "a log line names {:?} for the connection from {peer}, but the kernel says that it \
                 is another user's",
                claimed.as_str(),
            ),
            Self::NoLogin { peer, claimed } => write!(
                formatter,
                "a log line names {:?} for the connection from {peer}, where nobody has logged in",
                claimed.as_str(),
            ),
            Self::LoggedIn { peer, named } => write!(
                formatter,
                "a log line says that nobody had logged in from {peer}, but the connection is \
                 {:?}'s",
                named.as_str(),
            ),
            Self::GoesOn { peer } => write!(
                formatter,
                "a log line tells of an end of the connection from {peer}, which goes on",
            ),
            Self::Stranger { pid, claimed } => write!(
                formatter,
                "a log line names {:?} in sshd's name, but process {} is not root's sshd",
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
            Self::Ambiguous { peer, claimed } => write!(
                formatter,
                "a log line names {:?} for one of several connections from {peer}, and nothing \
                 tells for which",
                claimed.as_str(),
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
