//! Retention: old rows are deleted, and nothing else happens to them.
//!
//! Coarser rows were written with the finer ones, so nothing has to be folded.
//! A session remembers what its deleted minutes held. Deleting goes in small
//! steps, so that a commit never waits long.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use jiff::{SignedDuration, Timestamp};
use rusqlite::{Connection, params};
use sshmeter_core::{
    report::Kept,
    time::{Calendar, Unit},
    units::{Minute, Traffic},
};

use super::{
    amounts::{AmountError, Columns, table_of, traffic_at},
    error::StoreError,
    schema::{meta, set_meta},
    writer::Writer,
};
use crate::config::Retention;

/// Rows deleted in one transaction.
const STEP_ROWS: usize = 2_000;

/// How long one call goes on with the next step.
const BUDGET: Duration = Duration::from_millis(50);

/// What one call of [`Writer::retain`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retained {
    /// Rows deleted.
    pub rows: usize,
    /// More is to be deleted: call again soon.
    pub more: bool,
}

impl Writer {
    /// Deletes rows that are older than their time, for at most about a
    /// twentieth of a second.
    ///
    /// # Errors
    /// The ledger cannot be written. What was deleted before stays deleted,
    /// and is still in the coarser rows.
    pub fn retain(
        &mut self,
        now: Timestamp,
        retention: &Retention,
    ) -> Result<Retained, StoreError> {
        let started = Instant::now();
        let mut retained = Retained::default();
        for expiry in expiries(&self.calendar, now, retention) {
            loop {
                let rows = self.in_transaction(|connection, _| expiry.step(connection))?;
                retained.rows += rows;
                if rows < STEP_ROWS {
                    break;
                }
                if started.elapsed() >= BUDGET {
                    retained.more = true;
                    return Ok(retained);
                }
            }
        }
        Ok(retained)
    }
}

/// What is to go.
#[derive(Clone, Copy, Debug)]
enum Expiry {
    Minutes { before: Minute },
    Coarse { unit: Unit, before: Minute },
    Sessions { before: Minute },
}

/// What a retention makes expire now. Each kind ends where a row of the next
/// coarser kind begins, so that no row is ever half covered by finer ones.
fn expiries(calendar: &Calendar, now: Timestamp, retention: &Retention) -> Vec<Expiry> {
    let before = |kept: Option<Duration>, coarser: Unit| {
        let kept = SignedDuration::try_from(kept?).ok()?;
        let oldest = now.checked_sub(kept).ok()?;
        Some(calendar.bucket(coarser, Minute::of(oldest)).start)
    };
    let minutes = before(retention.minute, Unit::Hour).map(|before| Expiry::Minutes { before });
    let hours_before = before(retention.hour, Unit::Day);
    let hours = hours_before.map(|before| Expiry::Coarse {
        unit: Unit::Hour,
        before,
    });
    let sessions = hours_before.map(|before| Expiry::Sessions { before });
    let days = before(retention.day, Unit::Month).map(|before| Expiry::Coarse {
        unit: Unit::Day,
        before,
    });
    [minutes, hours, sessions, days]
        .into_iter()
        .flatten()
        .collect()
}

impl Expiry {
    /// Deletes some rows and says how many.
    fn step(self, connection: &Connection) -> Result<usize, AmountError> {
        let (rows, key, before) = match self {
            Self::Minutes { before } => {
                (prune_minutes(connection, before)?, "minutes_since", before)
            }
            Self::Coarse { unit, before } => {
                let key = if unit == Unit::Hour {
                    "hours_since"
                } else {
                    "days_since"
                };
                (delete_coarse(connection, unit, before)?, key, before)
            }
            Self::Sessions { before } => {
                (delete_sessions(connection, before)?, "hours_since", before)
            }
        };
        // A ledger that lost nothing does not say that it did.
        if rows > 0 {
            let kept_since = since(connection, key)?.max(Some(before));
            if let Some(kept_since) = kept_since {
                set_meta(connection, key, &kept_since.0.to_string())?;
            }
        }
        Ok(rows)
    }
}

/// From when on each kind of row is complete.
pub(super) fn kept(connection: &Connection) -> rusqlite::Result<Kept> {
    Ok(Kept {
        minutes_since: since(connection, "minutes_since")?,
        hours_since: since(connection, "hours_since")?,
        days_since: since(connection, "days_since")?,
        until: None,
    })
}

fn since(connection: &Connection, key: &str) -> rusqlite::Result<Option<Minute>> {
    let text = meta(connection, key)?;
    Ok(text.and_then(|text| text.parse().ok()).map(Minute))
}

/// What a session's deleted minutes held.
struct Pruned {
    traffic: Traffic,
    first: Minute,
    last: Minute,
}

/// Deletes minutes, and adds them to what their sessions remember. Sessions
/// that may still be named keep theirs.
fn prune_minutes(connection: &Connection, before: Minute) -> Result<usize, AmountError> {
    let mut pruned: BTreeMap<i64, Pruned> = BTreeMap::new();
    let mut rows = 0;
    let mut statement = connection.prepare_cached(
        "SELECT minute.minute, minute.session, minute.wire_in, minute.wire_out,
                minute.payload_in, minute.payload_out
         FROM minute JOIN session ON session.id = minute.session
              JOIN account ON account.id = session.account
         WHERE minute.minute < ?1 AND (account.user IS NOT NULL OR session.end_minute < ?1)
         ORDER BY minute.minute LIMIT ?2",
    )?;
    let limit = i64::try_from(STEP_ROWS).unwrap_or(i64::MAX);
    let mut found = statement.query([before.0, limit])?;
    let mut keys = Vec::new();
    while let Some(row) = found.next()? {
        let (minute, session) = (Minute(row.get(0)?), row.get(1)?);
        let traffic = traffic_at(row, 2)?;
        let pruned = pruned.entry(session).or_insert(Pruned {
            traffic: Traffic::default(),
            first: minute,
            last: minute,
        });
        pruned.traffic = pruned.traffic.plus(traffic);
        pruned.first = pruned.first.min(minute);
        pruned.last = pruned.last.max(minute);
        keys.push((minute, session));
        rows += 1;
    }
    let mut delete =
        connection.prepare_cached("DELETE FROM minute WHERE minute = ?1 AND session = ?2")?;
    for (minute, session) in keys {
        delete.execute([minute.0, session])?;
    }
    for (session, pruned) in pruned {
        remember_pruned(connection, session, &pruned)?;
    }
    Ok(rows)
}

fn remember_pruned(
    connection: &Connection,
    session: i64,
    pruned: &Pruned,
) -> Result<(), AmountError> {
    let columns = Columns::try_from(pruned.traffic)?;
    connection
        .prepare_cached(
            "UPDATE session SET
                 pruned_wire_in     = coalesce(pruned_wire_in + ?2, pruned_wire_in, ?2),
                 pruned_wire_out    = coalesce(pruned_wire_out + ?3, pruned_wire_out, ?3),
                 pruned_payload_in  = coalesce(pruned_payload_in + ?4, pruned_payload_in, ?4),
                 pruned_payload_out = coalesce(pruned_payload_out + ?5, pruned_payload_out, ?5),
                 pruned_first = min(ifnull(pruned_first, ?6), ?6),
                 pruned_last = max(ifnull(pruned_last, ?7), ?7)
             WHERE id = ?1",
        )?
        .execute(params![
            session,
            columns.wire_in,
            columns.wire_out,
            columns.payload_in,
            columns.payload_out,
            pruned.first.0,
            pruned.last.0,
        ])?;
    Ok(())
}

fn delete_coarse(
    connection: &Connection,
    unit: Unit,
    before: Minute,
) -> Result<usize, AmountError> {
    let table = table_of(unit);
    let rows = connection
        .prepare_cached(&format!(
            "DELETE FROM {table} WHERE (start, account) IN
                 (SELECT start, account FROM {table} WHERE start < ?1 LIMIT {STEP_ROWS})"
        ))?
        .execute([before.0])?;
    Ok(rows)
}

/// Deletes sessions that ended long ago and have no minute left.
fn delete_sessions(connection: &Connection, before: Minute) -> Result<usize, AmountError> {
    let rows = connection
        .prepare_cached(&format!(
            "DELETE FROM session WHERE id IN
                 (SELECT id FROM session WHERE end_minute < ?1
                  AND NOT EXISTS (SELECT 1 FROM minute
                      WHERE minute BETWEEN begin_minute AND end_minute
                        AND minute.session = session.id)
                  LIMIT {STEP_ROWS})"
        ))?
        .execute([before.0])?;
    Ok(rows)
}
