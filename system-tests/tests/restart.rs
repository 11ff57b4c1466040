//! A daemon that is stopped, killed and started again loses nothing that it
//! could still read, and counts nothing twice. A firewall's rules go on counting
//! meanwhile.
//!
//! The meters of a firewall are killed once over a session that goes on, once
//! while sessions end, and at moments of an end; which of them meets which log is
//! spread. What is left out there is a log's own affair.

use std::{fs::File, time::Duration};

use jiff::Timestamp;
use system_tests::{
    Daemon, Log, Machine, Meter, NOBODY, OpenVisit, Tolerance, Visit, counts_with, must_agree,
    stands, wait_for,
};

#[test]
fn a_session_outlives_a_stopped_daemon() {
    let name = "a_session_outlives_a_stopped_daemon";
    a_session_outlives_its_daemon(name, Meter::Sockdiag, Log::RsyslogIso, stop);
}

#[test]
fn a_session_outlives_a_killed_daemon() {
    let name = "a_session_outlives_a_killed_daemon";
    a_session_outlives_its_daemon(name, Meter::Sockdiag, Log::Journald, kill);
}

#[test]
fn a_session_outlives_a_killed_daemon_with_nftables() {
    let name = "a_session_outlives_a_killed_daemon_with_nftables";
    a_session_outlives_its_daemon(name, Meter::Nftables, Log::RsyslogTraditional, kill);
}

#[test]
fn a_session_outlives_a_killed_daemon_with_iptables() {
    let name = "a_session_outlives_a_killed_daemon_with_iptables";
    a_session_outlives_its_daemon(name, Meter::IptablesNft, Log::Journald, kill);
}

#[test]
fn a_session_outlives_a_stopped_daemon_with_legacy_iptables() {
    let name = "a_session_outlives_a_stopped_daemon_with_legacy_iptables";
    a_session_outlives_its_daemon(name, Meter::IptablesLegacy, Log::RsyslogIso, stop);
}

fn stop(daemon: Daemon) {
    drop(daemon.stop());
}

fn kill(daemon: Daemon) {
    drop(daemon.kill());
}

fn a_session_outlives_its_daemon(name: &str, meter: Meter, log: Log, end: impl Fn(Daemon)) {
    if !counts_with(&format!("restart::{name}"), meter) {
        return;
    }
    let machine = Machine::builder().log(log).meter(meter).start();
    let capture = machine.capture();
    let daemon = machine.daemon();
    let command = "head -c 300000 /dev/zero; touch ~/half; read line; head -c 300000 /dev/zero";
    let alice = machine.client().visit("alice").open(&[], Some(command));
    wait_for("the first half", Duration::from_secs(20), || {
        let half = machine.server().output("test", &["-e", "/home/2001/half"]);
        half.status.success().then_some(())
    });
    machine.wait_for_rules(&alice.visit);
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
    machine.wait_for_rules(&alice.visit);
    let visits = [early, late, alice.finish()];
    must_agree(&machine, capture, daemon, &visits, Tolerance::Exact);
}

#[test]
fn what_ends_while_a_killed_daemon_is_down_is_counted_and_named() {
    let name = "what_ends_while_a_killed_daemon_is_down_is_counted_and_named";
    what_ends_while_no_daemon_runs_is_known(name, Meter::Sockdiag, Log::RsyslogIso, kill);
}

#[test]
fn what_ends_while_a_stopped_daemon_is_down_is_counted_and_named() {
    let name = "what_ends_while_a_stopped_daemon_is_down_is_counted_and_named";
    what_ends_while_no_daemon_runs_is_known(name, Meter::Sockdiag, Log::Journald, stop);
}

#[test]
fn what_ends_while_a_stopped_daemon_is_down_with_nftables() {
    let name = "what_ends_while_a_stopped_daemon_is_down_with_nftables";
    what_ends_while_no_daemon_runs_is_known(name, Meter::Nftables, Log::Journald, stop);
}

#[test]
fn what_ends_while_a_killed_daemon_is_down_with_iptables() {
    let name = "what_ends_while_a_killed_daemon_is_down_with_iptables";
    what_ends_while_no_daemon_runs_is_known(name, Meter::IptablesNft, Log::RsyslogIso, kill);
}

#[test]
fn what_ends_while_a_killed_daemon_is_down_with_legacy_iptables() {
    let name = "what_ends_while_a_killed_daemon_is_down_with_legacy_iptables";
    let log = Log::RsyslogTraditional;
    what_ends_while_no_daemon_runs_is_known(name, Meter::IptablesLegacy, log, kill);
}

/// Under a service manager that keeps descriptors: sessions that end while it is
/// down, and those that begin and end, are as whole as those of before and after.
fn what_ends_while_no_daemon_runs_is_known(
    name: &str,
    meter: Meter,
    log: Log,
    end: impl Fn(Daemon),
) {
    if !counts_with(&format!("restart::{name}"), meter) {
        return;
    }
    let machine = Machine::builder().log(log).meter(meter).start();
    let manager = machine.service_manager();
    let capture = machine.capture();
    let mut daemon = manager.start(machine.server(), &[]);
    let (mut visits, mut over_by) = (Vec::new(), Vec::new());
    for _ in 0..2 {
        let alice = opened(&machine, "alice");
        let bob = opened(&machine, "bob");
        machine.wait_for_rules(&bob.visit);
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
    // The daemon heard of them later; the log knows when they ended. Of a process
    // that is gone too soon journald does not know whether it was sshd's.
    for (address, by) in over_by.iter().filter(|_| log != Log::Journald) {
        let sessions = answer.sessions();
        let session = sessions.iter().find(|one| one.peer.ip == *address);
        let closed = session.and_then(|one| one.closed);
        assert!(
            closed.is_some_and(|closed| closed <= *by),
            "{session:?} {by}"
        );
    }
}

#[test]
fn what_ends_in_the_moment_of_a_kill_is_counted_and_named() {
    let name = "what_ends_in_the_moment_of_a_kill_is_counted_and_named";
    what_ends_in_the_moment_of_a_kill_is_known(name, Meter::Sockdiag);
}

#[test]
fn what_ends_in_the_moment_of_a_kill_with_nftables() {
    let name = "what_ends_in_the_moment_of_a_kill_with_nftables";
    what_ends_in_the_moment_of_a_kill_is_known(name, Meter::Nftables);
}

#[test]
fn what_ends_in_the_moment_of_a_kill_with_iptables() {
    let name = "what_ends_in_the_moment_of_a_kill_with_iptables";
    what_ends_in_the_moment_of_a_kill_is_known(name, Meter::IptablesNft);
}

fn what_ends_in_the_moment_of_a_kill_is_known(name: &str, meter: Meter) {
    if !counts_with(&format!("restart::{name}"), meter) {
        return;
    }
    let machine = Machine::builder().meter(meter).start();
    let manager = machine.service_manager();
    let capture = machine.capture();
    let mut visits = Vec::new();
    // From before the end is heard to after it is committed.
    for delay in (0..12).map(|step| Duration::from_millis(step * 120)) {
        let daemon = manager.start(machine.server(), &[]);
        visits.push(
            machine
                .client()
                .visit("alice")
                .run("head -c 50000 /dev/zero"),
        );
        std::thread::sleep(delay);
        let _answer = daemon.kill();
    }
    let daemon = manager.start(machine.server(), &[]);
    must_agree(&machine, capture, daemon, &visits, Tolerance::Exact);
}

#[test]
fn an_address_used_again_while_no_daemon_runs_is_each_time_its_user_s() {
    let name = "restart::an_address_used_again_while_no_daemon_runs_is_each_time_its_user_s";
    if stands(name) {
        each_has_its_own(Log::RsyslogIso);
        each_has_its_own(Log::RsyslogTraditional);
    }
}

/// Four connections from one address and port follow one another while no daemon
/// runs; the first is nobody's, and no line tells of the second's and third's end.
fn each_has_its_own(log: Log) {
    let machine = Machine::builder().log(log).start();
    let manager = machine.service_manager();
    let client = machine.client();
    let one_port = "echo 40000 40000 >/proc/sys/net/ipv4/ip_local_port_range";
    client.keeper().shell(one_port);
    // Unlike ssh, the shell leaves the port to the kernel, which takes the only
    // one as soon as it is free: the server hangs up first and has to wait.
    let connect = "ProxyCommand=bash -c 'until exec 3<>/dev/tcp/%h/%p; do sleep 0.1; done \
         2>/dev/null; (cat <&3; kill $$) & cat >&3; kill $!'";
    let visit = |user| client.visit(user).option(connect);
    let _answer = manager.start(machine.server(), &[]).kill();
    let no_ssh = "exec 3<>/dev/tcp/10.77.0.1/22; echo Hello? >&3; cat <&3";
    client.keeper().shell(no_ssh);
    for (user, bytes) in [("alice", 100_000), ("carol", 200_000)] {
        let mut ssh = visit(user).ssh();
        let file = client.keeper().path(client.file(bytes));
        ssh.stdin(File::open(file).expect("the file was just made"));
        let status = ssh.arg("cat >/dev/null; kill -9 $PPID").status();
        assert!(!status.expect("ssh can be started").success());
    }
    let _last = visit("bob").send(300_000, "cat >/dev/null");
    machine.wait_until_quiet();
    let daemon = manager.start(machine.server(), &[]);
    wait_for("all names", Duration::from_secs(10), || {
        let sessions = daemon.ask().sessions();
        let is_there = |name: &str| sessions.iter().any(|one| one.user == name);
        (is_there("bob") && is_there("carol")).then_some(())
    });
    let mut sessions = daemon.stop().sessions();
    sessions.sort_by_key(|one| one.payload_in);
    let told = sessions
        .iter()
        .map(|one| (one.user.as_str(), one.payload_in.map(|it| it / 100_000)));
    let truth = [(NOBODY, 0), ("alice", 1), ("carol", 2), ("bob", 3)];
    let truth = truth.map(|(user, moved)| (user, Some(moved)));
    assert_eq!(told.collect::<Vec<_>>(), truth, "{sessions:#?}");
    for pair in sessions.windows(2) {
        assert_eq!(pair[0].peer, pair[1].peer);
        assert!(pair[0].closed <= Some(pair[1].opened), "{pair:#?}");
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
        // The higher the number, the older the file: so logrotate has it, and one
        // who falls behind by several rotations goes by that.
        let number = 9 - round;
        // rsyslogd opens the new file when it has seen the signal and a line.
        machine.server().shell(&format!(
            "mv /var/log/auth.log /var/log/auth.log.{number}
            until [ -s /var/log/auth.log ]; do
                kill -HUP $(cat /run/rsyslogd.pid); logger -p auth.info rotated; sleep 0.2
            done"
        ));
        visits.push(machine.client().visit("bob").run("true"));
    }
    must_agree(&machine, capture, daemon, &visits, Tolerance::Exact);
}
