//! Connections that never log in are kept apart: counted, and shown on request.

use system_tests::{Machine, NOBODY, Tolerance, Visit, must_agree, stands};

#[test]
fn strangers_are_shown_only_on_request() {
    if !stands("nobody::strangers_are_shown_only_on_request") {
        return;
    }
    let machine = Machine::builder().start();
    let capture = machine.capture();
    let daemon = machine.daemon();
    // From the link's own address, which no visit uses.
    let scanner = Visit {
        user: None,
        address: [10, 79, 0, 1].into(),
        what: "a port scanner".to_owned(),
    };
    machine
        .client()
        .keeper()
        .shell("exec 3<>/dev/tcp/10.77.0.1/22; head -c 4 <&3; echo nonsense >&3; cat <&3");
    let visits = [
        machine.client().visit("alice").fail(),
        machine.client().visit("alice").run("true"),
        scanner,
    ];
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
