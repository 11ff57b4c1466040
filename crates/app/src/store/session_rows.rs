//! The rows of sessions, as a commit finds and writes them.
//!
//! Most of what a commit writes are sessions that moved a bit more: nothing of them
//! is new but their figures, which no index holds. Those are all that is written
//! then; whatever else changed, the whole row is.

use rusqlite::{
    CachedStatement, Connection, OptionalExtension as _, Params, Row, ToSql, params,
    params_from_iter,
};
use sshmeter_core::{
    identity::{Credential, Endpoint, SocketId},
    ledger::SessionRecord,
    units::Minute,
};

use super::{
    amounts::{AmountError, Columns, flow_columns},
    schema::OPEN,
    session_minutes::{self, SessionMinute, Wanted},
};

/// A session's row number and the account it is booked under.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stored {
    pub(super) session: i64,
    pub(super) account: i64,
    /// Its first and its last minute; none of its entries lies outside.
    span: [Minute; 2],
}

impl Stored {
    pub(super) fn spans(self, minute: Minute) -> bool {
        let [begin, end] = self.span;
        (begin..=end).contains(&minute)
    }

    /// Gives all that it moved, minute by minute.
    pub(super) fn each_minute(
        self,
        connection: &Connection,
        each: impl FnMut(SessionMinute),
    ) -> rusqlite::Result<()> {
        let [begin, end] = self.span;
        let wanted = Wanted::from([(self.session, end)]);
        session_minutes::each_minute(connection, wanted, [begin, end.next()], each)
    }

    /// The last minute after one in which it moved something: a clock that was put
    /// back makes a session end before.
    fn last_after(
        self,
        connection: &Connection,
        minute: Minute,
    ) -> rusqlite::Result<Option<Minute>> {
        let wanted = Wanted::from([(self.session, Minute(OPEN))]);
        let later = [minute.next(), Minute(OPEN)];
        let mut last = None;
        session_minutes::each_minute(connection, wanted, later, |row| last = Some(row.minute))?;
        Ok(last)
    }
}

/// A session that was found.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    pub(super) stored: Stored,
    /// Nothing is new of it but its figures.
    pub(super) goes_on: bool,
}

/// What is done to nearly every session of a commit, prepared once.
pub(super) struct SessionRows<'a> {
    connection: &'a Connection,
    find: CachedStatement<'a>,
    go_on: CachedStatement<'a>,
}

impl<'a> SessionRows<'a> {
    pub(super) fn of(connection: &'a Connection) -> rusqlite::Result<Self> {
        Ok(Self {
            connection,
            find: connection.prepare_cached(
                "SELECT session.id, account, begin_minute, end_minute, user, credential, method,
                     peer_ip, peer_port, local_ip, local_port, pid, opened_ms, closed_ms
                 FROM session JOIN account ON account.id = session.account
                 WHERE boot = ?1 AND cookie = ?2",
            )?,
            go_on: connection.prepare_cached(
                "UPDATE session SET
                     reading_wire_in = ?2, reading_wire_out = ?3,
                     reading_payload_in = ?4, reading_payload_out = ?5,
                     total_wire_in = ?6, total_wire_out = ?7,
                     total_payload_in = ?8, total_payload_out = ?9,
                     socket_wire_in = ?10, socket_wire_out = ?11,
                     rule_wire_in = ?12, rule_wire_out = ?13
                 WHERE id = ?1",
            )?,
        })
    }

    /// The row of a connection.
    pub(super) fn find(&mut self, id: &SocketId) -> rusqlite::Result<Option<Stored>> {
        self.find
            .query_row(params![id.boot.0, id.cookie.0.cast_signed()], stored_at)
            .optional()
    }

    /// The row of a session, held against how it stands now.
    pub(super) fn compare(&mut self, record: &SessionRecord) -> rusqlite::Result<Option<Found>> {
        let SocketId { boot, cookie } = &record.id;
        self.find
            .query_row(params![boot.0, cookie.0.cast_signed()], |row| {
                Ok(Found {
                    stored: stored_at(row)?,
                    goes_on: goes_on(row, record)?,
                })
            })
            .optional()
    }

    /// Writes the figures of a session of which nothing else is new.
    pub(super) fn go_on(
        &mut self,
        session: i64,
        record: &SessionRecord,
    ) -> Result<(), AmountError> {
        let figures = figures(record)?;
        self.go_on
            .execute(followed_by(params![session], &figures))?;
        Ok(())
    }

    /// Writes the session's row, new or as it was known.
    pub(super) fn write(
        &self,
        record: &SessionRecord,
        account: i64,
        known: Option<Stored>,
    ) -> Result<Stored, AmountError> {
        let figures = figures(record)?;
        let begin = Minute::of(record.opened);
        let mut end = end_minute(record).max(begin);
        if let Some(known) = known
            && let Some(last) = known.last_after(self.connection, end)?
        {
            end = last;
        }
        let login = record.login.as_ref();
        let closed = record.closed.as_ref();
        let identity = params![
            record.id.boot.0,
            record.id.cookie.0.cast_signed(),
            account,
            login.and_then(|login| login.method.as_ref()),
            record.peer.ip().to_string(),
            record.peer.port(),
            record.local.ip().to_string(),
            record.local.port(),
            record.pid.map(|pid| pid.0),
            record.opened.as_millisecond(),
            closed.map(|closing| closing.at.as_millisecond()),
            closed.map(|closing| &closing.reason),
            begin.0,
            end.0,
        ];
        let stored = self
            .connection
            .prepare_cached(WRITE)?
            .query_row(followed_by(identity, &figures), stored_at)?;
        Ok(stored)
    }

    /// Makes a session span a minute that it moved something in.
    pub(super) fn widen(&self, session: i64, minute: Minute) -> rusqlite::Result<()> {
        self.connection
            .prepare_cached(
                "UPDATE session SET begin_minute = min(begin_minute, ?2),
                     end_minute = max(end_minute, ?2)
                 WHERE id = ?1 AND (begin_minute > ?2 OR end_minute < ?2)",
            )?
            .execute([session, minute.0])?;
        Ok(())
    }
}

const WRITE: &str = "
    INSERT INTO session (boot, cookie, account, method, peer_ip, peer_port, local_ip,
        local_port, pid, opened_ms, closed_ms, reason, begin_minute, end_minute,
        reading_wire_in, reading_wire_out, reading_payload_in, reading_payload_out,
        total_wire_in, total_wire_out, total_payload_in, total_payload_out,
        socket_wire_in, socket_wire_out, rule_wire_in, rule_wire_out)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14,
        ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23, ?24, ?25, ?26)
    ON CONFLICT (boot, cookie) DO UPDATE SET
        account = excluded.account,
        method = excluded.method,
        peer_ip = excluded.peer_ip, peer_port = excluded.peer_port,
        local_ip = excluded.local_ip, local_port = excluded.local_port,
        pid = excluded.pid, opened_ms = excluded.opened_ms,
        closed_ms = excluded.closed_ms, reason = excluded.reason,
        begin_minute = min(begin_minute, excluded.begin_minute),
        end_minute = max(excluded.end_minute, begin_minute,
            ifnull(pruned_last, excluded.end_minute)),
        reading_wire_in = excluded.reading_wire_in,
        reading_wire_out = excluded.reading_wire_out,
        reading_payload_in = excluded.reading_payload_in,
        reading_payload_out = excluded.reading_payload_out,
        total_wire_in = excluded.total_wire_in,
        total_wire_out = excluded.total_wire_out,
        total_payload_in = excluded.total_payload_in,
        total_payload_out = excluded.total_payload_out,
        socket_wire_in = excluded.socket_wire_in,
        socket_wire_out = excluded.socket_wire_out,
        rule_wire_in = excluded.rule_wire_in,
        rule_wire_out = excluded.rule_wire_out
    RETURNING id, account, begin_minute, end_minute";

/// A session's figures, in the order of their columns.
fn figures(record: &SessionRecord) -> Result<[Option<i64>; 12], AmountError> {
    let reading = Columns::try_from(record.reading.0)?;
    let total = Columns::try_from(record.total)?;
    let [socket_in, socket_out] = flow_columns(record.counters.and_then(|it| it.socket))?;
    let [rule_in, rule_out] = flow_columns(record.counters.and_then(|it| it.rule))?;
    Ok([
        reading.wire_in,
        reading.wire_out,
        reading.payload_in,
        reading.payload_out,
        total.wire_in,
        total.wire_out,
        total.payload_in,
        total.payload_out,
        socket_in,
        socket_out,
        rule_in,
        rule_out,
    ])
}

/// What a statement is given: these, and the figures behind them.
fn followed_by<'a>(first: &'a [&'a dyn ToSql], figures: &'a [Option<i64>]) -> impl Params + 'a {
    let figures = figures.iter().map(|figure| figure as &dyn ToSql);
    params_from_iter(first.iter().copied().chain(figures))
}

fn stored_at(row: &Row<'_>) -> rusqlite::Result<Stored> {
    Ok(Stored {
        session: row.get(0)?,
        account: row.get(1)?,
        span: [Minute(row.get(2)?), Minute(row.get(3)?)],
    })
}

/// Whether a session was open, still is, and is in all but its figures as its row
/// says.
fn goes_on(row: &Row<'_>, record: &SessionRecord) -> rusqlite::Result<bool> {
    let login = record.login.as_ref();
    let credential = login.and_then(|login| login.credential.as_ref());
    Ok(record.closed.is_none()
        && row.get::<_, Option<i64>>(13)?.is_none()
        && row.get::<_, i64>(3)? == OPEN
        && text_at(row, 4)? == login.map(|login| login.user.as_str())
        && text_at(row, 5)? == credential.map(Credential::as_str)
        && text_at(row, 6)? == login.and_then(|login| login.method.as_deref())
        && is_at(row, 7, record.peer)?
        && is_at(row, 9, record.local)?
        && row.get::<_, Option<i64>>(11)? == record.pid.map(|pid| pid.0.into())
        && row.get::<_, i64>(12)? == record.opened.as_millisecond())
}

fn text_at<'a>(row: &'a Row<'_>, column: usize) -> rusqlite::Result<Option<&'a str>> {
    Ok(row.get_ref(column)?.as_str_or_null()?)
}

/// Whether two columns of a row, the first of which is `first`, say where an end is.
fn is_at(row: &Row<'_>, first: usize, end: Endpoint) -> rusqlite::Result<bool> {
    let ip = text_at(row, first)?.map(str::parse);
    Ok(ip == Some(Ok(end.ip())) && row.get::<_, i64>(first + 1)? == i64::from(end.port()))
}

fn end_minute(record: &SessionRecord) -> Minute {
    let closed = record.closed.as_ref();
    closed.map_or(Minute(OPEN), |closing| Minute::of(closing.at))
}
