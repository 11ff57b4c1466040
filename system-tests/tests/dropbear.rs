//! Other ways to have an SSH server: dropbear, and sshd started by a socket.

use std::time::Duration;

use system_tests::{Family, Machine, Tolerance, Visit, must_agree, stands};

const CONFIG: &str = "[meter]\nports = [22]\n";

#[test]
fn dropbear_is_metered() {
    if !stands("dropbear::dropbear_is_metered") {
        return;
    }
    let mut machine = Machine::builder().without_sshd().start();
    machine.server().shell("mkdir -p /etc/dropbear");
    machine.start_service("dropbear", "/usr/sbin/dropbear", &["-F", "-R"]);
    machine.wait_for_port(22);
    visits_are_exact(&machine);
}

/// A dual-stack listener as systemd's ssh.socket is one: an IPv4 client's socket
/// has a mapped address, and each sshd serves one connection.
#[test]
fn sshd_started_by_a_socket_is_metered() {
    if !stands("dropbear::sshd_started_by_a_socket_is_metered") {
        return;
    }
    let mut machine = Machine::builder().without_sshd().start();
    machine.start_service(
        "ssh.socket",
        "systemd-socket-activate",
        &["--listen=22", "--accept", "--inetd", "/usr/sbin/sshd", "-i"],
    );
    machine.wait_for_port(22);
    visits_are_exact(&machine);
}

fn visits_are_exact(machine: &Machine) {
    machine
        .server()
        .shell("mkdir -p /etc/sshmeter; touch /etc/sshmeter/config.toml");
    machine.server().write("/etc/sshmeter/config.toml", CONFIG);
    let capture = machine.capture();
    let daemon = machine.daemon();
    let mut visits: Vec<Visit> = Vec::new();
    for family in [Family::V4, Family::V6] {
        let visit = |user| machine.client().visit(user).over(family);
        visits.extend([
            visit("alice").run("head -c 300000 /dev/zero"),
            visit("bob").send(300_000, "cat >/dev/null"),
        ]);
        let open = visit("carol").open(&["-N"], None);
        std::thread::sleep(Duration::from_secs(1));
        visits.push(open.close());
    }
    must_agree(machine, capture, daemon, &visits, Tolerance::Exact);
}
