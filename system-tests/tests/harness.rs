//! The judge is judged first: what the capture says must be what the client's
//! programs moved, whatever sshmeter thinks of it.

use std::process::Command;

use system_tests::{Family, Log, Machine, boots, stands};

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
