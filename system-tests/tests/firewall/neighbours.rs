//! Beside ufw and firewalld as Debian has them, which load their rules anew while
//! sessions move something: nothing of ours is lost by it, and SSH goes on.

use system_tests::{Log, Machine, Meter, Tolerance, counts_with, must_agree, stands_with};

use crate::talk::{Chatter, Talk, begin_counted};

const UFW: Neighbour = Neighbour {
    program: "ufw",
    start: "ufw allow 22/tcp; ufw --force enable",
    reload: "ufw reload",
    sign: "ufw status | grep -q '^22/tcp.*ALLOW'",
};

const FIREWALLD: Neighbour = Neighbour {
    program: "firewalld",
    start: "mkdir -p /run/dbus; dbus-daemon --system --fork; firewalld --nopid
        until firewall-cmd --state; do sleep 0.1; done
        firewall-cmd --add-service=ssh --permanent; firewall-cmd --reload",
    reload: "firewall-cmd --complete-reload",
    sign: "firewall-cmd --query-service=ssh",
};

/// Another program that makes firewall rules.
struct Neighbour {
    program: &'static str,
    start: &'static str,
    reload: &'static str,
    sign: &'static str,
}

#[test]
fn ufw_and_nftables() {
    get_along("ufw_and_nftables", &UFW, Meter::Nftables);
}

#[test]
fn ufw_and_iptables() {
    get_along("ufw_and_iptables", &UFW, Meter::IptablesNft);
}

#[test]
fn firewalld_and_nftables() {
    get_along("firewalld_and_nftables", &FIREWALLD, Meter::Nftables);
}

#[test]
fn firewalld_and_iptables() {
    get_along("firewalld_and_iptables", &FIREWALLD, Meter::IptablesNft);
}

fn get_along(name: &str, neighbour: &Neighbour, meter: Meter) {
    let name = format!("firewall::neighbours::{name}");
    if !counts_with(&name, meter) || !stands_with(&name, &[neighbour.program]) {
        return;
    }
    let machine = Machine::builder().log(Log::RsyslogIso).meter(meter).start();
    machine.server().shell(neighbour.start);
    let capture = machine.capture();
    let daemon = machine.daemon();
    let chatter = Chatter::of(begin_counted(&machine, &["alice", "bob"]));
    for _ in 0..2 {
        machine.server().shell(neighbour.reload);
        std::thread::sleep(std::time::Duration::from_secs(6));
    }
    machine.server().shell(neighbour.sign);
    let talks = chatter.enough();
    for talk in &talks {
        machine.wait_for_rules(talk.visit());
    }
    let visits: Vec<_> = talks.into_iter().map(Talk::end).collect();
    must_agree(&machine, capture, daemon, &visits, Tolerance::Exact);
}
