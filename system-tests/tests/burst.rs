//! Very many at once: logins as fast as the machine does them, and connections
//! that all end in one moment.

use std::{
    env,
    io::{BufRead as _, BufReader},
    net::IpAddr,
    process::Stdio,
    time::{Duration, Instant},
};

use rustix::process::Signal;
use system_tests::{
    Capture, Daemon, Judgement, Log, Logins, Machine, Process, Session, Tolerance, Visit, judge,
    must_agree, stands, stands_with, wait_for,
};

/// How many logins; more where somebody has the time.
const LOGINS: &str = "SSHMETER_BURST_LOGINS";

const PORT: u16 = 7000;
const CONFIG: &str = "[meter]\nports = [22, 7000]\n";

fn logins_in_a_burst(name: &str, log: Log) {
    if !stands(&format!("burst::{name}")) {
        return;
    }
    let count = env::var(LOGINS).ok().and_then(|word| word.parse().ok());
    let count = count.unwrap_or(75);
    let machine = Machine::builder().log(log).start();
    let capture = machine.capture();
    let daemon = machine.daemon();
    let begin = Instant::now();
    let visits = Logins::exactly(machine.client(), count, 8, "true").wait();
    let seconds = begin.elapsed().as_secs_f64();
    let (_, judgement) = must_agree(&machine, capture, daemon, &visits, Tolerance::Exact);
    println!("{name}: {judgement}, {count} logins in {seconds:.1} s");
}

#[test]
fn logins_with_rsyslog() {
    logins_in_a_burst("logins_with_rsyslog", Log::RsyslogIso);
}

#[test]
fn logins_with_journald() {
    logins_in_a_burst("logins_with_journald", Log::Journald);
}

/// A machine with a crowd on a counted port that is not sshd's.
struct Crowd {
    holder: Process,
    visitors: Vec<Process>,
    visits: Vec<Visit>,
}

impl Crowd {
    fn start(machine: &Machine, connections: usize) -> Self {
        let binary = env!("CARGO_BIN_EXE_crowd");
        let server = machine.server();
        server.install(binary, "/usr/bin/crowd");
        let client = machine.client().keeper();
        client.install(binary, "/mnt/crowd");
        let mut command = server.command("crowd");
        command.args(["hold", &PORT.to_string()]);
        command.stdin(Stdio::piped()).stdout(Stdio::null());
        let holder = server.spawn(&mut command, "crowd hold");
        machine.wait_for_port(PORT);
        let mut crowd = Self {
            holder,
            visitors: Vec::new(),
            visits: Vec::new(),
        };
        for _ in 0..4 {
            crowd.come(machine, connections / 4);
        }
        crowd
    }

    fn come(&mut self, machine: &Machine, connections: usize) {
        let client = machine.client();
        let from: IpAddr = client.next_address(system_tests::Family::V4);
        let mut command = client.keeper().command("/mnt/crowd");
        command
            .args(["visit", "10.77.0.1", &PORT.to_string()])
            .args([from.to_string(), connections.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut visitor = client.keeper().spawn(&mut command, "crowd visit");
        let output = visitor.child().stdout.take().expect("a pipe");
        let mut line = String::new();
        let read = BufReader::new(output).read_line(&mut line);
        assert!(read.is_ok() && line == "ready\n", "the crowd did not come");
        self.visitors.push(visitor);
        self.visits.push(Visit {
            user: None,
            address: from,
            what: format!("{connections} connections"),
        });
    }

    /// Ends all connections at once: the clients' ends, and then the server's.
    fn end_by_clients(mut self, machine: &Machine) -> Vec<Visit> {
        for visitor in &mut self.visitors {
            drop(visitor.child().stdin.take());
        }
        wait_for("the clients' ends", Duration::from_secs(60), || {
            let open = machine
                .server()
                .run("ss", &["-Htn", "state", "established"]);
            open.trim().is_empty().then_some(())
        });
        self.end_by_server()
    }

    /// Ends all connections at once: the server's ends, and then the clients'.
    fn end_by_server(mut self) -> Vec<Visit> {
        drop(self.holder.child().stdin.take());
        self.holder.wait(Duration::from_secs(60));
        for visitor in &mut self.visitors {
            drop(visitor.child().stdin.take());
            visitor.wait(Duration::from_secs(60));
        }
        self.visits
    }
}

const CONNECTIONS: usize = 10_000;

/// A machine where a crowd's port is counted.
fn machine_for_a_crowd() -> Machine {
    let machine = Machine::builder().ports(&[22, PORT]).without_sshd().start();
    machine.server().shell("mkdir -p /etc/sshmeter");
    machine.server().write("/etc/sshmeter/config.toml", CONFIG);
    machine
}

/// What sshmeter made of a crowd that is gone, and what it said.
///
/// Ten thousand FINs are more than the backlog between two ends of a wire takes,
/// so some are sent again: what the server sent is known at its own interface
/// alone. Its report of a client's second FIN has options that the kernel does not
/// count; where it ended first, a client's FIN may come when the socket is gone;
/// and where nobody hears an end, the last reading lacks the whole goodbye.
fn weigh(
    machine: &Machine,
    capture: Capture,
    daemon: Daemon,
    visits: &[Visit],
) -> (Judgement, Vec<Session>, String) {
    machine.wait_until_quiet();
    let truth = capture.finish();
    wait_for("all to be closed", Duration::from_secs(40), || {
        let sessions = daemon.ask().sessions();
        let closed = sessions.iter().filter(|session| session.closed.is_some());
        (closed.count() >= CONNECTIONS).then_some(())
    });
    let words = daemon.words();
    let sessions = daemon.stop().sessions();
    let judgement = judge(visits, &truth, &sessions, Tolerance::Farewell);
    (judgement, sessions, words)
}

#[test]
fn ten_thousand_ended_by_their_clients() {
    let name = "ten_thousand_ended_by_their_clients";
    if !stands(&format!("burst::{name}")) {
        return;
    }
    let machine = machine_for_a_crowd();
    let capture = machine.capture_at_the_server();
    let daemon = machine.daemon();
    let visits = Crowd::start(&machine, CONNECTIONS).end_by_clients(&machine);
    let (judgement, _, words) = weigh(&machine, capture, daemon, &visits);
    judgement.must_hold(&words);
    println!("{name}: {judgement}");
}

#[test]
fn ten_thousand_ended_by_the_server() {
    let name = "ten_thousand_ended_by_the_server";
    if !stands(&format!("burst::{name}")) {
        return;
    }
    let machine = machine_for_a_crowd();
    let capture = machine.capture_at_the_server();
    let daemon = machine.daemon();
    let visits = Crowd::start(&machine, CONNECTIONS).end_by_server();
    let (judgement, _, words) = weigh(&machine, capture, daemon, &visits);
    judgement.must_hold(&words);
    println!("{name}: {judgement}");
}

/// How large a queue may be is the whole machine's setting: so the daemon is
/// refused what it asks for, by both calls. Its tracer stands beside it.
const REFUSED: [&str; 9] = [
    "strace",
    "-D",
    "-f",
    "-o",
    "/run/calls",
    "-e",
    "trace=setsockopt",
    "-e",
    "inject=setsockopt:error=EPERM:when=1..2",
];

/// A queue that may not be made larger is a few hundred ends long, and a daemon
/// that stands still takes none out of it.
#[test]
fn ten_thousand_overrun_a_small_queue() {
    let name = "ten_thousand_overrun_a_small_queue";
    if !stands_with(&format!("burst::{name}"), &["strace"]) {
        return;
    }
    let machine = machine_for_a_crowd();
    let capture = machine.capture_at_the_server();
    let daemon = machine.daemon_under(&REFUSED);
    let crowd = Crowd::start(&machine, CONNECTIONS);
    wait_for("all to be seen", Duration::from_secs(40), || {
        let sessions = daemon.ask().sessions();
        let all = (Some(100), Some(100));
        let met = sessions
            .iter()
            .filter(|one| (one.payload_in, one.payload_out) == all);
        (met.count() == CONNECTIONS).then_some(())
    });
    daemon.stand_still();
    let visits = crowd.end_by_clients(&machine);
    machine.wait_until_quiet();
    daemon.signal(Signal::CONT);
    let (judgement, sessions, words) = weigh(&machine, capture, daemon, &visits);
    judgement.must_hold(&words);
    let calls = machine.server().run("cat", &["/run/calls"]);
    assert!(
        words.contains("more ends of connections than"),
        "{words}{calls}"
    );
    let unseen = sessions
        .iter()
        .filter(|session| session.reason.as_deref() == Some("unseen"))
        .count();
    assert!(unseen > 0, "nothing was overrun");
    println!("{name}: {judgement}, {unseen} ends unseen");
}
