//! A daemon that is stopped, killed and started again loses nothing that it
//! could still read, and counts nothing twice.

use std::time::Duration;

use system_tests::{Daemon, Log, Machine, Tolerance, must_agree, stands, wait_for};

#[test]
fn a_session_outlives_a_stopped_daemon() {
    if stands("restart::a_session_outlives_a_stopped_daemon") {
        a_session_outlives_its_daemon(Log::RsyslogIso, |daemon| drop(daemon.stop()));
    }
}

#[test]
fn a_session_outlives_a_killed_daemon() {
    if stands("restart::a_session_outlives_a_killed_daemon") {
        a_session_outlives_its_daemon(Log::Journald, |daemon| drop(daemon.kill()));
    }
}

fn a_session_outlives_its_daemon(log: Log, end: impl Fn(Daemon)) {
    let machine = Machine::builder().log(log).start();
    let capture = machine.capture();
    let daemon = machine.daemon();
    let command = "head -c 300000 /dev/zero; touch ~/half; read line; head -c 300000 /dev/zero";
    let alice = machine.client().visit("alice").open(&[], Some(command));
    wait_for("the first half", Duration::from_secs(20), || {
        let half = machine.server().output("test", &["-e", "/home/2001/half"]);
        half.status.success().then_some(())
    });
    let early = machine
        .client()
        .visit("bob")
        .run("head -c 100000 /dev/zero");
    // What ended in the second before a kill is in no ledger and in no kernel.
    daemon.settle(std::slice::from_ref(&early));
    end(daemon);
    let daemon = machine.daemon();
    let late = machine
        .client()
        .visit("carol")
        .run("head -c 100000 /dev/zero");
    let visits = [early, late, alice.finish()];
    must_agree(&machine, capture, daemon, &visits, Tolerance::Exact);
}

#[test]
fn a_log_rotated_by_rename_is_followed() {
    if !stands("restart::a_log_rotated_by_rename_is_followed") {
        return;
    }
    let machine = Machine::builder().start();
    let capture = machine.capture();
    let daemon = machine.daemon();
    let mut visits = Vec::new();
    for round in 0..3 {
        visits.push(machine.client().visit("alice").run("true"));
        // rsyslogd opens the new file when it has seen the signal and a line.
        machine.server().shell(&format!(
            "mv /var/log/auth.log /var/log/auth.log.{round}
            until [ -s /var/log/auth.log ]; do
                kill -HUP $(cat /run/rsyslogd.pid); logger -p auth.info rotated; sleep 0.2
            done"
        ));
        visits.push(machine.client().visit("bob").run("true"));
    }
    must_agree(&machine, capture, daemon, &visits, Tolerance::Exact);
}
