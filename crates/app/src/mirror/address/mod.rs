//! Where a mirror is: `mysql://…` or `postgres://…`, and the password that is
//! not part of it.
//!
//! An address stands in configs, in `ps` and in logs, so it never holds a secret:
//! it names the file the password is in. Nothing here connects to anything.

mod error;
mod options;
mod parse;
mod password;

#[cfg(test)]
mod tests;

use std::{fmt, path::PathBuf};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

pub use error::AddressError;
pub(super) use parse::postgres_port;
pub use password::PasswordError;

/// Which protocol is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// MySQL's and MariaDB's.
    Mysql,
    /// PostgreSQL's.
    Postgres,
}

impl Protocol {
    /// The port its servers listen at, where none is named.
    #[must_use]
    pub fn default_port(self) -> u16 {
        match self {
            Self::Mysql => 3306,
            Self::Postgres => 5432,
        }
    }

    /// The scheme of its addresses, as they are shown.
    #[must_use]
    pub fn scheme(self) -> &'static str {
        match self {
            Self::Mysql => "mysql",
            Self::Postgres => "postgres",
        }
    }
}

/// One server of those that an address names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A name or address, and a port.
    Tcp {
        /// The host; an IPv6 address without brackets.
        host: String,
        /// The TCP port.
        port: u16,
    },
    /// A Unix socket's file; for PostgreSQL it is called `.s.PGSQL.PORT`.
    Socket(PathBuf),
}

impl fmt::Display for Place {
    /// `db1:3306`, `[::1]:3306` or the socket's path.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(formatter, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(formatter, "{host}:{port}"),
            Self::Socket(path) => write!(formatter, "{}", path.display()),
        }
    }
}

/// How a TCP connection is kept from others; a Unix socket needs nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tls {
    /// TLS, the server's certificate and name checked: by the system's
    /// authorities, or only by those of a PEM file.
    Verified {
        /// The file.
        authorities: Option<PathBuf>,
    },
    /// None at all.
    Off,
}

/// Where the password is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PasswordSource {
    /// None is needed.
    None,
    /// The first line of a file.
    File(PathBuf),
    /// A credential that the service manager hands over (`LoadCredential=`).
    Credential(String),
}

/// A whole address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// The protocol.
    pub protocol: Protocol,
    /// The user at the server.
    pub user: String,
    /// The servers, the first to be tried first; at least one.
    pub places: Vec<Place>,
    /// The database.
    pub database: String,
    /// TLS.
    pub tls: Tls,
    /// The password's place.
    pub password: PasswordSource,
}

/// What stays as it is in a user's, a database's and a host's name.
const NAME: AsciiSet = NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');
/// In an option's value the slashes of paths do as well.
const OPTION: AsciiSet = NAME.remove(b'/');

impl Address {
    /// Reads `mysql://USER@HOST[:PORT][,HOST2[:PORT]…]/DATABASE[?options]`, or the
    /// same with `mariadb`, `postgres` or `postgresql`.
    ///
    /// The options are `socket=PATH`, `password-file=PATH`,
    /// `password-credential=NAME`, `ca=PATH` and `tls=off`. What is not a letter or
    /// digit may be written `%XX`; a host may so be a socket's path.
    ///
    /// # Errors
    /// What is wrong, in one sentence with a hint; a password that is in the text is
    /// in neither.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        parse::parse(text)
    }

    /// The address in its one form, which [`Address::parse`] reads again. It holds
    /// no secret.
    #[must_use]
    pub fn shown(&self) -> String {
        self.to_string()
    }

    fn options(&self) -> Vec<String> {
        let path = |path: &PathBuf| path.to_string_lossy().into_owned();
        let mut options = Vec::new();
        let mut add = |name: &str, value: &str| {
            options.push(format!("{name}={}", utf8_percent_encode(value, &OPTION)));
        };
        if let [Place::Socket(socket)] = self.places.as_slice() {
            add("socket", &path(socket));
        }
        match &self.password {
            PasswordSource::None => {}
            PasswordSource::File(file) => add("password-file", &path(file)),
            PasswordSource::Credential(name) => add("password-credential", name),
        }
        match &self.tls {
            Tls::Verified { authorities: None } => {}
            Tls::Verified {
                authorities: Some(file),
            } => add("ca", &path(file)),
            Tls::Off => add("tls", "off"),
        }
        options
    }
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let encoded = |name: &str| utf8_percent_encode(name, &NAME).to_string();
        write!(
            formatter,
            "{}://{}@",
            self.protocol.scheme(),
            encoded(&self.user)
        )?;
        let only_socket = matches!(self.places.as_slice(), [Place::Socket(_)]);
        for (index, place) in self.places.iter().enumerate() {
            if only_socket {
                // It is an option, where its slashes can be read.
                break;
            }
            if index > 0 {
                formatter.write_str(",")?;
            }
            match place {
                Place::Tcp { host, port } => {
                    if host.contains(':') {
                        write!(formatter, "[{host}]")?;
                    } else {
                        write!(formatter, "{host}")?;
                    }
                    if *port != self.protocol.default_port() {
                        write!(formatter, ":{port}")?;
                    }
                }
                Place::Socket(path) => {
                    write!(formatter, "{}", encoded(&path.to_string_lossy()))?;
                }
            }
        }
        write!(formatter, "/{}", encoded(&self.database))?;
        let options = self.options();
        if !options.is_empty() {
            write!(formatter, "?{}", options.join("&"))?;
        }
        Ok(())
    }
}

/// Whether a text is meant as an address, not as a path.
#[must_use]
pub fn is_address(text: &str) -> bool {
    parse::scheme(text).is_some()
}
