//! The disk under the ledger fails in every way a disk can, while people work
//! over SSH. What was counted meanwhile is in the ledger once it can be written,
//! whole and once.

use std::{
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use rusqlite::Connection;
use rustix::process::{Pid, Signal, kill_process};
use system_tests::{
    Daemon, Log, Logins, Machine, Tolerance, Visit, must_agree, stands, stands_with, wait_for,
};

const MOVES: &str = "head -c 100000 /dev/zero";

/// Runs a story on a machine whose ledger lies in a folder of this one.
fn with_ledger_folder(name: &str, story: impl FnOnce(&str, &Machine, &Path)) {
    if !stands(&format!("disk::{name}")) {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let machine = Machine::builder()
        .ledger_folder(folder.path().to_owned())
        .start();
    story(name, &machine, folder.path());
}

/// Runs a story on a machine whose ledger lies in a file system of two megabytes.
fn with_small_disk(name: &str, log: Log, story: impl FnOnce(&str, &Machine)) {
    if !stands(&format!("disk::{name}")) {
        return;
    }
    let machine = Machine::builder().log(log).start();
    machine
        .server()
        .shell("mkdir -p /var/lib/sshmeter; mount -t tmpfs -o size=2m tiny /var/lib/sshmeter");
    story(name, &machine);
}

fn fill(machine: &Machine) {
    machine
        .server()
        .shell("cat /dev/zero >/var/lib/sshmeter/filler 2>/dev/null || true");
}

fn empty(machine: &Machine) {
    machine.server().shell("rm /var/lib/sshmeter/filler");
}

/// Somebody who moves some bytes before a fault and some after it.
fn stayer(machine: &Machine, file: &str) -> system_tests::OpenVisit {
    let command = format!("{MOVES}; until [ -e {file} ]; do echo; sleep 0.2; done; {MOVES}");
    machine.client().visit("bob").open(&[], Some(&command))
}

fn wait_for_words(daemon: &Daemon, words: &str) {
    wait_for(&format!("{words:?}"), Duration::from_secs(40), || {
        daemon.words().contains(words).then_some(())
    });
}

/// All that happened is in the ledger, and the daemon said what was wrong once
/// and that it was over once.
fn must_have_lost_nothing(
    name: &str,
    machine: &Machine,
    capture: system_tests::Capture,
    daemon: Daemon,
    visits: &[Visit],
    told: &str,
) {
    wait_for_words(&daemon, "can be written again");
    let words = daemon.words();
    let kept = words
        .lines()
        .filter(|line| line.contains(told) && line.contains("figures are kept"));
    assert_eq!(kept.count(), 1, "{words}");
    assert_eq!(words.matches("can be written again").count(), 1, "{words}");
    let (_, judgement) = must_agree(machine, capture, daemon, visits, Tolerance::Exact);
    println!("{name}: {judgement}");
}

#[test]
fn full_and_back() {
    with_small_disk("full_and_back", Log::RsyslogIso, |name, machine| {
        let capture = machine.capture();
        let daemon = machine.daemon();
        let stayer = stayer(machine, "/tmp/over");
        let logins = Logins::start(machine.client(), 2, MOVES);
        for _ in 0..2 {
            fill(machine);
            wait_for_words(&daemon, "no space left");
            std::thread::sleep(Duration::from_secs(7));
            empty(machine);
            wait_for_words(&daemon, "can be written again");
        }
        machine.server().shell("touch /tmp/over");
        let mut visits = logins.finish();
        visits.push(stayer.finish());
        let (_, judgement) = must_agree(machine, capture, daemon, &visits, Tolerance::Exact);
        println!("{name}: {judgement}");
    });
}

#[test]
fn full_before_the_start() {
    with_small_disk("full_before_the_start", Log::Journald, |name, machine| {
        let capture = machine.capture();
        let stayer = stayer(machine, "/tmp/over");
        // A ledger that is there already, by a daemon that was stopped.
        drop(machine.daemon().stop());
        fill(machine);
        let daemon = machine.daemon_at_its_start();
        wait_for_words(&daemon, "no space left");
        let logins = Logins::start(machine.client(), 2, MOVES);
        std::thread::sleep(Duration::from_secs(7));
        empty(machine);
        machine.server().shell("touch /tmp/over");
        let mut visits = logins.finish();
        visits.push(stayer.finish());
        must_have_lost_nothing(name, machine, capture, daemon, &visits, "no space left");
    });
}

#[test]
fn locked_for_a_minute() {
    with_ledger_folder("locked_for_a_minute", |name, machine, folder| {
        let capture = machine.capture();
        let daemon = machine.daemon();
        let lock = Connection::open(folder.join("ledger.db")).expect("the ledger");
        lock.execute_batch("BEGIN IMMEDIATE").expect("the lock");
        let stayer = stayer(machine, "/tmp/over");
        let logins = Logins::start(machine.client(), 1, MOVES);
        std::thread::sleep(Duration::from_secs(62));
        lock.execute_batch("ROLLBACK").expect("the lock's end");
        machine.server().shell("touch /tmp/over");
        let mut visits = logins.finish();
        visits.push(stayer.finish());
        must_have_lost_nothing(name, machine, capture, daemon, &visits, "locked by another");
    });
}

/// Lets system calls of a process fail until it is dropped.
struct Failing(std::process::Child);

impl Failing {
    fn calls(calls: &str, error: &str, daemon: &Daemon) -> Self {
        let mut strace = Command::new("strace");
        strace
            .args(["-qq", "-f", "-e", &format!("trace={calls}")])
            .args(["-e", &format!("inject={calls}:error={error}"), "-p"])
            .arg(daemon.id().to_string())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        Self(strace.spawn().expect("strace can be started"))
    }
}

impl Drop for Failing {
    fn drop(&mut self) {
        // It lets go of the process when it is asked to end, and not when killed.
        let pid = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw);
        let _ = kill_process(pid.expect("a process id"), Signal::TERM);
        let _ = self.0.wait();
    }
}

/// A disk that fails under an open file cannot be provoked for a while only, so
/// the kernel's answers are replaced by strace.
fn with_failing_calls(name: &str, calls: &str, error: &str) {
    if !stands_with(&format!("disk::{name}"), &["strace"]) {
        return;
    }
    with_ledger_folder(name, |name, machine, _| {
        let capture = machine.capture();
        let daemon = machine.daemon();
        let stayer = stayer(machine, "/tmp/over");
        let logins = Logins::start(machine.client(), 2, MOVES);
        std::thread::sleep(Duration::from_secs(2));
        let failing = Failing::calls(calls, error, &daemon);
        std::thread::sleep(Duration::from_secs(8));
        drop(failing);
        machine.server().shell("touch /tmp/over");
        let mut visits = logins.finish();
        visits.push(stayer.finish());
        must_have_lost_nothing(name, machine, capture, daemon, &visits, "the disk under");
    });
}

#[test]
fn nothing_reaches_the_platters() {
    with_failing_calls("nothing_reaches_the_platters", "fsync,fdatasync", "EIO");
}

#[test]
fn no_block_can_be_written() {
    with_failing_calls("no_block_can_be_written", "pwrite64", "EIO");
}

#[test]
fn read_only_and_back() {
    with_failing_calls("read_only_and_back", "pwrite64", "EROFS");
}

/// A file system that finds itself damaged goes read-only under all open files,
/// and comes back only when nobody has it open: who is still connected by then
/// is counted whole by the next daemon.
#[test]
fn read_only_until_the_next_start() {
    if !stands_with("disk::read_only_until_the_next_start", &["mkfs.ext4"]) {
        return;
    }
    let name = "read_only_until_the_next_start";
    let machine = Machine::builder().start();
    let server = machine.server();
    server.shell(
        "mknod /dev/loop-control c 10 237
        for number in 0 1 2 3 4 5 6 7; do mknod /dev/loop$number b 7 $number; done
        truncate -s 16M /run/disk; mkfs.ext4 -q /run/disk; mkdir -p /var/lib/sshmeter
        mount -o loop,errors=remount-ro /run/disk /var/lib/sshmeter",
    );
    let capture = machine.capture();
    let daemon = machine.daemon();
    let stayers = [stayer(&machine, "/tmp/over"), stayer(&machine, "/tmp/over")];
    let logins = Logins::start(machine.client(), 1, MOVES);
    std::thread::sleep(Duration::from_secs(2));
    let mut visits = logins.finish();
    daemon.settle(&visits);
    server.shell("mount -o remount,abort /var/lib/sshmeter || true");
    wait_for_words(&daemon, "figures are kept in memory");
    drop(daemon.kill());
    server.shell("umount /var/lib/sshmeter; mount -o loop /run/disk /var/lib/sshmeter");
    let daemon = machine.daemon();
    server.shell("touch /tmp/over");
    visits.extend(stayers.map(system_tests::OpenVisit::finish));
    let (_, judgement) = must_agree(&machine, capture, daemon, &visits, Tolerance::Exact);
    println!("{name}: {judgement}");
}

#[test]
fn deleted_under_the_daemon() {
    for what in ["ledger.db", "ledger.db*", "ledger.db-wal"] {
        with_ledger_folder("deleted_under_the_daemon", |name, machine, folder| {
            let capture = machine.capture();
            let daemon = machine.daemon();
            let mut visits = vec![machine.client().visit("carol").run(MOVES)];
            daemon.settle(&visits);
            let stayer = stayer(machine, "/tmp/over");
            let logins = Logins::start(machine.client(), 2, MOVES);
            std::thread::sleep(Duration::from_secs(2));
            machine
                .server()
                .shell(&format!("rm /var/lib/sshmeter/{what}"));
            wait_for("a ledger", Duration::from_secs(10), || {
                folder.join("ledger.db").exists().then_some(())
            });
            std::thread::sleep(Duration::from_secs(2));
            machine.server().shell("touch /tmp/over");
            visits.extend(logins.finish());
            visits.push(stayer.finish());
            assert!(
                daemon.words().contains("was deleted while"),
                "{}",
                daemon.words()
            );
            let (_, judgement) = must_agree(machine, capture, daemon, &visits, Tolerance::Exact);
            println!("{name} ({what}): {judgement}");
        });
    }
}
