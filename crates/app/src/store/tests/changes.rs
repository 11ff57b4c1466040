//! The list of changes: who follows it has every row as it stands, whatever
//! happens to the ledger meanwhile.

use std::{collections::BTreeMap, fs, ops::ControlFlow, os::unix::fs::MetadataExt as _};

use proptest::prelude::*;
use rusqlite::Connection;
use sshmeter_core::ledger::{Batch, SessionRecord};

use super::{
    super::{
        Kind, Reader, Row, RowKey, Table, Value, Writer, back_up,
        changes::Bounds,
        restore,
        sample::{SampleFolder, closed, instant, login, moved, sample_month, session, traffic},
    },
    check,
    properties::{Life, Step, ZONES, any_step, retention},
};

/// All rows of a ledger, or of what follows it.
type Rows = BTreeMap<(Table, RowKey), Vec<Value>>;

/// One thing that happens to a ledger or to what follows it.
#[derive(Clone, Debug)]
enum Event {
    Ledger(Step),
    Retain { days: (u64, u64, u64) },
    Forget { bounds: (i64, i64) },
    Reopen,
    Delete { name: &'static str },
    Anew,
    Follow { limit: usize },
}

fn any_event() -> impl Strategy<Value = Event> {
    prop_oneof![
        20 => any_step().prop_map(Event::Ledger),
        2 => (0u64..10, 0u64..5, 0u64..40).prop_map(|days| Event::Retain { days }),
        2 => (0i64..20, 0i64..60).prop_map(|bounds| Event::Forget { bounds }),
        1 => Just(Event::Reopen),
        1 => prop::sample::select(&["ledger.db", "ledger.db-wal"][..])
            .prop_map(|name| Event::Delete { name }),
        1 => Just(Event::Anew),
        12 => (1usize..30).prop_map(|limit| Event::Follow { limit }),
    ]
}

/// What a mirror does: it copies all rows, then follows.
#[derive(Default)]
struct Shadow {
    rows: Rows,
    journal: Option<String>,
    cursor: i64,
    /// The table and key that a copy of all rows has come to.
    copying: Option<(usize, Option<RowKey>)>,
    copies: usize,
}

impl Shadow {
    /// One step of at most `limit` rows; whether there is nothing more to do.
    fn follow(&mut self, reader: &mut Reader, limit: usize) -> bool {
        if let Some((place, after)) = self.copying {
            self.copy(reader, place, after, limit);
            return false;
        }
        let changes = reader
            .changes(self.cursor, limit, &Table::ALL)
            .expect("changes");
        let journal = changes.journal.expect("a journal");
        if self.journal.as_ref() != Some(&journal.id) || self.cursor < journal.floor {
            self.journal = Some(journal.id);
            self.cursor = journal.newest;
            self.copying = Some((0, None));
            self.copies += 1;
            return false;
        }
        assert!(changes.rows.len() <= limit);
        for row in changes.rows {
            match row.values {
                Some(values) => self.rows.insert((row.table, row.key), values),
                None => self.rows.remove(&(row.table, row.key)),
            };
        }
        assert!(changes.more || changes.up_to == journal.newest);
        self.cursor = changes.up_to;
        !changes.more
    }

    /// Copies the next rows, and takes away what is not among them.
    fn copy(&mut self, reader: &mut Reader, place: usize, after: Option<RowKey>, limit: usize) {
        let Some(&table) = Table::ALL.get(place) else {
            self.copying = None;
            return;
        };
        let rows = reader.rows_after(table, after, limit).expect("rows");
        let last = (rows.len() == limit).then(|| rows[limit - 1].key);
        self.rows.retain(|(of, key), _| {
            *of != table
                || after.is_some_and(|after| *key <= after)
                || last.is_some_and(|last| *key > last)
        });
        for row in rows {
            let values = row.values.expect("it is there");
            self.rows.insert((table, row.key), values);
        }
        self.copying = Some(match last {
            Some(key) => (place, Some(key)),
            None => (place + 1, None),
        });
    }
}

/// All that a ledger's tables hold, read without any of our own code.
fn all_rows(folder: &SampleFolder) -> Rows {
    let connection = Connection::open(folder.ledger()).expect("a ledger");
    let mut all = Rows::new();
    for table in Table::ALL {
        let columns = table.columns().iter().map(|(name, _)| *name);
        let columns: Vec<_> = table.key().iter().copied().chain(columns).collect();
        let sql = format!("SELECT {} FROM {}", columns.join(", "), table.name());
        let mut statement = connection.prepare(&sql).expect("a question");
        let mut rows = statement.query([]).expect("rows");
        while let Some(row) = rows.next().expect("a row") {
            let mut values: Vec<Value> = (0..columns.len())
                .map(|place| match row.get_ref_unwrap(place) {
                    rusqlite::types::ValueRef::Null => Value::Null,
                    rusqlite::types::ValueRef::Integer(number) => Value::Integer(number),
                    other => Value::Text(other.as_str().expect("a text").to_owned()),
                })
                .collect();
            let rest = values.split_off(table.key().len());
            let mut key = [0; 2];
            for (part, value) in key.iter_mut().zip(values) {
                let Value::Integer(number) = value else {
                    panic!("a key is no number: {value:?}")
                };
                *part = number;
            }
            all.insert((table, key), rest);
        }
    }
    all
}

fn recording(folder: &SampleFolder, zone: &str) -> Writer {
    let mut writer = folder.writer(zone);
    writer.record_changes(true).expect("a journal");
    writer
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn who_follows_has_every_row(
        before in prop::collection::vec(any_step(), 0..20),
        events in prop::collection::vec(any_event(), 1..120),
        zone in prop::sample::select(&ZONES[..]),
        limit in 1usize..20,
    ) {
        let folder = SampleFolder::new();
        let mut writer = folder.writer(zone);
        let mut life = Life::default();
        for step in &before {
            life.step(step, &mut writer);
        }
        writer.record_changes(true).expect("a journal");
        let mut shadow = Shadow::default();
        for event in &events {
            match event {
                Event::Ledger(step) => life.step(step, &mut writer),
                Event::Retain { days } => {
                    let _ = writer.retain(life.now(), &retention(*days)).expect("retention");
                }
                Event::Forget { bounds: (kept, longest) } => {
                    let bounds = Bounds { kept: *kept, longest: *longest };
                    let _ = writer.forget_within(shadow.cursor, bounds).expect("forgotten");
                }
                Event::Reopen => {
                    drop(writer);
                    writer = folder.writer(zone);
                }
                Event::Delete { name } => {
                    fs::remove_file(folder.ledger().with_file_name(name)).expect("a file");
                    // The next commit has to see it before anybody reads.
                    life.step(&Step::Commit, &mut writer);
                }
                Event::Anew => begin_anew(&mut writer),
                Event::Follow { limit } => {
                    let _ = shadow.follow(&mut folder.reader(), *limit);
                }
            }
        }
        life.step(&Step::Commit, &mut writer);
        let mut reader = folder.reader();
        while !shadow.follow(&mut reader, limit) {}
        drop(writer);
        prop_assert_eq!(shadow.rows, all_rows(&folder));
    }
}

fn follow_to_the_end(shadow: &mut Shadow, folder: &SampleFolder) {
    let mut reader = folder.reader();
    while !shadow.follow(&mut reader, 7) {}
    assert_eq!(shadow.rows, all_rows(folder));
}

fn one_more(writer: &mut Writer, cookie: u64) {
    let mut record = session(cookie, "198.51.100.7", "2026-11-22T10:00:00Z");
    record.login = Some(login("alice", "publickey", None));
    let entry = moved(&mut record, "2026-11-22T10:00:00Z", traffic(80, 8));
    let batch = Batch {
        sessions: vec![record],
        entries: vec![entry],
        checkpoint: None,
    };
    writer.commit(&batch).expect("a commit");
}

fn journal_of(folder: &SampleFolder) -> Option<String> {
    let journal = folder.reader().journal().expect("readable");
    journal.map(|journal| journal.id)
}

#[test]
fn a_change_that_was_not_noted_ends_the_journal() {
    let folder = SampleFolder::new();
    let mut writer = recording(&folder, "UTC");
    let mut shadow = Shadow::default();
    one_more(&mut writer, 1);
    follow_to_the_end(&mut shadow, &folder);
    let first = journal_of(&folder).expect("a journal");

    // Opened by somebody who does not ask for it, it is still kept.
    drop(writer);
    let mut writer = folder.writer("UTC");
    one_more(&mut writer, 2);
    follow_to_the_end(&mut shadow, &folder);
    assert_eq!(
        (journal_of(&folder), shadow.copies),
        (Some(first.clone()), 1)
    );

    writer.record_changes(false).expect("no journal");
    assert_eq!(journal_of(&folder), None);
    one_more(&mut writer, 3);
    let changes = folder.reader().changes(0, 10, &Table::ALL);
    let changes = changes.expect("readable");
    assert_eq!(
        (changes.journal, changes.rows, changes.more),
        (None, vec![], false)
    );
    writer.record_changes(true).expect("a journal");
    let second = journal_of(&folder).expect("a journal");
    assert_ne!(second, first);
    follow_to_the_end(&mut shadow, &folder);
    assert_eq!(shadow.copies, 2);

    begin_anew(&mut writer);
    assert_ne!(journal_of(&folder), Some(second));
    follow_to_the_end(&mut shadow, &folder);
    assert_eq!(shadow.copies, 3);
}

#[test]
fn a_ledger_that_is_put_back_has_no_journal() {
    let mut go_on = |_, _| ControlFlow::Continue(());
    let folder = SampleFolder::new();
    sample_month(&folder);
    let mut writer = recording(&folder, "Europe/Berlin");
    one_more(&mut writer, 70);
    let backup = folder.ledger().with_file_name("backup.db");
    back_up(&folder.ledger(), &backup, false, &mut go_on).expect("a backup");
    one_more(&mut writer, 71);
    let mut shadow = Shadow::default();
    follow_to_the_end(&mut shadow, &folder);
    drop(writer);

    let now = instant("2026-11-22T22:05:01Z");
    restore(&backup, &folder.ledger(), now, &mut go_on).expect("restored");
    assert_eq!(journal_of(&folder), None);
    let count = "SELECT count(*) FROM change";
    let connection = Connection::open(folder.ledger()).expect("a ledger");
    let listed: i64 = connection
        .query_row(count, [], |row| row.get(0))
        .expect("a count");
    assert_eq!(listed, 0);
    drop(connection);
    let mut writer = recording(&folder, "Europe/Berlin");
    one_more(&mut writer, 72);
    one_more(&mut writer, 73);
    follow_to_the_end(&mut shadow, &folder);
}

#[test]
fn without_a_mirror_nothing_is_noted() {
    let folder = SampleFolder::new();
    sample_month(&folder);
    let mut writer = folder.writer("Europe/Berlin");
    writer.record_changes(false).expect("no journal");
    one_more(&mut writer, 9);
    drop(writer);
    let connection = Connection::open(folder.ledger()).expect("a ledger");
    let noted = "SELECT (SELECT count(*) FROM change) +
                        (SELECT count(*) FROM meta WHERE key LIKE 'journal%')";
    let noted: i64 = connection
        .query_row(noted, [], |row| row.get(0))
        .expect("a count");
    assert_eq!(noted, 0);
}

#[test]
fn a_session_s_counters_alone_are_no_change() {
    let folder = SampleFolder::new();
    let mut writer = recording(&folder, "UTC");
    let mut record = session(1, "198.51.100.7", "2026-11-22T10:00:00Z");
    record.reading = sshmeter_core::counter::Reading(traffic(0, 0));
    let commit = |writer: &mut Writer, record: &SessionRecord| {
        let sessions = vec![record.clone()];
        writer
            .commit(&Batch {
                sessions,
                ..Batch::default()
            })
            .expect("a commit");
        folder
            .reader()
            .journal()
            .expect("readable")
            .expect("a journal")
            .newest
    };
    let newest = commit(&mut writer, &record);
    record.counters = Some(sshmeter_core::rule::Counters {
        socket: traffic(3, 4).wire,
        rule: traffic(1, 1).wire,
    });
    assert_eq!(commit(&mut writer, &record), newest);
    closed(&mut record, "2026-11-22T10:01:00Z", "closed");
    assert_eq!(commit(&mut writer, &record), newest + 1);
}

#[test]
fn every_mirrored_column_is_noted() {
    let folder = SampleFolder::new();
    sample_month(&folder);
    let writer = recording(&folder, "Europe/Berlin");
    let connection = &writer.connection;
    connection
        .execute_batch("PRAGMA foreign_keys = OFF")
        .expect("a pragma");
    for table in Table::ALL {
        for (column, kind) in table.columns() {
            let other = match kind {
                Kind::Number | Kind::MaybeNumber => format!("ifnull({column}, 0) + 1"),
                Kind::Word | Kind::MaybeWord => format!("ifnull({column}, '') || 'x'"),
            };
            let (name, keys) = (table.name(), table.key().join(", "));
            connection
                .execute_batch(&format!(
                    "DELETE FROM change;
                     UPDATE {name} SET {column} = {other}
                         WHERE ({keys}) = (SELECT {keys} FROM {name} LIMIT 1);"
                ))
                .expect("an update");
            let changes = folder.reader().changes(0, 10, &[table]).expect("changes");
            assert_eq!(changes.rows.len(), 1, "{name}.{column}");
        }
    }
}

#[test]
fn what_all_have_seen_is_forgotten_but_for_the_last() {
    let folder = SampleFolder::new();
    let mut writer = recording(&folder, "UTC");
    for cookie in 0..50 {
        one_more(&mut writer, cookie);
    }
    let journal = |folder: &SampleFolder| {
        folder
            .reader()
            .journal()
            .expect("readable")
            .expect("a journal")
    };
    let newest = journal(&folder).newest;
    assert_eq!(writer.forget_changes(newest).expect("kept").changes, 0);
    let bounds = Bounds {
        kept: 20,
        longest: 1_000,
    };
    let forgotten = writer
        .forget_within(newest - 10, bounds)
        .expect("forgotten");
    assert!(forgotten.changes > 0 && !forgotten.unseen && !forgotten.more);
    let floor = journal(&folder).floor;
    assert!(
        floor <= newest - 30 && floor > newest - 40,
        "{floor} of {newest}"
    );

    // A list that is too long loses its oldest, seen or not.
    let forgotten = writer
        .forget_within(
            0,
            Bounds {
                kept: 0,
                longest: 5,
            },
        )
        .expect("forgotten");
    assert!(forgotten.unseen);
    let changes = folder
        .reader()
        .changes(0, 100, &Table::ALL)
        .expect("changes");
    assert_eq!(changes.rows.len(), 5);
    assert!(journal(&folder).floor > floor);
    assert_eq!(check(&folder.reader()).expect("a check").faults, []);
}

#[test]
fn tables_nobody_asks_for_are_passed_over() {
    let folder = SampleFolder::new();
    sample_month(&folder);
    let mut writer = recording(&folder, "Europe/Berlin");
    one_more(&mut writer, 70);
    let mut reader = folder.reader();
    let asked = [Table::Account, Table::Day];
    let changes = reader.changes(0, 100, &asked).expect("changes");
    let tables = |rows: &[Row]| rows.iter().map(|row| row.table).collect::<Vec<_>>();
    assert_eq!(tables(&changes.rows), asked);
    let all = reader.changes(0, 100, &Table::ALL).expect("changes");
    assert_eq!((changes.up_to, changes.more), (all.up_to, false));
    assert_eq!(all.facts.zone, "Europe/Berlin");
    assert_eq!(all.facts, reader.facts().expect("facts"));
    let first = reader.changes(0, 1, &[]).expect("changes");
    assert_eq!((first.rows.len(), first.more), (0, true));
    assert!(first.up_to < all.up_to);
}

/// A gap in the noting, however short, is another journal.
fn begin_anew(writer: &mut Writer) {
    for wanted in [false, true] {
        writer.record_changes(wanted).expect("a journal");
    }
}

#[test]
fn a_reader_beside_the_writer_leaves_its_locks_alone() {
    let folder = SampleFolder::new();
    let _writer = folder.writer("UTC");
    let inode = fs::metadata(folder.ledger()).unwrap().ino();
    let locks = || {
        let of_ledger = format!(":{inode} ");
        let all = fs::read_to_string("/proc/locks").unwrap();
        all.lines().filter(|line| line.contains(&of_ledger)).count()
    };
    let held = locks();
    assert!(held > 0, "SQLite holds the ledger while it is open");
    drop(Reader::open_beside_writer(&folder.ledger()).unwrap());
    assert_eq!(locks(), held);
    // Whoever opens and closes the file itself takes them away.
    drop(Reader::open(&folder.ledger()).unwrap());
    assert!(locks() < held);
}
