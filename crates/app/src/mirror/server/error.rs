//! What can be wrong with a database server, in sentences, and what to do about
//! it. No sentence holds a secret, and none that a server wrote moves the cursor.

use std::fmt;

use sshmeter_core::report::printed_name;

use super::super::address::PasswordError;
use crate::error::Failure;

/// The place that a sentence is about, and what was wrong with others that were
/// tried as well.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tried {
    /// The place, such as `db1:3306`.
    pub place: String,
    /// A sentence for each other one.
    pub others: Vec<String>,
}

impl Tried {
    /// This place, and no other.
    #[must_use]
    pub fn only(place: impl Into<String>) -> Self {
        Self {
            place: place.into(),
            others: Vec::new(),
        }
    }

    fn also(&self) -> String {
        if self.others.is_empty() {
            String::new()
        } else {
            format!(" (also tried: {})", self.others.join("; "))
        }
    }
}

/// What is wrong with a server's certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CertificateFault {
    /// No authority that is known here vouches for it.
    NotTrusted,
    /// It is for another name.
    OtherName,
    /// Its time is over.
    Expired,
    /// Its time has not come.
    NotYetValid,
    /// Something else, in OpenSSL's words.
    Other(String),
}

impl fmt::Display for CertificateFault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::NotTrusted => "was issued by nobody who is trusted here",
            Self::OtherName => "is for another name",
            Self::Expired => "has expired",
            Self::NotYetValid => "is not valid yet",
            Self::Other(words) => return write!(formatter, "is refused: {words}"),
        })
    }
}

/// Why a server could not be used.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// Nothing answers there, or nothing that speaks the protocol.
    #[error("{} cannot be reached: {why}{}", at.place, at.also())]
    Unreachable {
        /// The place.
        at: Tried,
        /// Why.
        why: String,
    },
    /// Its certificate does not show that it is the right server.
    #[error("the certificate of {} {fault}{}", at.place, at.also())]
    Certificate {
        /// The place.
        at: Tried,
        /// What is wrong.
        fault: CertificateFault,
    },
    /// The file of authorities is no such file.
    #[error("the authorities' file {path} cannot be used: {why}")]
    Authorities {
        /// The file.
        path: String,
        /// Why.
        why: String,
    },
    /// It offers no TLS.
    #[error("{} offers no TLS{}", at.place, at.also())]
    NoTls {
        /// The place.
        at: Tried,
    },
    /// It does not let the user in.
    #[error("{} refuses the login of `{user}`: {said}{}", at.place, at.also())]
    Login {
        /// The place.
        at: Tried,
        /// The user.
        user: String,
        /// Its word.
        said: String,
        /// It was asked without TLS over TCP, which not all servers say is why.
        in_the_open: bool,
    },
    /// The password is not to be had.
    #[error(transparent)]
    Password(#[from] PasswordError),
    /// There is no such database.
    #[error("{} has no database `{database}`{}", at.place, at.also())]
    NoDatabase {
        /// The place.
        at: Tried,
        /// The database.
        database: String,
    },
    /// The user may not do it.
    #[error("{} does not allow it: {said}{}", at.place, at.also())]
    NoRights {
        /// The place.
        at: Tried,
        /// What, in its words.
        said: String,
    },
    /// It only reads. Connect anew: another place may take writes.
    #[error("{} takes no writes: it is read-only, or a replica{}", at.place, at.also())]
    ReadOnly {
        /// The place.
        at: Tried,
    },
    /// It is there and does not serve now: it starts, is full, is a node without
    /// its cluster.
    #[error("{} is not ready: {said}{}", at.place, at.also())]
    NotReady {
        /// The place.
        at: Tried,
        /// Its word.
        said: String,
    },
    /// Another transaction was in the way; this one was undone, and is worth
    /// another try at once.
    #[error("another transaction was in the way: {said}")]
    Conflict {
        /// The server's word.
        said: String,
    },
    /// One statement is more than the server takes: halve it.
    #[error("a statement is too large: {said}")]
    TooLarge {
        /// How large, and what is taken.
        said: String,
    },
    /// The connection broke: nobody knows whether the last thing was done.
    #[error("the connection to {} was lost: {why}", at.place)]
    Gone {
        /// The place.
        at: Tried,
        /// Why.
        why: String,
    },
    /// A table is missing.
    #[error("a table is missing: {said}")]
    NoTable {
        /// Which, in the server's words.
        said: String,
    },
    /// The answer holds what is neither an integer of 64 bits nor text.
    #[error("the server's answer cannot be used: `{column}` is neither an integer nor text")]
    Answer {
        /// The column.
        column: String,
    },
    /// Anything else that it says.
    #[error("the server says {said} (code {code})")]
    Other {
        /// MySQL's number or PostgreSQL's SQLSTATE.
        code: String,
        /// Its word.
        said: String,
    },
}

impl ServerError {
    /// Whether it is of the same kind.
    #[must_use]
    pub fn is_like(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Other { code, .. }, Self::Other { code: another, .. }) => code == another,
            _ => std::mem::discriminant(self) == std::mem::discriminant(other),
        }
    }

    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Unreachable { why, .. } if why == SHUT => {
                "install /usr/share/doc/sshmeter/examples/sshmeter-mirror.conf as \
                 /etc/systemd/system/sshmeter.service.d/mirror.conf, then `systemctl \
                 daemon-reload` and `systemctl restart sshmeter`; or name the Unix socket of a \
                 server on this machine, `?socket=PATH`"
            }
            Self::Unreachable { .. } => {
                "is the server running, does it listen there, and does the firewall let this \
                 host through?"
            }
            Self::Certificate { fault, .. } => return Some(certificate_hint(fault).to_owned()),
            Self::Authorities { .. } => {
                "`ca=` in the address names a PEM file of certificates (-----BEGIN CERTIFICATE-----)"
            }
            Self::NoTls { .. } => {
                "turn TLS on at the server; only where nobody can listen on or change the wire, \
                 write `?tls=off` in the address"
            }
            Self::Login {
                in_the_open: true, ..
            } => {
                "does this server, or this user, want TLS? leave `tls=off` out of the address then; \
                 or are the user, the password's file and the hosts this user may come from wrong?"
            }
            Self::Login { .. } => {
                "are the user, the password's file and the hosts this user may come from right?"
            }
            Self::Password(error) => error.hint(),
            Self::NoDatabase { .. } => "create it, or name another one in the address",
            Self::NoRights { .. } => "an administrator of the server can grant it to this user",
            Self::ReadOnly { .. } => "name the server that takes writes in the address as well",
            Self::NoTable { .. } => {
                "delete the row of the table sshmeter_schema: all tables are made then, and filled \
                 anew"
            }
            Self::TooLarge { .. } => "raise `max_allowed_packet` at the server",
            Self::NotReady { .. }
            | Self::Conflict { .. }
            | Self::Gone { .. }
            | Self::Answer { .. }
            | Self::Other { .. } => return None,
        };
        Some(hint.to_owned())
    }

    /// How much the error says: of several places the one is told that somebody can
    /// do most about.
    pub(super) fn weight(&self) -> u8 {
        match self {
            Self::Login { .. }
            | Self::NoDatabase { .. }
            | Self::NoRights { .. }
            | Self::Password(_)
            | Self::Authorities { .. } => 4,
            Self::Certificate { .. } | Self::NoTls { .. } => 3,
            Self::ReadOnly { .. } => 2,
            Self::Unreachable { .. } | Self::Gone { .. } => 0,
            _ => 1,
        }
    }

    /// Adds what was wrong at the other places.
    pub(super) fn also(mut self, sentences: Vec<String>) -> Self {
        match &mut self {
            Self::Unreachable { at, .. }
            | Self::Certificate { at, .. }
            | Self::NoTls { at }
            | Self::Login { at, .. }
            | Self::NoDatabase { at, .. }
            | Self::NoRights { at, .. }
            | Self::ReadOnly { at }
            | Self::NotReady { at, .. } => at.others = sentences,
            _ => {}
        }
        self
    }
}

fn certificate_hint(fault: &CertificateFault) -> &'static str {
    match fault {
        CertificateFault::NotTrusted => {
            "name the authority that issued it with `?ca=FILE` in the address (MySQL and MariaDB \
             keep their own in `ca.pem` in the data folder)"
        }
        CertificateFault::OtherName => {
            "name the host in the address by a name that is in the certificate, or give the server \
             a certificate for this name (those that MySQL makes by itself are for no host)"
        }
        CertificateFault::Expired | CertificateFault::NotYetValid => {
            "renew it at the server; and look at this machine's clock"
        }
        CertificateFault::Other(_) => "give the server a certificate that OpenSSL takes",
    }
}

impl From<ServerError> for Failure {
    fn from(error: ServerError) -> Self {
        let hint = error.hint();
        Self::failed(error).hint_if(hint)
    }
}

/// An error, and whether the connection is of no use any more.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) error: ServerError,
    pub(super) is_fatal: bool,
}

impl Fault {
    /// The connection goes on.
    pub(super) fn passing(error: ServerError) -> Self {
        Self {
            error,
            is_fatal: false,
        }
    }

    /// The connection is over.
    pub(super) fn gone(place: &str, why: impl Into<String>) -> Self {
        Self {
            error: ServerError::Gone {
                at: Tried::only(place),
                why: why.into(),
            },
            is_fatal: true,
        }
    }
}

/// Longer words of a server say nothing more, in letters.
const MOST_WORDS: usize = 400;

/// A server's words, on one line and with nothing that a terminal obeys.
pub(super) fn words(said: &str) -> String {
    let cut: String = said.trim().chars().take(MOST_WORDS).collect();
    printed_name(&cut)
}

/// Why nothing on a network can be reached from within sshmeter.service.
pub(super) const SHUT: &str = "this process may open no network socket";

/// Whether systemd's `RestrictAddressFamilies=` was in the way: a socket of such
/// a family is refused as on a kernel that knows none (`systemd.exec(5)`).
pub(super) fn is_shut(error: &std::io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::AFNOSUPPORT.raw_os_error())
}

/// Why a socket failed, in few words.
pub(super) fn io_words(error: &std::io::Error) -> String {
    use std::io::ErrorKind;
    if is_shut(error) {
        return SHUT.to_owned();
    }
    match error.kind() {
        ErrorKind::ConnectionRefused => "the connection was refused".to_owned(),
        ErrorKind::NotFound => "there is no such socket".to_owned(),
        ErrorKind::PermissionDenied => "this user may not use the socket".to_owned(),
        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => {
            "there is no way to it".to_owned()
        }
        ErrorKind::TimedOut => "it does not answer".to_owned(),
        ErrorKind::ConnectionReset
        | ErrorKind::ConnectionAborted
        | ErrorKind::BrokenPipe
        | ErrorKind::UnexpectedEof => "it closed the connection".to_owned(),
        _ => words(&error.to_string()),
    }
}

/// What OpenSSL's words mean for a server's certificate; `None` where they are
/// about something else.
pub(super) fn certificate_fault(said: &str) -> Option<CertificateFault> {
    // The end of the verification is told in brackets, by `X509_verify_cert_error_string`.
    let has = |words: &[&str]| words.iter().any(|word| said.contains(word));
    if has(&[
        "hostname mismatch",
        "Hostname mismatch",
        "IP address mismatch",
    ]) {
        Some(CertificateFault::OtherName)
    } else if has(&["certificate has expired"]) {
        Some(CertificateFault::Expired)
    } else if has(&["certificate is not yet valid"]) {
        Some(CertificateFault::NotYetValid)
    } else if has(&[
        "self-signed certificate",
        "self signed certificate",
        "unable to get local issuer certificate",
        "unable to get issuer certificate",
        "unable to verify the first certificate",
        "certificate signature failure",
    ]) {
        Some(CertificateFault::NotTrusted)
    } else if has(&["certificate verify failed"]) {
        Some(CertificateFault::Other(words(said)))
    } else {
        None
    }
}
