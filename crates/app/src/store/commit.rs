//! What a commit writes: sessions as they stand, entries added to their
//! minutes and to the hours, days and months of whom they belong to.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension as _, params};
use sshmeter_core::{
    identity::{Credential, SocketId},
    ledger::{Batch, Checkpoint, Entry, Login, SessionRecord},
    time::{Calendar, Unit},
    units::Minute,
};

use super::{
    amounts::{AmountError, Columns, add, flow_columns},
    bucket_sums::BucketSums,
    error::StoreError,
    move_account::move_account,
    schema::OPEN,
};

/// A session's row number and the account it is booked under.
#[derive(Clone, Copy, Debug)]
struct Stored {
    session: i64,
    account: i64,
}

/// Writes all of a batch.
pub(super) fn store_batch(
    connection: &Connection,
    calendar: &Calendar,
    batch: &Batch,
) -> Result<(), AmountError> {
    let mut known = HashMap::new();
    for record in &batch.sessions {
        let stored = store_session(connection, calendar, record)?;
        known.insert(&record.id, stored);
    }
    store_entries(connection, calendar, &batch.entries, known)?;
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
    record: &SessionRecord,
) -> Result<Stored, AmountError> {
    let Some(found) = find_session(connection, &record.id)? else {
        let account = account_of(connection, record.login.as_ref())?;
        write_session(connection, record, account)?;
        return Ok(Stored {
            session: connection.last_insert_rowid(),
            account,
        });
    };
    let account = account_of(connection, record.login.as_ref())?;
    if account != found.account {
        move_account(connection, calendar, found.session, found.account, account)?;
    }
    write_session(connection, record, account)?;
    Ok(Stored {
        session: found.session,
        account,
    })
}

fn find_session(connection: &Connection, id: &SocketId) -> Result<Option<Stored>, AmountError> {
    let found = connection
        .prepare_cached("SELECT id, account FROM session WHERE boot = ?1 AND cookie = ?2")?
        .query_row(params![id.boot.0, id.cookie.0.cast_signed()], |row| {
            Ok(Stored {
                session: row.get(0)?,
                account: row.get(1)?,
            })
        })
        .optional()?;
    Ok(found)
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

/// Writes the session's row, new or as it was known.
fn write_session(
    connection: &Connection,
    record: &SessionRecord,
    account: i64,
) -> Result<(), AmountError> {
    let reading = Columns::try_from(record.reading.0)?;
    let total = Columns::try_from(record.total)?;
    let [socket_in, socket_out] = flow_columns(record.counters.and_then(|it| it.socket))?;
    let [rule_in, rule_out] = flow_columns(record.counters.and_then(|it| it.rule))?;
    let begin = Minute::of(record.opened).0;
    let login = record.login.as_ref();
    let closed = record.closed.as_ref();
    connection
        .prepare_cached(
            "INSERT INTO session (boot, cookie, account, method, peer_ip, peer_port, local_ip,
                 local_port, pid, opened_ms, closed_ms, reason, begin_minute, end_minute,
                 reading_wire_in, reading_wire_out, reading_payload_in, reading_payload_out,
                 total_wire_in, total_wire_out, total_payload_in, total_payload_out,
                 socket_wire_in, socket_wire_out, rule_wire_in, rule_wire_out)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14,
                 ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23, ?24, ?25, ?26)
             ON CONFLICT (boot, cookie) DO UPDATE SET
                 account = excluded.account,
                 method = excluded.method,
                 peer_ip = excluded.peer_ip, peer_port = excluded.peer_port,
                 local_ip = excluded.local_ip, local_port = excluded.local_port,
                 pid = excluded.pid, opened_ms = excluded.opened_ms,
                 closed_ms = excluded.closed_ms, reason = excluded.reason,
                 begin_minute = min(begin_minute, excluded.begin_minute),
                 end_minute = max(excluded.end_minute, begin_minute,
                     ifnull(pruned_last, excluded.end_minute), ifnull(
                         (SELECT max(minute) FROM minute WHERE minute.session = session.id),
                         excluded.end_minute)),
                 reading_wire_in = excluded.reading_wire_in,
                 reading_wire_out = excluded.reading_wire_out,
                 reading_payload_in = excluded.reading_payload_in,
                 reading_payload_out = excluded.reading_payload_out,
                 total_wire_in = excluded.total_wire_in,
                 total_wire_out = excluded.total_wire_out,
                 total_payload_in = excluded.total_payload_in,
                 total_payload_out = excluded.total_payload_out,
                 socket_wire_in = excluded.socket_wire_in,
                 socket_wire_out = excluded.socket_wire_out,
                 rule_wire_in = excluded.rule_wire_in,
                 rule_wire_out = excluded.rule_wire_out",
        )?
        .execute(params![
            record.id.boot.0,
            record.id.cookie.0.cast_signed(),
            account,
            login.and_then(|login| login.method.as_ref()),
            record.peer.ip().to_string(),
            record.peer.port(),
            record.local.ip().to_string(),
            record.local.port(),
            record.pid.map(|pid| pid.0),
            record.opened.as_millisecond(),
            closed.map(|closing| closing.at.as_millisecond()),
            closed.map(|closing| &closing.reason),
            begin,
            end_minute(record).max(begin),
            reading.wire_in,
            reading.wire_out,
            reading.payload_in,
            reading.payload_out,
            total.wire_in,
            total.wire_out,
            total.payload_in,
            total.payload_out,
            socket_in,
            socket_out,
            rule_in,
            rule_out,
        ])?;
    Ok(())
}

fn end_minute(record: &SessionRecord) -> i64 {
    record
        .closed
        .as_ref()
        .map_or(OPEN, |closing| Minute::of(closing.at).0)
}

/// Adds the entries to their minutes, and their sums to hours, days and months.
fn store_entries<'a>(
    connection: &Connection,
    calendar: &Calendar,
    entries: &'a [Entry],
    mut known: HashMap<&'a SocketId, Stored>,
) -> Result<(), AmountError> {
    let mut sums = BucketSums::new(calendar);
    for entry in entries {
        if entry.traffic.is_nothing() {
            continue;
        }
        let stored = match known.get(&entry.session) {
            Some(stored) => *stored,
            None => {
                let found = find_session(connection, &entry.session)?;
                let stored = found.ok_or(StoreError::UnknownSession {
                    cookie: entry.session.cookie.0,
                })?;
                known.insert(&entry.session, stored);
                stored
            }
        };
        add(
            connection,
            Unit::Minute,
            entry.minute,
            stored.session,
            entry.traffic,
        )?;
        connection
            .prepare_cached(
                "UPDATE session SET begin_minute = min(begin_minute, ?2),
                     end_minute = max(end_minute, ?2)
                 WHERE id = ?1 AND (begin_minute > ?2 OR end_minute < ?2)",
            )?
            .execute([stored.session, entry.minute.0])?;
        sums.add(stored.account, entry.minute, entry.traffic);
    }
    for ((unit, start, account), traffic) in sums.finish() {
        add(connection, unit, start, account, traffic)?;
    }
    Ok(())
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
