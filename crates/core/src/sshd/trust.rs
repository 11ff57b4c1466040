//! Who may say what in the journal.
//!
//! Any local user can write `logger -t 'sshd[1]' Accepted …`, or run sshd
//! himself. journald adds what the kernel knows of a writer, in fields no
//! writer can set, and these decide. What is refused is told, not dropped: it
//! is either an attack or a fault in this table.

use std::fmt;

use super::event::{Sender, What};

/// Why a line was not believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It did not come through syslog, nor as dropbear's own words on stderr:
    /// sshd's stderr and journald's own socket carry text that nobody escaped.
    Transport {
        /// `_TRANSPORT`, where there was one.
        transport: Option<String>,
    },
    /// The kernel's word for the writer is missing.
    NoSender,
    /// The writer was not root.
    Uid {
        /// Who it was.
        uid: u32,
    },
    /// The writer was another program.
    Executable {
        /// Which.
        exe: String,
    },
    /// The text came more than once in one entry.
    Ambiguous,
}

impl Refusal {
    /// What kind of forging it looks like, for counting.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        "by a writer who is not root's sshd"
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Transport {
                transport: Some(transport),
            } => write!(formatter, "that came by {transport:?}, not by syslog"),
            Self::Transport { transport: None } => {
                formatter.write_str("of which the journal does not say how it came")
            }
            Self::NoSender => formatter.write_str("of which the journal does not say who wrote it"),
            Self::Uid { uid } => write!(formatter, "written by uid {uid}, not by root"),
            Self::Executable { exe } => write!(formatter, "written by {exe:?}, not by sshd"),
            Self::Ambiguous => formatter.write_str("of more than one text"),
        }
    }
}

/// Whether this sender may say this.
///
/// Root's sshd says everything. The end of a connection may also come from
/// another uid, since the user's own child writes it, but then the executable
/// must be known; that nobody had logged in is root's to say, who did the asking. Of root's processes some live too shortly for journald to
/// see the executable; the uid comes with the message itself.
pub(super) fn check(sender: &Sender, what: &What) -> Result<(), Refusal> {
    let Sender::Kernel { uid, exe } = sender else {
        return Err(Refusal::NoSender);
    };
    let is_end = what.is_end_of_a_session();
    match exe {
        Some(exe) if !is_daemon(exe) => Err(Refusal::Executable { exe: exe.clone() }),
        Some(_) if *uid == 0 || is_end => Ok(()),
        None if *uid == 0 => Ok(()),
        _ => Err(Refusal::Uid { uid: *uid }),
    }
}

/// Whether an executable is an ssh server's, by its name.
#[must_use]
pub fn is_daemon(exe: &str) -> bool {
    let path = exe.strip_suffix(" (deleted)").unwrap_or(exe);
    let name = path.rsplit_once('/').map_or(path, |(_, name)| name);
    matches!(
        name,
        "sshd" | "sshd-session" | "sshd-auth" | "dropbear" | "dropbearmulti"
    )
}
