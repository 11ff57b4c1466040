//! Copies of a ledger: whole or not there, and put back without a trace of
//! what was there before.

use std::{
    fs,
    ops::ControlFlow,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink},
    path::{Path, PathBuf},
};

use rusqlite::Connection;
use sshmeter_core::{ledger::Batch, units::Traffic};

use super::{
    super::{
        CopyError, Reader, StoreError, Writer, back_up, restore,
        sample::{SampleFolder, instant, moved, sample_month, session, traffic},
    },
    check, report_of,
};

fn go_on(_done: u64, _all: u64) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// One more session, that moves 88 bytes.
fn one_more(writer: &mut Writer, cookie: u64) {
    let mut record = session(cookie, "198.51.100.7", "2026-11-22T10:00:00Z");
    let entry = moved(&mut record, "2026-11-22T10:00:00Z", traffic(80, 8));
    let batch = Batch {
        sessions: vec![record],
        entries: vec![entry],
        checkpoint: None,
    };
    writer.commit(&batch).expect("a commit");
}

/// What a ledger holds, which has to be sound.
fn held(path: &Path) -> (i64, Traffic) {
    let reader = Reader::open(path).expect("a ledger");
    assert_eq!(check(&reader).expect("a check").faults, []);
    let connection = reader.connection();
    let row = connection.query_row(
        "SELECT (SELECT count(*) FROM session), sum(wire_in), sum(wire_out), sum(payload_in),
                sum(payload_out) FROM month",
        [],
        |row| Ok((row.get(0)?, super::super::amounts::traffic_at(row, 1)?)),
    );
    row.expect("sums")
}

/// The files there are, but for those that SQLite leaves beside a ledger that
/// somebody read without writing.
fn names(folder: &SampleFolder) -> Vec<String> {
    let folder = folder.ledger().parent().expect("a folder").to_owned();
    let mut names: Vec<String> = fs::read_dir(folder)
        .expect("files")
        .map(|entry| {
            entry
                .expect("a file")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    names.retain(|name| !name.starts_with("ledger.db-"));
    names.sort();
    names
}

#[test]
fn a_backup_is_one_commit_however_many_come_meanwhile() {
    let folder = SampleFolder::new();
    let mut writer = folder.writer("Europe/Berlin");
    let mut batch = Batch::default();
    for cookie in 0..6_000 {
        let mut record = session(cookie, "198.51.100.7", "2026-11-22T10:00:00Z");
        let entry = moved(&mut record, "2026-11-22T10:00:00Z", traffic(80, 8));
        batch.entries.push(entry);
        batch.sessions.push(record);
    }
    writer.commit(&batch).expect("a commit");
    let before = held(&folder.ledger());
    let copy = folder.ledger().with_file_name("copy.db");
    let (mut steps, mut last) = (0, 0);
    // A commit between any two steps, as by a daemon that is never idle.
    back_up(&folder.ledger(), &copy, false, &mut |done, all| {
        assert!(done >= last || all == 1, "it began again");
        last = done;
        steps += 1;
        one_more(&mut writer, 10_000 + steps);
        ControlFlow::Continue(())
    })
    .expect("a backup");
    assert!(steps > 2, "{steps} steps");
    assert_eq!(held(&copy), before);
    let now = i64::try_from(6_000 + steps).expect("few");
    assert_eq!(held(&folder.ledger()).0, now, "every commit was made");
}

#[test]
fn a_backup_is_a_plain_file_and_can_be_backed_up() {
    let folder = SampleFolder::new();
    sample_month(&folder);
    let copy = folder.ledger().with_file_name("copy.db");
    let bytes = back_up(&folder.ledger(), &copy, false, &mut go_on).expect("a backup");
    let there = fs::metadata(&copy).expect("a file");
    assert_eq!((there.len(), there.mode() & 0o137), (bytes, 0));
    assert_eq!(held(&copy), held(&folder.ledger()));
    let second = folder.ledger().with_file_name("second.db");
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o444)).expect("rights");
    back_up(&copy, &second, false, &mut go_on).expect("a backup");
    assert_eq!(held(&second), held(&copy));
    let expected = ["copy.db", "ledger.db", "ledger.db.lock", "second.db"];
    assert_eq!(names(&folder), expected, "nothing lies beside them");
}

#[test]
fn a_backup_replaces_only_what_it_is_told_to() {
    let folder = SampleFolder::new();
    sample_month(&folder);
    let ledger = folder.ledger();
    let at = |name: &str| ledger.with_file_name(name);
    let refused = |target: PathBuf, replace: bool| {
        let error = back_up(&ledger, &target, replace, &mut go_on).expect_err("refused");
        assert!(error.hint().is_some(), "{error}");
        error
    };
    fs::write(at("there.db"), "something").expect("a file");
    assert!(matches!(
        refused(at("there.db"), false),
        CopyError::Exists(_)
    ));
    assert_eq!(fs::read(at("there.db")).expect("bytes"), b"something");
    back_up(&ledger, &at("there.db"), true, &mut go_on).expect("replaced");
    assert_eq!(held(&at("there.db")), held(&ledger));

    symlink(&ledger, at("link.db")).expect("a link");
    fs::hard_link(&ledger, at("hard.db")).expect("a link");
    for name in ["ledger.db", "link.db", "hard.db", "ledger.db.lock"] {
        assert!(
            matches!(refused(at(name), true), CopyError::Itself(_)),
            "{name}"
        );
    }
    fs::remove_file(at("hard.db")).expect("removed");
    fs::create_dir(at("folder")).expect("a folder");
    assert!(matches!(refused(at("folder"), true), CopyError::NoFile(_)));
    fs::write(at("new.db-wal"), "another's").expect("a file");
    assert!(matches!(refused(at("new.db"), true), CopyError::Stray(_)));
    let nowhere = back_up(&ledger, &at("none/x.db"), true, &mut go_on);
    assert!(matches!(nowhere, Err(CopyError::Io { .. })));
    let none = back_up(&at("none.db"), &at("x.db"), true, &mut go_on);
    assert!(matches!(
        none,
        Err(CopyError::Store(StoreError::Missing(_)))
    ));
    assert!(!names(&folder).iter().any(|name| name.contains("partial")));
}

#[test]
fn a_backup_that_is_stopped_or_damaged_leaves_nothing() {
    let folder = SampleFolder::new();
    sample_month(&folder);
    let copy = folder.ledger().with_file_name("copy.db");
    let before = names(&folder);
    let stopped = back_up(&folder.ledger(), &copy, false, &mut |_, _| {
        ControlFlow::Break(())
    });
    assert!(matches!(stopped, Err(CopyError::Interrupted)));
    assert_eq!(names(&folder), before);

    let mut bytes = fs::read(folder.ledger()).expect("bytes");
    let middle = bytes.len() / 2 / 4096 * 4096;
    bytes[middle..middle + 4096].fill(0xa5);
    fs::write(folder.ledger(), bytes).expect("a file");
    let damaged = back_up(&folder.ledger(), &copy, false, &mut go_on);
    let error = damaged.expect_err("damaged");
    assert!(
        matches!(error, CopyError::Store(StoreError::Corrupt { .. })),
        "{error}"
    );
    assert_eq!(names(&folder), before);
}

/// A ledger whose daemon was killed: its newest commit is in the log beside it.
/// And a backup of before that commit.
fn killed_with_a_backup() -> (SampleFolder, PathBuf) {
    let folder = SampleFolder::new();
    sample_month(&folder);
    let killed = SampleFolder::new();
    let backup = killed.ledger().with_file_name("backup.db");
    back_up(&folder.ledger(), &backup, false, &mut go_on).expect("a backup");
    let mut writer = folder.writer("Europe/Berlin");
    one_more(&mut writer, 77);
    for suffix in ["", "-wal", "-shm"] {
        let name = format!("ledger.db{suffix}");
        let from = folder.ledger().with_file_name(&name);
        fs::copy(from, killed.ledger().with_file_name(&name)).expect("a copy");
    }
    (killed, backup)
}

/// Why there is a command for it: SQLite takes the log for the copy's own.
#[test]
fn a_log_left_beside_a_copy_put_back_by_hand_ruins_it() {
    let (folder, backup) = killed_with_a_backup();
    let expected = held(&backup);
    fs::copy(&backup, folder.ledger()).expect("a copy");
    let reader = Reader::open(&folder.ledger()).expect("a ledger");
    let sessions: i64 = reader
        .connection()
        .query_row("SELECT count(*) FROM session", [], |row| row.get(0))
        .expect("a count");
    assert_ne!(sessions, expected.0, "it is not what the backup was");
}

#[test]
fn a_restored_ledger_is_the_backup_and_the_old_one_is_kept_whole() {
    let (folder, backup) = killed_with_a_backup();
    let now = instant("2026-11-22T22:05:01Z");
    let restored = restore(&backup, &folder.ledger(), now, &mut go_on).expect("restored");
    let aside = folder
        .ledger()
        .with_file_name("ledger.db.until-20261122T220501Z");
    assert_eq!(restored.aside.as_deref(), Some(aside.as_path()));
    assert_eq!(held(&folder.ledger()), held(&backup));
    assert_eq!(
        held(&aside).0,
        held(&backup).0 + 1,
        "with its newest commit"
    );
    // Counting goes on.
    one_more(&mut folder.writer("Europe/Berlin"), 78);
    assert_eq!(held(&folder.ledger()).0, held(&backup).0 + 1);
}

#[test]
fn a_backup_is_restored_where_there_is_no_ledger() {
    let folder = SampleFolder::new();
    sample_month(&folder);
    let elsewhere = SampleFolder::new();
    let ledger = elsewhere.ledger().with_file_name("new").join("ledger.db");
    let now = instant("2026-11-22T22:05:01Z");
    let restored = restore(&folder.ledger(), &ledger, now, &mut go_on).expect("restored");
    assert_eq!(restored.aside, None);
    assert_eq!(held(&ledger), held(&folder.ledger()));
    assert_eq!(report_of(&folder).total.sessions, Some(7));
}

#[test]
fn what_must_not_be_restored_is_refused_and_the_ledger_left_alone() {
    let folder = SampleFolder::new();
    sample_month(&folder);
    let backup = folder.ledger().with_file_name("backup.db");
    back_up(&folder.ledger(), &backup, false, &mut go_on).expect("a backup");
    let before = (names(&folder), fs::read(folder.ledger()).expect("bytes"));
    let refused = |backup: &Path| {
        let now = instant("2026-11-22T22:05:01Z");
        let error = restore(backup, &folder.ledger(), now, &mut go_on).expect_err("refused");
        assert!(error.hint().is_some(), "{error}");
        error
    };
    let itself = folder.ledger().with_file_name("link.db");
    symlink(folder.ledger(), &itself).expect("a link");
    assert!(matches!(refused(&itself), CopyError::Itself(_)));
    fs::remove_file(itself).expect("removed");
    let writer = folder.writer("Europe/Berlin");
    assert!(matches!(
        refused(&backup),
        CopyError::Store(StoreError::Held { .. })
    ));
    drop(writer);
    Connection::open(&backup)
        .and_then(|copy| copy.execute("UPDATE day SET wire_in = wire_in + 1", []))
        .expect("an update");
    let unsound = refused(&backup);
    assert!(
        unsound.to_string().contains("is not sound (13 faults)"),
        "{unsound}"
    );
    let now = (names(&folder), fs::read(folder.ledger()).expect("bytes"));
    assert!(now == before, "something was changed");
}
