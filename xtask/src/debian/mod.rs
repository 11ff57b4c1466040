//! Root file systems of Debian's releases, made once from Debian's own packages and
//! kept below `target/debian`, and where sshmeter's packages for them lie.

mod image;
mod package;
mod sources;

use std::{fmt, fs, path::PathBuf};

use anyhow::Result;
use clap::ValueEnum;

pub use self::{
    image::{MAKER, build_image, system_image},
    package::{clear, packages},
    sources::mirror,
};

/// A release of Debian that sshmeter is packaged for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Release {
    /// 11: sshd 8.4, rsyslog, OpenSSL 1.1, and a systemd that is older than
    /// `FileDescriptorStorePreserve=`.
    Bullseye,
    /// 12: sshd 9.2, journald without rsyslog, OpenSSL 3.
    Bookworm,
    /// 13: sshd 10, whose sessions are programs of their own; here with dropbear
    /// beside it, and systemd listens for sshd.
    Trixie,
}

/// What every system has beside what no Debian is without: sshd, what gives it a
/// log and a network, and what the package of sshmeter depends on, since a system
/// in a test cannot reach any mirror.
const PACKAGES: &[&str] = &[
    "adduser",
    "dbus",
    "ethtool",
    "init-system-helpers",
    "iproute2",
    "libpam-systemd",
    "logrotate",
    "openssh-client",
    "openssh-server",
    "procps",
    "systemd",
    "systemd-sysv",
    "tzdata",
];

/// What builds sshmeter with a release's own libraries.
const BUILD_PACKAGES: &[&str] = &["dpkg-dev", "gcc", "libc6-dev", "libssl-dev", "pkg-config"];

impl Release {
    /// All of them, the oldest first.
    pub const ALL: [Self; 3] = [Self::Bullseye, Self::Bookworm, Self::Trixie];

    /// The name that Debian's archive has for it.
    #[must_use]
    pub fn codename(self) -> &'static str {
        match self {
            Self::Bullseye => "bullseye",
            Self::Bookworm => "bookworm",
            Self::Trixie => "trixie",
        }
    }

    /// Its number.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::Bullseye => 11,
            Self::Bookworm => 12,
            Self::Trixie => 13,
        }
    }

    /// The release whose package of sshmeter is installed here: that of the same
    /// generation of OpenSSL.
    #[must_use]
    pub fn packaged_as(self) -> Self {
        match self {
            Self::Bullseye => Self::Bullseye,
            Self::Bookworm | Self::Trixie => Self::Bookworm,
        }
    }

    /// The releases that have a package of their own, the oldest first.
    #[must_use]
    pub fn packaged() -> Vec<Self> {
        let mut packaged = Self::ALL.map(Self::packaged_as).to_vec();
        packaged.dedup();
        packaged
    }

    /// Whether this machine has that release.
    #[must_use]
    pub fn is_of_this_machine(self) -> bool {
        let here = fs::read_to_string("/etc/os-release").unwrap_or_default();
        let codename = format!("VERSION_CODENAME={self}");
        here.lines().any(|line| line == codename)
    }

    /// sshmeter's package for it, or that of its generation.
    ///
    /// # Errors
    /// Where none was made.
    pub fn package(self) -> Result<PathBuf> {
        package::package(self)
    }

    fn contents(self) -> Vec<&'static str> {
        let more: &[&str] = match self {
            Self::Bullseye => &["libssl1.1", "rsyslog"],
            // Without this apt takes usrmerge, and perl with it.
            Self::Bookworm => &["libssl3", "usr-is-merged"],
            Self::Trixie => &["dropbear", "libssl3t64"],
        };
        [PACKAGES, more].concat()
    }
}

impl fmt::Display for Release {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.codename())
    }
}
