//! Without root: what the capabilities give, and what is left without any.

use system_tests::{Daemon, Log, Machine, Tolerance, must_agree, stands};

/// The user and group that sshmeter runs as here.
const USER: &str = "990";

#[test]
fn three_capabilities_are_as_good_as_root() {
    if !stands("rights::three_capabilities_are_as_good_as_root") {
        return;
    }
    let machine = Machine::builder().log(Log::Journald).ports(&[2222]).start();
    // What systemd-tmpfiles does where systemd has booted.
    machine
        .server()
        .shell("chgrp -R systemd-journal /run/log/journal");
    let capture = machine.capture();
    let visit = |user| machine.client().visit(user).port(2222);
    let early = visit("carol").open(&[], Some("head -c 100000 /dev/zero; read line"));
    let rights = "+sys_ptrace,+dac_read_search,+net_admin";
    let (given, kept) = (
        format!("--inh-caps={rights}"),
        format!("--ambient-caps={rights}"),
    );
    let daemon = daemon(&machine, "systemd-journal", &[&given, &kept]);
    let words = daemon.words();
    assert!(words.contains("log: the journal"), "{words}");
    assert!(words.contains("port 2222 (sshd listens there)"), "{words}");
    assert!(!words.contains("without"), "{words}");
    let visits = [
        visit("alice").run("head -c 100000 /dev/zero"),
        visit("two words").run("true"),
        early.finish(),
    ];
    must_agree(&machine, capture, daemon, &visits, Tolerance::Exact);
}

#[test]
fn without_any_the_log_names_and_the_words_say_what_is_missing() {
    if !stands("rights::without_any_the_log_names_and_the_words_say_what_is_missing") {
        return;
    }
    let machine = Machine::builder().start();
    // As Debian's own rsyslog.conf has it.
    machine
        .server()
        .shell("chgrp adm /var/log/auth.log; chmod 640 /var/log/auth.log");
    let capture = machine.capture();
    let visit = |user| machine.client().visit(user);
    let early = visit("carol").open(&[], Some("head -c 100000 /dev/zero; read line"));
    let daemon = daemon(&machine, "adm", &[]);
    let words = daemon.words();
    for part in [
        "without CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH sshd's ports cannot be seen, and names \
         rest on the log alone",
        "without CAP_NET_ADMIN the kernel's queue of ended connections is small",
        "AmbientCapabilities=CAP_SYS_PTRACE CAP_DAC_READ_SEARCH CAP_NET_ADMIN",
        "port 22 (sshd runs, but this user may not see where it listens; set meter.ports)",
    ] {
        assert!(words.contains(part), "{part:?} is not in\n{words}");
    }
    let health = daemon.ask().text(&["doctor"]);
    let lacking = format!(
        "(the daemon (pid {}): no, this process: yes)",
        inner_id(&machine)
    );
    assert_eq!(health.matches(&lacking).count(), 3, "{health}");
    let visits = [
        visit("alice").run("head -c 100000 /dev/zero"),
        visit("two words").run("true"),
        early.finish(),
    ];
    must_agree(&machine, capture, daemon, &visits, Tolerance::Exact);
}

/// Starts sshmeter as a user of its own, in a group that may read the log.
fn daemon(machine: &Machine, group: &str, flags: &[&str]) -> Daemon {
    let server = machine.server();
    server.shell(&format!(
        "install --directory --mode=700 --owner={USER} --group={USER} /var/lib/sshmeter"
    ));
    let entry = server.run("getent", &["group", group]);
    let number = entry.split(':').nth(2).expect("a group has a number");
    let (user, own, may_read) = (
        format!("--reuid={USER}"),
        format!("--regid={USER}"),
        format!("--groups={number}"),
    );
    let setpriv = ["setpriv", &user, &own, &may_read, "--no-new-privs"];
    machine.daemon_under(&[&setpriv, flags].concat())
}

/// The daemon's pid as the machine has it.
fn inner_id(machine: &Machine) -> String {
    machine
        .server()
        .run("pgrep", &["-x", "sshmeter"])
        .trim()
        .to_owned()
}
