//! As a service of a real systemd, with the unit that is shipped: its own user,
//! the least rights, and nothing lost when it is restarted, killed or stopped.

use std::time::Duration;

use system_tests::{
    Family, Machine, OpenVisit, SERVED, Service, Tolerance, Visit, boots, must_agree, wait_for,
};

#[test]
fn installed_as_the_book_says_it_counts_with_the_least_rights() {
    if !boots("service::installed_as_the_book_says_it_counts_with_the_least_rights") {
        return;
    }
    let mut machine = Machine::builder().booted().ports(&[22, 2222]).start();
    machine.serve();
    let capture = machine.capture();
    let service = machine.install();
    rights_are_the_least(&machine, &service);
    systemd_likes_the_unit(&machine);
    let visits = everything(&machine);
    the_doctor_is_content(&service);
    service.systemctl(&["reload"]);
    wait_for("the config to be read", Duration::from_secs(20), || {
        service.words().contains("config read again").then_some(())
    });
    must_agree(&machine, capture, service, &visits, Tolerance::Exact);
}

#[test]
fn what_ends_while_it_is_restarted_killed_or_hangs_is_counted() {
    if !boots("service::what_ends_while_it_is_restarted_killed_or_hangs_is_counted") {
        return;
    }
    let machine = Machine::builder().booted().start();
    let capture = machine.capture();
    let service = machine.install();
    let steady = stream(&machine);
    let mut visits = Vec::new();
    for verb in [
        &["restart", "--no-block"][..],
        &["kill", "--signal=KILL"],
        &["restart", "--no-block"],
        // It hangs, until systemd's watchdog is no longer fed.
        &["kill", "--kill-whom=main", "--signal=STOP"],
    ] {
        visits.extend(a_gap(&machine, &service, verb));
    }
    visits.push(steady.finish());
    must_agree(&machine, capture, service, &visits, Tolerance::Exact);
}

#[test]
fn a_stop_ends_well_and_leaves_a_whole_ledger() {
    if !boots("service::a_stop_ends_well_and_leaves_a_whole_ledger") {
        return;
    }
    let machine = Machine::builder().booted().start();
    let capture = machine.capture();
    let service = machine.install();
    let steady = stream(&machine);
    let mut visits = vec![
        machine
            .client()
            .visit("bob")
            .run("head -c 100000 /dev/zero"),
    ];
    // Only this systemd's younger sisters keep what ends while it is stopped.
    service.ask().settle(&visits);
    let answer = service.stop();
    // Root has read the ledger meanwhile; the daemon's user must still own it.
    let health = answer.text(&["doctor"]);
    assert!(
        health.contains("/var/lib/sshmeter/ledger.db is sound"),
        "{health}"
    );

    let service = machine.start_installed();
    visits.push(machine.client().visit("carol").run("true"));
    visits.push(steady.finish());
    must_agree(&machine, capture, service, &visits, Tolerance::Exact);
}

#[test]
fn where_systemd_listens_for_sshd_the_port_is_found() {
    if !boots("service::where_systemd_listens_for_sshd_the_port_is_found") {
        return;
    }
    let machine = Machine::builder().booted().ports(&[2222]).start();
    machine.server().shell(
        "mkdir /etc/systemd/system/ssh.socket.d
        printf '[Socket]\nListenStream=\nListenStream=2222\n' >/etc/systemd/system/ssh.socket.d/port.conf
        systemctl daemon-reload; systemctl stop ssh.service; systemctl start ssh.socket",
    );
    let capture = machine.capture();
    let service = machine.install();
    assert!(
        service
            .words()
            .contains("port 2222 (systemd listens there for sshd)"),
        "{}",
        service.words()
    );
    let visit = |user| machine.client().visit(user).port(2222);
    let visits = [
        visit("alice").run("true"),
        visit("bob").run("head -c 100000 /dev/zero"),
    ];
    must_agree(&machine, capture, service, &visits, Tolerance::Exact);
}

/// Its user, its rights and those of what it starts, as the kernel tells them.
fn rights_are_the_least(machine: &Machine, service: &Service<'_>) {
    let user = machine.server().run("id", &["-u", "sshmeter"]);
    let user = user.trim();
    assert_ne!(user, "0");
    let uids = service.status("Uid");
    assert!(uids.split_whitespace().all(|uid| uid == user), "{uids}");
    // Bit 2 is CAP_DAC_READ_SEARCH, bit 19 CAP_SYS_PTRACE (capability.h); bit 12,
    // CAP_NET_ADMIN, was used and given up.
    for (set, bits) in [
        ("CapEff", "0000000000080004"),
        ("CapPrm", "0000000000080004"),
        ("CapBnd", "0000000000081004"),
        ("CapAmb", "0000000000000000"),
    ] {
        assert_eq!(service.status(set), bits, "{set}");
    }
    assert_eq!(service.status("NoNewPrivs"), "1");
    assert_eq!(service.status("Seccomp"), "2");
    let children = machine.server().shell(&format!(
        "for child in $(pgrep -P {}); do cat /proc/$child/status; done",
        service.property("MainPID")
    ));
    assert!(children.contains("Name:\tjournalctl\n"), "{children}");
    assert!(
        children.contains("CapEff:\t0000000000000000\n"),
        "{children}"
    );
}

/// It knows every line of the unit, but for one that is younger than systemd
/// 254, and what the unit leaves open stays little (0 is shut, 100 is open).
fn systemd_likes_the_unit(machine: &Machine) {
    let server = machine.server();
    let verified = server.output(
        "systemd-analyze",
        &["--man=no", "verify", "sshmeter.service"],
    );
    let words = String::from_utf8_lossy(&verified.stderr);
    let fault = words
        .lines()
        .find(|line| line.contains("sshmeter") && !line.contains("'FileDescriptorStorePreserve'"));
    assert!(verified.status.success() && fault.is_none(), "{words}");
    server.run(
        "systemd-analyze",
        &["security", "--threshold=17", "sshmeter.service"],
    );
}

/// Nothing to warn of, and the daemon has each right.
fn the_doctor_is_content(service: &Service<'_>) {
    let health = service.ask().text(&["doctor"]);
    assert!(
        health.lines().all(|line| line.starts_with("ok ")),
        "{health}"
    );
    let daemon = format!("(the daemon (pid {}): yes,", service.property("MainPID"));
    assert_eq!(health.matches(&daemon).count(), 3, "{health}");
}

/// What people do, with names and ports that are not the plain ones.
fn everything(machine: &Machine) -> Vec<Visit> {
    let client = machine.client();
    let tunnel = client
        .visit("alice")
        .open(&["-L", "9001:127.0.0.1:8000"], Some("read line"));
    assert_eq!(client.fetch(9001, "cat <&3"), SERVED);
    vec![
        tunnel.finish(),
        client.visit("alice").run("head -c 1000000 /dev/zero"),
        client.visit("bob").by_password().run("true"),
        client.visit("carol").scp_up(1_000_000),
        client.visit("carol").scp_down("/tmp/up-2003"),
        client.visit("two words").port(2222).run("true"),
        client
            .visit(r"DOM\carol")
            .port(2222)
            .over(Family::V6)
            .run("true"),
        client.visit("root").run("true"),
        client.visit("bob").fail(),
    ]
}

/// A connection on which something moves all the time, until it is finished:
/// `read` says more than 128 where nothing came, and 1 where nothing will.
fn stream(machine: &Machine) -> OpenVisit {
    let command = "while read -t 0.1 line; [ $? -gt 128 ]; do head -c 10000 /dev/zero; done";
    machine.client().visit("alice").open(&[], Some(command))
}

/// Ends the daemon, and holds its next start until some sessions have ended
/// that it knew, and some that it never saw.
fn a_gap(machine: &Machine, service: &Service<'_>, verb: &[&str]) -> Vec<Visit> {
    let server = machine.server();
    server.shell(
        "rm -f /run/go; mkdir -p /etc/systemd/system/sshmeter.service.d
        printf '[Service]\nWatchdogSec=3s\nTimeoutAbortSec=1s\n\
            ExecStartPre=/bin/sh -c \"until [ -e /run/go ]; do sleep 0.1; done\"\n' \
            >/etc/systemd/system/sshmeter.service.d/hold.conf
        systemctl daemon-reload",
    );
    let client = machine.client();
    let open = || {
        client
            .visit("bob")
            .open(&[], Some("head -c 100000 /dev/zero; read line"))
    };
    let known = [open(), open()];
    wait_for("the sessions to be known", Duration::from_secs(20), || {
        let sessions = service.ask().sessions();
        let known = known.iter().all(|open| {
            sessions
                .iter()
                .any(|session| session.peer.ip == open.visit.address && session.user == "bob")
        });
        known.then_some(())
    });
    service.systemctl(verb);
    wait_for("the gap", Duration::from_secs(20), || {
        (service.property("SubState") == "start-pre").then_some(())
    });
    let mut visits: Vec<Visit> = known.into_iter().map(OpenVisit::finish).collect();
    visits.push(client.visit("carol").run("head -c 100000 /dev/zero"));
    assert_eq!(service.property("SubState"), "start-pre");
    server.shell("touch /run/go");
    service.wait_until_active();
    let ended = last_number(&service.words(), "ended since the last commit: ");
    assert!(ended >= visits.len(), "{}", service.words());
    visits.push(client.visit("carol").run("true"));
    visits
}

#[test]
fn what_is_shut_stays_shut() {
    if !boots("service::what_is_shut_stays_shut") {
        return;
    }
    let machine = Machine::builder().booted().start();
    drop(machine.install());
    only_this_is_open(&machine, &["reading files", "reading memory"]);
}

#[test]
fn for_a_mirror_the_network_is_opened_and_nothing_else() {
    if !boots("service::for_a_mirror_the_network_is_opened_and_nothing_else") {
        return;
    }
    let machine = Machine::builder().booted().start();
    drop(machine.install());
    machine
        .server()
        .shell("mkdir -p /etc/systemd/system/sshmeter.service.d");
    machine.server().write(
        "/etc/systemd/system/sshmeter.service.d/mirror.conf",
        include_str!("../../dist/sshmeter-mirror.conf"),
    );
    only_this_is_open(
        &machine,
        &["reading files", "reading memory", "connections"],
    );
}

/// Tries what root can do in the daemon's place. That everything can be read is
/// said in docs/security.md.
fn only_this_is_open(machine: &Machine, open: &[&str]) {
    let server = machine.server();
    server.write("/usr/src/probe", PROBE);
    server.shell("install --mode=4755 /usr/bin/id /usr/local/bin/set-uid-id");
    let free = server.run(
        "systemd-run",
        &["--wait", "--pipe", "--quiet", "bash", "/usr/src/probe"],
    );
    let in_the_daemons_place = in_the_daemons_place(machine, "bash /usr/src/probe");
    for line in free.lines() {
        let (what, state) = line.split_once(": ").expect("a line for each try");
        assert_eq!(state, "open", "root's {what}");
        let expected = if open.contains(&what) { "open" } else { "shut" };
        assert!(
            in_the_daemons_place.contains(&format!("{what}: {expected}\n")),
            "{what} is not {expected} in\n{in_the_daemons_place}"
        );
    }
}

/// What somebody who took the daemon over would try. Nothing here may hurt where
/// it succeeds.
const PROBE: &str = r#"
try() { if "${@:2}" >/dev/null 2>&1; then echo "$1: open"; else echo "$1: shut"; fi; }
# A system call that no program makes on request; one that is shut says EPERM.
call() { perl -e 'syscall(shift() + 0, map { $_ + 0 } @ARGV); exit($! == 1)' "$@"; }
case $(uname -m) in
    x86_64) open_by_handle_at=304 process_vm_writev=311 ;;
    aarch64) open_by_handle_at=265 process_vm_writev=271 ;;
esac
sshd=$(pgrep -o -x sshd)
try "reading files" cat /etc/shadow
try "reading memory" head -c 1 /proc/$sshd/environ
try "writing files" eval 'echo >>/etc/hosts'
try "writing files past the sandbox" eval 'echo >>/proc/1/root/etc/hosts'
try "writing memory" eval 'exec 3>>/proc/$sshd/mem'
try "writing memory by a call for it" call $process_vm_writev $sshd 0 0 0 0 0
try "files by their handles" call $open_by_handle_at -1 0 0
try "tracing" eval 'timeout 1 strace -o /dev/null -p $sshd; [ $? = 124 ]'
try "signals" kill -CONT $sshd
try "other users" setpriv --reuid=2001 --clear-groups true
try "set-uid programs" eval '[ $(set-uid-id -u) = 0 ]'
try "connections" eval 'exec 3<>/dev/tcp/127.0.0.1/22'
try "network configuration" ip link set lo mtu 60000
try "namespaces" unshare --user true
"#;

/// Runs a command as the unit would run the daemon, and gives what it said. What
/// the daemon gives up at its start is given up first.
fn in_the_daemons_place(machine: &Machine, command: &str) -> String {
    let server = machine.server();
    server.shell(&format!(
        "mkdir -p /etc/systemd/system/sshmeter.service.d
        printf '[Service]\nType=oneshot\nRestart=no\nStandardOutput=truncate:/run/told\nExecStart=\n\
            ExecStart=setpriv --inh-caps=-net_admin --ambient-caps=-net_admin {command}\n' \
            >/etc/systemd/system/sshmeter.service.d/other.conf
        systemctl daemon-reload; systemctl restart sshmeter; cat /run/told"
    ))
}

/// The number behind a phrase, where it was said last.
fn last_number(words: &str, phrase: &str) -> usize {
    let (_, after) = words.rsplit_once(phrase).expect("it was said");
    let number = after.split(|letter: char| !letter.is_ascii_digit()).next();
    number
        .and_then(|number| number.parse().ok())
        .expect("a number")
}
