//! Who and what: the ids that sessions, sockets and people are known by.
//!
//! A newtype each, so that a pid is never taken for a port and a name never for
//! a fingerprint. Nothing here decides whether a name is true; `session` does.

use std::{
    fmt,
    hash::{Hash, Hasher},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    str::FromStr,
    sync::Arc,
};

use serde::{Deserialize, Serialize};

/// A user's name as the system knows it: sshd's escapes undone, otherwise
/// unchanged. It may hold spaces, quotes, backslashes and control characters,
/// so only renderers print it.
///
/// Bytes that are no UTF-8 stay as sshd wrote them (`\303`), since a name has
/// to fit into JSON and SQL text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UserName(String);

impl UserName {
    /// Takes a name that was already unescaped.
    pub fn new(name: impl Into<String>) -> Self {
        Self(name.into())
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What a login proved itself with: a key's fingerprint (`SHA256:…`) or a
/// certificate's id. A password leaves none.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Credential(String);

impl Credential {
    /// Takes a fingerprint or a certificate's id.
    pub fn new(credential: impl Into<String>) -> Self {
        Self(credential.into())
    }

    /// The credential as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A host's name, as it tells it itself. Like a user's it may hold anything, so
/// only renderers print it. A copy costs nothing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostName(Arc<str>);

impl HostName {
    /// Takes a name.
    pub fn new(name: impl AsRef<str>) -> Self {
        Self(name.as_ref().into())
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A process id. Reused by the kernel, so never an identity on its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Pid(pub u32);

/// A boot of this machine, as `/proc/sys/kernel/random/boot_id` tells it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BootId(pub String);

/// A socket's cookie: unique for one boot, never reused within it
/// (`sock_gen_cookie`, net/core/sock_diag.c).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SocketCookie(pub u64);

/// The only identity a connection has: its boot and its socket's cookie.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SocketId {
    /// The boot the socket lives in.
    pub boot: BootId,
    /// The socket's cookie within that boot.
    pub cookie: SocketCookie,
}

/// One end of a connection. IPv4 addresses are always kept unmapped, so that
/// `::ffff:192.0.2.1` and `192.0.2.1` are one peer; an IPv6 zone (`%eth0`) is
/// dropped, as the kernel's socket lists do not name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(from = "SocketAddr", into = "SocketAddr")]
pub struct Endpoint {
    ip: IpAddr,
    port: u16,
}

impl Endpoint {
    /// An endpoint; a v4-mapped address is unmapped.
    #[must_use]
    pub fn new(ip: IpAddr, port: u16) -> Self {
        Self {
            ip: ip.to_canonical(),
            port,
        }
    }

    /// The address.
    #[must_use]
    pub fn ip(self) -> IpAddr {
        self.ip
    }

    /// The TCP port.
    #[must_use]
    pub fn port(self) -> u16 {
        self.port
    }

    /// The address where it is known: what was counted by another program has none.
    #[must_use]
    pub fn known_ip(self) -> Option<IpAddr> {
        Some(self.ip).filter(|ip| !ip.is_unspecified())
    }

    /// The same of an address that was written down.
    #[must_use]
    pub fn parse_known_ip(text: &str) -> Option<IpAddr> {
        Self::parse_ip(text).filter(|ip| !ip.is_unspecified())
    }

    /// The address in a text of sshd's: with a zone, mapped, or plain.
    /// `None` where it is no address (`UNKNOWN`).
    #[must_use]
    pub fn parse_ip(text: &str) -> Option<IpAddr> {
        let without_zone = text.split_once('%').map_or(text, |(ip, _)| ip);
        IpAddr::from_str(without_zone)
            .ok()
            .map(|ip| ip.to_canonical())
    }
}

impl Hash for Endpoint {
    /// In one piece, as it is looked up for every line of a log.
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self.ip {
            IpAddr::V4(ip) => state.write_u64(u64::from(ip.to_bits()) << 16 | u64::from(self.port)),
            IpAddr::V6(ip) => {
                state.write_u128(ip.to_bits());
                state.write_u16(self.port);
            }
        }
    }
}

impl Default for Endpoint {
    fn default() -> Self {
        Self::new(Ipv4Addr::UNSPECIFIED.into(), 0)
    }
}

impl From<SocketAddr> for Endpoint {
    fn from(address: SocketAddr) -> Self {
        Self::new(address.ip(), address.port())
    }
}

impl From<Endpoint> for SocketAddr {
    fn from(endpoint: Endpoint) -> Self {
        Self::new(endpoint.ip, endpoint.port)
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        SocketAddr::from(*self).fmt(formatter)
    }
}
