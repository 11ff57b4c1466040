//! A session is named after bytes were booked: they move to the name. Where a
//! name is taken back, they move back to nobody.
//!
//! What a session's kept minutes say moves in hours, days and months. What
//! retention has already folded away stays where it is, as nobody knows its
//! hours any more; retention therefore leaves nameless sessions alone while
//! they may still be named.

use rusqlite::Connection;
use sshmeter_core::time::Calendar;

use super::{
    amounts::{AmountError, Amounts, take},
    bucket_sums::BucketSums,
    session_rows::Stored,
};

/// Moves a session's amounts from its account's rows to another's.
pub(super) fn move_account(
    connection: &Connection,
    calendar: &Calendar,
    known: Stored,
    to: i64,
) -> Result<(), AmountError> {
    let mut sums = BucketSums::new(calendar);
    known.each_minute(connection, |row| {
        sums.add(to, row.minute, row.traffic);
    })?;
    for ((unit, start, _), traffic) in sums.finish() {
        take(connection, unit, start, known.account, traffic)?;
        Amounts::of(connection, unit)?.add(start, to, traffic)?;
    }
    Ok(())
}
