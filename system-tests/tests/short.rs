//! Sessions that are over before anybody looks.

use std::process::Child;

use system_tests::{Log, Machine, Tolerance, Visit, must_agree, stands};

const SESSIONS: usize = 40;

#[test]
fn a_megabyte_in_under_two_seconds_forty_times() {
    if stands("short::a_megabyte_in_under_two_seconds_forty_times") {
        none_is_missing(Log::RsyslogIso, "head -c 1000000 /dev/zero", 2);
    }
}

#[test]
fn a_blink_forty_times() {
    if stands("short::a_blink_forty_times") {
        none_is_missing(Log::RsyslogTraditional, "true", 4);
    }
}

#[test]
fn a_blink_forty_times_with_journald() {
    if stands("short::a_blink_forty_times_with_journald") {
        none_is_missing(Log::Journald, "true", 4);
    }
}

fn none_is_missing(log: Log, command: &str, at_once: usize) {
    let machine = Machine::builder().log(log).start();
    let capture = machine.capture();
    let daemon = machine.daemon();
    let users = ["alice", "bob", "carol"];
    let mut visits: Vec<Visit> = Vec::new();
    for wave in 0..SESSIONS / at_once {
        let mut running: Vec<Child> = Vec::new();
        for number in 0..at_once {
            let user = users[(wave + number) % users.len()];
            let visit = machine.client().visit(user);
            let mut ssh = visit.ssh();
            ssh.arg(command).stdout(std::process::Stdio::null());
            running.push(ssh.spawn().expect("ssh can be started"));
            visits.push(visit.visit());
        }
        for mut ssh in running {
            assert!(ssh.wait().expect("ssh ends").success());
        }
    }
    assert_eq!(visits.len(), SESSIONS);
    let (_, judgement) = must_agree(&machine, capture, daemon, &visits, Tolerance::Exact);
    assert!(
        judgement.longest < 2.0,
        "one took {:.1} s: these were not the short sessions this test is about",
        judgement.longest
    );
}
