//! The minutes of some sessions, in rows that are kept in the order of time.
//!
//! There is no index by session: to keep one costs every commit more than all else
//! it does. A walk through the minutes leaps over what is not asked for instead. So
//! one session costs a leap a minute, and very many cost no more than reading all rows.

use std::collections::BTreeMap;

use rusqlite::{Connection, Row};
use sshmeter_core::units::{Minute, Traffic};

use super::amounts::traffic_at;

/// So many rows of others are passed by before one leap is cheaper.
const PASSED_BY: usize = 8;

/// The sessions asked for, each with the last minute that it can have.
pub(super) type Wanted = BTreeMap<i64, Minute>;

/// What a session moved in a minute.
#[derive(Clone, Copy, Debug)]
pub(super) struct SessionMinute {
    pub(super) session: i64,
    pub(super) minute: Minute,
    pub(super) traffic: Traffic,
}

impl SessionMinute {
    fn of(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            minute: Minute(row.get(0)?),
            session: row.get(1)?,
            traffic: traffic_at(row, 2)?,
        })
    }
}

/// Gives each minute that a session has from `from` to before `until`, in the order
/// of time.
pub(super) fn each_minute(
    connection: &Connection,
    mut wanted: Wanted,
    [from, until]: [Minute; 2],
    mut each: impl FnMut(SessionMinute),
) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(
        "SELECT minute, session, wire_in, wire_out, payload_in, payload_out FROM minute
         WHERE (minute, session) >= (?1, ?2) AND minute < ?3 ORDER BY minute, session",
    )?;
    let mut next = next_of(&mut wanted, from, i64::MIN);
    while let Some((minute, session)) = next.take() {
        let mut rows = statement.query([minute.0, session, until.0])?;
        let mut passed_by = 0;
        while let Some(row) = rows.next()? {
            let row = SessionMinute::of(row)?;
            if wanted.contains_key(&row.session) {
                each(row);
                passed_by = 0;
                continue;
            }
            passed_by += 1;
            if passed_by == PASSED_BY {
                next = next_of(&mut wanted, row.minute, row.session);
                break;
            }
        }
    }
    Ok(())
}

/// The first place, from a minute and session on, where there can be a row that is
/// wanted. Who can have none any more is wanted no longer.
fn next_of(wanted: &mut Wanted, minute: Minute, session: i64) -> Option<(Minute, i64)> {
    first_of(wanted, minute, session)
        .map(|session| (minute, session))
        .or_else(|| {
            let minute = minute.next();
            first_of(wanted, minute, i64::MIN).map(|session| (minute, session))
        })
}

fn first_of(wanted: &mut Wanted, minute: Minute, from: i64) -> Option<i64> {
    loop {
        let (&session, &last) = wanted.range(from..).next()?;
        if minute <= last {
            return Some(session);
        }
        wanted.remove(&session);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::{collection, prelude::*};

    use super::*;
    use crate::store::schema::{self, MIGRATIONS};

    fn ledger(rows: &BTreeSet<(i64, i64)>) -> Connection {
        let mut connection = Connection::open_in_memory().expect("a ledger");
        schema::migrate(&mut connection, "ledger".as_ref(), MIGRATIONS, |_| Ok(()))
            .expect("its tables");
        for row in rows {
            connection
                .execute("INSERT INTO minute VALUES (?1, ?2, 1, 1, 1, 1)", *row)
                .expect("a row");
        }
        connection
    }

    proptest! {
        #[test]
        fn all_minutes_that_are_wanted_are_found_in_the_order_of_time(
            rows in collection::btree_set((0i64..60, 0i64..60), 0..900),
            wanted in collection::btree_map(0i64..60, 0i64..60, 0..20),
            within in (0i64..60, 0i64..61),
        ) {
            // None has a minute after its last.
            let rows = rows.into_iter().filter(|(minute, session)| {
                wanted.get(session).is_none_or(|last| minute <= last)
            });
            let rows = rows.collect::<BTreeSet<_>>();
            let (from, until) = within;
            let expected = rows.iter().copied().filter(|(minute, session)| {
                wanted.contains_key(session) && (from..until).contains(minute)
            });
            let expected = expected.collect::<Vec<_>>();
            let mut found = Vec::new();
            let wanted = wanted.iter().map(|(session, last)| (*session, Minute(*last)));
            each_minute(
                &ledger(&rows),
                wanted.collect(),
                [Minute(from), Minute(until)],
                |row| found.push((row.minute.0, row.session)),
            )
            .expect("rows");
            prop_assert_eq!(found, expected);
        }
    }
}
