//! Rules of others are never touched, and ours go when they are told to.

use system_tests::{Family, Machine, Meter, Tolerance, counts_with, must_agree};

use crate::talk::Talk;

/// As Docker and ufw have theirs, with what they have counted so far. What is
/// marked `passed` counts SSH too, so that its figures grow.
const FOREIGN: &str = "*nat
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:DOCKER - [0:0]
[3:180] -A PREROUTING -p udp -m udp --dport 9 -j DOCKER
[2:120] -A DOCKER -p tcp -m tcp --dport 8080 -j REDIRECT --to-ports 80
COMMIT
*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [11:660]
:OUTPUT ACCEPT [0:0]
:DOCKER-USER - [0:0]
:ufw-before-input - [0:0]
[0:0] -A INPUT -m comment --comment passed -j ufw-before-input
[0:0] -A OUTPUT -p tcp -m tcp --sport 22 -m comment --comment passed -j ACCEPT
[7:420] -A FORWARD -j DOCKER-USER
[7:420] -A DOCKER-USER -p udp -m comment --comment \"pid:1 user:useraccounts\" -j RETURN
[0:0] -A ufw-before-input -p tcp -m tcp --dport 22 -m comment --comment passed -j ACCEPT
[9:540] -A ufw-before-input -p udp -m udp --dport 137 -j DROP
COMMIT
";

const FOREIGN_TABLE: &str = "table inet mine {
    set friends { type ipv4_addr . inet_service; counter
        elements = { 192.0.2.7 . 22 counter packets 3 bytes 180 comment \"pid:1 user:friend\" }
    }
    chain input { type filter hook input priority 10
        udp dport 9 counter packets 4 bytes 240 accept
    }
}
";

#[test]
fn are_left_alone_by_nftables() {
    are_left_alone("are_left_alone_by_nftables", Meter::Nftables);
}

#[test]
fn are_left_alone_by_iptables() {
    are_left_alone("are_left_alone_by_iptables", Meter::IptablesNft);
}

#[test]
fn are_left_alone_by_legacy_iptables() {
    are_left_alone("are_left_alone_by_legacy_iptables", Meter::IptablesLegacy);
}

fn are_left_alone(name: &str, meter: Meter) {
    // Docker and ufw are there with nftables as well.
    let stands = counts_with(name, Meter::IptablesNft);
    if !stands || !counts_with(&format!("firewall::others::{name}"), meter) {
        return;
    }
    let machine = Machine::builder().meter(meter).start();
    load(&machine);
    let foreign = others(&machine);
    let capture = machine.capture();
    let mut daemon = machine.daemon();
    let mut visits = Vec::new();
    let lasting = Talk::begin(&machine, "alice", Family::V4);
    for family in [Family::V4, Family::V6] {
        let mut passing = Talk::begin(&machine, "bob", family);
        machine.wait_for_rules(passing.visit());
        passing.say(50_000, 50_000);
        visits.push(passing.end());
    }
    machine.wait_for_rules(&lasting.visit().clone());
    assert_eq!(others(&machine), foreign, "at work");

    daemon.settle(&visits);
    drop(daemon.stop());
    assert_eq!(machine.rules().len(), 2, "rules stay at an orderly stop");
    assert_eq!(others(&machine), foreign, "after a stop");

    let said = machine.sshmeter(&["clear-rules"]);
    assert!(said.status.success(), "{said:?}");
    assert_eq!(ours(&machine), "");
    assert_eq!(others(&machine), foreign, "after clear-rules");
    let again = machine.sshmeter(&["clear-rules"]);
    assert!(again.status.success(), "{again:?}");

    let config = meter.config("keep-rules = false");
    machine.server().write("/etc/sshmeter/config.toml", &config);
    daemon = machine.daemon();
    machine.wait_for_rules(lasting.visit());
    daemon = {
        drop(daemon.stop());
        assert_eq!(ours(&machine), "", "no rule is kept");
        assert_eq!(others(&machine), foreign, "after a stop that keeps none");
        machine.daemon()
    };
    machine.wait_for_rules(lasting.visit());
    visits.push(lasting.end());
    must_agree(&machine, capture, daemon, &visits, Tolerance::Exact);
    assert_eq!(ours(&machine), "");
    assert_eq!(others(&machine), foreign, "in the end");
}

fn load(machine: &Machine) {
    machine.server().write("/run/foreign", FOREIGN);
    machine.server().write("/run/foreign.nft", FOREIGN_TABLE);
    machine.server().shell(
        "for each in iptables ip6tables; do $each-restore --counters </run/foreign; done
        nft -f /run/foreign.nft",
    );
}

/// All rules of others, with what they have counted where no SSH passes.
fn others(machine: &Machine) -> String {
    let all = machine.server().shell(
        "for each in iptables ip6tables; do
            for table in nat filter; do $each-save --counters -t $table; done
        done
        nft list table inet mine",
    );
    let lines = all.lines().filter(|line| {
        let is_ours = ["-j useraccount", ":useraccount ", "-A useraccount "];
        !line.starts_with('#') && !is_ours.iter().any(|word| line.contains(word))
    });
    let lines = lines.map(|line| match line.split_once('[') {
        // Any change by the legacy variant, whoever makes it, zeroes policies.
        Some((policy, _)) if line.starts_with(':') => policy.trim_end(),
        _ if line.contains("passed") => line.split_once("] ").map_or(line, |it| it.1),
        _ => line.trim_end(),
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// All that is ours, wherever it is.
fn ours(machine: &Machine) -> String {
    machine.server().shell(
        "for each in iptables ip6tables; do $each-save -t filter; done |
            grep -e '-j useraccount' -e ':useraccount ' -e '-A useraccount' || true
        nft list tables | grep sshmeter || true",
    )
}
