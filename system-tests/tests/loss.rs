//! A network that loses one packet in a hundred, each way: the stream is still
//! known to the byte, and the wire nearly so.

use system_tests::{Family, Loss, Machine, Tolerance, must_agree, stands};

#[test]
fn one_percent_of_loss_each_way() {
    if !stands("loss::one_percent_of_loss_each_way") {
        return;
    }
    let machine = Machine::builder().start();
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
        "wire bytes were off by {:.4} % at most",
        judgement.worst * 100.0
    );
}
