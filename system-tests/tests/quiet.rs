//! A user of whom sshd says nothing is known by PAM's line, which names no
//! address, and by the connection that the line's writer holds.

use system_tests::{Log, Machine, Tolerance, must_agree, stands};

#[test]
fn with_a_log_file() {
    if stands("quiet::with_a_log_file") {
        a_quiet_user_is_named(Log::RsyslogTraditional);
    }
}

#[test]
fn with_journald() {
    if stands("quiet::with_journald") {
        a_quiet_user_is_named(Log::Journald);
    }
}

fn a_quiet_user_is_named(log: Log) {
    let mut machine = Machine::builder().log(log).without_sshd().start();
    machine
        .server()
        .shell("printf 'Match User two*\\n  LogLevel QUIET\\n' >>/etc/ssh/sshd_config");
    machine.start_sshd();
    let capture = machine.capture();
    let daemon = machine.daemon();
    let visit = |user| machine.client().visit(user);
    let visits = [
        visit("two words").run("head -c 200000 /dev/zero; sleep 2"),
        visit("alice").run("head -c 100000 /dev/zero"),
    ];
    must_agree(&machine, capture, daemon, &visits, Tolerance::Exact);
}
