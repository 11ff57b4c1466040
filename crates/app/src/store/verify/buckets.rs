//! Hours against their minutes, days against their hours, months against their
//! days: for every account, for as long as the finer rows are kept.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension as _};
use sshmeter_core::{
    time::{Bucket, Unit},
    units::Minute,
};

use super::{
    Check,
    fault::{Columns, Subject, Wrong, differences},
};
use crate::store::amounts::{ACCOUNT_UNITS, table_of};

/// Two kinds of rows that say the same.
#[derive(Clone, Copy)]
struct Pair {
    fine: Unit,
    coarse: Unit,
    /// Both are complete from here on.
    since: Option<Minute>,
}

impl Check<'_> {
    pub(super) fn buckets(&mut self) -> rusqlite::Result<()> {
        for unit in ACCOUNT_UNITS {
            self.rows_alone(unit)?;
            self.starts(unit)?;
        }
        let kept = self.kept()?;
        // Minutes of connections that may still be named can outlive their hours.
        for (fine, coarse, since) in [
            (
                Unit::Minute,
                Unit::Hour,
                kept.minutes_since.max(kept.hours_since),
            ),
            (Unit::Hour, Unit::Day, kept.hours_since.max(kept.days_since)),
            (Unit::Day, Unit::Month, kept.days_since),
        ] {
            self.pair(Pair {
                fine,
                coarse,
                since,
            })?;
        }
        Ok(())
    }

    /// What can be seen of a row without any other.
    fn rows_alone(&mut self, unit: Unit) -> rusqlite::Result<()> {
        let table = table_of(unit);
        let count =
            self.connection
                .query_row(&format!("SELECT count(*) FROM {table}"), [], |row| {
                    row.get::<_, i64>(0)
                })?;
        self.counted(table, u64::try_from(count).unwrap_or(0));
        let mut statement = self.connection.prepare(&format!(
            "SELECT start, account, wire_in, wire_out, payload_in, payload_out,
                    account NOT IN (SELECT id FROM account)
             FROM {table}
             WHERE wire_in < 0 OR wire_out < 0 OR payload_in < 0 OR payload_out < 0
                OR (wire_in IS NULL) <> (wire_out IS NULL)
                OR (payload_in IS NULL) <> (payload_out IS NULL)
                OR account NOT IN (SELECT id FROM account)"
        ))?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let owner = self.owner(row.get(1)?);
            let mut wrongs = Columns::at(row, 2)?.impossible("its ");
            if row.get(6)? {
                let words = format!(
                    "it belongs to account {}, which is not there",
                    owner.account
                );
                wrongs.push(Wrong::Told(words));
            }
            let start = Minute(row.get(0)?);
            self.tell_all(&Subject::Bucket { unit, start, owner }, wrongs);
        }
        Ok(())
    }

    /// Every row begins where the zone's calendar begins an hour, day or month.
    fn starts(&mut self, unit: Unit) -> rusqlite::Result<()> {
        let table = table_of(unit);
        let mut statement = self.connection.prepare(&format!(
            "SELECT start, account FROM {table} WHERE start >= ?1 ORDER BY start, account LIMIT 1"
        ))?;
        let mut from = Some(i64::MIN);
        while let Some(least) = from {
            let next = statement
                .query_row([least], |row| Ok((Minute(row.get(0)?), row.get(1)?)))
                .optional()?;
            let Some((start, account)) = next else {
                return Ok(());
            };
            if self.calendar.bucket(unit, start).start != start {
                let owner = self.owner(account);
                let words = format!("no {table} of the ledger's time zone begins there");
                self.tell(Subject::Bucket { unit, start, owner }, Wrong::Told(words));
            }
            from = start.0.checked_add(1);
        }
        Ok(())
    }

    fn pair(&mut self, pair: Pair) -> rusqlite::Result<()> {
        let mut fine = Rows::of(self.connection, pair.fine)?;
        let mut coarse = Rows::of(self.connection, pair.coarse)?;
        let mut from = pair.since.unwrap_or(Minute(i64::MIN));
        loop {
            let next = [fine.first(from)?, coarse.first(from)?];
            let Some(next) = next.into_iter().flatten().min() else {
                return Ok(());
            };
            let bucket = self.calendar.bucket(pair.coarse, next);
            self.compare(pair, bucket, fine.sums(bucket)?, &coarse.sums(bucket)?);
            if bucket.end <= next {
                return Ok(());
            }
            from = bucket.end;
        }
    }

    fn compare(&mut self, pair: Pair, bucket: Bucket, mut fine: Sums, coarse: &Sums) {
        for account in coarse.keys() {
            fine.entry(*account).or_default();
        }
        for (account, of_fine) in fine {
            let of_coarse = coarse.get(&account).copied().unwrap_or_default();
            let by = [by_finer(pair.fine), "itself"];
            // Nothing and nothing known are as good as each other here.
            let agree =
                |one: Option<i128>, other: Option<i128>| one.unwrap_or(0) == other.unwrap_or(0);
            if let Some(wrong) = differences(by, of_fine, of_coarse, agree) {
                let subject = Subject::Bucket {
                    unit: pair.coarse,
                    start: bucket.start,
                    owner: self.owner(account),
                };
                self.tell(subject, wrong);
            }
        }
    }
}

fn by_finer(unit: Unit) -> &'static str {
    match unit {
        Unit::Minute => "its minutes",
        Unit::Hour => "its hours",
        Unit::Day | Unit::Month => "its days",
    }
}

/// By account.
type Sums = BTreeMap<i64, Columns>;

/// The rows of one unit, asked for by time.
struct Rows<'a> {
    first: rusqlite::Statement<'a>,
    between: rusqlite::Statement<'a>,
}

impl<'a> Rows<'a> {
    fn of(connection: &'a Connection, unit: Unit) -> rusqlite::Result<Self> {
        let table = table_of(unit);
        // A minute of a session that is not there is told with the sessions.
        let (first, between) = if unit == Unit::Minute {
            (
                "SELECT minute FROM minute WHERE minute >= ?1 ORDER BY minute LIMIT 1".to_owned(),
                "SELECT session.account, minute.wire_in, minute.wire_out,
                        minute.payload_in, minute.payload_out
                 FROM minute JOIN session ON session.id = minute.session
                 WHERE minute.minute >= ?1 AND minute.minute < ?2"
                    .to_owned(),
            )
        } else {
            (
                format!("SELECT start FROM {table} WHERE start >= ?1 ORDER BY start LIMIT 1"),
                format!(
                    "SELECT account, wire_in, wire_out, payload_in, payload_out
                     FROM {table} WHERE start >= ?1 AND start < ?2"
                ),
            )
        };
        Ok(Self {
            first: connection.prepare(&first)?,
            between: connection.prepare(&between)?,
        })
    }

    /// The first row at or after a minute.
    fn first(&mut self, from: Minute) -> rusqlite::Result<Option<Minute>> {
        self.first
            .query_row([from.0], |row| row.get(0).map(Minute))
            .optional()
    }

    fn sums(&mut self, bucket: Bucket) -> rusqlite::Result<Sums> {
        let mut sums = Sums::new();
        let mut rows = self.between.query([bucket.start.0, bucket.end.0])?;
        while let Some(row) = rows.next()? {
            let sum = sums.entry(row.get(0)?).or_default();
            sum.add(Columns::at(row, 1)?);
        }
        Ok(sums)
    }
}
