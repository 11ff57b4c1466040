//! As a service of a real systemd that counts at the firewall: its own user, with
//! the rights of the drop-in and no more.

use system_tests::{Family, Machine, Meter, Service, Tolerance, Visit, boots, must_agree};

#[test]
fn counting_by_nftables() {
    counts_with_the_drop_in("counting_by_nftables", Meter::Nftables);
}

#[test]
fn counting_by_iptables() {
    counts_with_the_drop_in("counting_by_iptables", Meter::IptablesNft);
}

#[test]
fn counting_by_legacy_iptables() {
    counts_with_the_drop_in("counting_by_legacy_iptables", Meter::IptablesLegacy);
}

fn counts_with_the_drop_in(name: &str, meter: Meter) {
    if !boots(&format!("service_firewall::{name}")) {
        return;
    }
    let machine = Machine::builder().booted().meter(meter).start();
    let capture = machine.capture();
    let service = machine.install();
    let mut visits: Vec<Visit> = [Family::V4, Family::V6]
        .map(|family| counted_by_its_rules(&machine, family))
        .into();
    the_doctor_is_content(&service);
    let over = machine
        .client()
        .visit("bob")
        .open(&[], Some("cat >/dev/null"));
    machine.wait_for_rules(&over.visit);
    service.systemctl(&["restart"]);
    machine.wait_for_rules(&over.visit);
    visits.push(over.finish());
    assert!(!service.words().contains("warning"), "{}", service.words());
    must_agree(&machine, capture, service, &visits, Tolerance::Exact);
}

fn counted_by_its_rules(machine: &Machine, family: Family) -> Visit {
    let visit = machine.client().visit("alice").over(family);
    let open = visit.open(&[], Some("cat >/dev/null; head -c 200000 /dev/zero"));
    machine.wait_for_rules(&open.visit);
    open.finish()
}

/// All is well, and the rights are the drop-in's.
fn the_doctor_is_content(service: &Service<'_>) {
    let health = service.ask().text(&["doctor"]);
    let bad = |line: &&str| line.starts_with("warn") || line.starts_with("fail");
    assert_eq!(health.lines().find(bad), None, "{health}");
    let words = "CAP_NET_ADMIN to put, read and remove the firewall's counter rules";
    let line = health.lines().find(|line| line.contains(words));
    assert!(
        line.is_some_and(|line| line.contains(": yes, this")),
        "{health}"
    );
}
