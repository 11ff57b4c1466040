//! One connection to a database server, whichever protocol it speaks.
//!
//! SQL has `?` where a value belongs, and identifiers in double quotes; values
//! are never a part of SQL. Nothing here knows what the tables mean, and nothing
//! waits for ever: a server that stays silent is given up.

mod error;
mod mysql;
mod postgres;
#[cfg(test)]
mod tests;
mod tls;

use std::{
    fmt,
    future::Future,
    net::{IpAddr, Ipv4Addr, UdpSocket},
    time::Duration,
};

use tokio::time::timeout;

pub use error::{CertificateFault, ServerError, Tried};
pub use postgres::storable;

use super::address::{Address, Place, Protocol, Tls};
use crate::store::Value;
use error::{Fault, SHUT, is_shut};

/// How long each of an address's servers has to let us in.
const CONNECTING: Duration = Duration::from_secs(10);
/// How long a server may be silent, where nobody says otherwise.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long a goodbye may take; the server would notice anyway.
const CLOSING: Duration = Duration::from_secs(2);
/// After how much silence the kernel asks whether the other side is still there.
const KEEPALIVE: Duration = Duration::from_secs(60);
/// A statement's values are counted in 16 bits by both protocols.
const MOST_VALUES: usize = 65_535;

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Writing: a server that only reads is passed over.
    Write,
    /// Reading.
    Read,
}

enum Link {
    Mysql(mysql::Link),
    Postgres(postgres::Link),
    /// It broke.
    None,
}

/// A connection.
pub struct Server {
    protocol: Protocol,
    link: Link,
    place: String,
    index: usize,
    version: String,
    is_mariadb: bool,
    patience: Duration,
}

impl fmt::Debug for Server {
    /// Without what the libraries know, which the password is a part of.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Server")
            .field("place", &self.place)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

/// What a place is connected with.
struct Target<'address> {
    address: &'address Address,
    place: &'address Place,
    /// The place in words.
    words: &'address str,
    /// Where the place is, unless it is a socket.
    ip: Option<IpAddr>,
    password: Option<&'address str>,
    purpose: Purpose,
}

impl Target<'_> {
    /// Whether TCP is used without TLS.
    fn is_in_the_open(&self) -> bool {
        self.address.tls == Tls::Off && matches!(self.place, Place::Tcp { .. })
    }
}

/// What a server says of itself.
struct About {
    version: String,
    is_mariadb: bool,
}

impl Server {
    /// Connects to the first of an address's servers that fits the purpose. It must
    /// be called, and the connection be used, within one Tokio runtime.
    ///
    /// # Errors
    /// None does: the error of the one that says most, with what the others said.
    pub async fn connect(address: &Address, purpose: Purpose) -> Result<Self, ServerError> {
        Self::connect_from(address, purpose, 0).await
    }

    /// The same, beginning with the place of this number, such as the one that did
    /// last time ([`Server::index`]).
    ///
    /// # Errors
    /// As [`Server::connect`].
    pub async fn connect_from(
        address: &Address,
        purpose: Purpose,
        first: usize,
    ) -> Result<Self, ServerError> {
        let password = address.password.read()?;
        let count = address.places.len();
        let mut faults: Vec<ServerError> = Vec::new();
        for index in (0..count).map(|step| (first + step) % count) {
            let place = &address.places[index];
            let words = place.to_string();
            match place_connected(address, place, &words, password.as_deref(), purpose).await {
                Ok((link, about)) => {
                    return Ok(Self {
                        protocol: address.protocol,
                        link,
                        place: words,
                        index,
                        version: about.version,
                        is_mariadb: about.is_mariadb,
                        patience: PATIENCE,
                    });
                }
                Err(error) => faults.push(error),
            }
        }
        Err(most_telling(faults))
    }

    /// The protocol.
    #[must_use]
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Where the server is, such as `db1:3306`.
    #[must_use]
    pub fn place(&self) -> &str {
        &self.place
    }

    /// The number of the place within its address.
    #[must_use]
    pub fn index(&self) -> usize {
        self.index
    }

    /// What it is, such as `MariaDB 10.11.19`.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Whether it is MariaDB, whose SQL is not MySQL's everywhere.
    #[must_use]
    pub fn is_mariadb(&self) -> bool {
        self.is_mariadb
    }

    /// Sets how long the server may be silent: after a question, and between two
    /// rows of an answer. Then the connection is given up.
    pub fn set_patience(&mut self, patience: Duration) {
        self.patience = patience;
    }

    /// Runs SQL without values, such as `BEGIN`, and any number of statements.
    ///
    /// # Errors
    /// The server's word, or that it went away.
    pub async fn run(&mut self, sql: &str) -> Result<(), ServerError> {
        let done = match &mut self.link {
            Link::Mysql(link) => patiently(self.patience, &self.place, link.run(sql)).await,
            Link::Postgres(link) => patiently(self.patience, &self.place, link.run(sql)).await,
            Link::None => Err(over(&self.place)),
        };
        self.noted(done).await
    }

    /// Runs one statement with values, and gives how many rows it wrote. A row that
    /// an `UPDATE` finds counts, whether that changes it or not; a row that an upsert
    /// changes counts twice at MySQL. A NULL takes the type of the column it is
    /// written to or compared with; elsewhere PostgreSQL wants a `CAST`.
    ///
    /// # Errors
    /// The server's word, or that it went away.
    pub async fn execute(&mut self, sql: &str, values: &[Value]) -> Result<u64, ServerError> {
        let (patience, place) = (self.patience, &self.place);
        let done = match &mut self.link {
            Link::Mysql(link) => patiently(patience, place, link.execute(sql, values)).await,
            Link::Postgres(link) => patiently(patience, place, link.execute(sql, values)).await,
            Link::None => Err(over(place)),
        };
        self.noted(done).await
    }

    /// Asks, and gives each row to `each` as it comes.
    ///
    /// # Errors
    /// The server's word, that it went away, or that a value is neither an integer
    /// nor text.
    pub async fn query(
        &mut self,
        sql: &str,
        values: &[Value],
        each: &mut dyn FnMut(Vec<Value>),
    ) -> Result<(), ServerError> {
        let patience = self.patience;
        let done = match &mut self.link {
            Link::Mysql(link) => link.query(sql, values, patience, each).await,
            Link::Postgres(link) => link.query(sql, values, patience, each).await,
            Link::None => Err(over(&self.place)),
        };
        self.noted(done).await
    }

    /// Says goodbye, which spares the server a line in its log.
    pub async fn close(mut self) {
        match std::mem::replace(&mut self.link, Link::None) {
            Link::Mysql(link) => link.close(CLOSING).await,
            Link::Postgres(link) => link.close(CLOSING).await,
            Link::None => {}
        }
    }

    /// Gives the connection up where a fault ended it.
    async fn noted<T>(&mut self, done: Result<T, Fault>) -> Result<T, ServerError> {
        match done {
            Ok(done) => Ok(done),
            Err(fault) => {
                if fault.is_fatal {
                    // A server that is silent is not waited for once more.
                    match std::mem::replace(&mut self.link, Link::None) {
                        Link::Mysql(link) => link.close(Duration::ZERO).await,
                        Link::Postgres(link) => link.close(Duration::ZERO).await,
                        Link::None => {}
                    }
                }
                Err(fault.error)
            }
        }
    }
}

/// Tries all addresses that a place's name stands for.
async fn place_connected(
    address: &Address,
    place: &Place,
    words: &str,
    password: Option<&str>,
    purpose: Purpose,
) -> Result<(Link, About), ServerError> {
    let unreachable = |why: String| ServerError::Unreachable {
        at: Tried::only(words),
        why,
    };
    let ips = match place {
        Place::Socket(_) => vec![None],
        Place::Tcp { host, port } => resolved(host, *port).await.map_err(unreachable)?,
    };
    let mut faults = Vec::new();
    for ip in ips {
        let target = Target {
            address,
            place,
            words,
            ip,
            password,
            purpose,
        };
        let connecting = async {
            match address.protocol {
                Protocol::Mysql => {
                    let (link, about) = mysql::Link::connect(&target).await?;
                    Ok((Link::Mysql(link), about))
                }
                Protocol::Postgres => {
                    let (link, about) = postgres::Link::connect(&target).await?;
                    Ok((Link::Postgres(link), about))
                }
            }
        };
        match timeout(CONNECTING, connecting).await {
            Ok(Ok(connected)) => return Ok(connected),
            Ok(Err(error)) => faults.push(error),
            Err(_) => faults.push(unreachable(silent(CONNECTING))),
        }
    }
    // They are one server: what its other addresses said is of no use.
    faults.sort_by_key(|fault| std::cmp::Reverse(fault.weight()));
    Err(faults
        .into_iter()
        .next()
        .unwrap_or_else(|| unreachable("its name has no address".to_owned())))
}

async fn resolved(host: &str, port: u16) -> Result<Vec<Option<IpAddr>>, String> {
    match timeout(CONNECTING, tokio::net::lookup_host((host, port))).await {
        Ok(Ok(found)) => Ok(found.map(|address| Some(address.ip())).collect()),
        // Who may not ask a name server finds no name; IPv6 alone may be missing.
        Ok(Err(_)) => Err(match UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)) {
            Err(error) if is_shut(&error) => SHUT.to_owned(),
            _ => "its name is not known".to_owned(),
        }),
        Err(_) => Err("its name could not be looked up in time".to_owned()),
    }
}

/// The error that says most, with the others' sentences.
fn most_telling(mut faults: Vec<ServerError>) -> ServerError {
    let most = (0..faults.len())
        .rev()
        .max_by_key(|index| faults[*index].weight());
    let first = match most {
        Some(index) => faults.remove(index),
        None => ServerError::Unreachable {
            at: Tried::default(),
            why: "the address names no server".to_owned(),
        },
    };
    first.also(faults.iter().map(ToString::to_string).collect())
}

/// What is waited for, or that the server kept silent too long.
async fn patiently<T>(
    patience: Duration,
    place: &str,
    answer: impl Future<Output = Result<T, Fault>>,
) -> Result<T, Fault> {
    timeout(patience, answer)
        .await
        .unwrap_or_else(|_| Err(Fault::gone(place, silent(patience))))
}

fn silent(patience: Duration) -> String {
    format!("it did not answer within {} s", patience.as_secs_f32())
}

/// What a broken connection says when it is used again.
fn over(place: &str) -> Fault {
    Fault::gone(place, "it broke before")
}
