//! Everything people do over SSH is counted to the byte and billed to the right
//! user, whoever writes the log and whatever counts.
//!
//! Each log is tried with the socket meter, and each meter of a firewall with one
//! log: where a name comes from and what counts its bytes know nothing of each
//! other.

use system_tests::{
    Family, Log, Machine, Meter, Tolerance, Visit, counts_with, every_kind, must_agree,
    standard_users,
};

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
        visits.extend(every_kind(&machine, family));
        visits.extend(names_and_ports(&machine, family));
    }
    must_agree(&machine, capture, daemon, &visits, Tolerance::Exact);
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
