//! A daemon that is killed again and again while people work loses no byte and
//! counts none twice. `cargo xtask crash` is the same for as long as you like.

use std::time::Duration;

use system_tests::{
    Log, Machine, Meter, Tolerance, binary, counts_with,
    crash::{Deaths, Plan, SEED, run, seed},
    must_agree, stands,
};

/// Enough to meet most of what can go wrong, few enough for every change.
const ROUNDS: u64 = 12;

/// Each chosen way to end once.
const CHOSEN: Deaths = Deaths::Chosen {
    times: 1,
    freeze: Duration::from_secs(5),
};

#[test]
fn what_ends_before_the_first_commit_has_a_name() {
    if !stands("crash::what_ends_before_the_first_commit_has_a_name") {
        return;
    }
    let machine = Machine::builder().start();
    let manager = machine.service_manager();
    let capture = machine.capture();
    // Killed as it hands over the queue of ends, then the notes; and, when both
    // are kept, as it starts the ledger's thread. The ledger knows no place in
    // the log by then.
    for (call, number, kept) in [("sendmsg", 1, 0), ("sendmsg", 2, 1), ("clone,clone3", 1, 2)] {
        let inject = format!("inject={call}:signal=SIGKILL:when={number}");
        let strace = [
            "strace",
            "-D",
            "-f",
            "-qq",
            "-o",
            "/dev/null",
            "-e",
            &inject,
        ];
        let mut daemon = manager.launch_under(&strace, machine.server(), &[]);
        assert_eq!(daemon.exit_code(), None, "{}", daemon.words());
        assert_eq!(manager.kept().len(), kept);
    }
    let visits = [machine.client().visit("alice").run("true")];
    machine.wait_until_quiet();
    let daemon = manager.start(machine.server(), &[]);
    must_agree(&machine, capture, daemon, &visits, Tolerance::Exact);
}

#[test]
fn killed_at_random_moments_with_rsyslog() {
    if stands("crash::killed_at_random_moments_with_rsyslog") {
        let deaths = Deaths::Random(ROUNDS);
        nothing_is_lost_or_doubled(Log::RsyslogIso, Meter::Sockdiag, deaths);
    }
}

#[test]
fn killed_at_random_moments_with_journald() {
    if stands("crash::killed_at_random_moments_with_journald") {
        let deaths = Deaths::Random(ROUNDS);
        nothing_is_lost_or_doubled(Log::Journald, Meter::Sockdiag, deaths);
    }
}

#[test]
fn killed_at_random_moments_counting_by_nftables() {
    let name = "crash::killed_at_random_moments_counting_by_nftables";
    if counts_with(name, Meter::Nftables) {
        let deaths = Deaths::Random(ROUNDS);
        nothing_is_lost_or_doubled(Log::RsyslogIso, Meter::Nftables, deaths);
    }
}

#[test]
fn killed_at_random_moments_counting_by_iptables() {
    let name = "crash::killed_at_random_moments_counting_by_iptables";
    if counts_with(name, Meter::IptablesNft) {
        let deaths = Deaths::Random(ROUNDS);
        nothing_is_lost_or_doubled(Log::Journald, Meter::IptablesNft, deaths);
    }
}

#[test]
fn killed_at_chosen_points() {
    if stands("crash::killed_at_chosen_points") {
        nothing_is_lost_or_doubled(Log::RsyslogIso, Meter::Sockdiag, CHOSEN);
    }
}

fn nothing_is_lost_or_doubled(log: Log, meter: Meter, deaths: Deaths) {
    let seed = seed();
    println!("{SEED}={seed}");
    let score = run(Plan {
        sshmeter: binary(),
        log,
        meter,
        deaths,
        seed,
    });
    println!("{score}");
    assert!(score.holds(), "{score}:\n{}", score.faults.join("\n"));
}
