//! The ledger's rows as reports ask for them: a plain `SELECT` each. What they
//! mean is decided in the core.

use rusqlite::{Connection, Row};
use sshmeter_core::{
    identity::{Credential, Endpoint, HostName, UserName},
    report::{
        Account, Amount, Host, KnownSession, Per, PrunedMinutes, Request, RowId, Rows, Segment,
        SessionSpan, Who,
    },
    time::{Calendar, Period, Unit},
    units::Minute,
};

use super::{
    amounts::{table_of, traffic_at},
    retain::kept,
    schema::OPEN,
    span_counts::span_counts,
};

/// The number of the only host a ledger has.
const HOST: i64 = 0;

/// The rows of one ledger, within a transaction of the connection's.
pub(super) struct LedgerRows<'a> {
    pub(super) connection: &'a Connection,
    pub(super) calendar: &'a Calendar,
    pub(super) host_name: HostName,
}

impl Rows for LedgerRows<'_> {
    type Error = rusqlite::Error;

    fn hosts(&mut self) -> rusqlite::Result<Vec<Host>> {
        Ok(vec![Host {
            number: HOST,
            id: String::new(),
            name: self.host_name.clone(),
            calendar: self.calendar.clone(),
            kept: kept(self.connection)?,
            has_sessions: true,
        }])
    }

    fn accounts(&mut self) -> rusqlite::Result<Vec<Account>> {
        accounts(self.connection)
    }

    fn first_month(&mut self, _: &[i64], from: Minute) -> rusqlite::Result<Option<Minute>> {
        self.connection
            .prepare_cached("SELECT min(start) FROM month WHERE start >= ?1")?
            .query_row([from.0], |row| {
                Ok(row.get::<_, Option<i64>>(0)?.map(Minute))
            })
    }

    /// Row by row: adding up here costs no less than there.
    fn amounts(
        &mut self,
        _: &[i64],
        segment: Segment,
        _: Per,
        each: impl FnMut(Amount),
    ) -> rusqlite::Result<()> {
        let sql = if segment.unit == Unit::Minute {
            "SELECT minute.minute, session.account, minute.wire_in, minute.wire_out,
                    minute.payload_in, minute.payload_out
             FROM minute JOIN session ON session.id = minute.session
             WHERE minute.minute >= ?1 AND minute.minute < ?2"
                .to_owned()
        } else {
            format!(
                "SELECT start, account, wire_in, wire_out, payload_in, payload_out
                 FROM {} WHERE start >= ?1 AND start < ?2",
                table_of(segment.unit)
            )
        };
        self.each_amount(&sql, [segment.from, segment.until], each)
    }

    fn spans(
        &mut self,
        _: &[i64],
        request: &Request,
        mut each: impl FnMut(RowId, SessionSpan, u64),
    ) -> rusqlite::Result<()> {
        span_counts(self.connection, request)?.each(|account, span, sessions| {
            each(id_of(account), span, sessions);
        });
        Ok(())
    }

    fn sessions(
        &mut self,
        _: &[i64],
        period: Period,
        mut each: impl FnMut(KnownSession),
    ) -> rusqlite::Result<()> {
        let mut statement = self.connection.prepare_cached(
            "SELECT id, account, peer_ip, begin_minute, end_minute, pruned_first, pruned_last,
                    pruned_wire_in, pruned_wire_out, pruned_payload_in, pruned_payload_out
             FROM session WHERE end_minute >= ?1 AND begin_minute < ?2",
        )?;
        let mut rows = statement.query([period.since().0, period.until().0])?;
        while let Some(row) = rows.next()? {
            each(KnownSession {
                id: id_at(row, 0)?,
                account: row.get(1)?,
                peer: Endpoint::parse_known_ip(row.get_ref(2)?.as_str()?),
                span: span_at(row, 3)?,
                pruned: pruned_at(row, 5)?,
            });
        }
        Ok(())
    }

    fn session_minutes(
        &mut self,
        _: &[i64],
        period: Period,
        each: impl FnMut(Amount),
    ) -> rusqlite::Result<()> {
        let sql = "SELECT minute, session, wire_in, wire_out, payload_in, payload_out
                   FROM minute WHERE minute >= ?1 AND minute < ?2";
        self.each_amount(sql, [period.since(), period.until()], each)
    }
}

impl LedgerRows<'_> {
    fn each_amount(
        &self,
        sql: &str,
        [from, until]: [Minute; 2],
        mut each: impl FnMut(Amount),
    ) -> rusqlite::Result<()> {
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut rows = statement.query([from.0, until.0])?;
        while let Some(row) = rows.next()? {
            each(Amount {
                of: id_at(row, 1)?,
                at: Minute(row.get(0)?),
                traffic: traffic_at(row, 2)?,
            });
        }
        Ok(())
    }
}

/// All there are.
pub(super) fn accounts(connection: &Connection) -> rusqlite::Result<Vec<Account>> {
    connection
        .prepare_cached("SELECT id, user, credential FROM account ORDER BY id")?
        .query_map([], |row| {
            let user = row.get::<_, Option<String>>(1)?;
            Ok(Account {
                id: id_at(row, 0)?,
                who: user.map_or(Who::Nameless, |user| Who::User(UserName::new(user))),
                credential: row.get::<_, Option<String>>(2)?.map(Credential::new),
            })
        })?
        .collect()
}

fn id_at(row: &Row<'_>, column: usize) -> rusqlite::Result<RowId> {
    row.get(column).map(id_of)
}

fn id_of(id: i64) -> RowId {
    RowId { host: HOST, id }
}

/// When a session was open, in two columns of a row.
pub(super) fn span_at(row: &Row<'_>, first: usize) -> rusqlite::Result<SessionSpan> {
    Ok(span_of(row.get(first)?, row.get(first + 1)?))
}

pub(super) fn span_of(begin: i64, end: i64) -> SessionSpan {
    SessionSpan {
        begin: Minute(begin),
        end: (end != OPEN).then_some(Minute(end)),
    }
}

/// What a session remembers of its expired minutes, in six columns of a row.
pub(super) fn pruned_at(row: &Row<'_>, first: usize) -> rusqlite::Result<Option<PrunedMinutes>> {
    let from: Option<i64> = row.get(first)?;
    let to: Option<i64> = row.get(first + 1)?;
    let traffic = traffic_at(row, first + 2)?;
    Ok(from.zip(to).map(|(from, to)| PrunedMinutes {
        first: Minute(from),
        last: Minute(to),
        traffic,
    }))
}
