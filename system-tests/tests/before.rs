//! Sessions older than the daemon are billed from their first byte. A firewall
//! counts them from then on, so what moved before is their sockets' figure.

use std::time::Duration;

use system_tests::{Log, Machine, Meter, Tolerance, counts_with, must_agree, wait_for};

#[test]
fn known_by_the_past_of_a_log_file() {
    let name = "known_by_the_past_of_a_log_file";
    an_old_session_is_billed_whole(name, Meter::Sockdiag, Log::RsyslogTraditional, |_| ());
}

#[test]
fn known_by_the_past_of_the_journal() {
    let name = "known_by_the_past_of_the_journal";
    an_old_session_is_billed_whole(name, Meter::Sockdiag, Log::Journald, |_| ());
}

#[test]
fn known_by_the_process_table_when_the_log_has_forgotten() {
    let name = "known_by_the_process_table_when_the_log_has_forgotten";
    an_old_session_is_billed_whole(name, Meter::Sockdiag, Log::RsyslogIso, forget);
}

#[test]
fn then_counted_by_nftables() {
    let name = "then_counted_by_nftables";
    an_old_session_is_billed_whole(name, Meter::Nftables, Log::RsyslogTraditional, |_| ());
}

#[test]
fn then_counted_by_iptables() {
    let name = "then_counted_by_iptables";
    an_old_session_is_billed_whole(name, Meter::IptablesNft, Log::RsyslogIso, forget);
}

#[test]
fn then_counted_by_legacy_iptables() {
    let name = "then_counted_by_legacy_iptables";
    an_old_session_is_billed_whole(name, Meter::IptablesLegacy, Log::Journald, |_| ());
}

fn forget(machine: &Machine) {
    machine
        .server()
        .shell("mv /var/log/auth.log /root/gone; kill -HUP $(cat /run/rsyslogd.pid)");
    wait_for("a new log", Duration::from_secs(10), || {
        machine.server().shell("logger -p auth.info hello");
        let log = machine.server().path("/var/log/auth.log");
        log.exists().then_some(())
    });
}

fn an_old_session_is_billed_whole(
    name: &str,
    meter: Meter,
    log: Log,
    forget: impl FnOnce(&Machine),
) {
    if !counts_with(&format!("before::{name}"), meter) {
        return;
    }
    let machine = Machine::builder().log(log).meter(meter).start();
    let capture = machine.capture();
    let users = ["alice", "bob", r"DOM\carol", "two words"];
    let command = "head -c 1000000 /dev/zero; touch ~/half; read line; head -c 500000 /dev/zero";
    let open: Vec<_> = users
        .map(|user| machine.client().visit(user).open(&[], Some(command)))
        .into_iter()
        .collect();
    wait_for("the first half", Duration::from_secs(20), || {
        let done = machine
            .server()
            .shell("ls /home/*/half 2>/dev/null | wc -l");
        (done.trim() == users.len().to_string()).then_some(())
    });
    forget(&machine);

    let daemon = machine.daemon();
    wait_for("the open sessions", Duration::from_secs(20), || {
        let sessions = daemon.ask().sessions();
        let known = sessions.iter().filter(|session| {
            session.closed.is_none()
                && users.contains(&session.user.as_str())
                && session.payload_out > Some(1_000_000)
        });
        (known.count() == users.len()).then_some(())
    });
    for visit in &open {
        machine.wait_for_rules(&visit.visit);
    }
    let visits: Vec<_> = open
        .into_iter()
        .map(system_tests::OpenVisit::finish)
        .collect();
    must_agree(&machine, capture, daemon, &visits, Tolerance::Exact);
}
