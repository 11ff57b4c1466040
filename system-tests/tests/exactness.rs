//! Everything people do over SSH is counted to the byte and billed to the right
//! user, whoever writes the log and whatever counts.
//!
//! Each log is tried with the socket meter, and each meter of a firewall with one
//! log: where a name comes from and what counts its bytes know nothing of each
//! other.

use std::time::Duration;

use system_tests::{
    Family, Log, Machine, Meter, OpenVisit, SERVED, Tolerance, Visit, counts_with, must_agree,
    standard_users, wait_for,
};

/// What is on its way to a client that has gone is met with a reset, and after
/// one the kernel's figures do not say whether a FIN was among them.
const SILENCE: Duration = Duration::from_millis(700);

#[test]
fn with_rsyslog_and_traditional_stamps() {
    let name = "with_rsyslog_and_traditional_stamps";
    everything_is_counted_to_the_byte(name, Log::RsyslogTraditional, Meter::Sockdiag);
}

#[test]
fn with_rsyslog_and_rfc_3339_stamps() {
    let name = "with_rsyslog_and_rfc_3339_stamps";
    everything_is_counted_to_the_byte(name, Log::RsyslogIso, Meter::Sockdiag);
}

#[test]
fn with_journald() {
    everything_is_counted_to_the_byte("with_journald", Log::Journald, Meter::Sockdiag);
}

#[test]
fn by_nftables() {
    everything_is_counted_to_the_byte("by_nftables", Log::RsyslogIso, Meter::Nftables);
}

#[test]
fn by_iptables() {
    everything_is_counted_to_the_byte("by_iptables", Log::Journald, Meter::IptablesNft);
}

#[test]
fn by_legacy_iptables() {
    let name = "by_legacy_iptables";
    everything_is_counted_to_the_byte(name, Log::RsyslogTraditional, Meter::IptablesLegacy);
}

fn everything_is_counted_to_the_byte(name: &str, log: Log, meter: Meter) {
    if !counts_with(&format!("exactness::{name}"), meter) {
        return;
    }
    let builder = Machine::builder().log(log).meter(meter);
    let mut machine = builder.ports(&[22, 2222]).start();
    machine.serve();
    let capture = machine.capture();
    let daemon = machine.daemon();
    let mut visits = Vec::new();
    for family in [Family::V4, Family::V6] {
        visits.extend(commands_and_copies(&machine, family));
        visits.extend(tunnels(&machine, family));
        visits.push(shared_connection(&machine, family));
        visits.extend(names_and_ports(&machine, family));
    }
    must_agree(&machine, capture, daemon, &visits, Tolerance::Exact);
}

fn commands_and_copies(machine: &Machine, family: Family) -> Vec<Visit> {
    let visit = |user| machine.client().visit(user).over(family);
    vec![
        visit("alice").run("true"),
        visit("alice").run("head -c 3000000 /dev/zero"),
        visit("bob").send(3_000_000, "cat >/dev/null"),
        visit("carol").scp_up(2_000_000),
        visit("carol").scp_down("/tmp/up-2003"),
        visit("carol").sftp("get /tmp/up-2003 /dev/null\nls /tmp\n"),
        visit("bob").by_password().run("echo by password"),
    ]
}

/// `-L`, `-D`, `-R` and a bare `-N`: bytes of a tunnel belong to who dug it.
fn tunnels(machine: &Machine, family: Family) -> Vec<Visit> {
    let client = machine.client();
    let visit = |user| client.visit(user).over(family);

    let local = visit("alice").open(&["-N", "-L", "9001:127.0.0.1:8000"], None);
    assert_eq!(client.fetch(9001, "cat <&3"), SERVED);

    let dynamic = visit("bob").open(&["-N", "-D", "9002"], None);
    // SOCKS 5 by hand: no authentication, then CONNECT to 127.0.0.1 port 8000.
    let socks = r"printf '\5\1\0' >&3; head -c 2 <&3 >/dev/null
        printf '\5\1\0\1\177\0\0\1\37\100' >&3; head -c 10 <&3 >/dev/null; cat <&3";
    assert_eq!(client.fetch(9002, socks), SERVED);

    let remote = visit("carol").open(&["-N", "-R", "9003:127.0.0.1:9001"], None);
    machine.wait_for_port(9003);
    let moved = machine
        .server()
        .shell("cat </dev/tcp/127.0.0.1/9003 | wc -c");
    assert_eq!(moved.trim(), SERVED);

    let bare = visit("alice").open(&["-N"], None);
    std::thread::sleep(SILENCE);
    let open = [remote, local, dynamic, bare];
    for tunnel in &open {
        machine.wait_for_rules(&tunnel.visit);
    }
    open.map(OpenVisit::close).into()
}

/// One connection, many sessions: it is one line of the bill.
fn shared_connection(machine: &Machine, family: Family) -> Visit {
    let builder = machine.client().visit("bob").over(family);
    let socket = format!("/mnt/control-{}", builder.visit().address);
    let path = format!("ControlPath={socket}");
    let master = builder
        .clone()
        .option(&path)
        .option("ControlMaster=yes")
        .open(&["-N"], None);
    let inside = machine.client().keeper().path(&socket);
    wait_for("the shared connection", Duration::from_secs(10), || {
        inside.exists().then_some(())
    });
    for _ in 0..3 {
        builder
            .clone()
            .option(&path)
            .run("head -c 100000 /dev/zero");
    }
    std::thread::sleep(SILENCE);
    machine.wait_for_rules(&master.visit);
    master.close()
}

/// Names that break naive log readers, and a second port.
fn names_and_ports(machine: &Machine, family: Family) -> Vec<Visit> {
    standard_users()
        .iter()
        .map(|user| {
            let visit = machine.client().visit(&user.name).over(family);
            visit.port(2222).run("head -c 20000 /dev/zero")
        })
        .collect()
}
