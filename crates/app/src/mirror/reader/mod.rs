//! Reports over a mirror: the rows of all hosts in it, read at one moment.
//!
//! It reads and never writes. What rows mean is decided in the core, as for a
//! ledger's file.

mod error;
mod hosts;
mod rows;

#[cfg(test)]
mod tests;

use std::time::Duration;

use jiff::{Timestamp, tz::TimeZone};
use sshmeter_core::{
    identity::HostName,
    report::{Host, Report, Request, answer},
};
use tokio::runtime::Runtime;

pub use error::ReadError;

use self::rows::{Ask, MirrorRows};
use super::{
    address::{Address, Protocol},
    server::{Purpose, Server},
};
use crate::store::Value;

/// How long the server may think before the first row of an answer: sums over the
/// minutes of many hosts take their time.
const PATIENCE: Duration = Duration::from_secs(10 * 60);

/// How a host's copy stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// What the host is called, like no other.
    pub name: HostName,
    /// All its rows are being copied anew, and not all are there.
    pub is_being_copied: bool,
    /// How long ago the server heard of it, by the server's own clock.
    pub heard_ago: Duration,
    /// How long it waits between two rounds.
    pub pause: Duration,
}

/// A mirror, open for one report.
#[derive(Debug)]
pub struct MirrorReader {
    // The connection goes before the runtime that it needs.
    asked: Asked,
    hosts: Vec<Host>,
    standings: Vec<Standing>,
}

/// A connection that is waited for.
#[derive(Debug)]
struct Asked {
    server: Server,
    runtime: Runtime,
}

impl MirrorReader {
    /// Connects, and begins to read at this moment; later changes are not seen.
    ///
    /// # Errors
    /// No server can be reached, no sshmeter has mirrored into the database, or
    /// one that is later than this.
    pub fn open(address: &Address) -> Result<Self, ReadError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(ReadError::Runtime)?;
        let mut server = runtime.block_on(Server::connect(address, Purpose::Read))?;
        server.set_patience(PATIENCE);
        let mut asked = Asked { server, runtime };
        match asked.first_read(address) {
            Ok((hosts, standings)) => Ok(Self {
                asked,
                hosts,
                standings,
            }),
            Err(error) => {
                asked.close();
                Err(error)
            }
        }
    }

    /// How each host's copy stands.
    #[must_use]
    pub fn standings(&self) -> &[Standing] {
        &self.standings
    }

    /// The time zone of all hosts; `None` where they have several, or there is
    /// no host.
    #[must_use]
    pub fn zone(&self) -> Option<&TimeZone> {
        let mut zones = self.hosts.iter().map(|host| host.calendar.zone());
        let first = zones.next()?;
        zones.all(|zone| zone == first).then_some(first)
    }

    /// Answers a question.
    ///
    /// # Errors
    /// The mirror cannot be read.
    pub fn report(&mut self, request: &Request) -> Result<Report, ReadError> {
        let mut rows = MirrorRows {
            asked: &mut self.asked,
            hosts: &self.hosts,
        };
        answer(&mut rows, request)
    }

    /// Leaves the server. Without it, the server's log has a line about that.
    pub fn close(self) {
        self.asked.close();
    }
}

impl Asked {
    fn first_read(&mut self, address: &Address) -> Result<(Vec<Host>, Vec<Standing>), ReadError> {
        self.begin()?;
        hosts::check_format(self, address)?;
        hosts::read(self, Timestamp::now())
    }

    fn close(self) {
        self.runtime.block_on(self.server.close());
    }

    /// Begins to read what is there now, and nothing later.
    fn begin(&mut self) -> Result<(), ReadError> {
        let statements: &[&str] = match self.protocol() {
            Protocol::Mysql => &[
                "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ",
                "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY",
            ],
            Protocol::Postgres => &["BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"],
        };
        for statement in statements {
            self.runtime.block_on(self.server.run(statement))?;
        }
        Ok(())
    }
}

impl Ask for Asked {
    fn protocol(&self) -> Protocol {
        self.server.protocol()
    }

    fn ask(
        &mut self,
        sql: &str,
        values: &[Value],
        each: &mut dyn FnMut(Vec<Value>),
    ) -> Result<(), ReadError> {
        self.runtime
            .block_on(self.server.query(sql, values, each))?;
        Ok(())
    }
}
