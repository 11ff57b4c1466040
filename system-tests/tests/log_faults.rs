//! sshd's log is rotated, emptied, deleted, silent or gone while people log in:
//! every byte is counted to the byte all the same, and every name that was
//! written anywhere is found.

use std::time::Duration;

use system_tests::{
    Answer, Capture, Daemon, Log, Logins, Machine, NOBODY, Tolerance, Visit, judge, must_agree,
    stands, stands_with, wait_for,
};

const MOVES: &str = "head -c 20000 /dev/zero";

/// Runs a story while people log in, and holds the ledger against the capture.
fn while_people_log_in(name: &str, log: Log, story: impl FnOnce(&mut Machine, &Daemon)) {
    if !stands_with(&format!("log_faults::{name}"), &["logrotate"]) {
        return;
    }
    let mut machine = Machine::builder().log(log).start();
    let capture = machine.capture();
    let daemon = machine.daemon();
    let logins = Logins::start(machine.client(), 2, MOVES);
    story(&mut machine, &daemon);
    finish(name, &machine, capture, daemon, &logins.finish());
}

fn finish(name: &str, machine: &Machine, capture: Capture, daemon: Daemon, visits: &[Visit]) {
    let (_, judgement) = must_agree(machine, capture, daemon, visits, Tolerance::Exact);
    println!("{name}: {judgement}");
}

fn wait_for_words(daemon: &Daemon, words: &str) {
    wait_for(&format!("{words:?}"), Duration::from_secs(40), || {
        daemon.words().contains(words).then_some(())
    });
}

fn seconds(seconds: u64) {
    std::thread::sleep(Duration::from_secs(seconds));
}

/// Debian's own way of rotating, as often as the test asks for it.
fn rotate(machine: &Machine, how: &str) {
    machine.server().write(
        "/etc/logrotate.conf",
        &format!("/var/log/auth.log {{\n rotate 20\n missingok\n {how}\n}}\n"),
    );
    machine.server().shell(
        "chmod 644 /etc/logrotate.conf; chown root:root /var/log; chmod 755 /var/log
        logrotate --force --state /run/logrotate.state /etc/logrotate.conf",
    );
}

/// A file that is compressed while rsyslogd still writes to it loses those lines
/// to everybody, so rsyslogd lets go of it first.
const BY_RENAME: &str = "postrotate\n  pid=$(cat /run/rsyslogd.pid); kill -HUP $pid\n  \
    while ls -l /proc/$pid/fd | grep -q 'auth.log[.-]'; do sleep 0.05; done\n \
    endscript\n nocreate";

#[test]
fn rotated_by_rename() {
    while_people_log_in("rotated_by_rename", Log::RsyslogIso, |machine, _| {
        for _ in 0..6 {
            seconds(1);
            rotate(machine, BY_RENAME);
        }
    });
}

#[test]
fn rotated_and_compressed() {
    let log = Log::RsyslogTraditional;
    while_people_log_in("rotated_and_compressed", log, |machine, _| {
        for how in [
            "compress",
            "compress\n delaycompress",
            "compress",
            "dateext\n dateformat -%s\n compress",
        ] {
            seconds(2);
            rotate(machine, &format!("{how}\n {BY_RENAME}"));
        }
    });
}

#[test]
fn deleted() {
    while_people_log_in("deleted", Log::RsyslogIso, |machine, _| {
        for _ in 0..3 {
            seconds(1);
            machine.server().shell("rm /var/log/auth.log");
            seconds(1);
            machine.server().shell(
                "kill -HUP $(cat /run/rsyslogd.pid)
                until [ -e /var/log/auth.log ]; do logger -p auth.info hello; sleep 0.1; done",
            );
        }
        seconds(2);
    });
}

#[test]
fn replaced_by_a_link() {
    while_people_log_in("replaced_by_a_link", Log::RsyslogIso, |machine, _| {
        seconds(1);
        machine.server().shell(
            "mkdir /var/log/elsewhere; mv /var/log/auth.log /var/log/elsewhere/auth.log
            ln -s elsewhere/auth.log /var/log/auth.log
            kill -HUP $(cat /run/rsyslogd.pid)",
        );
        seconds(3);
        machine.server().shell(
            "rm /var/log/auth.log; mv /var/log/elsewhere/auth.log /var/log/auth.log
            kill -HUP $(cat /run/rsyslogd.pid)",
        );
        seconds(2);
    });
}

#[test]
fn unreadable_for_a_while() {
    while_people_log_in(
        "unreadable_for_a_while",
        Log::RsyslogIso,
        |machine, daemon| {
            seconds(1);
            // Root may read everything, so it is made something that is no file.
            machine
                .server()
                .shell("mv /var/log/auth.log /var/log/kept; mkdir /var/log/auth.log");
            wait_for_words(daemon, "cannot be read at the moment");
            seconds(3);
            machine
                .server()
                .shell("rmdir /var/log/auth.log; mv /var/log/kept /var/log/auth.log");
            wait_for_words(daemon, "can be read again");
            let words = daemon.words();
            assert_eq!(words.matches("at the moment").count(), 1, "{words}");
        },
    );
}

#[test]
fn rotated_by_copy_and_truncation() {
    let name = "rotated_by_copy_and_truncation";
    if !stands_with(&format!("log_faults::{name}"), &["logrotate"]) {
        return;
    }
    let machine = Machine::builder().start();
    let capture = machine.capture();
    let daemon = machine.daemon();
    let logins = Logins::start(machine.client(), 2, MOVES);
    for _ in 0..6 {
        seconds(1);
        rotate(&machine, "copytruncate");
    }
    let visits = logins.finish();
    exact_but_for_lost_lines(name, &machine, capture, daemon, &visits);
}

/// What is written between the copy and the truncation is nowhere: nobody can
/// know those names. All bytes are there, none under a wrong name.
fn exact_but_for_lost_lines(
    name: &str,
    machine: &Machine,
    capture: Capture,
    daemon: Daemon,
    visits: &[Visit],
) -> Answer {
    machine.wait_until_quiet();
    let truth = capture.finish();
    daemon.settle(visits);
    let words = daemon.words();
    let answer = daemon.stop();
    let sessions = answer.sessions();
    let mut known = visits.to_vec();
    let mut nameless = 0;
    for visit in &mut known {
        let nobody = sessions
            .iter()
            .any(|session| session.peer.ip == visit.address && session.user == NOBODY);
        if nobody {
            visit.user = None;
            nameless += 1;
        }
    }
    let judgement = judge(&known, &truth, &sessions, Tolerance::Exact);
    judgement.must_hold(&words);
    println!("{name}: {judgement}, {nameless} without a name");
    answer
}

/// Starts a log daemon on sockets that outlive it, as systemd's socket units do,
/// again and again whenever it ends.
fn start_held(machine: &mut Machine, sockets: &[&str], program: &str) {
    let listen: String = sockets
        .iter()
        .map(|socket| format!("--listen={socket} "))
        .collect();
    machine.server().write(
        "/run/held",
        &format!(
            "#!/bin/bash\nwhile :; do\n (export LISTEN_PID=$BASHPID; exec {program}) &\n \
             echo $! >/run/held.pid\n wait $!\ndone\n"
        ),
    );
    machine.server().shell("chmod +x /run/held");
    let command = format!("systemd-socket-activate --datagram {listen} /run/held");
    machine.start_service("held", "bash", &["-c", &format!("exec {command}")]);
    wait_for("the log's socket", Duration::from_secs(10), || {
        let sent = machine
            .server()
            .output("logger", &["-p", "auth.info", "hello"]);
        let runs = machine.server().output("test", &["-s", "/run/held.pid"]);
        (sent.status.success() && runs.status.success()).then_some(())
    });
}

#[test]
fn rsyslogd_restarted() {
    let name = "rsyslogd_restarted";
    if !stands(&format!("log_faults::{name}")) {
        return;
    }
    let mut machine = Machine::builder().start();
    machine.stop_service("rsyslogd");
    machine.server().shell("rm -f /dev/log");
    start_held(&mut machine, &["/dev/log"], "rsyslogd -n -iNONE");
    let capture = machine.capture();
    let daemon = machine.daemon();
    let logins = Logins::start(machine.client(), 2, MOVES);
    for signal in ["TERM", "KILL", "TERM", "KILL"] {
        seconds(2);
        machine
            .server()
            .shell(&format!("kill -{signal} $(cat /run/held.pid)"));
    }
    seconds(2);
    let visits = logins.finish();
    finish(name, &machine, capture, daemon, &visits);
}

#[test]
fn rsyslogd_stopped_for_a_while() {
    let name = "rsyslogd_stopped_for_a_while";
    if !stands(&format!("log_faults::{name}")) {
        return;
    }
    let mut machine = Machine::builder().start();
    let capture = machine.capture();
    let daemon = machine.daemon();
    let mut visits = vec![machine.client().visit("alice").run(MOVES)];
    machine.stop_service("rsyslogd");
    // Nobody hears sshd now: a login that is over soon is over without a name.
    let stayer = machine
        .client()
        .visit("bob")
        .open(&[], Some("until [ -e /tmp/over ]; do sleep 0.2; done"));
    let lost = machine.client().visit("carol").run(MOVES);
    wait_for("the process table's word", Duration::from_secs(80), || {
        let sessions = daemon.ask().sessions();
        sessions.iter().any(|one| one.user == "bob").then_some(())
    });
    machine.server().shell("rm -f /dev/log");
    machine.start_log();
    machine.server().shell("touch /tmp/over");
    visits.push(stayer.finish());
    visits.push(machine.client().visit("alice").run(MOVES));
    visits.push(lost);
    let answer = exact_but_for_lost_lines(name, &machine, capture, daemon, &visits);
    let nameless = answer.sessions();
    let nameless = nameless.iter().filter(|session| session.user == NOBODY);
    assert_eq!(nameless.count(), 1);
}

const JOURNALD: &str = "/usr/lib/systemd/systemd-journald";

/// A journald on sockets that outlive it.
fn with_held_journald(name: &str, story: impl FnOnce(&mut Machine)) {
    if !stands(&format!("log_faults::{name}")) {
        return;
    }
    let mut machine = Machine::builder().log(Log::Journald).start();
    machine.stop_service("systemd-journald");
    machine
        .server()
        .shell("rm -f /run/systemd/journal/{dev-log,socket,stdout}");
    let sockets = [
        "/run/systemd/journal/dev-log",
        "/run/systemd/journal/socket",
    ];
    machine
        .server()
        .shell("rm -f /dev/log; ln -s /run/systemd/journal/dev-log /dev/log");
    start_held(&mut machine, &sockets, JOURNALD);
    story(&mut machine);
}

#[test]
fn journald_restarted() {
    with_held_journald("journald_restarted", |machine| {
        let capture = machine.capture();
        let daemon = machine.daemon();
        let logins = Logins::start(machine.client(), 2, MOVES);
        for signal in ["TERM", "KILL", "TERM", "KILL"] {
            seconds(2);
            machine
                .server()
                .shell(&format!("kill -{signal} $(cat /run/held.pid)"));
        }
        seconds(2);
        let visits = logins.finish();
        finish("journald_restarted", machine, capture, daemon, &visits);
    });
}

#[test]
fn the_journal_vacuumed() {
    while_people_log_in("the_journal_vacuumed", Log::Journald, |machine, _| {
        for flags in ["--vacuum-files=1", "--vacuum-size=1", "--vacuum-files=1"] {
            seconds(2);
            machine.server().run("journalctl", &["--rotate"]);
            machine.server().run("journalctl", &[flags]);
        }
        seconds(1);
    });
}

#[test]
fn the_journal_vacuumed_while_the_daemon_is_down() {
    let name = "the_journal_vacuumed_while_the_daemon_is_down";
    if !stands(&format!("log_faults::{name}")) {
        return;
    }
    let machine = Machine::builder().log(Log::Journald).start();
    let capture = machine.capture();
    let daemon = machine.daemon();
    let stayer = machine
        .client()
        .visit("bob")
        .open(&[], Some("until [ -e /tmp/over ]; do sleep 0.2; done"));
    let mut visits = vec![machine.client().visit("alice").run(MOVES)];
    daemon.settle(&visits);
    drop(daemon.stop());
    machine.server().shell(
        "logger -t sshd new; journalctl --rotate; journalctl --vacuum-files=1
        journalctl --rotate; journalctl --vacuum-size=1",
    );
    let daemon = machine.daemon();
    visits.push(machine.client().visit("carol").run(MOVES));
    machine.server().shell("touch /tmp/over");
    visits.push(stayer.finish());
    assert!(daemon.words().contains("the journal"), "{}", daemon.words());
    finish(name, &machine, capture, daemon, &visits);
}

#[test]
fn journalctl_killed() {
    while_people_log_in("journalctl_killed", Log::Journald, |machine, _| {
        for _ in 0..10 {
            std::thread::sleep(Duration::from_millis(700));
            machine
                .server()
                .shell("kill -KILL $(ps -C journalctl -o pid=) 2>/dev/null || true");
        }
    });
}

#[test]
fn journalctl_missing_for_a_while() {
    let name = "journalctl_missing_for_a_while";
    while_people_log_in(name, Log::Journald, |machine, daemon| {
        machine.server().shell(
            // One may not have been started yet, and now cannot be.
            "mv /usr/bin/journalctl /usr/bin/journalctl.kept; sleep 1
            ps -C journalctl -o pid= | xargs -r kill -KILL",
        );
        wait_for_words(daemon, "the log cannot be followed");
        seconds(20);
        machine
            .server()
            .shell("mv /usr/bin/journalctl.kept /usr/bin/journalctl");
        wait_for_words(daemon, "the log is followed again");
        let words = daemon.words();
        for said in ["the log cannot be followed", "the log is followed again"] {
            assert_eq!(words.matches(said).count(), 1, "{words}");
        }
    });
}
