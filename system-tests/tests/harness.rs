//! The judge is judged first: what the capture says must be what the client's
//! programs moved, whatever sshmeter thinks of it.

use std::process::Command;

use rusqlite::Connection;
use system_tests::{Family, Log, Machine, Tolerance, boots, judge, ledger_faults, stands};

#[test]
fn a_machine_takes_logins_of_every_user_and_the_capture_sees_them() {
    if !stands("a_machine_takes_logins_of_every_user_and_the_capture_sees_them") {
        return;
    }
    for log in [Log::RsyslogTraditional, Log::RsyslogIso, Log::Journald] {
        let machine = Machine::builder().log(log).ports(&[22, 2222]).start();
        let capture = machine.capture();
        for (index, user) in system_tests::standard_users().iter().enumerate() {
            let family = if index % 2 == 0 {
                Family::V4
            } else {
                Family::V6
            };
            let visit = machine.client().visit(&user.name).over(family);
            let (visit, name) = visit.port(2222).told("id -un; echo $SSH_CONNECTION");
            assert!(name.starts_with(&user.name), "{name}");
            assert!(name.contains(&visit.address.to_string()), "{name}");
        }
        machine.wait_until_quiet();
        let truth = capture.finish();
        assert_eq!(
            truth.connections.len(),
            system_tests::standard_users().len()
        );
        let written = match log {
            Log::Journald => machine.server().run("journalctl", &["-o", "cat"]),
            _ => machine.server().run("cat", &["/var/log/auth.log"]),
        };
        let accepted = written.matches("Accepted publickey for ").count();
        assert_eq!(accepted, system_tests::standard_users().len(), "{written}");
    }
}

#[test]
fn the_capture_counts_what_was_sent() {
    if !stands("the_capture_counts_what_was_sent") {
        return;
    }
    let machine = Machine::builder().start();
    let client = machine.client();
    for family in [Family::V4, Family::V6] {
        let capture = machine.capture();
        let up = client
            .visit("alice")
            .over(family)
            .send(1_000_000, "cat >/dev/null");
        let down = client
            .visit("bob")
            .over(family)
            .run("head -c 1000000 /dev/zero");
        let scp = client.visit("carol").over(family).scp_up(1_000_000);
        let scp_down = client.visit("carol").over(family).scp_down("/tmp/up-2003");
        let sftp = client
            .visit("carol")
            .over(family)
            .sftp("get /tmp/up-2003 /dev/null\n");
        machine.wait_until_quiet();
        let truth = capture.finish();
        let around = 1_000_000..1_030_000;
        assert!(around.contains(&truth.from(up.address).payload.inbound));
        assert!(around.contains(&truth.from(down.address).payload.outbound));
        assert!(around.contains(&truth.from(scp.address).payload.inbound));
        assert!(around.contains(&truth.from(scp_down.address).payload.outbound));
        assert!(around.contains(&truth.from(sftp.address).payload.outbound));
        for connection in truth.connections.values() {
            assert!(connection.is_clean(), "{connection:?}");
            assert!(connection.wire.inbound > connection.payload.inbound);
        }
    }
}

/// What goes up, down, and there and back, over both families.
fn move_megabytes(machine: &Machine) {
    for family in [Family::V4, Family::V6] {
        let visit = |user| machine.client().visit(user).over(family);
        visit("alice").send(1_000_000, "cat >/dev/null");
        visit("bob").run("head -c 2000000 /dev/zero");
        visit("carol").send(500_000, "cat");
        visit("alice").fail();
    }
    machine.wait_until_quiet();
}

#[test]
fn the_counter_counts_what_crosses_the_wire() {
    if !stands("the_counter_counts_what_crosses_the_wire") {
        return;
    }
    let machine = Machine::builder().ports(&[22, 2222]).start();
    let (capture, counter) = (machine.capture(), machine.counter());
    move_megabytes(&machine);
    let truth = capture.finish();
    // Nobody can take it away, whatever is done to the rules of others.
    machine.server().run("nft", &["flush", "ruleset"]);
    let counts = counter.read();
    assert_eq!(counts.connections.len(), 8);
    for (peer, connection) in truth.connections {
        let counted = counts.connections.get(&peer);
        assert_eq!(counted, Some(&connection.wire), "{connection:?}");
    }
}

#[test]
fn the_counter_sees_large_packets_as_one() {
    if !stands("the_counter_sees_large_packets_as_one") {
        return;
    }
    let machine = Machine::builder().start();
    machine.send_large_packets();
    let (capture, counter) = (machine.capture(), machine.counter());
    move_megabytes(&machine);
    let (truth, counts) = (capture.finish(), counter.read());
    let mut headers = Vec::new();
    for (peer, connection) in truth.connections {
        let counted = counts.connections[&peer];
        assert_eq!(counted.inbound, connection.wire.inbound, "{connection:?}");
        let missing = connection.wire.outbound - counted.outbound;
        if connection.payload.outbound > 1_000_000 {
            headers.push(missing * 1000 / connection.wire.outbound);
        }
    }
    println!("of downloads, out of a thousand bytes the filter missed {headers:?}");
    assert_eq!(headers.len(), 2);
    assert!(headers.iter().all(|missing| (10..60).contains(missing)));
}

#[test]
fn what_no_daemon_heard_and_what_does_not_add_up_is_found() {
    if !stands("what_no_daemon_heard_and_what_does_not_add_up_is_found") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder for the ledger");
    let ledger = folder.path().join("ledger.db");
    let builder = Machine::builder().ledger_folder(folder.path().to_owned());
    let machine = builder.start();
    let capture = machine.capture();
    let daemon = machine.daemon();
    let mut visits = vec![
        machine.client().visit("alice").run("true"),
        machine.client().visit("carol").run("true"),
    ];
    daemon.settle(&visits);
    drop(daemon.stop());
    visits.push(machine.client().visit("bob").run("true"));
    machine.wait_until_quiet();
    let answer = machine.daemon().stop();
    let truth = capture.finish();
    let judgement = judge(&visits, &truth, &answer.sessions(), Tolerance::Exact);
    assert_eq!(judgement.faults.len(), 1, "{:?}", judgement.faults);
    let missed = truth.from(visits[2].address).wire.total();
    assert_eq!((judgement.lost, judgement.doubled), (missed, 0));

    assert_eq!(ledger_faults(&ledger), Vec::<String>::new());
    for (spoil, word) in [
        ("UPDATE hour SET wire_in = wire_in + 1", "of hours"),
        ("UPDATE month SET payload_in = payload_in + 1", "of months"),
        (
            "UPDATE minute SET payload_out = payload_out - 1",
            "in minutes",
        ),
        (
            "UPDATE session SET reading_wire_out = reading_wire_out + 1",
            "read",
        ),
        ("UPDATE session SET closed_ms = NULL", "is open"),
        (
            "UPDATE session SET peer_ip = '', peer_port = 1",
            "two sessions",
        ),
    ] {
        let spoiled = folder.path().join("spoiled.db");
        std::fs::copy(&ledger, &spoiled).expect("the ledger is one file");
        let connection = Connection::open(&spoiled).expect("the ledger is a database");
        connection
            .execute(spoil, [])
            .expect("the ledger can be spoiled");
        let faults = ledger_faults(&spoiled);
        assert!(
            faults.iter().any(|fault| fault.contains(word)),
            "{spoil}: {faults:?}"
        );
    }
}

#[test]
fn the_router_loses_what_it_is_told_to() {
    if !stands("the_router_loses_what_it_is_told_to") {
        return;
    }
    let machine = Machine::builder().start();
    machine.lose(system_tests::Loss(2));
    let capture = machine.capture();
    let visit = machine
        .client()
        .visit("alice")
        .run("head -c 5000000 /dev/zero");
    machine.wait_until_quiet();
    let truth = capture.finish();
    let connection = truth.from(visit.address);
    assert!(connection.repeated.outbound > 10_000, "{connection:?}");
    assert!(connection.selective.inbound > 0, "{connection:?}");
}

#[test]
fn passwords_are_checked() {
    if !stands("passwords_are_checked") {
        return;
    }
    let machine = Machine::builder().start();
    machine.client().visit("alice").by_password().run("true");
    let nobody = machine.client().visit("alice").fail();
    assert_eq!(nobody.user, None);
}

#[test]
fn a_booted_machine_leaves_no_process_and_no_control_group_behind() {
    if !boots("a_booted_machine_leaves_no_process_and_no_control_group_behind") {
        return;
    }
    let machine = Machine::builder().booted().start();
    let name = machine.server().run("cat", &["/proc/1/comm"]);
    assert_eq!(name, "systemd\n");
    let visit = machine.client().visit("alice").open(&["-N"], None);
    let first = format!("/proc/{}", machine.server().leader());
    let group = std::fs::read_to_string(format!("{first}/cgroup")).expect("it runs");
    let group = group
        .lines()
        .find_map(|line| line.strip_prefix("0::")?.strip_suffix("/init.scope"))
        .expect("systemd is in a group of its own");
    assert!(is_there(group), "{group}");
    visit.close();
    drop(machine);
    assert!(!std::path::Path::new(&first).exists());
    assert!(!is_there(group), "{group}");
}

/// Whether there is a control group, wherever this machine has them mounted.
fn is_there(group: &str) -> bool {
    Command::new("unshare")
        .args(["--mount", "--", "bash", "-euc"])
        .arg(format!("mount -t cgroup2 groups /mnt; test -d /mnt{group}"))
        .status()
        .expect("unshare can be started")
        .success()
}
