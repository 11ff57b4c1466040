//! PostgreSQL's protocol.
//!
//! Statements are unnamed and carry their values' types, so each is one exchange,
//! and connection poolers need not know of them.

mod cell;
mod faults;

use std::{borrow::Cow, pin::pin, time::Duration};

use futures_util::TryStreamExt as _;
use postgres_native_tls::MakeTlsConnector;
use tokio::{task::JoinHandle, time::timeout};
use tokio_postgres::{
    Client, Config, NoTls, Row,
    config::SslMode,
    types::{ToSql, Type},
};

use self::{
    cell::Cell,
    faults::{connecting, working},
};
use super::{
    About, KEEPALIVE, MOST_VALUES, Place, Purpose, ServerError, Target, Tried,
    error::{Fault, words},
    patiently, tls,
};
use crate::{
    mirror::address::{Tls, postgres_port},
    store::Value,
};

/// The most that a message can be (`MaxAllocSize`), less room for its frame.
const LARGEST_MESSAGE: usize = (1 << 30) - (1 << 20);

/// A connection.
pub(super) struct Link {
    client: Client,
    /// What moves the bytes.
    mover: JoinHandle<()>,
    place: String,
}

impl Link {
    pub(super) async fn connect(target: &Target<'_>) -> Result<(Self, About), ServerError> {
        let (config, connector) = config(target)?;
        let refused = |error: tokio_postgres::Error| connecting(target, &error);
        // A connection's own error comes to whoever waits for an answer.
        let (client, mover) = match connector {
            Some(connector) => {
                let connector = MakeTlsConnector::new(connector);
                let (client, connection) = config.connect(connector).await.map_err(refused)?;
                (client, tokio::spawn(async { drop(connection.await) }))
            }
            None => {
                let (client, connection) = config.connect(NoTls).await.map_err(refused)?;
                (client, tokio::spawn(async { drop(connection.await) }))
            }
        };
        let mut link = Self {
            client,
            mover,
            place: target.words.to_owned(),
        };
        let about = link.set_up(target).await?;
        Ok((link, about))
    }

    /// Makes the session the same at every server, and looks whether it will do.
    async fn set_up(&mut self, target: &Target<'_>) -> Result<About, ServerError> {
        let said = |fault: Fault| fault.error;
        self.run(
            "SET timezone = 'UTC'; SET standard_conforming_strings = on; \
             SET client_min_messages = warning",
        )
        .await
        .map_err(said)?;
        if target.purpose == Purpose::Write {
            self.run("SET default_transaction_isolation = 'read committed'")
                .await
                .map_err(said)?;
        }
        let mut answer = Vec::new();
        self.query(
            "SELECT current_setting('server_version'), \
             pg_is_in_recovery() OR current_setting('transaction_read_only')::boolean",
            &[],
            Duration::MAX,
            &mut |row| answer = row,
        )
        .await
        .map_err(said)?;
        if target.purpose == Purpose::Write && answer.get(1) == Some(&Value::Integer(1)) {
            return Err(ServerError::ReadOnly {
                at: Tried::only(target.words),
            });
        }
        let number = match answer.first() {
            // `15.18 (Debian 15.18-0+deb12u1)`
            Some(Value::Text(version)) => version.split(' ').next().unwrap_or_default(),
            _ => "",
        };
        Ok(About {
            version: words(&format!("PostgreSQL {number}")),
            is_mariadb: false,
        })
    }

    pub(super) async fn run(&mut self, sql: &str) -> Result<(), Fault> {
        fits(sql, &[])?;
        self.client
            .batch_execute(sql)
            .await
            .map_err(|error| working(&self.place, &error))
    }

    pub(super) async fn execute(&mut self, sql: &str, values: &[Value]) -> Result<u64, Fault> {
        fits(sql, values)?;
        let typed: Vec<_> = values.iter().map(typed).collect();
        let typed: Vec<(&(dyn ToSql + Sync), Type)> = typed
            .iter()
            .map(|(value, kind)| (&**value as &(dyn ToSql + Sync), kind.clone()))
            .collect();
        self.client
            .execute_typed(&numbered(sql), &typed)
            .await
            .map_err(|error| working(&self.place, &error))
    }

    pub(super) async fn query(
        &mut self,
        sql: &str,
        values: &[Value],
        patience: Duration,
        each: &mut dyn FnMut(Vec<Value>),
    ) -> Result<(), Fault> {
        fits(sql, values)?;
        let sql = numbered(sql);
        let place = &self.place;
        let asking = async {
            let answer = self.client.query_typed_raw(&sql, values.iter().map(typed));
            answer.await.map_err(|error| working(place, &error))
        };
        let mut answer = pin!(patiently(patience, place, asking).await?);
        loop {
            let waiting = async {
                let row = answer.try_next().await;
                row.map_err(|error| working(place, &error))
            };
            match patiently(patience, place, waiting).await? {
                Some(row) => each(received(&row).map_err(Fault::passing)?),
                None => return Ok(()),
            }
        }
    }

    /// Says goodbye within the time. Without time the connection is only let go.
    pub(super) async fn close(self, within: Duration) {
        drop(self.client);
        let stop = self.mover.abort_handle();
        if timeout(within, self.mover).await.is_err() {
            stop.abort();
        }
    }
}

fn config(target: &Target<'_>) -> Result<(Config, Option<native_tls::TlsConnector>), ServerError> {
    let address = target.address;
    let mut config = Config::new();
    config
        .user(address.user.as_str())
        .dbname(address.database.as_str())
        .application_name("sshmeter")
        .ssl_mode(SslMode::Disable)
        .keepalives_idle(KEEPALIVE);
    if let Some(password) = target.password {
        config.password(password);
    }
    match target.place {
        Place::Socket(path) => {
            config.host_path(path.parent().unwrap_or(path));
            config.port(postgres_port(path).unwrap_or(address.protocol.default_port()));
        }
        Place::Tcp { host, port } => {
            config.host(host.as_str()).port(*port);
            if let Some(ip) = target.ip {
                config.hostaddr(ip);
            }
            if let Tls::Verified { authorities } = &address.tls {
                config.ssl_mode(SslMode::Require);
                return Ok((config, Some(tls::connector(authorities.as_deref())?)));
            }
        }
    }
    Ok((config, None))
}

/// `$1`, `$2`… for each `?`; our SQL has no other.
fn numbered(sql: &str) -> String {
    let mut numbered = String::with_capacity(sql.len() + sql.len() / 2);
    for (number, part) in sql.split('?').enumerate() {
        if number > 0 {
            numbered.push('$');
            numbered.push_str(&number.to_string());
        }
        numbered.push_str(part);
    }
    numbered
}

/// Text as PostgreSQL can keep it: it has no NUL, whose picture stands for it.
#[must_use]
pub fn storable(text: &str) -> Cow<'_, str> {
    if text.contains('\0') {
        Cow::Owned(text.replace('\0', "\u{2400}"))
    } else {
        Cow::Borrowed(text)
    }
}

/// A value and its type. The server makes an `int8` fit a smaller column that it is
/// written to or compared with, or says that it does not; a NULL is of no type.
fn typed(value: &Value) -> (Box<dyn ToSql + Sync + Send + '_>, Type) {
    match value {
        Value::Null => (Box::new(None::<&str>), Type::UNKNOWN),
        Value::Integer(number) => (Box::new(number), Type::INT8),
        Value::Text(text) => (Box::new(storable(text)), Type::TEXT),
    }
}

fn fits(sql: &str, values: &[Value]) -> Result<(), Fault> {
    let texts = values.iter().map(|value| match value {
        Value::Text(text) => text.len() + 4,
        Value::Null | Value::Integer(_) => 12,
    });
    // Each `?` grows to `$` and up to five digits, and has a type and a format; a
    // NUL's picture has three bytes, which no name of ours comes near.
    let size = sql.len() + values.len() * 11 + texts.sum::<usize>();
    if values.len() > MOST_VALUES || size > LARGEST_MESSAGE {
        return Err(Fault::passing(ServerError::TooLarge {
            said: format!(
                "it has {} values and {size} bytes, and {MOST_VALUES} and {LARGEST_MESSAGE} are \
                 the most",
                values.len()
            ),
        }));
    }
    Ok(())
}

fn received(row: &Row) -> Result<Vec<Value>, ServerError> {
    (0..row.len())
        .map(|index| match row.try_get::<_, Cell>(index) {
            Ok(Cell(value)) => Ok(value),
            Err(_) => Err(ServerError::Answer {
                column: words(row.columns()[index].name()),
            }),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_for_values_are_numbered() {
        assert_eq!(numbered("SELECT 1"), "SELECT 1");
        assert_eq!(numbered("?"), "$1");
        assert_eq!(
            numbered("VALUES (?, ?), (?,?) -- ü"),
            "VALUES ($1, $2), ($3,$4) -- ü"
        );
    }

    #[test]
    fn a_nul_is_kept_as_its_picture() {
        assert_eq!(storable("a\0b"), "a\u{2400}b");
        assert_eq!(storable("ab"), "ab");
    }
}
