//! Nobody is fooled: everything that a user of the machine, or a stranger from
//! outside, can put into sshd's log is tried against real servers. Whatever it
//! says, the bytes end under their true user's name, or under none, and what was
//! refused is counted and told.
//!
//! With `--nocapture` each play prints its table.

mod file;
mod journal;
mod one_address;
mod stage;
mod unasked;

use std::time::{Duration, Instant};

use system_tests::{Log, Machine, Tolerance, judge, stands};

use crate::stage::{Kind, Stage};

/// A login that no connection belongs to is given up after a minute.
const GIVEN_UP: Duration = Duration::from_secs(62);

#[test]
fn nobody_is_fooled_by_a_log_file() {
    if stands("forged::nobody_is_fooled_by_a_log_file") {
        let machine = Machine::builder().log(Log::RsyslogIso).start();
        play(&machine, file::KINDS, GIVEN_UP);
    }
}

#[test]
fn nobody_is_fooled_by_the_journal() {
    if stands("forged::nobody_is_fooled_by_the_journal") {
        let ports = [22, journal::ANOTHER_PORT];
        let builder = Machine::builder().log(Log::Journald).ports(&ports);
        let mut machine = builder.without_sshd().start();
        journal::start_sshds(&mut machine);
        play(&machine, journal::KINDS, Duration::ZERO);
    }
}

#[test]
fn nobody_is_fooled_where_the_kernel_cannot_tell() {
    if stands("forged::nobody_is_fooled_where_the_kernel_cannot_tell") {
        let builder = Machine::builder().log(Log::RsyslogIso);
        let mut machine = builder.without_sshd().start();
        unasked::start_dropbear(&mut machine);
        play(&machine, unasked::KINDS, Duration::ZERO);
    }
}

/// Plays all kinds, which takes a while at least, and holds what the ledger says in the end against what
/// crossed the wire, to the byte.
fn play(machine: &Machine, kinds: &'static [Kind], at_least: Duration) {
    machine.server().shell(
        "mkdir -p /etc/sshmeter; printf '[meter]\\ninterval = \"1s\"\\n' >/etc/sshmeter/config.toml",
    );
    let capture = machine.capture();
    let daemon = machine.daemon();
    let begin = Instant::now();
    let stage = Stage::new(machine, &daemon, kinds);
    stage.play();
    for open in stage.curtain.take() {
        open.finish();
    }
    machine.wait_until_quiet();
    let truth = capture.finish();
    std::thread::sleep(at_least.saturating_sub(begin.elapsed()));
    daemon.settle(&stage.visits(&daemon.ask().sessions()));
    let book = stage.close();
    let sessions = daemon.stop().sessions();
    let words = machine.server().shell("cat /run/sshmeter.words");
    book.sum_up(&sessions, &words);
    let visits = book.visits(&sessions);
    judge(&visits, &truth, &sessions, Tolerance::Exact).must_hold(&words);
}
