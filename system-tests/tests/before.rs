//! Sessions older than the daemon are billed from their first byte.

use std::time::Duration;

use system_tests::{Log, Machine, Tolerance, must_agree, stands, wait_for};

#[test]
fn known_by_the_past_of_a_log_file() {
    if stands("before::known_by_the_past_of_a_log_file") {
        an_old_session_is_billed_whole(Log::RsyslogTraditional, |_| ());
    }
}

#[test]
fn known_by_the_past_of_the_journal() {
    if stands("before::known_by_the_past_of_the_journal") {
        an_old_session_is_billed_whole(Log::Journald, |_| ());
    }
}

#[test]
fn known_by_the_process_table_when_the_log_has_forgotten() {
    if stands("before::known_by_the_process_table_when_the_log_has_forgotten") {
        an_old_session_is_billed_whole(Log::RsyslogIso, |machine| {
            machine
                .server()
                .shell("mv /var/log/auth.log /root/gone; kill -HUP $(cat /run/rsyslogd.pid)");
            wait_for("a new log", Duration::from_secs(10), || {
                machine.server().shell("logger -p auth.info hello");
                let log = machine.server().path("/var/log/auth.log");
                log.exists().then_some(())
            });
        });
    }
}

fn an_old_session_is_billed_whole(log: Log, forget: impl FnOnce(&Machine)) {
    let machine = Machine::builder().log(log).start();
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
    let visits: Vec<_> = open
        .into_iter()
        .map(system_tests::OpenVisit::finish)
        .collect();
    must_agree(&machine, capture, daemon, &visits, Tolerance::Exact);
}
