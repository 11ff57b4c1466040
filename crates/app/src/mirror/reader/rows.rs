//! The mirror's rows as reports ask for them, in SQL that both protocols
//! understand.

use std::vec;

use sshmeter_core::{
    identity::{Credential, Endpoint, UserName},
    report::{
        Account, Amount, Host, KnownSession, Per, PrunedMinutes, Request, RowId, Rows, Segment,
        SessionSpan, Who,
    },
    time::{Period, Unit},
    units::{Flow, Minute, Traffic},
};

use super::ReadError;
use crate::{
    mirror::address::Protocol,
    store::{OPEN, Value},
};

/// Hosts of which one statement asks; more than a statement takes are asked for
/// in turn.
const HOSTS_AT_ONCE: usize = 1_000;

const ACCOUNT: &str = r#"moved."account""#;
const START: &str = r#"moved."start""#;

const SPANS: &str = r#"SELECT "host", "account", "begin_minute", "end_minute" FROM sshmeter_session
    WHERE "host" IN (HOSTS) AND "end_minute" >= ? AND "begin_minute" < ?"#;
const COUNTS: &str = r#"SELECT "host", "account", COUNT(*) FROM sshmeter_session
    WHERE "host" IN (HOSTS) AND "end_minute" >= ? AND "begin_minute" < ?
    GROUP BY "host", "account""#;

/// Who answers SQL.
pub(super) trait Ask {
    /// Which words it understands.
    fn protocol(&self) -> Protocol;

    /// Asks, and gives each row to `each`.
    fn ask(
        &mut self,
        sql: &str,
        values: &[Value],
        each: &mut dyn FnMut(Vec<Value>),
    ) -> Result<(), ReadError>;
}

/// The rows of all hosts in a mirror.
pub(super) struct MirrorRows<'a, A> {
    pub(super) asked: &'a mut A,
    pub(super) hosts: &'a [Host],
}

impl<A: Ask> Rows for MirrorRows<'_, A> {
    type Error = ReadError;

    fn hosts(&mut self) -> Result<Vec<Host>, ReadError> {
        Ok(self.hosts.to_vec())
    }

    fn accounts(&mut self) -> Result<Vec<Account>, ReadError> {
        let sql = r#"SELECT "host", "id", "user", "credential" FROM sshmeter_account"#;
        let mut accounts = Vec::new();
        each_row(self.asked, sql, &[], |columns| {
            let id = columns.id()?;
            let user = columns.maybe_word()?.map(UserName::new);
            accounts.push(Account {
                id,
                who: user.map_or(Who::Nameless, Who::User),
                credential: columns.maybe_word()?.map(Credential::new),
            });
            Ok(())
        })?;
        Ok(accounts)
    }

    fn first_month(&mut self, hosts: &[i64], from: Minute) -> Result<Option<Minute>, ReadError> {
        let sql =
            r#"SELECT MIN("start") FROM sshmeter_month WHERE "host" IN (HOSTS) AND "start" >= ?"#;
        let mut first: Option<i64> = None;
        self.of_hosts(sql, hosts, &[from.0], |columns| {
            let found = columns.maybe_number()?;
            first = first.into_iter().chain(found).min();
            Ok(())
        })?;
        Ok(first.map(Minute))
    }

    fn amounts(
        &mut self,
        hosts: &[i64],
        segment: Segment,
        per: Per,
        mut each: impl FnMut(Amount),
    ) -> Result<(), ReadError> {
        let is_summed = per == Per::Total;
        let sql = amounts_sql(self.asked.protocol(), segment.unit, is_summed);
        let ends = [segment.from.0, segment.until.0];
        self.of_hosts(&sql, hosts, &ends, |columns| {
            let of = columns.id()?;
            let at = if is_summed {
                segment.from
            } else {
                Minute(columns.number()?)
            };
            let traffic = columns.traffic()?;
            each(Amount { of, at, traffic });
            Ok(())
        })
    }

    /// Counted there, where one bucket is all there is.
    fn spans(
        &mut self,
        hosts: &[i64],
        request: &Request,
        mut each: impl FnMut(RowId, SessionSpan, u64),
    ) -> Result<(), ReadError> {
        let period = request.period;
        if request.per == Per::Total {
            let whole = SessionSpan {
                begin: period.since(),
                end: None,
            };
            return self.of_hosts(COUNTS, hosts, &ends(period), |columns| {
                let account = columns.id()?;
                let sessions = u64::try_from(columns.number()?).unwrap_or(0);
                each(account, whole, sessions);
                Ok(())
            });
        }
        self.of_hosts(SPANS, hosts, &ends(period), |columns| {
            each(columns.id()?, columns.span()?, 1);
            Ok(())
        })
    }

    fn sessions(
        &mut self,
        hosts: &[i64],
        period: Period,
        mut each: impl FnMut(KnownSession),
    ) -> Result<(), ReadError> {
        let sql = r#"SELECT "host", "id", "account", "peer_ip", "begin_minute", "end_minute",
                            "pruned_first", "pruned_last", "pruned_wire_in", "pruned_wire_out",
                            "pruned_payload_in", "pruned_payload_out"
                     FROM sshmeter_session
                     WHERE "host" IN (HOSTS) AND "end_minute" >= ? AND "begin_minute" < ?"#;
        self.of_hosts(sql, hosts, &ends(period), |columns| {
            each(KnownSession {
                id: columns.id()?,
                account: columns.number()?,
                peer: Endpoint::parse_known_ip(&columns.word()?),
                span: columns.span()?,
                pruned: columns.pruned()?,
            });
            Ok(())
        })
    }

    fn session_minutes(
        &mut self,
        hosts: &[i64],
        period: Period,
        mut each: impl FnMut(Amount),
    ) -> Result<(), ReadError> {
        let sql = r#"SELECT "host", "session", "minute", "wire_in", "wire_out", "payload_in",
                            "payload_out"
                     FROM sshmeter_minute WHERE "host" IN (HOSTS) AND "minute" >= ? AND "minute" < ?"#;
        self.of_hosts(sql, hosts, &ends(period), |columns| {
            each(Amount {
                of: columns.id()?,
                at: Minute(columns.number()?),
                traffic: columns.traffic()?,
            });
            Ok(())
        })
    }
}

impl<A: Ask> MirrorRows<'_, A> {
    /// Asks for rows of some hosts. In `sql` the word HOSTS stands for the list of
    /// them, which comes before all values.
    fn of_hosts(
        &mut self,
        sql: &str,
        hosts: &[i64],
        values: &[i64],
        mut each: impl FnMut(&mut Columns) -> Result<(), ReadError>,
    ) -> Result<(), ReadError> {
        for hosts in hosts.chunks(HOSTS_AT_ONCE) {
            let places = vec!["?"; hosts.len()].join(", ");
            let sql = sql.replace("HOSTS", &places);
            let values = hosts.iter().chain(values).copied();
            let values = values.map(Value::Integer).collect::<Vec<_>>();
            each_row(self.asked, &sql, &values, &mut each)?;
        }
        Ok(())
    }
}

fn ends(period: Period) -> [i64; 2] {
    [period.since().0, period.until().0]
}

/// What accounts moved, row by row, or added up by the server.
fn amounts_sql(protocol: Protocol, unit: Unit, is_summed: bool) -> String {
    // A minute's account is its session's.
    let by_session = r#"sshmeter_minute AS moved JOIN sshmeter_session AS its
                          ON its."host" = moved."host" AND its."id" = moved."session""#;
    let (rows, account, start) = match unit {
        Unit::Minute => (by_session, r#"its."account""#, r#"moved."minute""#),
        Unit::Hour => ("sshmeter_hour AS moved", ACCOUNT, START),
        Unit::Day => ("sshmeter_day AS moved", ACCOUNT, START),
        Unit::Month => ("sshmeter_month AS moved", ACCOUNT, START),
    };
    let figures = ["wire_in", "wire_out", "payload_in", "payload_out"];
    let figures = figures.map(|figure| {
        let figure = format!(r#"moved."{figure}""#);
        if is_summed {
            whole(protocol, &format!("SUM({figure})"))
        } else {
            figure
        }
    });
    let (at, group) = if is_summed {
        (
            String::new(),
            format!(r#"GROUP BY moved."host", {account}"#),
        )
    } else {
        (format!("{start}, "), String::new())
    };
    format!(
        r#"SELECT moved."host", {account}, {at}{} FROM {rows}
           WHERE moved."host" IN (HOSTS) AND {start} >= ? AND {start} < ? {group}"#,
        figures.join(", ")
    )
}

/// An integer of 64 bits, whatever the server makes of a sum.
pub(super) fn whole(protocol: Protocol, expression: &str) -> String {
    let kind = match protocol {
        Protocol::Mysql => "SIGNED",
        Protocol::Postgres => "BIGINT",
    };
    format!("CAST({expression} AS {kind})")
}

/// Asks, and reads each row; ends with the first that cannot be read.
pub(super) fn each_row(
    asked: &mut impl Ask,
    sql: &str,
    values: &[Value],
    mut each: impl FnMut(&mut Columns) -> Result<(), ReadError>,
) -> Result<(), ReadError> {
    let mut read = Ok(());
    asked.ask(sql, values, &mut |row| {
        if read.is_ok() {
            read = each(&mut Columns(row.into_iter()));
        }
    })?;
    read
}

/// A row's columns, from the first to the last.
pub(super) struct Columns(vec::IntoIter<Value>);

impl Columns {
    pub(super) fn maybe_number(&mut self) -> Result<Option<i64>, ReadError> {
        match self.0.next() {
            Some(Value::Integer(number)) => Ok(Some(number)),
            Some(Value::Null) => Ok(None),
            _ => Err(strange("no number where one belongs")),
        }
    }

    pub(super) fn number(&mut self) -> Result<i64, ReadError> {
        self.maybe_number()?
            .ok_or_else(|| strange("no number where one belongs"))
    }

    pub(super) fn maybe_word(&mut self) -> Result<Option<String>, ReadError> {
        match self.0.next() {
            Some(Value::Text(text)) => Ok(Some(text)),
            Some(Value::Null) => Ok(None),
            _ => Err(strange("no text where one belongs")),
        }
    }

    pub(super) fn word(&mut self) -> Result<String, ReadError> {
        self.maybe_word()?
            .ok_or_else(|| strange("no text where one belongs"))
    }

    fn id(&mut self) -> Result<RowId, ReadError> {
        Ok(RowId {
            host: self.number()?,
            id: self.number()?,
        })
    }

    fn span(&mut self) -> Result<SessionSpan, ReadError> {
        let begin = Minute(self.number()?);
        let end = self.number()?;
        Ok(SessionSpan {
            begin,
            end: (end != OPEN).then_some(Minute(end)),
        })
    }

    fn pruned(&mut self) -> Result<Option<PrunedMinutes>, ReadError> {
        let (first, last) = (self.maybe_number()?, self.maybe_number()?);
        let traffic = self.traffic()?;
        Ok(first.zip(last).map(|(first, last)| PrunedMinutes {
            first: Minute(first),
            last: Minute(last),
            traffic,
        }))
    }

    fn traffic(&mut self) -> Result<Traffic, ReadError> {
        Ok(Traffic {
            wire: self.flow()?,
            payload: self.flow()?,
        })
    }

    fn flow(&mut self) -> Result<Option<Flow>, ReadError> {
        let (inbound, outbound) = (self.maybe_number()?, self.maybe_number()?);
        // A figure of ours is never negative.
        let bytes = |figure: i64| u64::try_from(figure).unwrap_or(0);
        Ok(inbound.zip(outbound).map(|(inbound, outbound)| Flow {
            inbound: bytes(inbound),
            outbound: bytes(outbound),
        }))
    }
}

fn strange(detail: &str) -> ReadError {
    ReadError::Strange(detail.to_owned())
}
