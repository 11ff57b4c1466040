//! A session is named after bytes were booked: they move to the name. Where a
//! name is taken back, they move back to nobody.
//!
//! What a session's kept minutes say moves in hours, days and months. What
//! retention has already folded away stays where it is, as nobody knows its
//! hours any more; retention therefore leaves nameless sessions alone while
//! they may still be named.

use rusqlite::Connection;
use sshmeter_core::{
    time::Calendar,
    units::{Minute, Traffic},
};

use super::{
    amounts::{AmountError, Amounts, take, traffic_at},
    bucket_sums::BucketSums,
};

/// Moves a session's amounts from one account's rows to another's.
pub(super) fn move_account(
    connection: &Connection,
    calendar: &Calendar,
    session: i64,
    from: i64,
    to: i64,
) -> Result<(), AmountError> {
    let mut sums = BucketSums::new(calendar);
    for (minute, traffic) in minutes_of(connection, session)? {
        sums.add(to, minute, traffic);
    }
    for ((unit, start, _), traffic) in sums.finish() {
        take(connection, unit, start, from, traffic)?;
        Amounts::of(connection, unit)?.add(start, to, traffic)?;
    }
    Ok(())
}

fn minutes_of(connection: &Connection, session: i64) -> rusqlite::Result<Vec<(Minute, Traffic)>> {
    connection
        .prepare_cached(
            "SELECT minute, wire_in, wire_out, payload_in, payload_out
             FROM minute WHERE session = ?1",
        )?
        .query_map([session], |row| {
            Ok((Minute(row.get(0)?), traffic_at(row, 1)?))
        })?
        .collect()
}
