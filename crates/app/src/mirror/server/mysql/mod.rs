//! MySQL's protocol, which MariaDB speaks as well.

mod cell;
mod faults;

use std::time::Duration;

use mysql_async::{Conn, OptsBuilder, SslOpts, prelude::Queryable as _};
use tokio::time::timeout;

use self::{
    cell::{received, sent, size},
    faults::{connecting, working},
};
use super::{
    About, KEEPALIVE, MOST_VALUES, Place, Purpose, ServerError, Target, Tried,
    error::{Fault, words},
    patiently, tls,
};
use crate::{mirror::address::Tls, store::Value};

/// The most that a packet may be, sent or received: far more than any of ours, and
/// not enough to fill a host's memory.
const LARGEST_PACKET: usize = 64 << 20;
/// The server's own limit where it does not tell (MySQL's before 8.0).
const SMALLEST_DEFAULT: usize = 4 << 20;
/// What a packet holds beside SQL or values.
const PACKET_HEADER: usize = 64;

/// A connection.
pub(super) struct Link {
    connection: Conn,
    place: String,
    /// `max_allowed_packet`, in bytes.
    largest: usize,
}

/// The server's settings that matter here.
#[derive(Default)]
struct Settings {
    largest: usize,
    is_read_only: bool,
    is_statement_logged: bool,
    is_in_galera: bool,
}

impl Link {
    pub(super) async fn connect(target: &Target<'_>) -> Result<(Self, About), ServerError> {
        let options = options(target)?;
        let connection = Conn::new(options)
            .await
            .map_err(|error| connecting(target, error))?;
        let mut link = Self {
            connection,
            place: target.words.to_owned(),
            largest: LARGEST_PACKET,
        };
        let about = match link.set_up(target).await {
            Ok(about) => about,
            Err(error) => {
                link.close(Duration::ZERO).await;
                return Err(error);
            }
        };
        Ok((link, about))
    }

    /// Makes the session the same at every server, and looks whether it will do.
    async fn set_up(&mut self, target: &Target<'_>) -> Result<About, ServerError> {
        let said = |fault: Fault| fault.error;
        // Strings are text and `"` quotes names as in PostgreSQL; a value that does
        // not fit is an error, and never cut.
        self.run(
            "SET NAMES utf8mb4; \
             SET SESSION sql_mode = 'ANSI_QUOTES,STRICT_TRANS_TABLES,STRICT_ALL_TABLES,\
             NO_ENGINE_SUBSTITUTION', time_zone = '+00:00', autocommit = 1",
        )
        .await
        .map_err(said)?;
        let settings = self.settings().await.map_err(said)?;
        self.largest = settings.largest.min(LARGEST_PACKET);
        let at = || Tried::only(target.words);
        if settings.is_in_galera && !self.is_galera_ready().await.map_err(said)? {
            return Err(ServerError::NotReady {
                at: at(),
                said: "it is a node without its cluster (wsrep_ready is off)".to_owned(),
            });
        }
        if target.purpose == Purpose::Write {
            if settings.is_read_only {
                return Err(ServerError::ReadOnly { at: at() });
            }
            // InnoDB does not write at this level where statements are logged.
            let level = if settings.is_statement_logged {
                "REPEATABLE READ"
            } else {
                "READ COMMITTED"
            };
            self.run(&format!(
                "SET SESSION TRANSACTION ISOLATION LEVEL {level}, READ WRITE"
            ))
            .await
            .map_err(said)?;
        }
        let mut version = String::new();
        self.rows("SELECT VERSION()", &mut |row| {
            if let Some(Value::Text(text)) = row.first() {
                version.clone_from(text);
            }
        })
        .await
        .map_err(said)?;
        Ok(about(&version))
    }

    /// Which settings there are differs; a list has those that are there.
    async fn settings(&mut self) -> Result<Settings, Fault> {
        let mut settings = Settings {
            largest: SMALLEST_DEFAULT,
            ..Settings::default()
        };
        let mut is_logged = false;
        self.rows(
            "SHOW SESSION VARIABLES WHERE Variable_name IN ('max_allowed_packet', 'read_only', \
             'super_read_only', 'innodb_read_only', 'binlog_format', 'log_bin', 'wsrep_on')",
            &mut |row| {
                let [Value::Text(name), Value::Text(value)] = row.as_slice() else {
                    return;
                };
                let is_on = !matches!(value.as_str(), "OFF" | "0");
                match name.as_str() {
                    "max_allowed_packet" => {
                        let said: usize = value.parse().unwrap_or(SMALLEST_DEFAULT);
                        settings.largest = said.min(LARGEST_PACKET);
                    }
                    "binlog_format" => settings.is_statement_logged = value == "STATEMENT",
                    "log_bin" => is_logged = is_on,
                    "wsrep_on" => settings.is_in_galera = is_on,
                    _ => settings.is_read_only |= is_on,
                }
            },
        )
        .await?;
        settings.is_statement_logged &= is_logged;
        Ok(settings)
    }

    async fn is_galera_ready(&mut self) -> Result<bool, Fault> {
        let mut is_ready = false;
        self.rows("SHOW GLOBAL STATUS LIKE 'wsrep_ready'", &mut |row| {
            is_ready |= row.get(1) == Some(&Value::Text("ON".to_owned()));
        })
        .await?;
        Ok(is_ready)
    }

    /// A short answer to a question without values; the time is the caller's.
    async fn rows(&mut self, sql: &str, each: &mut dyn FnMut(Vec<Value>)) -> Result<(), Fault> {
        self.query(sql, &[], Duration::MAX, each).await
    }

    pub(super) async fn run(&mut self, sql: &str) -> Result<(), Fault> {
        self.fits(sql, &[])?;
        self.connection
            .query_drop(sql)
            .await
            .map_err(|error| working(&self.place, error))
    }

    pub(super) async fn execute(&mut self, sql: &str, values: &[Value]) -> Result<u64, Fault> {
        self.fits(sql, values)?;
        self.connection
            .exec_drop(sql, sent(values))
            .await
            .map_err(|error| working(&self.place, error))?;
        Ok(self.connection.affected_rows())
    }

    pub(super) async fn query(
        &mut self,
        sql: &str,
        values: &[Value],
        patience: Duration,
        each: &mut dyn FnMut(Vec<Value>),
    ) -> Result<(), Fault> {
        self.fits(sql, values)?;
        let place = &self.place;
        let asking = async {
            let answer = self.connection.exec_iter(sql, sent(values)).await;
            answer.map_err(|error| working(place, error))
        };
        let mut answer = patiently(patience, place, asking).await?;
        loop {
            let waiting = async {
                let row = answer.next().await;
                row.map_err(|error| working(place, error))
            };
            match patiently(patience, place, waiting).await? {
                Some(row) => each(received(row).map_err(Fault::passing)?),
                None => return Ok(()),
            }
        }
    }

    /// Says goodbye within the time. Without time the connection is only let go.
    pub(super) async fn close(self, within: Duration) {
        // Whether the server hears it makes no difference.
        let _unheard = timeout(within, self.connection.disconnect()).await;
    }

    /// A server closes the connection on a packet that is too large, often before it
    /// says why; so it is not sent.
    fn fits(&self, sql: &str, values: &[Value]) -> Result<(), Fault> {
        let too_large = |said| Err(Fault::passing(ServerError::TooLarge { said }));
        if values.len() > MOST_VALUES {
            return too_large(format!(
                "it has {} values, and {MOST_VALUES} are the most",
                values.len()
            ));
        }
        let size = sql.len().max(values.iter().map(size).sum()) + PACKET_HEADER;
        if size > self.largest {
            return too_large(format!(
                "it has {size} bytes, and {} takes {} (max_allowed_packet)",
                self.place, self.largest
            ));
        }
        Ok(())
    }
}

fn options(target: &Target<'_>) -> Result<OptsBuilder, ServerError> {
    let address = target.address;
    let options = OptsBuilder::default()
        .user(Some(address.user.as_str()))
        .pass(target.password)
        .db_name(Some(address.database.as_str()))
        // Else a loopback connection would become one by a socket the server names.
        .prefer_socket(false)
        // These two are asked of the server otherwise, which it may refuse yet.
        .max_allowed_packet(Some(LARGEST_PACKET))
        .wait_timeout(Some(0))
        .tcp_keepalive(Some(KEEPALIVE))
        .client_found_rows(true);
    match target.place {
        Place::Socket(path) => Ok(options.socket(Some(path.to_string_lossy()))),
        Place::Tcp { host, port } => {
            let options = options
                .ip_or_hostname(host)
                .tcp_port(*port)
                .resolved_ips(target.ip.map(|ip| vec![ip]));
            let Tls::Verified { authorities } = &address.tls else {
                return Ok(options);
            };
            let files = tls::authorities_der(authorities.as_deref())?;
            let files = files.into_iter().map(Into::into).collect();
            let tls = SslOpts::default()
                .with_root_certs(files)
                .with_disable_built_in_roots(authorities.is_some());
            Ok(options.ssl_opts(tls))
        }
    }
}

/// `VERSION()` in words: `10.11.19-MariaDB-0+deb12u1-log` or `8.4.6`.
fn about(version: &str) -> About {
    let is_mariadb = version.to_ascii_lowercase().contains("mariadb");
    // Some proxies put this in front for the sake of old replicas.
    let number = version.strip_prefix("5.5.5-").unwrap_or(version);
    let number = number.split('-').next().unwrap_or_default();
    let name = if is_mariadb { "MariaDB" } else { "MySQL" };
    About {
        version: words(&format!("{name} {number}")),
        is_mariadb,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_told_in_words() {
        for (text, version, is_mariadb) in [
            ("10.11.19-MariaDB-0+deb12u1-log", "MariaDB 10.11.19", true),
            ("5.5.5-10.6.1-MariaDB", "MariaDB 10.6.1", true),
            ("8.4.6", "MySQL 8.4.6", false),
            ("8.0.36-28", "MySQL 8.0.36", false),
        ] {
            let about = about(text);
            assert_eq!(
                (about.version.as_str(), about.is_mariadb),
                (version, is_mariadb)
            );
        }
    }
}
