//! One client's address and port, at two sshds at once and by two users in turn.
//! A line tells only the client's end, so the rest has to tell which is meant.

use std::{thread::sleep, time::Duration};

use system_tests::{Capture, Daemon, Log, Machine, Meter, Session, counts_with, stands, wait_for};

use crate::stage::{
    AMBIGUOUS, CONTRADICTION, DENIED, FORGER, Held, OTHER, Stage, VICTIM, accepted, counted,
};

const PORT: u16 = 40_000;
const ANOTHER_PORT: u16 = 2222;

#[test]
fn two_sshds_at_once_by_a_log_file() {
    if stands("forged::one_address::two_sshds_at_once_by_a_log_file") {
        at_once(Log::RsyslogIso, Meter::Sockdiag);
    }
}

#[test]
fn two_sshds_at_once_by_the_journal() {
    if stands("forged::one_address::two_sshds_at_once_by_the_journal") {
        at_once(Log::Journald, Meter::Sockdiag);
    }
}

/// One rule would count for both, and then it counts for neither.
#[test]
fn two_sshds_at_once_by_rules_of_nftables() {
    let name = "forged::one_address::two_sshds_at_once_by_rules_of_nftables";
    if counts_with(name, Meter::Nftables) {
        at_once(Log::Journald, Meter::Nftables);
    }
}

#[test]
fn two_sshds_at_once_by_rules_of_iptables() {
    let name = "forged::one_address::two_sshds_at_once_by_rules_of_iptables";
    if counts_with(name, Meter::IptablesNft) {
        at_once(Log::RsyslogIso, Meter::IptablesNft);
    }
}

#[test]
fn two_sshds_at_once_by_rules_of_legacy_iptables() {
    let name = "forged::one_address::two_sshds_at_once_by_rules_of_legacy_iptables";
    if counts_with(name, Meter::IptablesLegacy) {
        at_once(Log::Journald, Meter::IptablesLegacy);
    }
}

#[test]
fn two_users_in_turn_by_a_log_file() {
    if stands("forged::one_address::two_users_in_turn_by_a_log_file") {
        in_turn(Log::RsyslogIso);
    }
}

#[test]
fn two_users_in_turn_by_the_journal() {
    if stands("forged::one_address::two_users_in_turn_by_the_journal") {
        in_turn(Log::Journald);
    }
}

fn machine(log: Log, meter: Meter) -> Machine {
    let ports = [22, ANOTHER_PORT];
    let mut machine = Machine::builder()
        .log(log)
        .meter(meter)
        .meter_lines("interval = \"1s\"")
        .ports(&ports)
        .without_sshd()
        .start();
    for port in ports {
        let name = format!("sshd-{port}");
        let pid = format!("PidFile=/run/{name}.pid");
        let port_flag = port.to_string();
        machine.start_service(
            &name,
            "/usr/sbin/sshd",
            &["-D", "-p", &port_flag, "-o", &pid],
        );
        machine.wait_for_port(port);
    }
    machine
        .client()
        .keeper()
        .shell("echo 1 >/proc/sys/net/ipv4/tcp_tw_reuse");
    machine
}

fn at_once(log: Log, meter: Meter) {
    let machine = machine(log, meter);
    let captures = [22, ANOTHER_PORT].map(|port| machine.capture_on(&[port]));
    let daemon = machine.daemon();
    let stage = Stage::new(&machine, &daemon, &[]);
    let address = stage.stranger().address;
    let held = [(VICTIM, 22), (FORGER, ANOTHER_PORT)]
        .map(|(user, port)| stage.hold(user, &[&stage.relay_from(address, PORT, port)]));
    wait_for("both connections", Duration::from_secs(20), || {
        let sessions = daemon.ask().sessions();
        (sessions.len() == 2).then_some(())
    });
    if log != Log::Journald {
        // A pid that nobody has: nothing tells which of the two is meant.
        stage.forge(4_000_000, &accepted(OTHER, address, PORT));
        sleep(Duration::from_millis(400));
    }
    for one in &held {
        one.let_in(&stage);
    }
    if meter.has_rules() {
        // Long enough for rules to come, and to be read some times.
        sleep(Duration::from_secs(4));
    }
    for one in held {
        one.finish(&stage);
    }
    let sessions = settle(&daemon, 2);
    for ((user, port), capture) in [(VICTIM, 22), (FORGER, ANOTHER_PORT)]
        .into_iter()
        .zip(captures)
    {
        must_be(&sessions, port, 0, user, capture);
    }
    daemon.stop();
    if log != Log::Journald {
        refused(&machine, &[AMBIGUOUS]);
    }
}

fn in_turn(log: Log) {
    let machine = machine(log, Meter::Sockdiag);
    let daemon = machine.daemon();
    let stage = Stage::new(&machine, &daemon, &[]);
    let address = stage.stranger().address;
    let mut captures = Vec::new();
    for user in [VICTIM, FORGER] {
        captures.push((user, machine.capture()));
        let held: Held = stage.hold(user, &[&stage.relay_from(address, PORT, 22)]);
        if log != Log::Journald && user == FORGER {
            stage.forge(4_000_000, &accepted(VICTIM, address, PORT));
        }
        held.finish(&stage);
        machine.wait_until_quiet();
        // The client's side remembers the address for a second.
        sleep(Duration::from_millis(1200));
        if user == VICTIM {
            let (_, capture) = captures.pop().expect("it was just begun");
            let sessions = settle(&daemon, 1);
            must_be(&sessions, 22, 0, user, capture);
        }
    }
    let sessions = settle(&daemon, 2);
    for (user, capture) in captures {
        must_be(&sessions, 22, 1, user, capture);
    }
    daemon.stop();
    if log != Log::Journald {
        refused(&machine, &[DENIED, CONTRADICTION]);
    }
}

/// The sessions by their beginning, when so many are over and named.
fn settle(daemon: &Daemon, count: usize) -> Vec<Session> {
    wait_for("the sessions' ends", Duration::from_secs(20), || {
        let mut sessions = daemon.ask().sessions();
        sessions.sort_by_key(|session| session.opened);
        let over = sessions.iter().filter(|it| it.closed.is_some());
        (over.count() == count).then_some(sessions)
    })
}

/// A farewell, both ways, which may come when the socket is gone.
const FAREWELL: u64 = 200;

/// The session at a port of ours is this user's, to the byte of its stream, and
/// what crossed the wire for another is not in it.
fn must_be(sessions: &[Session], port: u16, number: usize, user: &str, capture: Capture) {
    let mut here = sessions.iter().filter(|session| session.local.port == port);
    let session = here.nth(number).expect("a session");
    let truth = capture.finish();
    let connection = truth.from(session.peer.ip);
    assert_eq!(session.user, user, "at port {port}");
    let payload = (session.payload_in, session.payload_out);
    let truth = connection.payload;
    assert_eq!(payload, (Some(truth.inbound), Some(truth.outbound)));
    let wire = [session.wire_in, session.wire_out];
    let truth = [connection.wire.inbound, connection.wire.outbound];
    for (said, truth) in wire.into_iter().zip(truth) {
        let near = truth.saturating_sub(FAREWELL)..=truth;
        assert!(
            said.is_some_and(|said| near.contains(&said)),
            "{said:?} {truth}"
        );
    }
}

fn refused(machine: &Machine, kinds: &[&str]) {
    let words = machine.server().shell("cat /run/sshmeter.words");
    let counted = counted(&words);
    let found: u64 = kinds.iter().filter_map(|kind| counted.get(*kind)).sum();
    assert!(found > 0, "{kinds:?} in\n{words}");
}
