//! Figures between Rust's unsigned and SQLite's signed integers, and the rows
//! they are added to.
//!
//! A figure is NULL where unknown. A sum is that of the known ones, so adding
//! to NULL gives what was added.

use rusqlite::{CachedStatement, Connection, Row, params};
use sshmeter_core::{
    time::Unit,
    units::{Flow, Minute, Traffic},
};

use super::error::StoreError;

/// The four columns of one amount.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Columns {
    pub(super) wire_in: Option<i64>,
    pub(super) wire_out: Option<i64>,
    pub(super) payload_in: Option<i64>,
    pub(super) payload_out: Option<i64>,
}

impl TryFrom<Traffic> for Columns {
    type Error = StoreError;

    fn try_from(traffic: Traffic) -> Result<Self, StoreError> {
        let [wire_in, wire_out] = flow_columns(traffic.wire)?;
        let [payload_in, payload_out] = flow_columns(traffic.payload)?;
        Ok(Self {
            wire_in,
            wire_out,
            payload_in,
            payload_out,
        })
    }
}

/// The two columns of one flow.
pub(super) fn flow_columns(flow: Option<Flow>) -> Result<[Option<i64>; 2], StoreError> {
    let column = |figure: Option<u64>| {
        figure
            .map(|figure| i64::try_from(figure).map_err(|_| StoreError::TooLarge(figure)))
            .transpose()
    };
    Ok([
        column(flow.map(|flow| flow.inbound))?,
        column(flow.map(|flow| flow.outbound))?,
    ])
}

/// The amount in four columns of a row, the first of which is `first`.
pub(super) fn traffic_at(row: &Row<'_>, first: usize) -> rusqlite::Result<Traffic> {
    Ok(Traffic {
        wire: flow_at(row, first)?,
        payload: flow_at(row, first + 2)?,
    })
}

/// The flow in two columns of a row, the first of which is `first`.
pub(super) fn flow_at(row: &Row<'_>, first: usize) -> rusqlite::Result<Option<Flow>> {
    let inbound: Option<i64> = row.get(first)?;
    let outbound: Option<i64> = row.get(first + 1)?;
    Ok(inbound.zip(outbound).map(|(inbound, outbound)| Flow {
        inbound: unsigned(inbound),
        outbound: unsigned(outbound),
    }))
}

/// A figure of ours is never negative: the tables check it.
fn unsigned(figure: i64) -> u64 {
    u64::try_from(figure).unwrap_or(0)
}

/// The table that holds a unit's rows.
pub(super) fn table_of(unit: Unit) -> &'static str {
    match unit {
        Unit::Minute => "minute",
        Unit::Hour => "hour",
        Unit::Day => "day",
        Unit::Month => "month",
    }
}

/// The units whose rows are by account.
pub(super) const ACCOUNT_UNITS: [Unit; 3] = [Unit::Hour, Unit::Day, Unit::Month];

/// The rows of one unit, to be added to.
pub(super) struct Amounts<'a>(CachedStatement<'a>);

impl<'a> Amounts<'a> {
    pub(super) fn of(connection: &'a Connection, unit: Unit) -> rusqlite::Result<Self> {
        let table = table_of(unit);
        let (key, owner) = match unit {
            Unit::Minute => ("minute", "session"),
            Unit::Hour | Unit::Day | Unit::Month => ("start", "account"),
        };
        let sum = |figure| {
            format!(
                "{figure} = coalesce({figure} + excluded.{figure}, {figure}, excluded.{figure})"
            )
        };
        let sums = ["wire_in", "wire_out", "payload_in", "payload_out"].map(sum);
        let statement = connection.prepare_cached(&format!(
            "INSERT INTO {table} VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT ({key}, {owner}) DO UPDATE SET {}",
            sums.join(", ")
        ))?;
        Ok(Self(statement))
    }

    /// Adds to the row of a minute and session, or of a bucket's start and account.
    pub(super) fn add(
        &mut self,
        start: Minute,
        owner: i64,
        traffic: Traffic,
    ) -> Result<(), AmountError> {
        let columns = Columns::try_from(traffic)?;
        self.0.execute(params![
            start.0,
            owner,
            columns.wire_in,
            columns.wire_out,
            columns.payload_in,
            columns.payload_out
        ])?;
        Ok(())
    }
}

/// Takes from the row of a bucket's start and account. A figure of which
/// nothing is left is unknown again, and a row without figures goes.
pub(super) fn take(
    connection: &Connection,
    unit: Unit,
    start: Minute,
    account: i64,
    traffic: Traffic,
) -> Result<(), AmountError> {
    let columns = Columns::try_from(traffic)?;
    let table = table_of(unit);
    let left = |one: &str, place: u8| format!("max({one} - ifnull(?{place}, 0), 0)");
    let pair = |name: &str, place: u8| {
        let (inbound, outbound) = (format!("{name}_in"), format!("{name}_out"));
        let (left_in, left_out) = (left(&inbound, place), left(&outbound, place + 1));
        format!(
            "{inbound} = iif({left_in} = 0 AND {left_out} = 0, NULL, {left_in}),
             {outbound} = iif({left_in} = 0 AND {left_out} = 0, NULL, {left_out})"
        )
    };
    connection
        .prepare_cached(&format!(
            "UPDATE {table} SET {}, {} WHERE start = ?1 AND account = ?2",
            pair("wire", 3),
            pair("payload", 5),
        ))?
        .execute(params![
            start.0,
            account,
            columns.wire_in,
            columns.wire_out,
            columns.payload_in,
            columns.payload_out
        ])?;
    connection
        .prepare_cached(&format!(
            "DELETE FROM {table} WHERE start = ?1 AND account = ?2
             AND wire_in IS NULL AND payload_in IS NULL"
        ))?
        .execute(params![start.0, account])?;
    Ok(())
}

/// Why an amount could not be written, before it is known for which ledger.
#[derive(Debug)]
pub(super) enum AmountError {
    /// It is no figure for a ledger, or belongs to no session.
    Store(StoreError),
    /// SQLite refused.
    Sqlite(rusqlite::Error),
}

impl From<StoreError> for AmountError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<rusqlite::Error> for AmountError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl AmountError {
    /// The error with the ledger's path in it.
    pub(super) fn of(self, path: &std::path::Path) -> StoreError {
        match self {
            Self::Store(error) => error,
            Self::Sqlite(error) => {
                StoreError::from_sqlite(path, super::error::Doing::Writing, error)
            }
        }
    }
}
