//! Connections that never log in are kept apart: counted, and shown on request.
//! A firewall gets no rule for them, so their sockets count.

use system_tests::{Machine, Meter, NOBODY, Tolerance, Visit, counts_with, must_agree};

#[test]
fn strangers_are_shown_only_on_request() {
    strangers_are_kept_apart("strangers_are_shown_only_on_request", Meter::Sockdiag);
}

#[test]
fn strangers_have_no_rule_of_nftables() {
    strangers_are_kept_apart("strangers_have_no_rule_of_nftables", Meter::Nftables);
}

#[test]
fn strangers_have_no_rule_of_iptables() {
    strangers_are_kept_apart("strangers_have_no_rule_of_iptables", Meter::IptablesNft);
}

#[test]
fn strangers_have_no_rule_of_legacy_iptables() {
    let name = "strangers_have_no_rule_of_legacy_iptables";
    strangers_are_kept_apart(name, Meter::IptablesLegacy);
}

fn strangers_are_kept_apart(name: &str, meter: Meter) {
    if !counts_with(&format!("nobody::{name}"), meter) {
        return;
    }
    let machine = Machine::builder().meter(meter).start();
    let capture = machine.capture();
    let daemon = machine.daemon();
    let client = machine.client();
    // From the link's own address, which no visit uses.
    let scanner = Visit {
        user: None,
        address: [10, 79, 0, 1].into(),
        what: "a port scanner".to_owned(),
    };
    let connect = "exec 3<>/dev/tcp/10.77.0.1/22; head -c 4 <&3";
    let nonsense = format!("{connect}; echo nonsense >&3; cat <&3");
    client.keeper().shell(&nonsense);
    let mut silence = client.keeper().command("bash");
    silence.args(["-c", &format!("{connect} >/dev/null; exec sleep 60")]);
    let silent = client.keeper().spawn(&mut silence, "a silent client");

    let alice = client.visit("alice").open(&["-N"], None);
    machine.wait_until_still(&alice);
    machine.wait_for_rules(&alice.visit);
    assert_eq!(machine.rules_of(scanner.address), []);
    drop(silent);
    let visits = [client.visit("alice").fail(), alice.close(), scanner];
    machine.wait_until_quiet();
    let (answer, _) = must_agree(
        &machine,
        capture,
        daemon,
        &visits,
        // sshd hangs up on nonsense first: the last packets pass when the
        // kernel has already put the socket away.
        Tolerance::WireWithin(0.2),
    );
    assert_eq!(answer.report(&["--since", "-1d"]).rows.len(), 1);
    let all = answer.report(&["--since", "-1d", "--all"]);
    let users: Vec<_> = all.rows.iter().filter_map(|row| row.user.clone()).collect();
    assert!(users.contains(&NOBODY.to_owned()), "{users:?}");
    assert_eq!(users.len(), 2);
}
