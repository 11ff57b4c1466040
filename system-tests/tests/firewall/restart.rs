//! The daemon is killed while sessions move something: rules count on without it,
//! or are deleted meanwhile, and everybody is counted whole. Where a service
//! manager keeps descriptors, so is who leaves meanwhile.

use std::{thread::sleep, time::Duration};

use system_tests::{Log, Machine, Meter, Tolerance, counts_with, must_agree};

use crate::{
    faults,
    talk::{Chatter, Talk, begin_counted},
};

#[test]
fn rules_of_nftables_count_on() {
    rules_count_on("rules_of_nftables_count_on", Meter::Nftables);
}

#[test]
fn rules_of_iptables_count_on() {
    rules_count_on("rules_of_iptables_count_on", Meter::IptablesNft);
}

#[test]
fn rules_of_legacy_iptables_count_on() {
    rules_count_on("rules_of_legacy_iptables_count_on", Meter::IptablesLegacy);
}

#[test]
fn rules_of_nftables_are_found_again() {
    rules_are_found_again("rules_of_nftables_are_found_again", Meter::Nftables);
}

#[test]
fn rules_of_iptables_are_found_again() {
    rules_are_found_again("rules_of_iptables_are_found_again", Meter::IptablesNft);
}

/// Without a service manager, so nobody leaves while no daemon runs.
fn rules_are_found_again(name: &str, meter: Meter) {
    if !counts_with(&format!("firewall::restart::{name}"), meter) {
        return;
    }
    let builder = Machine::builder().log(Log::RsyslogIso).meter(meter);
    let machine = builder.meter_lines("interval = \"1s\"").start();
    let capture = machine.capture();
    let mut daemon = machine.daemon();
    let chatter = Chatter::of(begin_counted(&machine, &["alice", "bob"]));
    for delay in (0..6).map(|step| Duration::from_millis(300 + step * 450)) {
        sleep(delay);
        let _answer = daemon.kill();
        sleep(Duration::from_millis(300));
        daemon = machine.daemon();
    }
    let visits: Vec<_> = chatter.enough().into_iter().map(Talk::end).collect();
    must_agree(&machine, capture, daemon, &visits, Tolerance::Exact);
}

fn rules_count_on(name: &str, meter: Meter) {
    if !counts_with(&format!("firewall::restart::{name}"), meter) {
        return;
    }
    let builder = Machine::builder().log(Log::Journald).meter(meter);
    let machine = builder.meter_lines("interval = \"1s\"").start();
    let manager = machine.service_manager();
    let capture = machine.capture();
    let mut daemon = manager.start(machine.server(), &[]);
    let mut visits = Vec::new();
    let lasting = begin_counted(&machine, &["alice", "bob"]);
    let mut chatter = Chatter::of(lasting);
    for round in 0..3 {
        let passing = Chatter::of(begin_counted(&machine, &["carol", "alice"]));
        sleep(Duration::from_secs(1));
        let _answer = daemon.kill();
        if round == 1 {
            faults::delete_all(&machine);
        }
        visits.extend(passing.enough().into_iter().map(Talk::end));
        visits.push(machine.client().visit("bob").run("head -c 50000 /dev/zero"));
        sleep(Duration::from_secs(1));
        daemon = manager.start(machine.server(), &[]);
        let talks = chatter.enough();
        for talk in &talks {
            machine.wait_for_rules(talk.visit());
        }
        chatter = Chatter::of(talks);
    }
    sleep(Duration::from_secs(1));
    visits.extend(chatter.enough().into_iter().map(Talk::end));
    machine.wait_until_quiet();
    machine.wait_for_no_rules();
    must_agree(&machine, capture, daemon, &visits, Tolerance::Exact);
}
