//! A period's sessions, counted while SQLite finds them.
//!
//! There can be hundreds of thousands. To have each handed out takes SQLite longer than
//! to find it: its machine stops, and every column is asked for by itself. A function
//! of ours, which SQLite calls with a row's columns, spares that and counts them there
//! and then.

use std::sync::mpsc::{self, Sender};

use rusqlite::{
    Connection,
    functions::{Aggregate, Context, FunctionFlags},
};
use sshmeter_core::report::{Request, SpanCounts};

use super::answers::span_of;

/// Counts the sessions that were open at some time in the period asked for.
pub(super) fn span_counts(
    connection: &Connection,
    request: &Request,
) -> rusqlite::Result<SpanCounts> {
    let (counted, counts) = mpsc::channel();
    let none_yet = SpanCounts::of(request);
    let counting = Counting {
        none_yet: none_yet.clone(),
        counted,
    };
    // For our questions alone, and for nothing that stands in a file.
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DIRECTONLY;
    connection.create_aggregate_function("count_spans", 3, flags, counting)?;
    let period = request.period;
    connection.query_row(
        "SELECT count_spans(account, begin_minute, end_minute) FROM session
         WHERE end_minute >= ?1 AND begin_minute < ?2",
        [period.since().0, period.until().0],
        |_| Ok(()),
    )?;
    Ok(counts.try_recv().unwrap_or(none_yet))
}

/// Counts, and hands over what was counted: SQLite knows no such value.
struct Counting {
    none_yet: SpanCounts,
    counted: Sender<SpanCounts>,
}

impl Aggregate<SpanCounts, Option<i64>> for Counting {
    fn init(&self, _: &mut Context<'_>) -> rusqlite::Result<SpanCounts> {
        Ok(self.none_yet.clone())
    }

    fn step(&self, row: &mut Context<'_>, counts: &mut SpanCounts) -> rusqlite::Result<()> {
        counts.add(row.get(0)?, span_of(row.get(1)?, row.get(2)?));
        Ok(())
    }

    fn finalize(
        &self,
        _: &mut Context<'_>,
        counts: Option<SpanCounts>,
    ) -> rusqlite::Result<Option<i64>> {
        if let Some(counts) = counts {
            // Whoever asked is there until he has the answer.
            let _sent = self.counted.send(counts);
        }
        Ok(None)
    }
}
