//! A daemon that is stopped, killed and started again loses nothing that it
//! could still read, and counts nothing twice.

use std::time::Duration;

use jiff::Timestamp;
use system_tests::{
    Daemon, Log, Machine, OpenVisit, Session, Tolerance, Visit, must_agree, stands, wait_for,
};

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
fn what_ends_while_a_killed_daemon_is_down_is_counted_and_named() {
    if stands("restart::what_ends_while_a_killed_daemon_is_down_is_counted_and_named") {
        what_ends_while_no_daemon_runs_is_known(Log::RsyslogIso, |daemon| drop(daemon.kill()));
    }
}

#[test]
fn what_ends_while_a_stopped_daemon_is_down_is_counted_and_named() {
    if stands("restart::what_ends_while_a_stopped_daemon_is_down_is_counted_and_named") {
        what_ends_while_no_daemon_runs_is_known(Log::Journald, |daemon| drop(daemon.stop()));
    }
}

/// Under a service manager that keeps descriptors: sessions that end while it is
/// down, and those that begin and end, are as whole as those of before and after.
fn what_ends_while_no_daemon_runs_is_known(log: Log, end: impl Fn(Daemon)) {
    let machine = Machine::builder().log(log).start();
    let manager = machine.service_manager();
    let capture = machine.capture();
    let mut daemon = manager.start(machine.server(), &[]);
    let (mut visits, mut over_by) = (Vec::new(), Vec::new());
    for _ in 0..2 {
        let alice = opened(&machine, "alice");
        let bob = opened(&machine, "bob");
        end(daemon);
        visits.push(alice.finish());
        visits.push(machine.client().visit("carol").scp_up(200_000));
        visits.push(machine.client().visit("bob").fail());
        wait_until_gone(&machine, &visits);
        let down = visits.len() - 3..visits.len();
        over_by.extend(
            visits[down]
                .iter()
                .map(|visit| (visit.address, Timestamp::now())),
        );
        daemon = manager.start(machine.server(), &[]);
        visits.push(bob.finish());
        visits.push(machine.client().visit("alice").run("true"));
    }
    let words = daemon.words();
    assert_eq!(
        words.matches("ended since the last commit: 3").count(),
        2,
        "{words}"
    );
    let (answer, _) = must_agree(&machine, capture, daemon, &visits, Tolerance::Exact);
    // The daemon heard of them later; the log knows when they ended.
    for (address, by) in over_by {
        let is_theirs =
            |session: &Session| session.peer.ip == address && session.closed <= Some(by);
        assert!(answer.sessions().iter().any(is_theirs), "{address} {by}");
    }
}

/// A session that begins, moves something and waits for its input's end.
fn opened(machine: &Machine, user: &str) -> OpenVisit {
    let before = machine.client().visit(user).visit().address;
    let mark = format!("/tmp/began-{before}");
    let command =
        format!("head -c 300000 /dev/zero; touch {mark}; read line; head -c 300000 /dev/zero");
    let visit = machine.client().visit(user).open(&[], Some(&command));
    wait_for("the first half", Duration::from_secs(20), || {
        let half = machine.server().output("test", &["-e", &mark]);
        half.status.success().then_some(())
    });
    visit
}

/// Waits until the kernel has no socket of these visits any more.
fn wait_until_gone(machine: &Machine, visits: &[Visit]) {
    wait_for("the connections' end", Duration::from_secs(20), || {
        let sockets = machine.server().run(
            "ss",
            &["-Htn", "state", "connected", "exclude", "time-wait"],
        );
        let lives = |visit: &Visit| sockets.contains(&format!("{}:", visit.address));
        (!visits.iter().any(lives)).then_some(())
    });
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
