//! The transactions that bring a host's rows to a server: a run of keys of a whole
//! copy, or the next changes. Each takes the host's turn first, and says how far
//! the rows have come with it.

use jiff::Timestamp;
use sshmeter_core::{report::Kept, time::Unit, units::Minute};

use super::{
    batch,
    error::MirrorError,
    history::History,
    host::{self, HostRow, Identity, Progress},
    server::{Server, ServerError},
};
use crate::{
    config::Resolution,
    store::{Reader, Row, RowKey, Table},
};

/// The transactions of one attempt.
pub(super) struct Turn<'a> {
    pub(super) server: &'a mut Server,
    pub(super) identity: &'a Identity,
    pub(super) resolution: Resolution,
    /// Rows in one transaction.
    pub(super) limit: usize,
    /// Counts the rows that were written.
    pub(super) rows: &'a mut usize,
    pub(super) history: &'a History,
}

impl Turn<'_> {
    /// Copies the next run of a table's keys: writes the rows that the ledger has in
    /// it, and clears what else the server has. Neither is more than a transaction
    /// shall hold.
    pub(super) async fn copy(
        &mut self,
        reader: &mut Reader,
        row: HostRow,
        table: Table,
        after: Option<RowKey>,
    ) -> Result<HostRow, MirrorError> {
        let mut rows = if tables(self.resolution).contains(&table) {
            reader.rows_after(table, after, self.limit)?
        } else {
            Vec::new()
        };
        let facts = self.facts(reader.facts()?.kept, reader);
        let last_here = (rows.len() == self.limit)
            .then(|| rows.last().map(|row| row.key))
            .flatten();
        let last_there = batch::last_key(self.server, row.number, table, after, self.limit).await?;
        let up_to = last_here.into_iter().chain(last_there).min();
        if let Some(up_to) = up_to {
            rows.retain(|row| row.key <= up_to);
        }
        let progress = Progress {
            copied: match up_to {
                Some(up_to) => Some((table, Some(up_to))),
                None => following(table).map(|next| (next, None)),
            },
            ..row.progress.clone()
        };
        self.begin(&row, &progress, &facts).await?;
        batch::clear(self.server, row.number, table, after, up_to).await?;
        self.write(row.number, &rows).await?;
        self.commit(row, progress).await
    }

    /// Sends the next changes, and says whether there are more.
    pub(super) async fn changes(
        &mut self,
        reader: &mut Reader,
        row: HostRow,
    ) -> Result<(HostRow, bool), MirrorError> {
        let tables = tables(self.resolution);
        let changes = reader.changes(row.progress.revision, self.limit, tables)?;
        // The list may have been begun anew, or cut off, since this attempt began.
        let journal = changes.journal.ok_or(MirrorError::NotNoted)?;
        if journal.id != row.progress.journal || journal.floor > row.progress.revision {
            return Err(MirrorError::Overtaken);
        }
        let progress = Progress {
            revision: changes.up_to,
            ..row.progress.clone()
        };
        let facts = self.facts(changes.facts.kept, reader);
        self.begin(&row, &progress, &facts).await?;
        self.write(row.number, &changes.rows).await?;
        Ok((self.commit(row, progress).await?, changes.more))
    }

    fn facts(&self, kept: Kept, reader: &Reader) -> host::Facts {
        let now = Minute::of(Timestamp::now());
        host::Facts {
            // Without minutes there is no hour that only they tell of.
            current_hour: match self.resolution {
                Resolution::Minute => reader.calendar().bucket(Unit::Hour, now).start.0,
                _ => i64::MAX,
            },
            kept,
        }
    }

    async fn begin(
        &mut self,
        row: &HostRow,
        progress: &Progress,
        facts: &host::Facts,
    ) -> Result<(), MirrorError> {
        self.history.may_reach(progress.revision);
        self.server.run("BEGIN").await?;
        row.take_turn(self.server, self.identity, progress, facts)
            .await
    }

    async fn write(&mut self, host: i64, rows: &[Row]) -> Result<(), MirrorError> {
        *self.rows += rows.len();
        match (batch::write(self.server, host, rows).await, rows) {
            (Err(source @ ServerError::TooLarge { .. }), [one]) => Err(MirrorError::RowTooLarge {
                table: one.table.name(),
                source,
            }),
            (written, _) => Ok(written?),
        }
    }

    async fn commit(&mut self, row: HostRow, progress: Progress) -> Result<HostRow, MirrorError> {
        self.server.run("COMMIT").await?;
        Ok(row.after(progress))
    }
}

/// The tables of a resolution: whoever reads minutes wants the sessions too.
fn tables(resolution: Resolution) -> &'static [Table] {
    use Table::{Account, Day, Hour, Month};
    match resolution {
        Resolution::Minute => &Table::ALL,
        Resolution::Hour => &[Account, Hour, Day, Month],
        Resolution::Day => &[Account, Day, Month],
        Resolution::Month => &[Account, Month],
    }
}

/// The table that is copied after another.
fn following(table: Table) -> Option<Table> {
    let place = Table::ALL.iter().position(|one| *one == table)?;
    Table::ALL.get(place + 1).copied()
}
