//! sshd is restarted, reloaded, moved, replaced and gone for a while, and those
//! who are connected meanwhile never notice. Neither does the meter.

use std::time::Duration;

use system_tests::{
    Capture, Daemon, Log, Logins, Machine, OpenVisit, Tolerance, Visit, must_agree, stands,
    wait_for,
};

const MOVES: &str = "head -c 20000 /dev/zero";
const STAYS: &str = "until [ -e /tmp/over ]; do head -c 5000 /dev/zero; sleep 0.3; done";

fn seconds(seconds: u64) {
    std::thread::sleep(Duration::from_secs(seconds));
}

/// Somebody who is connected from now on.
fn stayer(machine: &Machine, user: &str, file: &str) -> OpenVisit {
    let visit = machine.client().visit(user);
    let command = format!("touch {file}; {STAYS}");
    let open = visit.open(&[], Some(&command));
    wait_for("a login", Duration::from_secs(20), || {
        let there = machine.server().output("test", &["-e", file]);
        there.status.success().then_some(())
    });
    open
}

fn finish(
    name: &str,
    machine: &Machine,
    capture: Capture,
    daemon: Daemon,
    stayers: Vec<OpenVisit>,
    mut visits: Vec<Visit>,
) {
    machine.server().shell("touch /tmp/over");
    visits.extend(stayers.into_iter().map(OpenVisit::finish));
    let (_, judgement) = must_agree(machine, capture, daemon, &visits, Tolerance::Exact);
    println!("{name}: {judgement}");
}

#[test]
fn reloaded_restarted_and_stopped_for_a_while() {
    let name = "reloaded_restarted_and_stopped_for_a_while";
    if !stands(&format!("server_faults::{name}")) {
        return;
    }
    for log in [Log::RsyslogIso, Log::Journald] {
        let mut machine = Machine::builder().log(log).start();
        let capture = machine.capture();
        let daemon = machine.daemon();
        let mut stayers = vec![stayer(&machine, "alice", "/tmp/alice")];
        let mut visits = Vec::new();
        for pause in [0, 0, 20] {
            let logins = Logins::start(machine.client(), 2, MOVES);
            seconds(2);
            visits.extend(logins.finish());
            machine.stop_service("sshd");
            seconds(pause);
            machine.start_sshd();
        }
        stayers.push(stayer(&machine, "bob", "/tmp/bob"));
        for _ in 0..3 {
            machine
                .server()
                .shell("kill -HUP $(cat /run/sshd.pid); sleep 1");
            machine.wait_for_port(22);
            visits.push(machine.client().visit("carol").run(MOVES));
        }
        finish(name, &machine, capture, daemon, stayers, visits);
    }
}

#[test]
fn moved_to_another_port() {
    let name = "moved_to_another_port";
    if !stands(&format!("server_faults::{name}")) {
        return;
    }
    let mut machine = Machine::builder().ports(&[22, 2022]).without_sshd().start();
    machine
        .server()
        .shell("sed -i '/^Port 2022/d' /etc/ssh/sshd_config");
    machine.start_service("sshd", "/usr/sbin/sshd", &["-D"]);
    machine.wait_for_port(22);
    let capture = machine.capture();
    let daemon = machine.daemon();
    let stayers = vec![stayer(&machine, "alice", "/tmp/alice")];
    let mut visits = vec![machine.client().visit("carol").run(MOVES)];
    for (from, to) in [(22, 2022), (2022, 22)] {
        machine.server().shell(&format!(
            "sed -i 's/^Port {from}$/Port {to}/' /etc/ssh/sshd_config; kill -HUP $(cat /run/sshd.pid)"
        ));
        machine.wait_for_port(to);
        let logins = machine.client();
        visits.push(logins.visit("bob").port(to).run("sleep 2"));
        visits.push(logins.visit("carol").port(to).run(MOVES));
    }
    finish(name, &machine, capture, daemon, stayers, visits);
}

/// As an upgrade does it: the running sshd's file is no more.
#[test]
fn replaced_by_an_upgrade() {
    let name = "replaced_by_an_upgrade";
    if !stands(&format!("server_faults::{name}")) {
        return;
    }
    for log in [Log::RsyslogTraditional, Log::Journald] {
        let machine = Machine::builder().log(log).start();
        let capture = machine.capture();
        let daemon = machine.daemon();
        let stayers = vec![stayer(&machine, "alice", "/tmp/alice")];
        machine.server().shell(
            "cp -p /usr/sbin/sshd /usr/sbin/sshd.new; mv /usr/sbin/sshd.new /usr/sbin/sshd
            readlink /proc/$(cat /run/sshd.pid)/exe",
        );
        // The old listener serves on, with children of the new file.
        let logins = Logins::start(machine.client(), 2, MOVES);
        seconds(3);
        let mut visits = logins.finish();
        machine
            .server()
            .shell("kill -HUP $(cat /run/sshd.pid); sleep 1");
        machine.wait_for_port(22);
        visits.push(machine.client().visit("bob").run(MOVES));
        finish(name, &machine, capture, daemon, stayers, visits);
    }
}
