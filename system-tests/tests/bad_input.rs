//! Everything that can be wrong from outside has an answer: a sentence, a hint,
//! the right exit code, and nothing lost.

use std::{fs, process::Output};

use rusqlite::Connection;
use system_tests::{Machine, Tolerance, must_agree, stands};

const FAILED: i32 = 1;
const USAGE: i32 = 2;

const LEDGER: &str = "/var/lib/sshmeter/ledger.db";

/// Fails with this code, says all of this, gives a hint, and does not panic.
fn refused(output: &Output, code: i32, words: &[&str]) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(!said.contains("panicked"), "{said}");
    for word in words.iter().chain(&["error: ", "hint: "]) {
        assert!(said.contains(word), "no {word:?} in:\n{said}");
    }
}

#[test]
fn an_unknown_key_is_pointed_at() {
    if !stands("bad_input::an_unknown_key_is_pointed_at") {
        return;
    }
    let machine = Machine::builder().without_sshd().start();
    let text = "[source]\nkind = \"auto\"\n\n[meter]\nintervall = \"10s\"\n";
    machine.server().write("/tmp/config.toml", text);
    for command in [&["check-config"][..], &["run"], &["report"]] {
        let output = machine.sshmeter(&[&["--config", "/tmp/config.toml"], command].concat());
        refused(&output, USAGE, &["/tmp/config.toml:5:1", "intervall", "^"]);
    }
    let output = machine.sshmeter(&["--config", "/tmp/none.toml", "run"]);
    refused(&output, USAGE, &["/tmp/none.toml"]);
}

#[test]
fn a_period_that_ends_before_it_begins_is_refused() {
    if !stands("bad_input::a_period_that_ends_before_it_begins_is_refused") {
        return;
    }
    let machine = Machine::builder().start();
    drop(machine.daemon().stop());
    for command in ["report", "sessions"] {
        let reversed = ["--since", "today", "--until", "yesterday"];
        refused(
            &machine.sshmeter(&[&[command][..], &reversed].concat()),
            USAGE,
            &["before"],
        );
        let nonsense = machine.sshmeter(&[command, "--since", "the day before"]);
        refused(&nonsense, USAGE, &["the day before"]);
        let zone = machine.sshmeter(&[command, "--tz", "Mars/Olympus"]);
        refused(&zone, USAGE, &["Mars/Olympus"]);
    }
}

#[test]
fn what_is_no_ledger_is_refused_and_left_alone() {
    if !stands("bad_input::what_is_no_ledger_is_refused_and_left_alone") {
        return;
    }
    let machine = Machine::builder().start();
    drop(machine.daemon().stop());
    let ledger = machine.server().path(LEDGER);
    let good = fs::read(&ledger).expect("the daemon made a ledger");

    let folder = tempfile::tempdir().expect("a folder");
    let foreign = folder.path().join("foreign.db");
    Connection::open(&foreign)
        .and_then(|connection| connection.execute_batch("CREATE TABLE bookmarks (url TEXT)"))
        .expect("a foreign database");
    let newer = folder.path().join("newer.db");
    fs::write(&newer, &good).expect("a copy");
    Connection::open(&newer)
        .and_then(|connection| connection.pragma_update(None, "user_version", 9999))
        .expect("a newer version");
    for name in ["foreign.db", "newer.db"] {
        let inside = machine.server().path(format!("/tmp/{name}"));
        fs::copy(folder.path().join(name), inside).expect("a copy");
    }
    let mut torn = good.clone();
    let middle = torn.len() / 3;
    torn[100..middle].fill(0xa5);
    fs::write(machine.server().path("/tmp/torn.db"), torn).expect("a torn ledger");
    fs::write(
        machine.server().path("/tmp/text.db"),
        "not a database at all, but long enough\n",
    )
    .expect("a text");

    for (path, word) in [
        ("/tmp/foreign.db", "not an sshmeter ledger"),
        ("/tmp/text.db", "not an sshmeter ledger"),
        ("/tmp/newer.db", "9999"),
        ("/tmp/torn.db", "damaged"),
    ] {
        let file = machine.server().path(path);
        let before = fs::read(&file).expect("it is there");
        for command in ["run", "report", "sessions"] {
            let output = machine.sshmeter(&["--ledger", path, command]);
            refused(&output, FAILED, &[path, word]);
        }
        assert!(
            fs::read(&file).expect("it is there") == before,
            "{path} was changed"
        );
    }
    let none = machine.sshmeter(&["--ledger", "/tmp/none.db", "report"]);
    refused(&none, FAILED, &["/tmp/none.db"]);
}

#[test]
fn a_second_daemon_is_refused_and_the_first_counts_on() {
    if !stands("bad_input::a_second_daemon_is_refused_and_the_first_counts_on") {
        return;
    }
    let machine = Machine::builder().start();
    let capture = machine.capture();
    let daemon = machine.daemon();
    refused(
        &machine.sshmeter(&["run"]),
        FAILED,
        &["another sshmeter", LEDGER],
    );
    let visits = [machine.client().visit("alice").run("true")];
    must_agree(&machine, capture, daemon, &visits, Tolerance::Exact);
}

#[test]
fn without_sshd_or_log_the_doctor_says_so() {
    if !stands("bad_input::without_sshd_or_log_the_doctor_says_so") {
        return;
    }
    let machine = Machine::builder()
        .without_sshd()
        .log(system_tests::Log::Nobody)
        .start();
    let output = machine.sshmeter(&["doctor"]);
    let told = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(FAILED), "{told}");
    for word in ["fail", "sshd", "log"] {
        assert!(told.contains(word), "no {word:?} in:\n{told}");
    }
    let output = machine.sshmeter(&["parse", "/var/log/auth.log"]);
    refused(&output, FAILED, &["/var/log/auth.log"]);
}

#[test]
fn a_log_that_cannot_be_read_is_named() {
    if !stands("bad_input::a_log_that_cannot_be_read_is_named") {
        return;
    }
    let machine = Machine::builder().start();
    let text = "[source]\nkind = \"file\"\npath = \"/var/log\"\n";
    machine.server().write("/tmp/config.toml", text);
    let output = machine.server().output(
        "timeout",
        &["10", "sshmeter", "--config", "/tmp/config.toml", "run"],
    );
    refused(&output, FAILED, &["/var/log"]);
}

#[test]
fn an_sshd_that_starts_later_is_found() {
    if !stands("bad_input::an_sshd_that_starts_later_is_found") {
        return;
    }
    let mut machine = Machine::builder().ports(&[2022]).without_sshd().start();
    let capture = machine.capture();
    let daemon = machine.daemon();
    machine.start_sshd();
    let visits = [machine.client().visit("alice").port(2022).run("sleep 15")];
    must_agree(&machine, capture, daemon, &visits, Tolerance::Exact);
}

#[test]
fn a_user_without_rights_is_told_which() {
    if !stands("bad_input::a_user_without_rights_is_told_which") {
        return;
    }
    let machine = Machine::builder().start();
    let output = machine.server().output(
        "setpriv",
        &[
            "--reuid=2001",
            "--regid=2001",
            "--clear-groups",
            "sshmeter",
            "run",
        ],
    );
    refused(&output, FAILED, &[]);
}
