//! The network goes away under open connections: links, interfaces, addresses
//! and clients. The kernel counts on, and so does the meter: nothing is lost.
//!
//! What the kernel tries to send through an interface of its own that is gone is
//! counted by it as sent, each time it tries, and no counter tells it apart. So
//! where that happens the figures may be higher than the capture's, never lower.

use std::time::Duration;

use system_tests::{
    Capture, Daemon, Machine, OpenVisit, Tolerance, Visit, must_agree, stands, wait_for,
};

/// Sends, until the file is there.
fn sender(machine: &Machine, user: &str, over: &str) -> OpenVisit {
    let command = format!("until [ -e {over} ]; do head -c 5000 /dev/zero; sleep 0.2; done");
    let options = ["ServerAliveInterval=0", "TCPKeepAlive=no"];
    let visit = options.into_iter().fold(
        machine.client().visit(user),
        system_tests::VisitBuilder::option,
    );
    visit.open(&[], Some(&command))
}

fn seconds(seconds: u64) {
    std::thread::sleep(Duration::from_secs(seconds));
}

fn both_known(daemon: &Daemon) {
    wait_for("both to be known", Duration::from_secs(30), || {
        let sessions = daemon.ask().sessions();
        let known = sessions
            .iter()
            .filter(|one| one.user != system_tests::NOBODY);
        (known.count() == 2).then_some(())
    });
}

fn finish(
    name: &str,
    machine: &Machine,
    capture: Capture,
    daemon: Daemon,
    visits: &[Visit],
    tolerance: Tolerance,
) {
    let (_, judgement) = must_agree(machine, capture, daemon, visits, tolerance);
    println!(
        "{name}: {judgement}, wire off by {:.3} % at most",
        judgement.worst * 100.0
    );
}

#[test]
fn a_link_goes_down_and_comes_back() {
    let name = "a_link_goes_down_and_comes_back";
    if !stands(&format!("network::{name}")) {
        return;
    }
    let machine = Machine::builder().start();
    let capture = machine.capture();
    let daemon = machine.daemon();
    let open = [
        sender(&machine, "alice", "/tmp/over"),
        sender(&machine, "bob", "/tmp/over"),
    ];
    both_known(&daemon);
    for _ in 0..3 {
        machine.server().shell("ip link set eth0 down");
        seconds(2);
        machine
            .server()
            .shell("ip link set eth0 up; ip route add default via 10.77.0.254");
        seconds(3);
    }
    machine.server().shell("touch /tmp/over");
    let mut visits: Vec<Visit> = open.map(OpenVisit::finish).into_iter().collect();
    visits.push(machine.client().visit("carol").run("true"));
    finish(
        name,
        &machine,
        capture,
        daemon,
        &visits,
        Tolerance::NothingLost,
    );
}

#[test]
fn a_client_vanishes() {
    let name = "a_client_vanishes";
    if !stands(&format!("network::{name}")) {
        return;
    }
    let machine = Machine::builder()
        .sshd_config("ClientAliveInterval 2\nClientAliveCountMax 2")
        .start();
    // A connection that nobody reads any more is given up in seconds, not in minutes.
    machine.retry_as_usual();
    machine.server().shell(
        "echo 3 >/proc/sys/net/ipv4/tcp_orphan_retries; echo 5 >/proc/sys/net/ipv4/tcp_retries2",
    );
    let capture = machine.capture();
    let daemon = machine.daemon();
    let open = [
        sender(&machine, "alice", "/tmp/never"),
        sender(&machine, "bob", "/tmp/never"),
    ];
    both_known(&daemon);
    machine.client().keeper().shell(
        "ip netns exec router nft 'table inet hole { chain forward {
            type filter hook forward priority 0; policy drop
        }; }'",
    );
    let sessions = || daemon.ask().sessions();
    wait_for("both to be given up", Duration::from_secs(60), || {
        sessions()
            .iter()
            .all(|one| one.closed.is_some())
            .then_some(())
    });
    let visits: Vec<Visit> = open.map(OpenVisit::kill).into_iter().collect();
    finish(
        name,
        &machine,
        capture,
        daemon,
        &visits,
        Tolerance::WireWithin(0.005),
    );
}

#[test]
fn an_interface_is_made_anew() {
    let name = "an_interface_is_made_anew";
    if !stands(&format!("network::{name}")) {
        return;
    }
    let machine = Machine::builder().start();
    let before = machine.capture();
    let daemon = machine.daemon();
    let open = [
        sender(&machine, "alice", "/tmp/over"),
        sender(&machine, "bob", "/tmp/over"),
    ];
    both_known(&daemon);
    machine.server().shell("ip link delete eth0");
    seconds(2);
    machine.lay_the_wire_anew();
    let capture = before.followed_by(machine.capture());
    machine.connect_the_wire();
    seconds(3);
    machine.server().shell("touch /tmp/over");
    let mut visits: Vec<Visit> = open.map(OpenVisit::finish).into_iter().collect();
    visits.push(machine.client().visit("carol").run("true"));
    finish(
        name,
        &machine,
        capture,
        daemon,
        &visits,
        Tolerance::NothingLost,
    );
}

#[test]
fn an_address_changes() {
    let name = "an_address_changes";
    if !stands(&format!("network::{name}")) {
        return;
    }
    let machine = Machine::builder()
        .sshd_config("ClientAliveInterval 2\nClientAliveCountMax 2")
        .start();
    machine.retry_as_usual();
    machine.server().shell(
        "echo 3 >/proc/sys/net/ipv4/tcp_orphan_retries; echo 5 >/proc/sys/net/ipv4/tcp_retries2",
    );
    let capture = machine.capture();
    let daemon = machine.daemon();
    let open = [
        sender(&machine, "alice", "/tmp/never"),
        sender(&machine, "bob", "/tmp/never"),
    ];
    both_known(&daemon);
    // The network learns of it as well: nothing goes to an address that nobody has.
    machine.client().keeper().shell(
        "ip netns exec router nft 'table inet gone { chain forward {
            type filter hook forward priority 0; ip daddr 10.77.0.1 drop
        }; }'",
    );
    machine.server().shell(
        "ip addr del 10.77.0.1/24 dev eth0; ip addr add 10.77.0.9/24 dev eth0
        ip route replace default via 10.77.0.254",
    );
    let moved = machine
        .client()
        .visit("carol")
        .option("HostName=10.77.0.9")
        .run("head -c 100000 /dev/zero");
    wait_for("both to be given up", Duration::from_secs(60), || {
        let sessions = daemon.ask().sessions();
        sessions
            .iter()
            .all(|one| one.closed.is_some())
            .then_some(())
    });
    let mut visits: Vec<Visit> = open.map(OpenVisit::kill).into_iter().collect();
    visits.push(moved);
    finish(
        name,
        &machine,
        capture,
        daemon,
        &visits,
        Tolerance::NothingLost,
    );
}
