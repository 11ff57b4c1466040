//! A ledger is backed up while it is counted into, and what a backup that is
//! put back means: nothing of what still lives is lost or doubled.

use std::{
    process::{Output, Stdio},
    time::Duration,
};

use rustix::process::Signal;
use system_tests::{Answer, Log, Machine, Session, Tolerance, judge, stands, wait_for};

const LEDGER: &str = "/var/lib/sshmeter/ledger.db";
const BACKUP: &str = "/var/lib/sshmeter/backup.db";

/// Fails with this code and says this.
fn refused(output: &Output, code: i32, word: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(said.contains(word) && !said.contains("panicked"), "{said}");
}

/// What `verify` says of a file, which has to be sound.
fn verified(machine: &Machine, path: &str) {
    let output = machine.sshmeter(&["--ledger", path, "verify"]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}");
    assert!(said.contains("is sound"), "{said}");
}

fn sessions_in(machine: &Machine, path: &str) -> Vec<Session> {
    let flags = ["--all", "--since", "-1d", "--format", "json"];
    let output = machine.sshmeter(&[&["--ledger", path, "sessions"], &flags[..]].concat());
    serde_json::from_slice(&output.stdout).expect("sessions are JSON")
}

fn from<'a>(sessions: &'a [Session], visit: &system_tests::Visit) -> Option<&'a Session> {
    let mut found = sessions
        .iter()
        .filter(|session| session.peer.ip == visit.address);
    let session = found.next();
    assert!(found.next().is_none(), "{visit:?} is there twice");
    session
}

/// Waits until a command left its mark in a user's home.
fn wait_for_mark(machine: &Machine, mark: &str) {
    wait_for(mark, Duration::from_secs(30), || {
        let there = machine.server().output("test", &["-e", mark]);
        there.status.success().then_some(())
    });
}

/// Waits until the ledger has so many sessions of an answer, all named.
fn wait_for_open(answer: &Answer, user: &str) {
    wait_for(user, Duration::from_secs(20), || {
        let sessions = answer.sessions();
        let found = sessions
            .iter()
            .any(|session| session.user == user && session.closed.is_none());
        found.then_some(())
    });
}

#[test]
fn after_an_older_backup_is_restored_what_is_open_is_exact() {
    if !stands("backup::after_an_older_backup_is_restored_what_is_open_is_exact") {
        return;
    }
    restored_after(Log::RsyslogIso);
}

#[test]
fn after_an_older_backup_is_restored_the_journal_names_the_same() {
    if !stands("backup::after_an_older_backup_is_restored_the_journal_names_the_same") {
        return;
    }
    restored_after(Log::Journald);
}

fn restored_after(log: Log) {
    let machine = Machine::builder().log(log).start();
    let capture = machine.capture();
    let daemon = machine.daemon();
    let bob = machine
        .client()
        .visit("bob")
        .run("head -c 200000 /dev/zero");
    daemon.settle(std::slice::from_ref(&bob));
    // Traffic flows, and so commits are made, while the backup is.
    let command = "(for i in $(seq 40); do head -c 50000 /dev/zero; sleep 0.05; done); \
                   touch ~/half; read line; head -c 300000 /dev/zero";
    let alice = machine.client().visit("alice").open(&[], Some(command));
    wait_for_open(daemon.ask(), "alice");
    drop(daemon.ask().text(&["backup", BACKUP]));
    verified(&machine, BACKUP);
    verified(&machine, LEDGER);
    let kept = sessions_in(&machine, BACKUP);
    assert_eq!(kept.len(), 2, "bob's and alice's: {kept:?}");

    // What comes after the backup: one that ends before it is restored, and
    // one that lives on.
    let carol = machine
        .client()
        .visit(r"DOM\carol")
        .run("head -c 100000 /dev/zero");
    let command = "head -c 150000 /dev/zero; touch ~/half; read line; head -c 50000 /dev/zero";
    let late = machine.client().visit("two words").open(&[], Some(command));
    wait_for_mark(&machine, "/home/2001/half");
    daemon.settle(&[bob.clone(), carol.clone()]);
    wait_for_open(daemon.ask(), "two words");
    refused(
        &machine.sshmeter(&["restore", BACKUP]),
        1,
        "already counts into",
    );
    // Killed, so that its newest commits lie in the log beside the ledger.
    drop(daemon.kill());
    let output = machine.sshmeter(&["restore", BACKUP]);
    assert!(output.status.success(), "{output:?}");
    verified(&machine, LEDGER);
    let aside = machine
        .server()
        .shell(&format!("ls {LEDGER}.until-*[0-9]Z"));
    verified(&machine, aside.trim());
    assert!(from(&sessions_in(&machine, aside.trim()), &carol).is_some());

    let daemon = machine.daemon();
    verified(&machine, LEDGER);
    let visits = [bob, alice.finish(), late.finish()];
    machine.wait_until_quiet();
    let truth = capture.finish();
    daemon.settle(&visits);
    let words = daemon.words();
    let answer = daemon.stop();
    verified(&machine, LEDGER);
    let sessions = answer.sessions();
    let before = from(&kept, &visits[0]).expect("bob is in the backup");
    let after = from(&sessions, &visits[0]).expect("bob is in the ledger");
    assert_eq!(
        format!("{before:?}"),
        format!("{after:?}"),
        "what the backup had is as it was"
    );
    assert!(
        from(&sessions, &carol).is_none(),
        "nobody could still know of her"
    );
    let all = [&visits[..], std::slice::from_ref(&carol)].concat();
    let mut judgement = judge(&all, &truth, &sessions, Tolerance::Exact);
    let missing = format!("{}:", carol.address);
    judgement
        .faults
        .retain(|fault| !(fault.starts_with(&missing) && fault.ends_with("is missing")));
    judgement.must_hold(&words);
}

#[test]
fn a_backup_that_cannot_be_finished_leaves_nothing() {
    if !stands("backup::a_backup_that_cannot_be_finished_leaves_nothing") {
        return;
    }
    let machine = Machine::builder().start();
    let daemon = machine.daemon();
    let visit = machine.client().visit("alice").run("true");
    daemon.settle(std::slice::from_ref(&visit));
    machine
        .server()
        .shell("mkdir /mnt/small; mount -t tmpfs -o size=64k tiny /mnt/small");
    let output = machine.sshmeter(&["backup", "/mnt/small/backup.db"]);
    refused(&output, 1, "no space left for /mnt/small/backup.db");
    assert_eq!(machine.server().shell("ls -A /mnt/small"), "");

    // Stopped by Ctrl-C: it is finished before it hears, or leaves nothing.
    for pause in 0..10 {
        let mut command = machine.server().command("sshmeter");
        command
            .args(["backup", "--force", "/tmp/backup.db"])
            .stdin(Stdio::null())
            .stderr(Stdio::null());
        let mut process = machine.server().spawn(&mut command, "sshmeter backup");
        std::thread::sleep(Duration::from_millis(pause * 4));
        process.signal(Signal::INT);
        process.wait(Duration::from_secs(20));
        let left = machine.server().shell("ls -A /tmp");
        assert!(!left.contains("partial"), "{left}");
        if left.contains("backup.db") {
            verified(&machine, "/tmp/backup.db");
        }
    }
    refused(
        &machine.sshmeter(&["backup", LEDGER]),
        1,
        "is the ledger itself",
    );
    drop(daemon.stop());
}

#[test]
fn a_faulty_row_is_named_and_a_damaged_file_told() {
    if !stands("backup::a_faulty_row_is_named_and_a_damaged_file_told") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let machine = Machine::builder()
        .ledger_folder(folder.path().to_owned())
        .start();
    let daemon = machine.daemon();
    let visit = machine
        .client()
        .visit("alice")
        .run("head -c 1000 /dev/zero");
    daemon.settle(std::slice::from_ref(&visit));
    drop(daemon.stop());
    let ledger = folder.path().join("ledger.db");
    rusqlite::Connection::open(&ledger)
        .and_then(|ledger| ledger.execute("UPDATE day SET wire_in = wire_in + 1", []))
        .expect("an update");
    let output = machine.sshmeter(&["verify"]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("of alice by SHA256:"), "{said}");
    assert!(
        said.contains("fault: day 20") && said.contains("by its hours"),
        "{said}"
    );
    let doctor = machine.sshmeter(&["doctor"]);
    let said = String::from_utf8_lossy(&doctor.stdout);
    assert!(
        said.contains("is damaged: day 20") && said.contains("sshmeter verify"),
        "{said}"
    );

    let mut bytes = std::fs::read(&ledger).expect("bytes");
    bytes[100..4096].fill(0xa5);
    std::fs::write(&ledger, bytes).expect("a file");
    let output = machine.sshmeter(&["verify"]);
    refused(&output, 1, "is damaged");
    refused(
        &output,
        1,
        "hint: put back a backup with `sshmeter restore FILE`",
    );
}
