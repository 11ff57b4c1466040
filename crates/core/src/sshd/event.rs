//! The events a log can tell, and how far each can be believed.

use jiff::Timestamp;

use crate::identity::{Credential, Endpoint, Pid, UserName};

/// Who wrote a line, and who says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sender {
    /// journald, which has it from the kernel: the writer's uid, and its
    /// executable where the process lived long enough to be looked at.
    Kernel {
        /// The writer's uid.
        uid: u32,
        /// The writer's executable.
        exe: Option<String>,
    },
    /// The line itself: anybody with a syslog socket could have written it.
    Claimed,
}

/// One thing sshd (or dropbear, or PAM in their name) said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The line's own time, where it has one that can be resolved.
    pub time: Option<Timestamp>,
    /// The writer's pid: the kernel's word in the journal, the tag's in a file.
    pub pid: Option<Pid>,
    /// Who wrote it.
    pub sender: Sender,
    /// What was said.
    pub what: What,
}

/// What was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A connection came in, before any login.
    Connected {
        /// The client's end.
        peer: Endpoint,
        /// sshd's end, where the line names it.
        local: Option<Endpoint>,
    },
    /// A login succeeded.
    Accepted {
        /// The user.
        user: UserName,
        /// sshd's word for the method (`publickey`, `password`,
        /// `keyboard-interactive/pam`, …).
        method: String,
        /// The client's end; `None` where sshd did not know it
        /// (`UNKNOWN port 65535`).
        peer: Option<Endpoint>,
        /// The key's fingerprint, or the certificate's id.
        credential: Option<Credential>,
    },
    /// PAM opened a session; it names no address.
    Opened {
        /// The user.
        user: UserName,
    },
    /// PAM closed a session; it names no address.
    Closed {
        /// The user.
        user: UserName,
    },
    /// The connection's end in sshd's words.
    Disconnected {
        /// The user, where the line names one that had logged in.
        user: Option<UserName>,
        /// The client's end, where the line names it.
        peer: Option<Endpoint>,
        /// Why, in a few words (`disconnected by user`, `connection reset`,
        /// `timeout`, …); unescaped, and still data: only renderers print it.
        reason: String,
        /// The line says by its own form that nobody had logged in.
        before_login: bool,
    },
}

impl What {
    /// Whether it is the end of a connection that may have had a login: those
    /// the user's own process may tell of.
    pub(super) fn is_end_of_a_session(&self) -> bool {
        matches!(
            self,
            Self::Disconnected {
                before_login: false,
                ..
            }
        )
    }

    /// The client's end, where the line names it.
    #[must_use]
    pub fn peer(&self) -> Option<Endpoint> {
        match self {
            Self::Connected { peer, .. } => Some(*peer),
            Self::Accepted { peer, .. } | Self::Disconnected { peer, .. } => *peer,
            Self::Opened { .. } | Self::Closed { .. } => None,
        }
    }
}
