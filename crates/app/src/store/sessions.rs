//! Sessions as the ledger holds them: single rows read back, and the list that
//! `sshmeter sessions` shows.

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;
use rusqlite::{Connection, Row, types::Type};
use sshmeter_core::{
    counter::Reading,
    identity::{BootId, Credential, Endpoint, Pid, SocketCookie, SocketId, UserName},
    ledger::{Closing, Login, SessionRecord},
    report::{Note, PrunedMinutes, Selection, SessionSpan, Sum, Who},
    rule::Counters,
    time::Period,
    units::{Flow, Minute, Traffic},
};

use super::{
    StoreError,
    amounts::{flow_at, traffic_at},
    answers::{accounts, pruned_at, span_at},
    reader::Reader,
    retain::kept,
    schema::OPEN,
    session_minutes::each_minute,
};

/// The columns that [`record_of`] reads, of `session` joined to `account`.
pub(super) const RECORD_COLUMNS: &str = "session.boot, session.cookie, account.user, \
     account.credential, session.method, session.peer_ip, session.peer_port, session.local_ip, \
     session.local_port, session.pid, session.opened_ms, session.closed_ms, session.reason, \
     session.reading_wire_in, session.reading_wire_out, session.reading_payload_in, \
     session.reading_payload_out, session.total_wire_in, session.total_wire_out, \
     session.total_payload_in, session.total_payload_out, session.socket_wire_in, \
     session.socket_wire_out, session.rule_wire_in, session.rule_wire_out";

/// How many columns those are.
const RECORD_WIDTH: usize = 25;

/// A session's record from a row that begins with [`RECORD_COLUMNS`].
pub(super) fn record_of(row: &Row<'_>) -> rusqlite::Result<SessionRecord> {
    let user: Option<String> = row.get(2)?;
    let credential: Option<String> = row.get(3)?;
    let method: Option<String> = row.get(4)?;
    let closed: Option<i64> = row.get(11)?;
    let reason: Option<String> = row.get(12)?;
    Ok(SessionRecord {
        id: SocketId {
            boot: BootId(row.get(0)?),
            cookie: SocketCookie(row.get::<_, i64>(1)?.cast_unsigned()),
        },
        peer: endpoint_at(row, 5)?,
        local: endpoint_at(row, 7)?,
        pid: row.get::<_, Option<u32>>(9)?.map(Pid),
        login: user.map(|user| Login {
            user: UserName::new(user),
            method,
            credential: credential.map(Credential::new),
        }),
        opened: instant(10, row.get(10)?)?,
        closed: closed
            .map(|at| {
                Ok::<_, rusqlite::Error>(Closing {
                    at: instant(11, at)?,
                    reason: reason.unwrap_or_default(),
                })
            })
            .transpose()?,
        reading: Reading(traffic_at(row, 13)?),
        total: traffic_at(row, 17)?,
        counters: counters_at(row, 21)?,
    })
}

fn counters_at(row: &Row<'_>, first: usize) -> rusqlite::Result<Option<Counters>> {
    let (socket, rule) = (flow_at(row, first)?, flow_at(row, first + 2)?);
    let is_there = socket.is_some() || rule.is_some();
    Ok(is_there.then_some(Counters { socket, rule }))
}

fn endpoint_at(row: &Row<'_>, first: usize) -> rusqlite::Result<Endpoint> {
    let text: String = row.get(first)?;
    let ip = text
        .parse()
        .map_err(|error| unreadable(first, Type::Text, error))?;
    Ok(Endpoint::new(ip, row.get(first + 1)?))
}

fn instant(column: usize, milliseconds: i64) -> rusqlite::Result<Timestamp> {
    Timestamp::from_millisecond(milliseconds)
        .map_err(|error| unreadable(column, Type::Integer, error))
}

fn unreadable(
    column: usize,
    kind: Type,
    error: impl std::error::Error + Send + Sync + 'static,
) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, kind, Box::new(error))
}

/// Which sessions are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionQuery {
    /// Those that were open at some time in it, with what they moved in it;
    /// without one, all there are with all they moved.
    pub period: Option<Period>,
    /// Only those that are open now.
    pub open_only: bool,
    /// Whose.
    pub selection: Selection,
}

/// A session in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedSession {
    /// Its number in the ledger.
    pub id: i64,
    /// Whose it is.
    pub who: Who,
    /// The session.
    pub record: SessionRecord,
    /// What it moved in the period; a figure that can no longer be known is
    /// `None`.
    pub traffic: Traffic,
}

/// The sessions of a period, the first opened first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionList {
    /// The sessions.
    pub sessions: Vec<ListedSession>,
    /// What they add up to.
    pub total: Sum,
    /// Connections that never logged in and were not asked for.
    pub left_out: Sum,
    /// What has to be said beside it.
    pub notes: Vec<Note>,
}

impl Reader {
    /// The sessions of a period with what they moved in it.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn sessions(&mut self, query: &SessionQuery) -> Result<SessionList, StoreError> {
        self.in_snapshot(|connection, _| list(connection, query))
    }
}

fn list(connection: &Connection, query: &SessionQuery) -> rusqlite::Result<SessionList> {
    let accounts = accounts(connection)?;
    let chosen = (!query.selection.users.is_empty()).then(|| {
        let known = accounts
            .iter()
            .map(|account| &account.who)
            .collect::<Vec<_>>();
        query.selection.chosen(&known)
    });
    let mut list = SessionList {
        total: none_yet(),
        left_out: none_yet(),
        ..SessionList::default()
    };
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {RECORD_COLUMNS}, session.id, begin_minute, end_minute, pruned_first, pruned_last,
                pruned_wire_in, pruned_wire_out, pruned_payload_in, pruned_payload_out
         FROM session JOIN account ON account.id = session.account
         WHERE end_minute >= ?1 AND begin_minute < ?2
         ORDER BY opened_ms, session.id"
    ))?;
    let since = match (query.open_only, query.period) {
        (true, _) => OPEN,
        (false, Some(period)) => period.since().0,
        (false, None) => i64::MIN,
    };
    let until = query.period.map_or(i64::MAX, |period| period.until().0);
    let mut rows = statement.query([since, until])?;
    let mut unknown = 0;
    let mut cut = Vec::new();
    while let Some(row) = rows.next()? {
        let session = KeptSession::of(row)?;
        let place = place_of(&session.who(), query, chosen.as_ref());
        if place == Listing::Ignored {
            continue;
        }
        match session.known_in(query.period) {
            Some(Known::Part(traffic)) => list.add(place, session, traffic),
            Some(Known::Nothing) => {
                unknown += 1;
                list.add(place, session, Traffic::default());
            }
            None => cut.push((place, session)),
        }
    }
    if let Some(period) = query.period {
        list.add_cut(connection, period, cut)?;
    }
    list.notes = notes(connection, query, unknown)?;
    Ok(list)
}

impl SessionList {
    fn add(&mut self, place: Listing, session: KeptSession, traffic: Traffic) {
        let sum = match place {
            Listing::Shown => &mut self.total,
            _ => &mut self.left_out,
        };
        sum.sessions = sum.sessions.map(|sessions| sessions + 1);
        sum.traffic = sum.traffic.plus(traffic);
        if place == Listing::Shown {
            self.sessions.push(ListedSession {
                id: session.id,
                who: session.who(),
                record: session.record,
                traffic,
            });
        }
    }

    /// Adds the sessions of which a period holds a part, where their minutes tell.
    fn add_cut(
        &mut self,
        connection: &Connection,
        period: Period,
        cut: Vec<(Listing, KeptSession)>,
    ) -> rusqlite::Result<()> {
        let minutes = minutes_of(connection, period, &cut)?;
        for (place, session) in cut {
            let minutes = minutes.get(&session.id).copied();
            let traffic = session.part_in(period, minutes);
            self.add(place, session, traffic);
        }
        self.sessions
            .sort_by_key(|session| (session.record.opened, session.id));
        Ok(())
    }
}

fn none_yet() -> Sum {
    Sum {
        sessions: Some(0),
        traffic: Traffic::default(),
    }
}

fn notes(connection: &Connection, query: &SessionQuery, cut: u64) -> rusqlite::Result<Vec<Note>> {
    let mut notes = Vec::new();
    if let Some(kept_since) = kept(connection)?.hours_since
        && !query.open_only
        && query
            .period
            .is_none_or(|period| period.since() < kept_since)
    {
        notes.push(Note::SessionsExpired { kept_since });
    }
    if cut > 0 {
        notes.push(Note::SessionsCut { sessions: cut });
    }
    Ok(notes)
}

/// Where a session goes in a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Listing {
    Shown,
    LeftOut,
    Ignored,
}

fn place_of(who: &Who, query: &SessionQuery, chosen: Option<&HashSet<&Who>>) -> Listing {
    match chosen {
        Some(chosen) if chosen.contains(who) => Listing::Shown,
        Some(_) => Listing::Ignored,
        None if *who == Who::Nameless && !query.selection.nameless => Listing::LeftOut,
        None => Listing::Shown,
    }
}

/// A session with what the ledger knows of its minutes.
pub(super) struct KeptSession {
    pub(super) id: i64,
    pub(super) record: SessionRecord,
    pub(super) span: SessionSpan,
    pub(super) pruned: Option<PrunedMinutes>,
}

/// What is known at once of what a session moved in a period.
enum Known {
    /// This much.
    Part(Traffic),
    /// That nobody knows: the period cuts through minutes that have expired.
    Nothing,
}

impl KeptSession {
    fn of(row: &Row<'_>) -> rusqlite::Result<Self> {
        let next = RECORD_WIDTH;
        Ok(Self {
            id: row.get(next)?,
            record: record_of(row)?,
            span: span_at(row, next + 1)?,
            pruned: pruned_at(row, next + 3)?,
        })
    }

    fn who(&self) -> Who {
        match &self.record.login {
            Some(login) => Who::User(login.user.clone()),
            None => Who::Nameless,
        }
    }

    /// What is known without its minutes.
    fn known_in(&self, period: Option<Period>) -> Option<Known> {
        let whole = Some(Known::Part(self.record.total));
        let Some(period) = period else {
            return whole;
        };
        let SessionSpan { begin, end } = self.span;
        if end.is_some_and(|end| period.contains_all(begin, end)) {
            return whole;
        }
        let pruned = self.pruned.filter(|pruned| pruned.are_cut_by(period));
        pruned.map(|_| Known::Nothing)
    }

    /// What it moved in a period, by those of its minutes that lie in it.
    fn part_in(&self, period: Period, minutes: Option<Traffic>) -> Traffic {
        let pruned = self.pruned;
        let pruned = pruned.filter(|pruned| period.contains_all(pruned.first, pruned.last));
        match (minutes, pruned.map(|pruned| pruned.traffic)) {
            (Some(minutes), Some(pruned)) => minutes.plus(pruned),
            (Some(traffic), None) | (None, Some(traffic)) => traffic,
            // No minute at all means that nothing moved, if such a figure was known.
            (None, None) => Traffic {
                wire: self.record.total.wire.map(|_| Flow::default()),
                payload: self.record.total.payload.map(|_| Flow::default()),
            },
        }
    }
}

/// By session, what they moved in those of their minutes that lie in a period.
fn minutes_of(
    connection: &Connection,
    period: Period,
    sessions: &[(Listing, KeptSession)],
) -> rusqlite::Result<HashMap<i64, Traffic>> {
    // Those that the period's end cuts have no minute at its begin: a walk of their
    // own passes by less.
    let (earlier, later): (Vec<_>, Vec<_>) = sessions
        .iter()
        .map(|(_, session)| session)
        .partition(|session| session.span.begin < period.since());
    let mut sums = HashMap::new();
    for sessions in [earlier, later] {
        let Some(begin) = sessions.iter().map(|session| session.span.begin).min() else {
            continue;
        };
        let last = |session: &KeptSession| session.span.end.unwrap_or(Minute(OPEN));
        let wanted = sessions.iter().map(|session| (session.id, last(session)));
        let within = [begin.max(period.since()), period.until()];
        each_minute(connection, wanted.collect(), within, |row| {
            let sum: &mut Traffic = sums.entry(row.session).or_default();
            *sum = sum.plus(row.traffic);
        })?;
    }
    Ok(sums)
}
