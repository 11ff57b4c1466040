//! What a commit writes: sessions as they stand, entries added to their
//! minutes and to the hours, days and months of whom they belong to.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension as _, params};
use sshmeter_core::{
    identity::{Credential, SocketId},
    ledger::{Batch, Checkpoint, Entry, Login, SessionRecord},
    time::{Calendar, Unit},
};

use super::{
    amounts::{AmountError, Amounts},
    bucket_sums::BucketSums,
    error::StoreError,
    move_account::move_account,
    session_rows::{SessionRows, Stored},
};

/// Writes all of a batch.
pub(super) fn store_batch(
    connection: &Connection,
    calendar: &Calendar,
    batch: &Batch,
) -> Result<(), AmountError> {
    let mut rows = SessionRows::of(connection)?;
    let mut known = HashMap::with_capacity(batch.sessions.len());
    for record in &batch.sessions {
        let stored = store_session(connection, calendar, &mut rows, record)?;
        known.insert(&record.id, stored);
    }
    store_entries(connection, &mut rows, calendar, &batch.entries, known)?;
    if let Some(checkpoint) = &batch.checkpoint {
        store_checkpoint(connection, checkpoint)?;
    }
    Ok(())
}

/// Writes a session as it stands, and moves what it was booked under when it
/// is named, or its name is taken back.
fn store_session(
    connection: &Connection,
    calendar: &Calendar,
    rows: &mut SessionRows<'_>,
    record: &SessionRecord,
) -> Result<Stored, AmountError> {
    let found = rows.compare(record)?;
    if let Some(found) = found
        && found.goes_on
    {
        rows.go_on(found.stored.session, record)?;
        return Ok(found.stored);
    }
    let account = account_of(connection, record.login.as_ref())?;
    let known = found.map(|found| found.stored);
    if let Some(known) = known
        && known.account != account
    {
        move_account(connection, calendar, known, account)?;
    }
    rows.write(record, account, known)
}

/// The account of a login, made where there is none; without a login, that of
/// the nameless.
fn account_of(connection: &Connection, login: Option<&Login>) -> Result<i64, AmountError> {
    let user = login.map(|login| login.user.as_str());
    let credential = login
        .and_then(|login| login.credential.as_ref())
        .map(Credential::as_str);
    let found = connection
        .prepare_cached(
            "SELECT id FROM account
             WHERE (user IS NULL) = (?1 IS NULL) AND ifnull(user, '') = ifnull(?1, '')
               AND (credential IS NULL) = (?2 IS NULL)
               AND ifnull(credential, '') = ifnull(?2, '')",
        )?
        .query_row(params![user, credential], |row| row.get(0))
        .optional()?;
    if let Some(account) = found {
        return Ok(account);
    }
    connection
        .prepare_cached("INSERT INTO account (user, credential) VALUES (?1, ?2)")?
        .execute(params![user, credential])?;
    Ok(connection.last_insert_rowid())
}

/// Adds the entries to their minutes, and their sums to hours, days and months.
fn store_entries<'a>(
    connection: &Connection,
    rows: &mut SessionRows<'_>,
    calendar: &Calendar,
    entries: &'a [Entry],
    mut known: HashMap<&'a SocketId, Stored>,
) -> Result<(), AmountError> {
    let mut minutes = Amounts::of(connection, Unit::Minute)?;
    let mut sums = BucketSums::new(calendar);
    for entry in entries {
        if entry.traffic.is_nothing() {
            continue;
        }
        let stored = match known.get(&entry.session) {
            Some(stored) => *stored,
            None => {
                let found = rows.find(&entry.session)?;
                let stored = found.ok_or(StoreError::UnknownSession {
                    cookie: entry.session.cookie.0,
                })?;
                known.insert(&entry.session, stored);
                stored
            }
        };
        minutes.add(entry.minute, stored.session, entry.traffic)?;
        if !stored.spans(entry.minute) {
            rows.widen(stored.session, entry.minute)?;
        }
        sums.add(stored.account, entry.minute, entry.traffic);
    }
    sums.store(connection)
}

fn store_checkpoint(connection: &Connection, checkpoint: &Checkpoint) -> Result<(), AmountError> {
    let text = serde_json::to_string(checkpoint)
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
    connection
        .prepare_cached(
            "INSERT INTO checkpoint (id, value) VALUES (1, ?1)
             ON CONFLICT (id) DO UPDATE SET value = excluded.value",
        )?
        .execute([text])?;
    Ok(())
}
