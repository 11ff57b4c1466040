//! Logins that go on beside a test while it breaks something.
//!
//! Each is an ssh of its own, from an address of its own, and has to succeed: a
//! fault of the meter's surroundings must never be felt by those who log in.

use std::{
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use crate::{
    client::{Client, Visit},
    process::quietly,
};

/// More than any test gets through.
const AT_MOST: usize = 2_000;

const USERS: [&str; 3] = ["alice", "bob", "carol"];

/// Logins under way: several lines of people, each one after the other.
#[derive(Debug)]
pub struct Logins {
    enough: Arc<AtomicBool>,
    lines: Vec<JoinHandle<Vec<Visit>>>,
}

impl Logins {
    /// Logs in, so many at a time, to run a command, until [`Self::finish`].
    #[must_use]
    pub fn start(client: &Client, at_once: usize, command: &str) -> Self {
        Self::limited(
            client,
            at_once,
            AT_MOST,
            Duration::from_millis(100),
            command,
        )
    }

    /// Logs in exactly so many times, so many at a time, without a rest.
    #[must_use]
    pub fn exactly(client: &Client, logins: usize, at_once: usize, command: &str) -> Self {
        Self::limited(client, at_once, logins, Duration::ZERO, command)
    }

    fn limited(
        client: &Client,
        at_once: usize,
        logins: usize,
        rest: Duration,
        command: &str,
    ) -> Self {
        let enough = Arc::new(AtomicBool::new(false));
        let lines = (0..at_once)
            .map(|line| {
                let planned: Vec<(Visit, Command)> = (line..logins)
                    .step_by(at_once)
                    .map(|number| plan(client, USERS[number % USERS.len()], command))
                    .collect();
                let enough = Arc::clone(&enough);
                std::thread::spawn(move || log_in(planned, rest, &enough))
            })
            .collect();
        Self { enough, lines }
    }

    /// Waits until all planned logins are over.
    ///
    /// # Panics
    /// When one of them failed.
    #[must_use]
    pub fn wait(self) -> Vec<Visit> {
        self.lines
            .into_iter()
            .flat_map(|line| line.join().expect("every login succeeds"))
            .collect()
    }

    /// Lets those finish that are under way, and gives all there were.
    ///
    /// # Panics
    /// When one of them failed.
    #[must_use]
    pub fn finish(self) -> Vec<Visit> {
        self.enough.store(true, Ordering::Relaxed);
        self.wait()
    }
}

fn plan(client: &Client, user: &str, command: &str) -> (Visit, Command) {
    let builder = client.visit(user);
    let mut ssh = builder.ssh();
    ssh.arg(command);
    let visit = Visit {
        what: format!("ssh {command}"),
        ..builder.visit()
    };
    (visit, ssh)
}

fn log_in(planned: Vec<(Visit, Command)>, rest: Duration, enough: &AtomicBool) -> Vec<Visit> {
    let mut done = Vec::new();
    for (visit, mut ssh) in planned {
        if enough.load(Ordering::Relaxed) {
            break;
        }
        let output = quietly(&mut ssh).stdout(Stdio::null()).output();
        let output = output.expect("ssh can be started");
        let words = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{visit:?}: {words}");
        done.push(visit);
        std::thread::sleep(rest);
    }
    done
}
