//! Files that are no ledger, disks that are full, others that hold the lock.

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::Path,
    process::Command,
};

use rusqlite::Connection;
use sshmeter_core::ledger::{Batch, SessionRecord};

use super::{
    super::{
        Reader, StoreError, Writer,
        sample::{SampleFolder, moved, sample_month, session, traffic},
        schema::MIGRATIONS,
    },
    check, report_of,
};
use crate::error::Failure;

fn one_batch(cookie: u64) -> (SessionRecord, Batch) {
    let mut record = session(cookie, "198.51.100.7", "2026-11-22T10:00:00Z");
    let entry = moved(&mut record, "2026-11-22T10:00:00Z", traffic(80, 8));
    let batch = Batch {
        sessions: vec![record.clone()],
        entries: vec![entry],
        checkpoint: None,
    };
    (record, batch)
}

/// The error, which has to be a sentence with a hint.
fn told<T: std::fmt::Debug>(result: Result<T, StoreError>, sentence: &str) -> StoreError {
    let error = result.expect_err("refused");
    assert!(error.to_string().contains(sentence), "{error}");
    assert!(error.hint().is_some(), "{error}");
    error
}

#[test]
fn a_missing_or_empty_ledger_has_nothing_counted_yet() {
    let folder = SampleFolder::new();
    told(
        Reader::open(&folder.ledger()),
        "nothing has been counted yet",
    );
    fs::write(folder.ledger(), "").expect("a file");
    told(
        Reader::open(&folder.ledger()),
        "nothing has been counted yet",
    );
    // An empty file may become a ledger.
    drop(folder.writer("UTC"));
}

#[test]
fn a_file_of_another_kind_is_left_alone() {
    let folder = SampleFolder::new();
    fs::write(folder.ledger(), "Nov 22 10:00:00 host sshd[1]: no ledger\n").expect("a file");
    told(Reader::open(&folder.ledger()), "not an SQLite file");
    told(Writer::open(&folder.ledger(), None), "not an SQLite file");
    assert!(
        fs::read_to_string(folder.ledger())
            .expect("a text")
            .ends_with("no ledger\n")
    );
    assert_eq!(
        fs::read_dir(folder.ledger().parent().expect("a folder"))
            .expect("files")
            .count(),
        1
    );
    told(Reader::open(Path::new("/")), "a folder");
}

#[test]
fn another_programs_database_is_left_alone() {
    let folder = SampleFolder::new();
    let other = Connection::open(folder.ledger()).expect("a database");
    other
        .execute_batch("CREATE TABLE songs (title TEXT)")
        .expect("a table");
    drop(other);
    let before = fs::read(folder.ledger()).expect("bytes");
    told(
        Reader::open(&folder.ledger()),
        "another program's SQLite file",
    );
    told(
        Writer::open(&folder.ledger(), None),
        "another program's SQLite file",
    );
    assert_eq!(fs::read(folder.ledger()).expect("bytes"), before);
}

#[test]
fn a_damaged_ledger_is_told_as_such() {
    let folder = SampleFolder::new();
    sample_month(&folder);
    let whole = fs::read(folder.ledger()).expect("bytes");
    // Each page but the first turned to noise.
    let mut noise = whole.clone();
    for byte in noise.iter_mut().skip(4_096) {
        *byte = byte.wrapping_mul(31).wrapping_add(7);
    }
    fs::write(folder.ledger(), &noise).expect("a file");
    let found = Reader::open(&folder.ledger()).and_then(|reader| check(&reader));
    match found {
        Ok(check) => assert!(!check.faults.is_empty()),
        Err(error) => assert!(matches!(error, StoreError::Corrupt { .. }), "{error}"),
    }
    // Cut off in the middle.
    fs::write(folder.ledger(), &whole[..8_192]).expect("a file");
    let found = Reader::open(&folder.ledger()).and_then(|reader| check(&reader));
    match found {
        Ok(check) => assert!(!check.faults.is_empty()),
        Err(error) => assert!(matches!(error, StoreError::Corrupt { .. }), "{error}"),
    }
}

#[test]
fn a_ledger_of_a_later_format_is_not_touched() {
    let folder = SampleFolder::new();
    sample_month(&folder);
    let connection = Connection::open(folder.ledger()).expect("a ledger");
    connection
        .pragma_update(None, "user_version", 99)
        .expect("a pragma");
    drop(connection);
    told(Reader::open(&folder.ledger()), "has format 99");
    told(Writer::open(&folder.ledger(), None), "has format 99");
}

#[test]
fn a_migration_keeps_what_was_counted() {
    let folder = SampleFolder::new();
    // Format 1 as it was first written, not as today's code would write it.
    let fixture = include_str!("fixtures/format-1.sql");
    Connection::open(folder.ledger())
        .and_then(|connection| connection.execute_batch(fixture))
        .expect("a ledger");
    told(Reader::open(&folder.ledger()), "format 1");
    drop(Writer::open(&folder.ledger(), None).expect("a ledger"));
    assert_eq!(report_of(&folder).total.traffic, traffic(80, 8));
    assert_eq!(check(&folder.reader()).expect("a check").faults, []);

    let next = "ALTER TABLE session ADD COLUMN colour TEXT";
    let migrations = [MIGRATIONS, &[next]].concat();
    let mut writer = Writer::open_with(&folder.ledger(), None, &migrations).expect("a ledger");
    assert_eq!(writer.zone(), "Asia/Kathmandu");
    writer.commit(&one_batch(2).1).expect("a commit");
    drop(writer);
    let connection = Connection::open(folder.ledger()).expect("a ledger");
    let (version, rows): (i64, i64) = connection
        .query_row(
            "SELECT (SELECT user_version FROM pragma_user_version), count(colour IS NULL) FROM session",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .expect("a row");
    let next = i64::try_from(MIGRATIONS.len()).expect("few") + 1;
    assert_eq!((version, rows), (next, 2));
    told(
        Writer::open(&folder.ledger(), None),
        &format!("has format {next}"),
    );
}

#[test]
fn a_migration_that_fails_leaves_the_ledger_as_it_was() {
    let folder = SampleFolder::new();
    sample_month(&folder);
    let migrations = [MIGRATIONS, &["DROP TABLE checkpoint; nonsense"]].concat();
    Writer::open_with(&folder.ledger(), None, &migrations).expect_err("nonsense");
    drop(folder.writer("Europe/Berlin"));
    assert_eq!(check(&folder.reader()).expect("a check").faults, []);
}

#[test]
fn a_second_daemon_is_refused_by_any_name_of_the_file() {
    let folder = SampleFolder::new();
    let first = folder.writer("UTC");
    let own_pid = format!("(pid {})", std::process::id());
    told(Writer::open(&folder.ledger(), None), &own_pid);
    let link = folder.ledger().with_file_name("link.db");
    std::os::unix::fs::symlink(folder.ledger(), &link).expect("a link");
    told(Writer::open(&link, None), "already counts into");
    // Reading is for everyone.
    folder.reader();
    drop(first);
    drop(folder.writer("UTC"));
}

#[test]
fn the_files_are_not_for_everyone() {
    let folder = SampleFolder::new();
    let path = folder
        .ledger()
        .with_file_name("new")
        .join("deep")
        .join("ledger.db");
    let mut writer = Writer::open(&path, Some("UTC")).expect("a ledger");
    writer.commit(&one_batch(1).1).expect("a commit");
    let mode = |path: &Path| fs::metadata(path).expect("a file").mode() & 0o777;
    assert_eq!(mode(path.parent().expect("a folder")) & 0o027, 0);
    for name in [
        "ledger.db",
        "ledger.db-wal",
        "ledger.db-shm",
        "ledger.db.lock",
    ] {
        assert_eq!(mode(&path.with_file_name(name)) & 0o137, 0, "{name}");
    }
}

#[test]
fn a_full_disk_commits_nothing_and_goes_on_when_there_is_space() {
    let folder = SampleFolder::new();
    let mut writer = folder.writer("UTC");
    let pages: i64 = writer
        .connection
        .query_row("PRAGMA page_count", [], |row| row.get(0))
        .expect("a count");
    writer
        .connection
        .query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(()))
        .expect("a limit");
    let mut large = Batch::default();
    for cookie in 0..2_000 {
        let (record, batch) = one_batch(cookie);
        large.sessions.push(record);
        large.entries.extend(batch.entries);
    }
    told(writer.commit(&large), "no space left");
    assert!(folder.reader().is_empty().expect("readable"));
    writer
        .connection
        .query_row("PRAGMA max_page_count = 1000000", [], |_| Ok(()))
        .expect("a limit");
    writer.commit(&large).expect("a commit");
    assert_eq!(
        report_of(&folder).total.traffic.wire,
        traffic(80 * 2_000, 8 * 2_000).wire
    );
}

#[test]
fn another_programs_lock_delays_a_commit_and_loses_nothing() {
    let folder = SampleFolder::new();
    let mut writer = folder.writer("UTC");
    writer
        .connection
        .busy_timeout(std::time::Duration::from_millis(20))
        .expect("a timeout");
    let other = Connection::open(folder.ledger()).expect("a ledger");
    other.execute_batch("BEGIN IMMEDIATE").expect("a lock");
    let (_, batch) = one_batch(1);
    told(writer.commit(&batch), "locked by another program");
    // The lock does not keep anyone from reading.
    assert!(folder.reader().is_empty().expect("readable"));
    other.execute_batch("ROLLBACK").expect("no lock");
    writer.commit(&batch).expect("a commit");
    assert_eq!(report_of(&folder).total.traffic, traffic(80, 8));
}

#[test]
fn a_reader_in_the_middle_of_a_question_does_not_hold_up_commits() {
    let folder = SampleFolder::new();
    let mut writer = folder.writer("UTC");
    writer.commit(&one_batch(1).1).expect("a commit");
    let mut reader = folder.reader();
    let (before, after) = reader
        .in_snapshot(|connection, _| {
            let count = |connection: &Connection| {
                connection.query_row("SELECT count(*) FROM session", [], |row| {
                    row.get::<_, i64>(0)
                })
            };
            let before = count(connection)?;
            writer.commit(&one_batch(2).1).expect("a commit meanwhile");
            Ok((before, count(connection)?))
        })
        .expect("a snapshot");
    assert_eq!((before, after), (1, 1), "one commit is seen throughout");
}

#[test]
fn a_ledger_can_be_read_where_nothing_can_be_written() {
    let folder = SampleFolder::new();
    sample_month(&folder);
    let odd = folder.ledger().with_file_name("a b%3f?#");
    fs::create_dir(&odd).expect("a folder");
    let copy = odd.join("ledger copy.db");
    fs::copy(folder.ledger(), &copy).expect("a copy");
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o444)).expect("rights");
    fs::set_permissions(&odd, fs::Permissions::from_mode(0o555)).expect("rights");
    let mut reader = Reader::open(&copy).expect("a ledger to read");
    let list = reader
        .sessions(&super::SessionQuery::default())
        .expect("a list");
    assert_eq!(list.sessions.len(), 6);
    fs::set_permissions(&odd, fs::Permissions::from_mode(0o755)).expect("rights");
}

#[test]
fn a_killed_writer_leaves_a_sound_ledger() {
    let folder = SampleFolder::new();
    let mut writer = folder.writer("UTC");
    writer.commit(&one_batch(1).1).expect("a commit");
    // What a killed process leaves behind: the file and its log, not merged.
    let copied = SampleFolder::new();
    for name in ["ledger.db", "ledger.db-wal"] {
        fs::copy(
            folder.ledger().with_file_name(name),
            copied.ledger().with_file_name(name),
        )
        .expect("a copy");
    }
    assert_eq!(report_of(&copied).total.traffic, traffic(80, 8));
    let mut writer = copied.writer("UTC");
    writer.commit(&one_batch(2).1).expect("a commit");
    assert_eq!(check(&copied.reader()).expect("a check").faults, []);
}

#[test]
fn a_failure_has_the_exit_code_of_the_contract() {
    let folder = SampleFolder::new();
    let failure = Failure::from(Reader::open(&folder.ledger()).expect_err("missing"));
    assert_eq!(failure.kind(), crate::error::Kind::Failed);
    assert!(
        failure
            .text()
            .contains("hint: start counting with `sshmeter run`")
    );
}

/// A file system of its own that is really full; only root may mount one.
#[test]
fn a_really_full_disk_commits_nothing() {
    struct Mounted<'a>(&'a Path);
    impl Drop for Mounted<'_> {
        fn drop(&mut self) {
            let _ = Command::new("umount").arg(self.0).status();
        }
    }
    let folder = SampleFolder::new();
    let mount = folder.ledger().with_file_name("small");
    fs::create_dir(&mount).expect("a folder");
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=512k", "tmpfs"])
        .arg(&mount)
        .output();
    if !mounted.is_ok_and(|output| output.status.success()) {
        eprintln!("left out: only root may mount the small file system this fills");
        return;
    }
    let _mounted = Mounted(&mount);
    let path = mount.join("ledger.db");
    let mut writer = Writer::open(&path, Some("UTC")).expect("a ledger");
    writer.commit(&one_batch(0).1).expect("a commit");
    let filler = mount.join("filler");
    let fill = fs::write(&filler, vec![0; 1 << 20]);
    assert!(fill.is_err(), "the disk is full");
    let mut large = Batch::default();
    for cookie in 1..500 {
        let (record, batch) = one_batch(cookie);
        large.sessions.push(record);
        large.entries.extend(batch.entries);
    }
    told(writer.commit(&large), "no space left");
    fs::remove_file(&filler).expect("space");
    writer.commit(&large).expect("a commit");
    let reader = Reader::open(&path).expect("a ledger");
    assert_eq!(check(&reader).expect("a check").faults, []);
}

/// What the check says, and what is booked, in bytes of the wire inwards.
fn sound_total(folder: &SampleFolder) -> Option<u64> {
    let checked = check(&folder.reader()).expect("a check");
    assert_eq!(checked.faults, []);
    let wire = report_of(folder).total.traffic.wire;
    wire.map(|flow| flow.inbound)
}

#[test]
fn what_is_deleted_under_the_writer_is_written_anew() {
    for deleted in [
        &["ledger.db"][..],
        &["ledger.db-wal"],
        &["ledger.db", "ledger.db-wal", "ledger.db-shm"],
        &[
            "ledger.db",
            "ledger.db-wal",
            "ledger.db-shm",
            "ledger.db.lock",
        ],
    ] {
        let folder = SampleFolder::new();
        let mut writer = folder.writer("UTC");
        for round in 0..3 {
            writer.commit(&one_batch(2 * round).1).expect("a commit");
            for name in deleted {
                fs::remove_file(folder.ledger().with_file_name(name)).expect("a file");
            }
            writer
                .commit(&one_batch(2 * round + 1).1)
                .expect("a commit");
            let notices = writer.take_notices();
            assert_eq!(notices.len(), 1, "{deleted:?} {notices:?}");
            assert_eq!(
                sound_total(&folder),
                Some(80 * 2 * (round + 1)),
                "{deleted:?}"
            );
        }
        told(Writer::open(&folder.ledger(), None), "another sshmeter");
        drop(writer);
        assert_eq!(sound_total(&folder), Some(480));
        drop(folder.writer("UTC"));
        assert_eq!(sound_total(&folder), Some(480));
    }
}

#[test]
fn a_file_in_the_ledger_s_place_is_not_touched() {
    let folder = SampleFolder::new();
    let mut writer = folder.writer("UTC");
    writer.commit(&one_batch(1).1).expect("a commit");
    fs::remove_file(folder.ledger()).expect("a file");
    fs::write(folder.ledger(), "somebody's").expect("another file");
    told(writer.commit(&one_batch(2).1), "was replaced");
    let kept = fs::read_to_string(folder.ledger()).expect("a file");
    assert_eq!(kept, "somebody's");
}
