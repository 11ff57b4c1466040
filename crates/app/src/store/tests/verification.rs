//! Every invariant of a ledger, broken in one row, and the fault that names
//! that row.

use std::{
    fs,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use rusqlite::Connection;
use sshmeter_core::ledger::{Batch, Checkpoint};

use super::{
    super::sample::{SampleFolder, instant, moved, sample_month, session, traffic},
    check,
};
use crate::{
    config::Retention,
    render::fault_sentence,
    store::{Depth, Reader, verify},
};

/// A ledger with all that a month has, expired minutes among it.
fn month() -> SampleFolder {
    let folder = SampleFolder::new();
    sample_month(&folder);
    let retention = Retention {
        minute: Some(Duration::from_secs(10 * 24 * 3600)),
        hour: None,
        day: None,
    };
    let now = instant("2026-11-22T17:05:30Z");
    let checkpoint = Checkpoint::Journal {
        cursor: "s=1".to_owned(),
    };
    let mut writer = folder.writer("Europe/Berlin");
    writer.retain(now, &retention).expect("retention");
    writer
        .commit(&Batch {
            checkpoint: Some(checkpoint),
            ..Batch::default()
        })
        .expect("a commit");
    folder
}

fn change(folder: &SampleFolder, sql: &str) {
    let connection = Connection::open(folder.ledger()).expect("a ledger");
    connection
        .execute_batch("PRAGMA ignore_check_constraints = ON; PRAGMA foreign_keys = OFF")
        .expect("a pragma");
    connection.execute_batch(sql).expect(sql);
    assert!(connection.changes() > 0, "{sql} changes nothing");
}

fn sentences(folder: &SampleFolder) -> Vec<String> {
    let reader = folder.reader();
    let found = check(&reader).expect("a check");
    assert_eq!(found.more, 0);
    found
        .faults
        .iter()
        .map(|fault| fault_sentence(fault, reader.calendar().zone()))
        .collect()
}

fn found_in(sql: &str) -> Vec<String> {
    let folder = month();
    assert_eq!(sentences(&folder), Vec::<String>::new());
    change(&folder, sql);
    sentences(&folder)
}

#[test]
fn every_broken_row_is_named() {
    let broken = [
        (
            "minutes add up to the total",
            "UPDATE session SET total_wire_in = total_wire_in + 1 WHERE id = 3",
        ),
        (
            "expired minutes add up to the total",
            "UPDATE session SET pruned_wire_out = pruned_wire_out - 1 WHERE id = 1",
        ),
        (
            "a total is known where its minutes are",
            "UPDATE session SET total_wire_in = NULL, total_wire_out = NULL WHERE id = 4",
        ),
        (
            "a reading is not more than the total",
            "UPDATE session SET reading_payload_in = reading_payload_in + 1 WHERE id = 4",
        ),
        (
            "a reading is known where the total is",
            "UPDATE session SET reading_wire_in = NULL, reading_wire_out = NULL WHERE id = 2",
        ),
        (
            "no amount is negative",
            "UPDATE session SET reading_wire_in = -1 WHERE id = 3",
        ),
        (
            "both directions are known, or none",
            "UPDATE session SET reading_wire_in = NULL WHERE id = 3",
        ),
        (
            "the span begins before all else",
            "UPDATE session SET begin_minute = begin_minute + 1 WHERE id = 3",
        ),
        (
            "the span ends after all else",
            "UPDATE session SET end_minute = begin_minute WHERE id = 6",
        ),
        (
            "an open session's span is open",
            "UPDATE session SET end_minute = begin_minute WHERE id = 2",
        ),
        (
            "a closed session's span is closed",
            "UPDATE session SET end_minute = 9223372036854775807 WHERE id = 3",
        ),
        (
            "what is closed has a reason",
            "UPDATE session SET reason = NULL WHERE id = 3",
        ),
        (
            "what is open has no reason",
            "UPDATE session SET reason = 'closed' WHERE id = 2",
        ),
        (
            "opening comes before closing",
            "UPDATE session SET closed_ms = opened_ms - 1 WHERE id = 7",
        ),
        (
            "times are times",
            "UPDATE session SET opened_ms = 9223372036854775807 WHERE id = 2",
        ),
        (
            "expired minutes are in order",
            "UPDATE session SET pruned_last = pruned_first - 1 WHERE id = 1",
        ),
        (
            "expired minutes have a time",
            "UPDATE session SET pruned_first = NULL WHERE id = 1",
        ),
        (
            "a peer has an address",
            "UPDATE session SET peer_ip = '198.51.100.256' WHERE id = 2",
        ),
        (
            "texts are UTF-8, a pid is one",
            "UPDATE session SET peer_ip = CAST(x'ff' AS TEXT), pid = -4 WHERE id = 2",
        ),
        (
            "a session is somebody's",
            "UPDATE session SET account = 99 WHERE id = 7",
        ),
        (
            "a session is whose its hours are",
            "UPDATE session SET account = 3 WHERE id = 7",
        ),
        (
            "a minute is some session's",
            "DELETE FROM session WHERE id = 3",
        ),
        (
            "no minute is negative",
            "UPDATE minute SET wire_out = -1 WHERE session = 3",
        ),
        (
            "minutes add up to the hour",
            "UPDATE minute SET wire_out = wire_out + 1 WHERE session = 3",
        ),
        (
            "a minute knows both directions",
            "UPDATE minute SET wire_out = NULL WHERE session = 3",
        ),
        (
            "sums do not overflow",
            "UPDATE minute SET wire_in = 9223372036854775807 WHERE session = 2",
        ),
        (
            "no minute is missing",
            "DELETE FROM minute WHERE session = 3",
        ),
        (
            "hours add up to the day",
            "UPDATE hour SET payload_in = payload_in + 1 WHERE account = 2 AND start = (SELECT max(start) FROM hour WHERE account = 2)",
        ),
        (
            "no hour is negative",
            "UPDATE hour SET wire_in = -wire_in WHERE account = 2",
        ),
        (
            "hours begin on the hour",
            "UPDATE hour SET start = start + 1 WHERE account = 2",
        ),
        (
            "a day is somebody's",
            "UPDATE day SET account = 99 WHERE account = 2",
        ),
        (
            "days add up to the month",
            "UPDATE day SET wire_in = wire_in - 1 WHERE account = 1 AND start = (SELECT min(start) FROM day)",
        ),
        ("no month is missing", "DELETE FROM month WHERE account = 3"),
        (
            "a month is known where its days are",
            "UPDATE month SET wire_in = NULL, wire_out = NULL WHERE account = 3",
        ),
        (
            "nothing is in a month alone",
            "UPDATE month SET wire_in = 1, wire_out = 2 WHERE account = 4",
        ),
        (
            "the nameless have no credential",
            "INSERT INTO account VALUES (77, NULL, 'SHA256:x')",
        ),
        (
            "an account is there once",
            "DROP INDEX account_by_name; INSERT INTO account SELECT 78, user, credential FROM account WHERE id = 1",
        ),
        (
            "a name is UTF-8",
            "UPDATE account SET user = CAST(x'61ff' AS TEXT) WHERE id = 1",
        ),
        (
            "the checkpoint is a place",
            "UPDATE checkpoint SET value = '{\"kind\":\"tape\"}'",
        ),
        (
            "retention's marks are where rows begin",
            "UPDATE meta SET value = 'yesterday' WHERE key = 'minutes_since'",
        ),
        (
            "a journal begins at a revision that was given",
            "INSERT INTO meta VALUES ('journal', 'a'), ('journal_floor', '9')",
        ),
        (
            "a change is of a table that is there",
            "INSERT INTO change (kind, first, second) VALUES (9, 1, 0)",
        ),
        (
            "the indexes are there, and no other tables",
            "DROP INDEX account_by_name; CREATE TABLE songs (title TEXT); INSERT INTO songs VALUES ('x')",
        ),
        (
            "the tables are there",
            "DROP TABLE day; UPDATE meta SET value = value",
        ),
        (
            "a connection is there once",
            "CREATE TABLE other AS SELECT * FROM session;
             UPDATE other SET cookie = 2 WHERE id = 3;
             DROP TABLE session; ALTER TABLE other RENAME TO session;
             UPDATE session SET id = id",
        ),
    ];
    let mut text = String::new();
    for (invariant, sql) in broken {
        let found = found_in(sql);
        assert!(!found.is_empty(), "{invariant}: {sql} is not found");
        text.push_str(&format!("{invariant}\n  by: {sql}\n"));
        text.extend(found.iter().map(|fault| format!("  {fault}\n")));
    }
    insta::assert_snapshot!(text);
}

/// The places of a figure in the file: four bytes, most significant first.
fn places_of(figure: u32, bytes: &[u8]) -> Vec<usize> {
    let pattern = figure.to_be_bytes();
    let windows = bytes.windows(pattern.len()).enumerate();
    windows
        .filter(|(_, window)| *window == pattern)
        .map(|(place, _)| place)
        .collect()
}

#[test]
fn a_byte_of_a_figure_is_found_in_its_row() {
    let folder = month();
    let whole = fs::read(folder.ledger()).expect("bytes");
    // What git moved in its only minute is in one column of six.
    let places = places_of(412_882_120, &whole);
    assert_eq!(places.len(), 6, "reading, total, minute, hour, day, month");
    let mut text = String::new();
    for place in places {
        let mut bytes = whole.clone();
        bytes[place + 3] ^= 1;
        fs::write(folder.ledger(), bytes).expect("a file");
        text.push_str(&format!("{}\n", sentences(&folder).join("\n")));
    }
    insta::assert_snapshot!(text);
}

/// All amounts, by what they are of.
fn amounts(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    const COLUMNS: &str = "ifnull(wire_in, '-') || ' ' || ifnull(wire_out, '-') || ' ' ||
        ifnull(payload_in, '-') || ' ' || ifnull(payload_out, '-')";
    connection
        .prepare(&format!(
            "SELECT 'minute ' || session || ' ' || {COLUMNS} FROM minute
             UNION ALL SELECT 'hour ' || start || ' ' || account || ' ' || {COLUMNS} FROM hour
             UNION ALL SELECT 'day ' || start || ' ' || account || ' ' || {COLUMNS} FROM day
             UNION ALL SELECT 'month ' || start || ' ' || account || ' ' || {COLUMNS} FROM month
             UNION ALL SELECT 'session ' || id || ' ' || account || ' ' || {} FROM session
             ORDER BY 1",
            COLUMNS
                .replace("wire_", "total_wire_")
                .replace("payload_", "total_payload_")
        ))?
        .query_map([], |row| row.get(0))?
        .collect()
}

#[test]
fn no_changed_byte_changes_an_amount_unseen() {
    let folder = SampleFolder::new();
    sample_month(&folder);
    // In pages that hold all tables' texts in one: SQLite leaves in a page what
    // it has moved to another, and that means nothing.
    Connection::open(folder.ledger())
        .and_then(|connection| {
            connection.execute_batch(
                "PRAGMA journal_mode = DELETE; PRAGMA page_size = 8192; VACUUM;
                 PRAGMA journal_mode = WAL;",
            )
        })
        .expect("a ledger");
    let whole = fs::read(folder.ledger()).expect("bytes");
    let expected = amounts(folder.reader().connection()).expect("amounts");
    let told: Vec<usize> = (0..whole.len())
        .filter(|place| whole[*place] != 0)
        .collect();
    let (mut seen, mut harmless) = (0, 0);
    for (turn, place) in told.iter().step_by(told.len() / 600).enumerate() {
        let mut bytes = whole.clone();
        bytes[*place] ^= 1 << (turn % 8);
        fs::write(folder.ledger(), bytes).expect("a file");
        let is_sound = Reader::open(&folder.ledger())
            .and_then(|reader| {
                let found = check(&reader)?;
                Ok(found.is_sound().then(|| amounts(reader.connection())))
            })
            .unwrap_or_default();
        match is_sound {
            None => seen += 1,
            Some(amounts) => {
                harmless += 1;
                let amounts = amounts.expect("amounts");
                assert_eq!(amounts, expected, "byte {place} goes unseen");
            }
        }
    }
    assert!(
        seen > 500 && harmless > 5,
        "{seen} seen, {harmless} harmless"
    );
}

#[test]
fn what_is_too_much_to_tell_is_counted() {
    let folder = month();
    change(&folder, "UPDATE session SET reason = ''");
    let reader = folder.reader();
    let found = verify(&reader, Depth::Full, 2).expect("a check");
    assert_eq!((found.faults.len(), found.more), (2, 4));
    assert!(
        !verify(&reader, Depth::Quick, 0)
            .expect("a check")
            .is_sound()
    );
}

#[test]
fn a_counter_that_began_anew_is_no_fault() {
    let folder = month();
    change(
        &folder,
        "UPDATE session SET reading_wire_in = 7 WHERE id = 2",
    );
    let found = check(&folder.reader()).expect("a check");
    assert!(found.is_sound());
    assert_eq!(found.restarted, 1);
}

#[test]
fn a_check_sees_one_commit_while_others_are_made() {
    let folder = SampleFolder::new();
    sample_month(&folder);
    let mut writer = folder.writer("Europe/Berlin");
    let mut record = session(9, "198.51.100.9", "2026-11-22T10:00:00Z");
    let commits = AtomicU64::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..200 {
                let entry = moved(&mut record, "2026-11-22T10:00:00Z", traffic(8, 8));
                let batch = Batch {
                    sessions: vec![record.clone()],
                    entries: vec![entry],
                    checkpoint: None,
                };
                writer.commit(&batch).expect("a commit");
                commits.fetch_add(1, Ordering::Relaxed);
            }
        });
        while commits.load(Ordering::Relaxed) < 200 {
            assert_eq!(sentences(&folder), Vec::<String>::new());
        }
    });
}
