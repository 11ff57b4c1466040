//! A meter must cost nothing worth metering.

use std::{
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use system_tests::{Machine, Process, stands, wait_for};

const SESSIONS: usize = 100;
const WATCHED: Duration = Duration::from_secs(30);

#[test]
fn a_hundred_open_sessions_cost_next_to_nothing() {
    if !stands("idle::a_hundred_open_sessions_cost_next_to_nothing") {
        return;
    }
    let machine = Machine::builder().start();
    let daemon = machine.daemon();
    let open = open_sessions(&machine);
    wait_for("the sessions to be known", Duration::from_secs(60), || {
        let sessions = daemon.ask().sessions();
        let known = sessions.iter().filter(|session| session.user == "alice");
        (known.count() == SESSIONS).then_some(())
    });

    let (begin, spent) = (Instant::now(), daemon.processor_seconds());
    std::thread::sleep(WATCHED);
    let part = (daemon.processor_seconds() - spent) / begin.elapsed().as_secs_f64();
    let memory = daemon.resident_bytes();
    println!(
        "{:.3} % of a core, {:.1} MB",
        part * 100.0,
        memory as f64 / 1e6
    );
    assert!(part < 0.005, "{:.3} % of a core", part * 100.0);
    assert!(memory < 20_000_000, "{memory} bytes of memory");
    drop(open);
}

/// A hundred connections, not channels of one.
fn open_sessions(machine: &Machine) -> Vec<Process> {
    (0..SESSIONS)
        .map(|_| {
            let mut ssh = machine.client().visit("alice").ssh();
            ssh.arg("-N").stdin(Stdio::null()).stdout(Stdio::null());
            let child: Child = ssh.spawn().expect("ssh can be started");
            Process::behind(child, "ssh -N")
        })
        .collect()
}
