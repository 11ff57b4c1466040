//! Reading the ledger, while a daemon writes it or without one.
//!
//! A reader opens the file read-only and sees one commit throughout a question.
//! In WAL mode it neither waits for the writer nor makes it wait.

use std::{
    collections::HashMap,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, ErrorCode, OpenFlags, params};
use sshmeter_core::{
    identity::{Credential, UserName},
    report::{
        Account, Builder, Kept, Key, Note, Place, Report, Request, Segment, SessionSpan, Who, plan,
    },
    time::{Calendar, Period, Unit},
    units::Minute,
};

use super::{
    amounts::{table_of, traffic_at},
    distrust::{Patience, allow_tables_only},
    error::{Doing, StoreError},
    retain::kept,
    schema::{self, Format, MIGRATIONS, OPEN},
    sessions::PrunedMinutes,
    writer::refuse_foreign,
    zone::{ledger_zone, zone_named},
};

/// How long a reader waits for a lock that only recovery takes.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The ledger, open for reading.
#[derive(Debug)]
pub struct Reader {
    connection: Connection,
    patience: Patience,
    path: PathBuf,
    format: i64,
    calendar: Calendar,
    zone_name: String,
}

impl Reader {
    /// Opens the ledger.
    ///
    /// # Errors
    /// There is none, it may not be read, or it is no ledger this sshmeter
    /// knows.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        std::fs::metadata(path)
            .map_err(|error| StoreError::from_io(path, Doing::Reading, error))?;
        refuse_foreign(path)?;
        let (connection, patience) = connect(path)?;
        let newest = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
        let format = match schema::format_of(&connection, path, Doing::Reading, newest)? {
            Format::Empty => return Err(StoreError::Missing(path.to_owned())),
            Format::Ledger(format) if format < newest => {
                return Err(StoreError::Older {
                    path: path.to_owned(),
                    found: format,
                });
            }
            Format::Ledger(format) => format,
        };
        let zone_name = ledger_zone(&connection, path, Doing::Reading)?;
        Ok(Self {
            calendar: Calendar::new(zone_named(&zone_name)?),
            connection,
            patience,
            path: path.to_owned(),
            format,
            zone_name,
        })
    }

    /// The name of the zone whose hours, days and months the ledger keeps.
    #[must_use]
    pub fn zone(&self) -> &str {
        &self.zone_name
    }

    /// The calendar of that zone.
    #[must_use]
    pub fn calendar(&self) -> &Calendar {
        &self.calendar
    }

    /// The ledger's format.
    #[must_use]
    pub fn format(&self) -> i64 {
        self.format
    }

    /// Whether nothing was ever counted.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn is_empty(&self) -> Result<bool, StoreError> {
        self.connection
            .query_row(
                "SELECT NOT EXISTS (SELECT 1 FROM session) AND NOT EXISTS (SELECT 1 FROM month)",
                [],
                |row| row.get(0),
            )
            .map_err(|error| self.failed(error))
    }

    /// Answers a question.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn report(&mut self, request: &Request) -> Result<Report, StoreError> {
        self.in_snapshot(|connection, calendar| {
            let kept = kept(connection)?;
            let accounts = accounts(connection)?;
            let builder = Builder::new(request.clone(), &accounts, kept.hours_since);
            let question = Question {
                connection,
                ledger: calendar,
                request,
                kept,
                builder,
            };
            if request.needs_sessions() {
                question.by_session()
            } else {
                question.by_account(&accounts)
            }
        })
    }

    /// Runs reads that all see the same commit.
    pub(super) fn in_snapshot<T>(
        &mut self,
        work: impl FnOnce(&Connection, &Calendar) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        let Self {
            connection,
            patience,
            path,
            calendar,
            ..
        } = self;
        connection
            .transaction()
            .and_then(|transaction| {
                patience.begin(&transaction)?;
                work(&transaction, calendar)
            })
            .map_err(|error| StoreError::from_sqlite(path, Doing::Reading, error))
    }

    /// The connection, for the check of its rows.
    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// From here on one more question to the whole of the file may be asked.
    pub(super) fn begin_question(&self) -> rusqlite::Result<()> {
        self.patience.begin(&self.connection)
    }

    pub(super) fn failed(&self, error: rusqlite::Error) -> StoreError {
        StoreError::from_sqlite(&self.path, Doing::Reading, error)
    }
}

pub(super) fn connect(path: &Path) -> Result<(Connection, Patience), StoreError> {
    let failed = |error| StoreError::from_sqlite(path, Doing::Reading, error);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(failed)?;
    match first_read(connection) {
        Ok(ready) => Ok(ready),
        Err(error) if is_cannot_open(&error) && !has_unsaved_log(path) => {
            // No daemon runs and SQLite may not make its -shm here: nobody
            // else writes, so the file can be read as it lies.
            let uri = immutable_uri(path);
            let flags = flags | OpenFlags::SQLITE_OPEN_URI;
            Connection::open_with_flags(uri, flags)
                .and_then(first_read)
                .map_err(failed)
        }
        Err(error) if is_cannot_open(&error) => Err(StoreError::Beside(path.to_owned())),
        Err(error) => Err(failed(error)),
    }
}

/// Makes a connection ready, and reads for the first time.
fn first_read(mut connection: Connection) -> rusqlite::Result<(Connection, Patience)> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    allow_tables_only(&connection)?;
    let patience = Patience::with(&mut connection)?;
    connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok((connection, patience))
}

fn is_cannot_open(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly)
    )
}

/// Whether commits lie beside the file that are not yet in it.
fn has_unsaved_log(path: &Path) -> bool {
    let mut name = path.as_os_str().to_owned();
    name.push("-wal");
    std::fs::metadata(name).is_ok_and(|metadata| metadata.len() > 0)
}

fn immutable_uri(path: &Path) -> String {
    let mut uri = String::from("file:");
    for &byte in path.as_os_str().as_bytes() {
        if byte.is_ascii_alphanumeric() || b"/._-".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            uri.push_str(&format!("%{byte:02X}"));
        }
    }
    uri.push_str("?immutable=1");
    uri
}

/// All there are.
pub(super) fn accounts(connection: &Connection) -> rusqlite::Result<Vec<Account>> {
    connection
        .prepare_cached("SELECT id, user, credential FROM account ORDER BY id")?
        .query_map([], |row| {
            Ok(Account {
                id: row.get(0)?,
                who: who(row.get(1)?),
                credential: row.get::<_, Option<String>>(2)?.map(Credential::new),
            })
        })?
        .collect()
}

fn who(user: Option<String>) -> Who {
    user.map_or(Who::Nameless, |user| Who::User(UserName::new(user)))
}

/// A question on its way to its report.
struct Question<'a> {
    connection: &'a Connection,
    ledger: &'a Calendar,
    request: &'a Request,
    kept: Kept,
    builder: Builder,
}

impl Question<'_> {
    /// From the rows kept by account, and minutes where those are too coarse.
    fn by_account(mut self, accounts: &[Account]) -> rusqlite::Result<Report> {
        let mut places = HashMap::new();
        for account in accounts {
            let subject = Key {
                user: Some(account.who.clone()),
                credential: account.credential.clone(),
                ..Key::default()
            };
            places.insert(account.id, self.builder.place(&subject));
        }
        for period in self.periods_with_rows()? {
            let (segments, notes) = plan(
                period,
                self.request.per,
                &self.request.calendar,
                self.ledger,
                self.kept,
            );
            for segment in segments {
                self.read_segment(segment, &places)?;
            }
            for note in notes {
                self.builder.note(note);
            }
        }
        self.count_sessions(&places)?;
        Ok(self.builder.finish())
    }

    /// The parts of the period in which there can be rows: whole runs of months
    /// that have some. A period of a thousand years, or a row that a clock gone
    /// wrong put there, costs no more than the months that were metered.
    fn periods_with_rows(&self) -> rusqlite::Result<Vec<Period>> {
        let asked = self.request.period;
        let mut statement = self
            .connection
            .prepare_cached("SELECT min(start) FROM month WHERE start >= ?1")?;
        let mut periods: Vec<Period> = Vec::new();
        let mut from = self.ledger.bucket(Unit::Month, asked.since()).start;
        loop {
            let first: Option<i64> = statement.query_row([from.0], |row| row.get(0))?;
            let Some(first) = first.map(Minute).filter(|first| *first < asked.until()) else {
                return Ok(periods);
            };
            let month = self.ledger.bucket(Unit::Month, first);
            let since = month.start.max(asked.since());
            let until = month.end.min(asked.until());
            match periods.last_mut() {
                Some(last) if last.until() == since => *last = Period::new(last.since(), until),
                _ => periods.push(Period::new(since, until)),
            }
            from = month.end;
        }
    }

    fn read_segment(
        &mut self,
        segment: Segment,
        places: &HashMap<i64, Place>,
    ) -> rusqlite::Result<()> {
        let sql = if segment.unit == Unit::Minute {
            "SELECT minute.minute, session.account, minute.wire_in, minute.wire_out,
                    minute.payload_in, minute.payload_out
             FROM minute JOIN session ON session.id = minute.session
             WHERE minute.minute >= ?1 AND minute.minute < ?2"
                .to_owned()
        } else {
            format!(
                "SELECT start, account, wire_in, wire_out, payload_in, payload_out
                 FROM {} WHERE start >= ?1 AND start < ?2",
                table_of(segment.unit)
            )
        };
        let mut statement = self.connection.prepare_cached(&sql)?;
        let mut rows = statement.query([segment.from.0, segment.until.0])?;
        while let Some(row) = rows.next()? {
            if let Some(&place) = places.get(&row.get(1)?) {
                self.builder
                    .moved(place, Minute(row.get(0)?), traffic_at(row, 2)?);
            }
        }
        Ok(())
    }

    fn count_sessions(&mut self, places: &HashMap<i64, Place>) -> rusqlite::Result<()> {
        let mut statement = self.connection.prepare_cached(
            "SELECT account, begin_minute, end_minute FROM session
             WHERE end_minute >= ?1 AND begin_minute < ?2",
        )?;
        let period = self.request.period;
        let mut rows = statement.query([period.since().0, period.until().0])?;
        while let Some(row) = rows.next()? {
            if let Some(&place) = places.get(&row.get(0)?) {
                self.builder.opened(place, span(row.get(1)?, row.get(2)?));
            }
        }
        Ok(())
    }

    /// From the minutes of single sessions, and what they remember of those
    /// that have expired.
    fn by_session(mut self) -> rusqlite::Result<Report> {
        let places = self.read_sessions()?;
        let period = self.request.period;
        let mut statement = self.connection.prepare_cached(
            "SELECT minute, session, wire_in, wire_out, payload_in, payload_out
             FROM minute WHERE minute >= ?1 AND minute < ?2",
        )?;
        let mut rows = statement.query(params![period.since().0, period.until().0])?;
        while let Some(row) = rows.next()? {
            if let Some(&place) = places.get(&row.get(1)?) {
                self.builder
                    .moved(place, Minute(row.get(0)?), traffic_at(row, 2)?);
            }
        }
        if let Some(kept_since) = self.kept.hours_since
            && period.since() < kept_since
        {
            self.builder.note(Note::SessionsExpired { kept_since });
        }
        Ok(self.builder.finish())
    }

    /// Counts the sessions of the period, adds their expired minutes, and
    /// gives the places of those whose single minutes are still to be added.
    fn read_sessions(&mut self) -> rusqlite::Result<HashMap<i64, Place>> {
        let period = self.request.period;
        let mut places = HashMap::new();
        let (mut cut, mut merged) = (0, 0);
        let mut statement = self.connection.prepare_cached(
            "SELECT session.id, account.user, account.credential, peer_ip, begin_minute,
                    end_minute, pruned_first, pruned_last,
                    pruned_wire_in, pruned_wire_out, pruned_payload_in, pruned_payload_out
             FROM session JOIN account ON account.id = session.account
             WHERE end_minute >= ?1 AND begin_minute < ?2",
        )?;
        let mut rows = statement.query([period.since().0, period.until().0])?;
        while let Some(row) = rows.next()? {
            let id: i64 = row.get(0)?;
            let subject = Key {
                user: Some(who(row.get(1)?)),
                credential: row.get::<_, Option<String>>(2)?.map(Credential::new),
                peer: row.get::<_, String>(3)?.parse().ok(),
                session: Some(id),
            };
            let place = self.builder.place(&subject);
            self.builder.opened(place, span(row.get(4)?, row.get(5)?));
            let first: Option<i64> = row.get(6)?;
            let last: Option<i64> = row.get(7)?;
            let pruned = first.zip(last).map(|(first, last)| PrunedMinutes {
                first: Minute(first),
                last: Minute(last),
                traffic: traffic_at(row, 8).unwrap_or_default(),
            });
            match pruned {
                // Part of an amount is not known, so neither is the sum.
                Some(pruned) if pruned.are_cut_by(period) => {
                    cut += 1;
                    continue;
                }
                Some(pruned) if period.contains(pruned.first) => {
                    merged += u64::from(!self.builder.is_in_one_bucket(pruned.first, pruned.last));
                    self.builder.moved(place, pruned.first, pruned.traffic);
                }
                _ => {}
            }
            places.insert(id, place);
        }
        if cut > 0 {
            self.builder.note(Note::SessionsCut { sessions: cut });
        }
        if merged > 0 {
            self.builder.note(Note::SessionsMerged { sessions: merged });
        }
        Ok(places)
    }
}

fn span(begin: i64, end: i64) -> SessionSpan {
    SessionSpan {
        begin: Minute(begin),
        end: (end != OPEN).then_some(Minute(end)),
    }
}
