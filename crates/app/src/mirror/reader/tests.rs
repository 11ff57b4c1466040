//! A mirror answers as the ledgers do that were copied into it. SQLite stands for
//! a server, since it understands the SQL of rows; what hosts say of themselves
//! comes from a list.

use std::{collections::VecDeque, time::Duration};

use rusqlite::{Connection, params_from_iter, types};
use sshmeter_core::{
    report::{By, Kept, Note, Per, Selection},
    time::{Calendar, Period, Unit},
    units::Minute,
};

use super::*;
use crate::{
    config::Retention,
    mirror::reader::hosts::check_format,
    store::{
        Reader, Table,
        sample::{SampleFolder, instant, minute, sample_month},
    },
};

/// The tables of a mirror.
struct Database(Connection);

impl Database {
    fn new() -> Self {
        Self(Connection::open_in_memory().unwrap())
    }

    fn copy(&self, folder: &SampleFolder, host: i64) {
        let path = folder.ledger();
        let path = path.to_str().unwrap();
        self.0.execute("ATTACH ? AS ledger", [path]).unwrap();
        for table in Table::ALL {
            let name = table.name();
            let columns = table.columns().iter().map(|(column, _)| *column);
            let columns = table.key().iter().copied().chain(columns);
            let columns = columns.collect::<Vec<_>>().join(", ");
            let rows = format!("SELECT {host} AS host, {columns} FROM ledger.{name}");
            let words = if host == 1 {
                format!("CREATE TABLE sshmeter_{name} AS {rows}")
            } else {
                format!("INSERT INTO sshmeter_{name} {rows}")
            };
            self.0.execute_batch(&words).unwrap();
        }
        self.0.execute_batch("DETACH ledger").unwrap();
    }

    fn report(&mut self, hosts: &[Host], request: &Request) -> Report {
        let mut rows = MirrorRows { asked: self, hosts };
        answer(&mut rows, request).unwrap()
    }
}

impl Ask for Database {
    fn protocol(&self) -> Protocol {
        Protocol::Postgres
    }

    fn ask(
        &mut self,
        sql: &str,
        values: &[Value],
        each: &mut dyn FnMut(Vec<Value>),
    ) -> Result<(), ReadError> {
        let values = values.iter().map(|value| match value {
            Value::Null => types::Value::Null,
            Value::Integer(number) => types::Value::Integer(*number),
            Value::Text(text) => types::Value::Text(text.clone()),
        });
        let mut statement = self.0.prepare(sql).unwrap();
        let columns = statement.column_count();
        let mut rows = statement.query(params_from_iter(values)).unwrap();
        while let Some(row) = rows.next().unwrap() {
            let row = (0..columns).map(|column| match row.get_unwrap(column) {
                types::Value::Integer(number) => Value::Integer(number),
                types::Value::Text(text) => Value::Text(text),
                _ => Value::Null,
            });
            each(row.collect());
        }
        Ok(())
    }
}

/// Answers that were written before, one after the other.
struct Written {
    protocol: Protocol,
    answers: VecDeque<Vec<Vec<Value>>>,
}

impl Ask for Written {
    fn protocol(&self) -> Protocol {
        self.protocol
    }

    fn ask(
        &mut self,
        _: &str,
        _: &[Value],
        each: &mut dyn FnMut(Vec<Value>),
    ) -> Result<(), ReadError> {
        self.answers.pop_front().unwrap().into_iter().for_each(each);
        Ok(())
    }
}

fn written(answers: impl IntoIterator<Item = Vec<Vec<Value>>>) -> Written {
    Written {
        protocol: Protocol::Mysql,
        answers: answers.into_iter().collect(),
    }
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn now() -> Timestamp {
    instant("2026-11-22T17:05:30Z")
}

/// A ledger in which minutes before the 20th of November have expired.
fn ledger() -> SampleFolder {
    let folder = SampleFolder::new();
    sample_month(&folder);
    let retention = Retention {
        minute: Some(Duration::from_secs(3 * 24 * 60 * 60)),
        hour: None,
        day: None,
    };
    let mut writer = folder.writer("Europe/Berlin");
    while writer.retain(now(), &retention).unwrap().more {}
    folder
}

/// The host of such a ledger.
fn host(number: i64, reader: &Reader) -> Host {
    Host {
        number,
        id: format!("{number:032x}"),
        name: HostName::new(format!("web{number}")),
        calendar: reader.calendar().clone(),
        kept: Kept {
            minutes_since: Some(minute("2026-11-19T17:00:00Z")),
            ..Kept::default()
        },
        has_sessions: true,
    }
}

/// Questions of every kind about November, and about a part of it that no row
/// but minutes fits.
fn requests() -> Vec<Request> {
    let periods = [
        ("2026-10-31T23:00:00Z", "2026-11-30T23:00:00Z"),
        ("2026-11-04T22:30:00Z", "2026-11-22T13:01:00Z"),
        ("2026-11-22T09:30:00Z", "2026-11-22T16:17:00Z"),
    ];
    let pers = [
        Per::Total,
        Per::Bucket(Unit::Minute),
        Per::Bucket(Unit::Hour),
        Per::Bucket(Unit::Day),
        Per::Bucket(Unit::Month),
    ];
    let bys = [By::User, By::Credential, By::Peer, By::Session, By::Host];
    let mut requests = Vec::new();
    for (since, until) in periods {
        for per in pers {
            for by in bys {
                requests.push(Request {
                    period: Period::new(minute(since), minute(until)),
                    calendar: Calendar::new(TimeZone::get("Asia/Kathmandu").unwrap()),
                    by: vec![by],
                    per,
                    selection: Selection {
                        users: Vec::new(),
                        nameless: by == By::User,
                    },
                });
            }
        }
    }
    requests
}

#[test]
fn a_mirror_of_one_host_answers_as_its_ledger() {
    let folder = ledger();
    let mut reader = folder.reader().host_name(HostName::new("web1"));
    let mut database = Database::new();
    database.copy(&folder, 1);
    // The last of the ledger's minutes is 16:01: by then nothing was to come.
    let until_now = Some(minute("2026-11-22T16:17:00Z"));
    let questions = requests().into_iter();
    for (request, until) in questions.flat_map(|one| [(one.clone(), None), (one, until_now)]) {
        let mut host = host(1, &reader);
        host.kept.until = until;
        let ours = reader.report(&request).unwrap();
        let theirs = database.report(&[host], &request);
        assert_eq!(theirs.rows, ours.rows, "{request:?}");
        assert_eq!(theirs.total, ours.total, "{request:?}");
        assert_eq!(theirs.left_out, ours.left_out, "{request:?}");
        assert_eq!(theirs.notes, ours.notes, "{request:?}");
    }
}

#[test]
fn two_hosts_are_twice_as_much() {
    let folder = ledger();
    let mut reader = folder.reader();
    let mut database = Database::new();
    database.copy(&folder, 1);
    database.copy(&folder, 2);
    let hosts = [host(1, &reader), host(2, &reader)];
    for request in requests() {
        let one = reader.report(&request).unwrap();
        let both = database.report(&hosts, &request);
        let doubled = one.total.traffic.plus(one.total.traffic);
        assert_eq!(both.total.traffic, doubled, "{request:?}");
        let twice = |sessions: Option<u64>| sessions.map(|sessions| 2 * sessions);
        assert_eq!(both.total.sessions, twice(one.total.sessions));
        let is_by_host = matches!(request.by[0], By::Host | By::Session);
        let rows = one.rows.len() * if is_by_host { 2 } else { 1 };
        assert_eq!(both.rows.len(), rows, "{request:?}");
    }
}

#[test]
fn more_hosts_than_a_statement_takes_are_asked_for_in_turn() {
    let folder = ledger();
    let reader = folder.reader();
    let mut database = Database::new();
    database.copy(&folder, 1);
    let hosts = (-1_500..=1).map(|number| host(number, &reader));
    let hosts = hosts.collect::<Vec<_>>();
    let request = &requests()[0];
    let all = database.report(&hosts, request);
    assert_eq!(
        all.total,
        database.report(&[host(1, &reader)], request).total
    );
    assert!(all.total.sessions > Some(0));
}

fn host_row(number: i64, zone: &str, resolution: &str) -> Vec<Value> {
    vec![
        Value::Integer(number),
        text(&"0".repeat(32)),
        text("web"),
        text(zone),
        text(resolution),
        Value::Integer(60),
        Value::Null,
        Value::Integer(0),
        Value::Integer(i64::from(number == 2)),
        Value::Integer(number * 100 - 150),
        Value::Integer(60),
    ]
}

#[test]
fn hosts_keep_what_their_resolution_says() {
    let rows = ["minute", "hour", "day", "month"]
        .into_iter()
        .zip(1..)
        .map(|(resolution, number)| host_row(number, "Europe/Berlin", resolution));
    let (hosts, standings) = hosts::read(&mut written([rows.collect()]), now()).unwrap();
    let never = Some(Kept::NEVER);
    let kept = hosts.iter().map(|host| {
        let kept = host.kept;
        (kept.minutes_since, kept.hours_since, kept.days_since)
    });
    let zero = Some(Minute(0));
    assert_eq!(
        kept.collect::<Vec<_>>(),
        [
            (Some(Minute(60)), None, zero),
            (never, None, zero),
            (never, never, zero),
            (never, never, never),
        ]
    );
    let until = hosts.iter().map(|host| host.kept.until);
    assert_eq!(
        until.collect::<Vec<_>>(),
        [Some(minute("2026-11-22T17:06:00Z")); 4]
    );
    let has_sessions = hosts.iter().map(|host| host.has_sessions);
    assert_eq!(
        has_sessions.collect::<Vec<_>>(),
        [true, false, false, false]
    );
    let copied = standings.iter().map(|standing| standing.is_being_copied);
    assert_eq!(copied.collect::<Vec<_>>(), [false, true, false, false]);
    let ago = standings
        .iter()
        .map(|standing| standing.heard_ago.as_secs());
    assert_eq!(ago.collect::<Vec<_>>(), [0, 50, 150, 250]);
    assert_ne!(standings[0].name, standings[1].name);
}

#[test]
fn a_host_without_minutes_is_counted_by_hours() {
    let folder = ledger();
    let reader = folder.reader();
    let mut database = Database::new();
    database.copy(&folder, 1);
    let mut host = host(1, &reader);
    host.has_sessions = false;
    host.kept.minutes_since = Some(Kept::NEVER);
    // The part of a day that only minutes tell.
    let request = &requests()[2 * 25];
    let report = database.report(&[host], request);
    let (unit, kept_since) = (Unit::Hour, None);
    assert_eq!(report.notes, [Note::Coarser { unit, kept_since }]);
    assert_eq!(report.total.sessions, None);
}

fn address() -> Address {
    Address::parse("mysql://meter@db1/meters").unwrap()
}

#[test]
fn a_database_without_a_mirror_or_with_a_later_one_is_refused() {
    let one = |number| vec![vec![Value::Integer(number)]];
    for (answers, sentence) in [
        (
            vec![one(0)],
            "no sshmeter has mirrored into the database meters",
        ),
        (
            vec![one(1), vec![]],
            "no sshmeter has mirrored into the database meters",
        ),
        (
            vec![one(1), one(2)],
            "has format 2, and this sshmeter knows formats up to 1",
        ),
    ] {
        let error = check_format(&mut written(answers), &address()).unwrap_err();
        assert!(error.to_string().ends_with(sentence), "{error}");
        assert!(error.hint().is_some());
    }
    check_format(&mut written([one(1), one(1)]), &address()).unwrap();
}

#[test]
fn what_no_sshmeter_writes_is_told() {
    let error = |row| hosts::read(&mut written([vec![row]]), now()).unwrap_err();
    let zone = error(host_row(1, "Mars/Olympus", "minute"));
    assert!(zone.to_string().contains("`Mars/Olympus`"), "{zone}");
    let resolution = error(host_row(1, "UTC", "second"));
    assert!(
        resolution.to_string().contains("resolution"),
        "{resolution}"
    );
    let mut short = host_row(1, "UTC", "minute");
    short.pop();
    assert!(matches!(error(short), ReadError::Strange(_)));
}
