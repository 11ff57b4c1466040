//! The wall clock is stepped while people work, and the machine sleeps. Not a
//! byte is lost, doubled or negative; only the time it is booked at can be the
//! wrong clock's.
//!
//! No namespace has a wall clock of its own, so sshmeter and rsyslogd live with
//! libfaketime's, which reads how far it is off from a file. Monotonic clocks
//! stay real, as in a stepped machine.

use std::time::Duration;

use rustix::process::Signal;
use system_tests::{Daemon, Logins, Machine, Tolerance, binary, must_agree, stands_with, wait_for};

const OFFSET: &str = "/run/offset";

/// A machine whose meter and log follow the clock of a file.
fn machine_with_a_clock() -> Machine {
    let mut machine = Machine::builder().start();
    let library = machine
        .server()
        .shell("ls /usr/lib/*/faketime/libfaketimeMT.so.1");
    let environment = format!(
        "LD_PRELOAD={} FAKETIME_TIMESTAMP_FILE={OFFSET} FAKETIME_NO_CACHE=1 \
         FAKETIME_DONT_FAKE_MONOTONIC=1",
        library.trim()
    );
    step(&machine, "+0");
    machine.server().install(binary(), "/usr/local/bin/meter");
    machine.server().write(
        "/usr/local/bin/sshmeter",
        &format!("#!/bin/sh\nexec env {environment} /usr/local/bin/meter \"$@\"\n"),
    );
    machine.server().shell(
        "chmod +x /usr/local/bin/sshmeter
        sed -i 's/SysSock.RateLimit/SysSock.UseSysTimeStamp=\"off\" &/' /etc/rsyslog.conf",
    );
    machine.stop_service("rsyslogd");
    let command = format!("exec env {environment} rsyslogd -n -iNONE");
    machine.start_service("rsyslogd", "bash", &["-c", &command]);
    wait_for("the log's socket", Duration::from_secs(10), || {
        let sent = machine
            .server()
            .output("logger", &["-p", "auth.info", "hello"]);
        sent.status.success().then_some(())
    });
    machine
}

fn step(machine: &Machine, offset: &str) {
    let file = format!("{OFFSET}.new");
    machine.server().write(&file, &format!("{offset}\n"));
    machine.server().shell(&format!("mv {file} {OFFSET}"));
}

fn seconds(seconds: u64) {
    std::thread::sleep(Duration::from_secs(seconds));
}

/// Waits until so many milliseconds before a minute's end.
fn until_before_a_minute_s_end(milliseconds: i64) {
    let now = jiff::Timestamp::now().as_millisecond();
    let wait = (60_000 - milliseconds - now).rem_euclid(60_000);
    std::thread::sleep(Duration::from_millis(wait.unsigned_abs()));
}

/// Everything in all resolutions comes to the same.
fn sums_must_agree(answer: &system_tests::Answer) {
    let totals: Vec<_> = ["minute", "hour", "day", "month", "total"]
        .into_iter()
        .map(|per| {
            let period = ["--since", "2026-01-01", "--until", "2030-01-01"];
            let report = answer.report(&[&["--all", "--per", per][..], &period].concat());
            (report.total.wire_in, report.total.wire_out)
        })
        .collect();
    assert!(totals.iter().all(|total| *total == totals[0]), "{totals:?}");
}

fn a_clock_goes(name: &str, story: impl FnOnce(&Machine, &Daemon)) {
    if !stands_with(&format!("clock::{name}"), &["faketime"]) {
        return;
    }
    let machine = machine_with_a_clock();
    let capture = machine.capture();
    let daemon = machine.daemon();
    let command = "until [ -e /tmp/over ]; do head -c 5000 /dev/zero; sleep 0.3; done";
    let stayer = machine.client().visit("bob").open(&[], Some(command));
    let logins = Logins::start(machine.client(), 1, "head -c 20000 /dev/zero");
    seconds(2);
    story(&machine, &daemon);
    machine.server().shell("touch /tmp/over");
    let mut visits = logins.finish();
    visits.push(stayer.finish());
    let (answer, judgement) = must_agree(&machine, capture, daemon, &visits, Tolerance::Exact);
    sums_must_agree(&answer);
    println!("{name}: {judgement}");
}

#[test]
fn stepped_forwards_and_back() {
    a_clock_goes("stepped_forwards_and_back", |machine, _| {
        for offset in ["+3600", "+0", "+86400", "+0"] {
            step(machine, offset);
            seconds(4);
        }
    });
}

#[test]
fn stepped_back_and_forwards() {
    a_clock_goes("stepped_back_and_forwards", |machine, _| {
        for offset in ["-3600", "-7200", "-20000", "+0"] {
            step(machine, offset);
            seconds(4);
        }
    });
}

#[test]
fn stepped_over_a_minute_s_end() {
    a_clock_goes("stepped_over_a_minute_s_end", |machine, _| {
        until_before_a_minute_s_end(1_500);
        for offset in ["+2", "-2", "+3", "-1", "+61", "+0"] {
            step(machine, offset);
            std::thread::sleep(Duration::from_millis(700));
        }
    });
}

/// To a process a suspend is a stop, after which the wall clock is far ahead
/// and the monotonic one is not.
#[test]
fn asleep_over_a_minute_s_end() {
    a_clock_goes("asleep_over_a_minute_s_end", |machine, daemon| {
        until_before_a_minute_s_end(2_000);
        daemon.signal(Signal::STOP);
        seconds(5);
        step(machine, "+30000");
        daemon.signal(Signal::CONT);
        seconds(3);
        step(machine, "+0");
        seconds(2);
    });
}
