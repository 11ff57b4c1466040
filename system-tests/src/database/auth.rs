//! How a server tells that a user is who they say.

/// A way to authenticate, with the password where there is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Auth {
    /// The server's usual way: `mysql_native_password` of MariaDB,
    /// `caching_sha2_password` of MySQL, `scram-sha-256` of PostgreSQL.
    Password(String),
    /// MariaDB's `ed25519`.
    Ed25519(String),
    /// MySQL's older `sha256_password`.
    Sha256(String),
    /// PostgreSQL's `md5`.
    Md5(String),
    /// PostgreSQL's `password`, which sends it as it is.
    Cleartext(String),
    /// By the name of this machine's user at the Unix socket's other end.
    Socket,
}

impl Auth {
    /// The password, if this takes one.
    #[must_use]
    pub fn password(&self) -> Option<&str> {
        match self {
            Self::Password(password)
            | Self::Ed25519(password)
            | Self::Sha256(password)
            | Self::Md5(password)
            | Self::Cleartext(password) => Some(password),
            Self::Socket => None,
        }
    }
}
