//! The traffic that is counted: what three people do on an SSH server within three
//! minutes, and a download from its web server, which is nobody's of them.
//!
//! All of it is IPv4: the older scripts know nothing else.

use std::{
    thread,
    time::{Duration, Instant},
};

use system_tests::{Machine, OpenVisit, Visit};

use super::USERS;

/// How long the long sessions last: no meter reads more seldom than once a minute.
const LONG: Duration = Duration::from_secs(150);
/// How often each user logs in for a moment.
const TIMES: usize = 13;

/// Where the web server listens.
const WEB: u16 = 80;

/// SOCKS 5 by hand: no authentication, then CONNECT to 127.0.0.1 port 8000.
const SOCKS: &str = r"printf '\5\1\0' >&3; head -c 2 <&3 >/dev/null
    printf '\5\1\0\1\177\0\0\1\37\100' >&3; head -c 10 <&3 >/dev/null; cat <&3";

/// People at work, with their sessions that go on.
#[derive(Debug)]
pub(super) struct Work {
    tunnels: Vec<OpenVisit>,
    steady: Vec<OpenVisit>,
    done: Vec<Visit>,
    begin: Instant,
}

/// Starts what tunnels lead to, and a web server.
pub(super) fn serve(machine: &mut Machine) {
    machine.serve();
    let listen = format!("--listen={WEB}");
    let give = ["--accept", "--inetd", "head", "-c", "3000000", "/dev/zero"];
    let arguments = [&[listen.as_str()][..], &give].concat();
    machine.start_service("web", "systemd-socket-activate", &arguments);
    machine.wait_for_port(WEB);
}

impl Work {
    /// Opens the sessions that last: a tunnel of each kind, and one of each user
    /// in which something comes every few seconds.
    pub(super) fn begin(machine: &Machine) -> Self {
        let open = |user: &str, flags: &[&str], command: Option<&str>| {
            machine.client().visit(user).open(flags, command)
        };
        let tunnels = vec![
            open("alice", &["-N", "-L", "9001:127.0.0.1:8000"], None),
            open("bob", &["-N", "-D", "9002"], None),
            open("carol", &["-N", "-R", "9003:127.0.0.1:9001"], None),
        ];
        machine.wait_for_port(9003);
        let command = "while read -t 5 line; [ $? -gt 128 ]; do head -c 50000 /dev/zero; done";
        let steady = USERS.map(|user| open(user, &[], Some(command)));
        Self {
            tunnels,
            steady: steady.into(),
            done: Vec::new(),
            begin: Instant::now(),
        }
    }

    /// Logs in and out, copies and tunnels, spread over the time.
    pub(super) fn go_on(&mut self, machine: &Machine) {
        let client = machine.client();
        let pause = LONG / u32::try_from(TIMES).unwrap_or(1);
        for number in 0..TIMES {
            for user in USERS {
                let visit = client.visit(user);
                self.done.push(match number % 4 {
                    0 => visit.run("head -c 200000 /dev/zero"),
                    1 => visit.scp_up(300_000),
                    2 => visit.sftp("get /etc/services /dev/null\n"),
                    _ => visit.run("true"),
                });
            }
            self.use_the_tunnels(machine);
            if number % 4 == 0 {
                download(machine);
            }
            let until = self.begin + pause * u32::try_from(number + 1).unwrap_or(1);
            thread::sleep(until.saturating_duration_since(Instant::now()));
        }
    }

    fn use_the_tunnels(&self, machine: &Machine) {
        let client = machine.client();
        let _bytes = client.fetch(9001, "cat <&3");
        let _bytes = client.fetch(9002, SOCKS);
        machine
            .server()
            .shell("cat </dev/tcp/127.0.0.1/9003 | wc -c");
    }

    /// Ends all, and gives all visits there were.
    pub(super) fn end(self) -> Vec<Visit> {
        let mut visits = self.done;
        visits.extend(self.steady.into_iter().map(OpenVisit::finish));
        visits.extend(self.tunnels.into_iter().map(OpenVisit::close));
        visits
    }
}

/// What a server does beside SSH.
fn download(machine: &Machine) {
    machine
        .client()
        .keeper()
        .shell(&format!("cat </dev/tcp/10.77.0.1/{WEB} >/dev/null"));
}
