//! A network that loses one packet in a hundred, each way: the stream is still
//! known to the byte, and the wire nearly so.

use system_tests::{Family, Loss, Machine, Meter, Tolerance, counts_with, must_agree};

#[test]
fn one_percent_of_loss_each_way() {
    one_percent_is_lost("one_percent_of_loss_each_way", Meter::Sockdiag);
}

#[test]
fn one_percent_of_loss_by_nftables() {
    one_percent_is_lost("one_percent_of_loss_by_nftables", Meter::Nftables);
}

#[test]
fn one_percent_of_loss_by_iptables() {
    one_percent_is_lost("one_percent_of_loss_by_iptables", Meter::IptablesNft);
}

#[test]
fn one_percent_of_loss_by_legacy_iptables() {
    let name = "one_percent_of_loss_by_legacy_iptables";
    one_percent_is_lost(name, Meter::IptablesLegacy);
}

fn one_percent_is_lost(name: &str, meter: Meter) {
    if !counts_with(&format!("loss::{name}"), meter) {
        return;
    }
    let machine = Machine::builder().meter(meter).start();
    machine.lose(Loss(1));
    let capture = machine.capture();
    let daemon = machine.daemon();
    let mut visits = Vec::new();
    for family in [Family::V4, Family::V6] {
        let visit = |user| machine.client().visit(user).over(family);
        visits.extend([
            visit("alice").run("head -c 4000000 /dev/zero"),
            visit("bob").send(4_000_000, "cat >/dev/null"),
            visit("carol").send(2_000_000, "cat"),
            visit("carol").scp_up(2_000_000),
            visit("alice").scp_down("/tmp/up-2003"),
        ]);
    }
    let (_, judgement) = must_agree(
        &machine,
        capture,
        daemon,
        &visits,
        Tolerance::WireWithin(0.005),
    );
    println!(
        "{name}: wire bytes were off by {:.4} % at most",
        judgement.worst * 100.0
    );
}
