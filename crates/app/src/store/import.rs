//! Bytes that another program has counted come into the ledger, each once.
//!
//! Another program says how much it has in total, by user and hour; it may fold
//! its minutes into hours meanwhile, and it may be asked again at any time. So
//! the ledger remembers what it took for each user and hour, and takes what is
//! more than that. What it takes is booked as a commit's bytes are: as sessions
//! that say where they came from, with minutes, hours, days and months.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::{IpAddr, Ipv4Addr},
};

use jiff::{SignedDuration, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, params};
use sshmeter_core::{
    counter::Reading,
    identity::{BootId, Endpoint, Pid, SocketCookie, SocketId, UserName},
    ledger::{Batch, Closing, Entry, Login, SessionRecord},
    units::{Flow, Minute, Traffic},
};

use super::{
    amounts::{AmountError, flow_columns},
    commit::store_batch,
    error::StoreError,
    sessions::{RECORD_COLUMNS, record_of},
    writer::Writer,
};

/// How an imported session is said to have logged in.
const METHOD: &str = "import";

/// Why an imported session is said to have ended.
const REASON: &str = "imported";

/// An amount that another program has counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    /// Who moved it.
    pub user: UserName,
    /// Whom the program counts it for. Where it takes `Bob` and `bob` for one, it
    /// folds them into one hour, and both have one name here.
    pub counted_as: UserName,
    /// The process that served the user, where that is still known.
    pub pid: Option<u32>,
    /// The minute it was moved in; the hour's first where only that is known.
    pub minute: Minute,
    /// The first minute of the program's hour that it belongs to.
    pub hour: Minute,
    /// How many bytes, as IP packets.
    pub wire: Flow,
}

/// What an import did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ImportOutcome {
    /// Bytes that were new.
    pub bytes: Flow,
    /// Amounts of which something was new.
    pub rows: u64,
    /// Sessions that were not there before.
    pub sessions: u64,
    /// Users' hours of which all was there.
    pub already: u64,
    /// Users' hours of which the program has less now, in one direction or both,
    /// than was taken; nothing was taken back.
    pub shrunk: u64,
}

impl ImportOutcome {
    /// What two calls did.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            bytes: self.bytes.plus(other.bytes),
            rows: self.rows + other.rows,
            sessions: self.sessions + other.sessions,
            already: self.already + other.already,
            shrunk: self.shrunk + other.shrunk,
        }
    }

    pub(super) fn count(&mut self, new: &[(&Imported, Flow)]) {
        for (_, bytes) in new {
            self.bytes = self.bytes.plus(*bytes);
            self.rows += 1;
        }
    }
}

impl Writer {
    /// Takes what `source` has counted more than was taken from it before. Of
    /// each user and hour the call has to name all that the source has: its
    /// hours first, then its minutes, always in one order.
    ///
    /// # Errors
    /// Nothing of it is in the ledger then; import it again.
    pub fn import(
        &mut self,
        source: &str,
        amounts: &[Imported],
    ) -> Result<ImportOutcome, StoreError> {
        self.keep_the_files()?;
        self.in_transaction(|connection, calendar| {
            let mut outcome = ImportOutcome::default();
            let mut new = Vec::new();
            for ((user, hour), amounts) in by_hour(amounts) {
                let of_hour = Hour { source, user, hour };
                let taken = of_hour.taken(connection)?;
                let there = sum(&amounts);
                new.extend(new_since(taken, &amounts, &mut outcome));
                if there != taken {
                    of_hour.remember(connection, there.at_least(taken))?;
                }
            }
            outcome.count(&new);
            if !new.is_empty() {
                let sessions = Sessions::of(connection, source, &new)?;
                store_batch(connection, calendar, &sessions.book(&new, &mut outcome))?;
            }
            Ok(outcome)
        })
    }
}

/// Amounts by what is remembered of them, in their order.
pub(super) fn by_hour(amounts: &[Imported]) -> BTreeMap<(&UserName, Minute), Vec<&Imported>> {
    let mut hours: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for amount in amounts {
        let of_hour = hours.entry((&amount.counted_as, amount.hour)).or_default();
        of_hour.push(amount);
    }
    hours
}

/// What is remembered of a source: a user's hour.
#[derive(Clone, Copy)]
pub(super) struct Hour<'a> {
    pub(super) source: &'a str,
    pub(super) user: &'a UserName,
    pub(super) hour: Minute,
}

/// Amounts, and what of each is new.
pub(super) type New<'a> = Vec<(&'a Imported, Flow)>;

impl Hour<'_> {
    pub(super) fn taken(self, connection: &Connection) -> rusqlite::Result<Flow> {
        let unsigned = |figure: i64| u64::try_from(figure).unwrap_or(0);
        let taken = connection
            .prepare_cached(
                "SELECT wire_in, wire_out FROM import
                 WHERE source = ?1 AND user = ?2 AND hour = ?3",
            )?
            .query_row(
                params![self.source, self.user.as_str(), self.hour.0],
                |row| {
                    Ok(Flow {
                        inbound: unsigned(row.get(0)?),
                        outbound: unsigned(row.get(1)?),
                    })
                },
            )
            .optional()?;
        Ok(taken.unwrap_or_default())
    }

    fn remember(self, connection: &Connection, taken: Flow) -> Result<(), AmountError> {
        let [inbound, outbound] = flow_columns(Some(taken))?;
        connection
            .prepare_cached(
                "INSERT INTO import VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT (source, user, hour) DO UPDATE SET
                     wire_in = excluded.wire_in, wire_out = excluded.wire_out",
            )?
            .execute(params![
                self.source,
                self.user.as_str(),
                self.hour.0,
                inbound,
                outbound
            ])?;
        Ok(())
    }
}

fn sum(amounts: &[&Imported]) -> Flow {
    let wires = amounts.iter().map(|amount| amount.wire);
    wires.fold(Flow::default(), Flow::plus)
}

/// What of a user's hour is new where so much of it was taken.
pub(super) fn new_since<'a>(
    taken: Flow,
    amounts: &[&'a Imported],
    outcome: &mut ImportOutcome,
) -> New<'a> {
    let there = sum(amounts);
    if there == taken {
        outcome.already += 1;
        return Vec::new();
    }
    outcome.shrunk += u64::from(there.since(taken).is_none());
    // What was taken is the first of what is there.
    let mut passed_over = taken;
    let new = amounts.iter().map(|amount| {
        let new = Flow {
            inbound: new_of(amount.wire.inbound, &mut passed_over.inbound),
            outbound: new_of(amount.wire.outbound, &mut passed_over.outbound),
        };
        (*amount, new)
    });
    new.filter(|(_, new)| *new != Flow::default()).collect()
}

/// What tells the sessions of a source apart.
type Whose = (UserName, Option<u32>);

/// The sessions of a source.
struct Sessions {
    boot: BootId,
    last_cookie: u64,
    by_whose: HashMap<Whose, SessionRecord>,
}

impl Sessions {
    /// Those that were imported before and are still there, of the processes
    /// that have something new.
    fn of(
        connection: &Connection,
        source: &str,
        new: &[(&Imported, Flow)],
    ) -> Result<Self, AmountError> {
        let boot = BootId(format!("import {source}"));
        let last_cookie: Option<i64> = connection
            .prepare_cached("SELECT max(cookie) FROM session WHERE boot = ?1")?
            .query_row([&boot.0], |row| row.get(0))?;
        let pids: BTreeSet<u32> = new.iter().filter_map(|(amount, _)| amount.pid).collect();
        let pids = serde_json::to_string(&pids)
            .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
        let mut statement = connection.prepare_cached(&format!(
            "SELECT {RECORD_COLUMNS} FROM session JOIN account ON account.id = session.account
             WHERE session.boot = ?1
               AND (pid IS NULL OR pid IN (SELECT value FROM json_each(?2)))"
        ))?;
        let mut by_whose = HashMap::new();
        for record in statement.query_map([&boot.0, &pids], record_of)? {
            let record = record?;
            if let Some(login) = &record.login {
                let pid = record.pid.map(|pid| pid.0);
                by_whose.insert((login.user.clone(), pid), record);
            }
        }
        Ok(Self {
            boot,
            last_cookie: last_cookie.map_or(0, i64::cast_unsigned),
            by_whose,
        })
    }

    /// Books bytes under their sessions, which are made where there are none;
    /// gives all that is to be written.
    fn book(mut self, new: &[(&Imported, Flow)], outcome: &mut ImportOutcome) -> Batch {
        let mut batch = Batch::default();
        let mut changed = BTreeMap::new();
        for (amount, bytes) in new {
            let whose = (amount.user.clone(), amount.pid);
            let session = self.session(&whose, amount.minute, outcome);
            let traffic = Traffic {
                wire: Some(*bytes),
                payload: None,
            };
            extend(session, amount.minute, traffic);
            batch.entries.push(Entry {
                session: session.id.clone(),
                minute: amount.minute,
                traffic,
            });
            changed.insert(session.id.cookie.0, whose);
        }
        // In the order of their numbers, so that rows are, too.
        let changed = changed.values();
        batch
            .sessions
            .extend(changed.filter_map(|whose| self.by_whose.remove(whose)));
        batch
    }

    fn session(
        &mut self,
        whose: &Whose,
        minute: Minute,
        outcome: &mut ImportOutcome,
    ) -> &mut SessionRecord {
        let Self {
            boot,
            last_cookie,
            by_whose,
        } = self;
        by_whose.entry(whose.clone()).or_insert_with(|| {
            *last_cookie += 1;
            outcome.sessions += 1;
            let id = SocketId {
                boot: boot.clone(),
                cookie: SocketCookie(*last_cookie),
            };
            session_of(id, whose, minute.start())
        })
    }
}

/// Adds what a session moved in a minute, and spans it.
fn extend(session: &mut SessionRecord, minute: Minute, traffic: Traffic) {
    let first = minute.start();
    let next = minute.next().start();
    let last = next.checked_sub(SignedDuration::from_millis(1));
    let last = last.unwrap_or(first).max(first);
    session.total = session.total.plus(traffic);
    session.reading = Reading(session.total);
    session.opened = session.opened.min(first);
    let closed = session.closed.as_ref().map_or(last, |it| it.at.max(last));
    session.closed = Some(Closing {
        at: closed,
        reason: REASON.to_owned(),
    });
}

/// What of an amount is new where so many bytes are to be passed over first.
fn new_of(bytes: u64, passed_over: &mut u64) -> u64 {
    let new = bytes.saturating_sub(*passed_over);
    *passed_over = passed_over.saturating_sub(bytes);
    new
}

/// A session of which nothing is known but whose it was.
fn session_of(id: SocketId, (user, pid): &Whose, opened: Timestamp) -> SessionRecord {
    let unknown = Endpoint::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
    SessionRecord {
        id,
        peer: unknown,
        local: unknown,
        pid: pid.map(Pid),
        login: Some(Login {
            user: user.clone(),
            method: Some(METHOD.to_owned()),
            credential: None,
        }),
        opened,
        closed: None,
        reading: Reading::default(),
        counters: None,
        total: Traffic::default(),
    }
}
