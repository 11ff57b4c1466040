//! Sessions that are over before anybody looks, or a firewall has a rule for them.
//!
//! Each meter of a firewall is tried with one log and one length; in between are
//! those whose rules come and go while something moves.

use std::process::Child;

use system_tests::{Log, Machine, Meter, Tolerance, Visit, counts_with, must_agree};

const SESSIONS: usize = 40;

const A_MEGABYTE: &str = "head -c 1000000 /dev/zero";
/// As long as it takes for a rule to come, more or less.
const A_MOMENT: &str = "for part in 1 2 3 4 5 6; do head -c 50000 /dev/zero; sleep 0.1; done";

#[test]
fn a_megabyte_in_under_two_seconds_forty_times() {
    let name = "a_megabyte_in_under_two_seconds_forty_times";
    none_is_missing(name, Meter::Sockdiag, Log::RsyslogIso, A_MEGABYTE, 2);
}

#[test]
fn a_blink_forty_times() {
    let name = "a_blink_forty_times";
    none_is_missing(name, Meter::Sockdiag, Log::RsyslogTraditional, "true", 4);
}

#[test]
fn a_blink_forty_times_with_journald() {
    let name = "a_blink_forty_times_with_journald";
    none_is_missing(name, Meter::Sockdiag, Log::Journald, "true", 4);
}

#[test]
fn a_blink_forty_times_by_nftables() {
    let name = "a_blink_forty_times_by_nftables";
    none_is_missing(name, Meter::Nftables, Log::Journald, "true", 4);
}

#[test]
fn a_megabyte_forty_times_by_iptables() {
    let name = "a_megabyte_forty_times_by_iptables";
    none_is_missing(name, Meter::IptablesNft, Log::RsyslogIso, A_MEGABYTE, 2);
}

#[test]
fn a_blink_forty_times_by_legacy_iptables() {
    let name = "a_blink_forty_times_by_legacy_iptables";
    none_is_missing(
        name,
        Meter::IptablesLegacy,
        Log::RsyslogTraditional,
        "true",
        4,
    );
}

#[test]
fn a_moment_forty_times_by_nftables() {
    let name = "a_moment_forty_times_by_nftables";
    none_is_missing(name, Meter::Nftables, Log::RsyslogTraditional, A_MOMENT, 2);
}

#[test]
fn a_moment_forty_times_by_iptables() {
    let name = "a_moment_forty_times_by_iptables";
    none_is_missing(name, Meter::IptablesNft, Log::Journald, A_MOMENT, 2);
}

fn none_is_missing(name: &str, meter: Meter, log: Log, command: &str, at_once: usize) {
    if !counts_with(&format!("short::{name}"), meter) {
        return;
    }
    let machine = Machine::builder().log(log).meter(meter).start();
    let capture = machine.capture();
    let daemon = machine.daemon();
    let users = ["alice", "bob", "carol"];
    let mut visits: Vec<Visit> = Vec::new();
    for wave in 0..SESSIONS / at_once {
        let mut running: Vec<Child> = Vec::new();
        for number in 0..at_once {
            let user = users[(wave + number) % users.len()];
            let visit = machine.client().visit(user);
            let mut ssh = visit.ssh();
            ssh.arg(command).stdout(std::process::Stdio::null());
            running.push(ssh.spawn().expect("ssh can be started"));
            visits.push(visit.visit());
        }
        for mut ssh in running {
            assert!(ssh.wait().expect("ssh ends").success());
        }
    }
    assert_eq!(visits.len(), SESSIONS);
    if meter.has_rules() {
        machine.wait_until_quiet();
        machine.wait_for_no_rules();
    }
    let (_, judgement) = must_agree(&machine, capture, daemon, &visits, Tolerance::Exact);
    // A machine that is busy with other things may hold one up.
    let short = judgement.seconds.iter().filter(|seconds| **seconds < 2.0);
    assert!(
        short.count() * 10 >= SESSIONS * 9,
        "these were not the short sessions that this test is about: {:.1?} s",
        judgement.seconds
    );
}
