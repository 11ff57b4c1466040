//! Amounts on their way to hours, days and months: summed first, so that each
//! row is written once however many minutes and sessions share it.

use std::collections::BTreeMap;

use rusqlite::Connection;
use sshmeter_core::{
    time::{Buckets, Calendar, Unit},
    units::{Minute, Traffic},
};

use super::amounts::{ACCOUNT_UNITS, AmountError, Amounts};

/// Amounts summed by the rows they belong to, so that each row is written once.
pub(super) struct BucketSums {
    buckets: [(Unit, Buckets); 3],
    sums: BTreeMap<(Unit, Minute, i64), Traffic>,
}

impl BucketSums {
    pub(super) fn new(calendar: &Calendar) -> Self {
        Self {
            buckets: ACCOUNT_UNITS.map(|unit| (unit, Buckets::new(calendar.clone(), unit))),
            sums: BTreeMap::new(),
        }
    }

    pub(super) fn add(&mut self, account: i64, minute: Minute, traffic: Traffic) {
        for (unit, buckets) in &mut self.buckets {
            let start = buckets.of(minute).start;
            let sum = self.sums.entry((*unit, start, account)).or_default();
            *sum = sum.plus(traffic);
        }
    }

    /// Adds them to their rows.
    pub(super) fn store(self, connection: &Connection) -> Result<(), AmountError> {
        let mut rows: Option<(Unit, Amounts<'_>)> = None;
        for ((unit, start, account), traffic) in self.sums {
            let amounts = match &mut rows {
                Some((of, amounts)) if *of == unit => amounts,
                _ => &mut rows.insert((unit, Amounts::of(connection, unit)?)).1,
            };
            amounts.add(start, account, traffic)?;
        }
        Ok(())
    }

    pub(super) fn finish(self) -> BTreeMap<(Unit, Minute, i64), Traffic> {
        self.sums
    }
}
