//! What `doctor` says of a mirror in each state that it can be in.

use std::{fs, os::unix::fs::PermissionsExt as _, time::Duration};

use system_tests::{Answer, Backend, stands};

use crate::stage::{Mirror, configure, health, machine, mirror, wait_until_up_to_date};

/// The doctor's only line on a mirror.
fn line(answer: &Answer) -> String {
    let mut lines = health(answer);
    let line = lines.pop().expect("a line on the mirror");
    assert!(lines.is_empty(), "{lines:?} and {line}");
    line
}

fn says(answer: &Answer, verdict: &str, words: &[&str]) {
    let line = line(answer);
    let is_so = line.starts_with(verdict) && words.iter().all(|one| line.contains(one));
    assert!(is_so, "{line}");
}

#[test]
fn the_doctor_tells_the_state_of_a_mirror() {
    for backend in [Backend::MariaDb, Backend::Postgres] {
        let name = "mirror::the_doctor_tells_the_state_of_a_mirror";
        if stands(name) && backend.stands(name) {
            in_each_state(backend);
        }
    }
}

fn in_each_state(backend: Backend) {
    let mirrors = [mirror(backend)];
    let machine = machine(&mirrors).start();
    configure(&machine, &mirrors, "");
    let nothing = machine.daemon().stop();
    machine.server().shell("rm /var/lib/sshmeter/*");
    let [mut mirror] = mirrors;
    mirror
        .server
        .query_in("sshmeter", "DELETE FROM sshmeter_host");
    says(
        &nothing,
        "ok",
        &["can be used", "nothing of this host is there yet"],
    );
    let daemon = machine.daemon();
    let visit = machine
        .client()
        .visit("alice")
        .run("head -c 50000 /dev/zero");
    daemon.settle(&[visit]);
    wait_until_up_to_date(&daemon);
    says(daemon.ask(), "ok", &["is up to date"]);
    let answer = daemon.stop();
    behind(&answer, &mirror);
    refused(&answer, &mut mirror);
}

fn behind(answer: &Answer, mirror: &Mirror) {
    let ask = |sql: &str| mirror.server.query_in("sshmeter", sql);
    ask("UPDATE sshmeter_host SET revision = revision - 2");
    says(
        answer,
        "ok",
        &[" was written ", "s ago; 2 rows changed since"],
    );
    ask("UPDATE sshmeter_host SET revision = revision + 1");
    says(answer, "ok", &["s ago; 1 row changed since"]);
    ask("UPDATE sshmeter_host SET seen = '2026-01-01 00:00:00'");
    says(
        answer,
        "warn",
        &["was last written", "h ago", "its log says what keeps it"],
    );
    ask("UPDATE sshmeter_host SET seen = CURRENT_TIMESTAMP, copied_table = 3");
    says(answer, "ok", &["is being filled with all the ledger has"]);
    ask("UPDATE sshmeter_host SET copied_table = NULL, journal = 'another'");
    says(answer, "ok", &["will be filled anew at the next round"]);
    ask("UPDATE sshmeter_schema SET version = 99");
    says(
        answer,
        "warn",
        &["are of version 99", "update sshmeter here"],
    );
    ask("UPDATE sshmeter_schema SET version = 1");
}

fn refused(answer: &Answer, mirror: &mut Mirror) {
    let file = mirror.server.password_file("sshmeter");
    let password = fs::read_to_string(&file).expect("a password");
    let mode = |mode| {
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).expect("the password's file");
    };
    mode(0o644);
    let lines = health(answer);
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(
        lines[0].starts_with("warn") && lines[0].contains("others may read the password of"),
        "{lines:?}"
    );
    assert!(lines[0].contains("chmod 600"), "{lines:?}");
    mode(0o600);
    fs::write(&file, "wrong horse\n").expect("the password's file");
    says(
        answer,
        "warn",
        &[
            "refuses the login of `sshmeter`",
            "are the user, the password's file",
        ],
    );
    fs::write(&file, password).expect("the password's file");
    let (read_only, as_before) = match mirror.server.backend() {
        Backend::Postgres => (
            "ALTER SYSTEM SET default_transaction_read_only = on; SELECT pg_reload_conf()",
            "SET default_transaction_read_only = off; \
             ALTER SYSTEM RESET default_transaction_read_only; SELECT pg_reload_conf()",
        ),
        _ => ("SET GLOBAL read_only = 1", "SET GLOBAL read_only = 0"),
    };
    for statement in read_only.split("; ") {
        mirror.server.query(statement);
    }
    std::thread::sleep(Duration::from_millis(500));
    says(
        answer,
        "warn",
        &["takes no writes", "name the server that takes writes"],
    );
    for statement in as_before.split("; ") {
        mirror.server.query(statement);
    }
    mirror.server.stop();
    says(
        answer,
        "warn",
        &["cannot be reached", "is the server running"],
    );
}
