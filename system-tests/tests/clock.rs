//! The wall clock is stepped while people work, and the machine sleeps. Not a
//! byte is lost, doubled or negative; only the time it is booked at can be the
//! wrong clock's.

use std::time::Duration;

use rustix::process::Signal;
use system_tests::{Daemon, Logins, Machine, Tolerance, must_agree, stands_with};

fn machine_with_a_clock() -> Machine {
    let mut machine = Machine::builder().start();
    machine.live_by_its_own_clock();
    machine
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
            machine.step(offset);
            seconds(4);
        }
    });
}

#[test]
fn stepped_back_and_forwards() {
    a_clock_goes("stepped_back_and_forwards", |machine, _| {
        for offset in ["-3600", "-7200", "-20000", "+0"] {
            machine.step(offset);
            seconds(4);
        }
    });
}

#[test]
fn stepped_over_a_minute_s_end() {
    a_clock_goes("stepped_over_a_minute_s_end", |machine, _| {
        until_before_a_minute_s_end(1_500);
        for offset in ["+2", "-2", "+3", "-1", "+61", "+0"] {
            machine.step(offset);
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
        machine.step("+30000");
        daemon.signal(Signal::CONT);
        seconds(3);
        machine.step("+0");
        seconds(2);
    });
}
