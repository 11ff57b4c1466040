//! sshmeter under test: started, asked and stopped as a user would.

use std::{
    fs::{self, File},
    path::PathBuf,
    process::{Output, Stdio},
    time::{Duration, Instant},
};

use rustix::process::Signal;
use serde::Deserialize;

use crate::{
    client::Visit,
    judge::NOBODY,
    keeper::Keeper,
    manager::{ServiceManager, service_words},
    process::{Process, children_of, kill},
    wait_for,
};

/// A running `sshmeter run`.
#[derive(Debug)]
pub struct Daemon {
    process: Process,
    answer: Answer,
    words: PathBuf,
    manager: ServiceManager,
}

/// What sshmeter's commands say about one ledger; outlives the daemon.
#[derive(Clone, Debug)]
pub struct Answer {
    leader: u32,
    flags: Vec<String>,
}

/// An address and port of `sessions --format json`.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct End {
    /// The address.
    pub ip: std::net::IpAddr,
    /// The port.
    pub port: u16,
}

/// A session of `sessions --format json`.
#[derive(Clone, Debug, Deserialize)]
pub struct Session {
    /// Who.
    pub user: String,
    /// How it was logged in.
    pub method: Option<String>,
    /// With which key.
    pub credential: Option<String>,
    /// The client's end.
    pub peer: End,
    /// The server's end.
    pub local: End,
    /// sshd's process for it.
    pub pid: Option<u32>,
    /// When it began.
    pub opened: jiff::Timestamp,
    /// When it ended.
    pub closed: Option<jiff::Timestamp>,
    /// Why it ended.
    pub reason: Option<String>,
    /// Wire bytes from the client.
    #[serde(rename = "in")]
    pub wire_in: Option<u64>,
    /// Wire bytes to the client.
    #[serde(rename = "out")]
    pub wire_out: Option<u64>,
    /// Payload bytes from the client.
    pub payload_in: Option<u64>,
    /// Payload bytes to the client.
    pub payload_out: Option<u64>,
}

/// A row, or the total, of `report --format json`.
#[derive(Clone, Debug, Deserialize)]
pub struct Row {
    /// Where the bucket begins; none in the total.
    pub start: Option<String>,
    /// Who, where the report is by user.
    pub user: Option<String>,
    /// How many sessions.
    pub sessions: Option<u64>,
    /// Wire bytes from the clients.
    #[serde(rename = "in")]
    pub wire_in: Option<u64>,
    /// Wire bytes to the clients.
    #[serde(rename = "out")]
    pub wire_out: Option<u64>,
    /// Payload bytes from the clients.
    pub payload_in: Option<u64>,
    /// Payload bytes to the clients.
    pub payload_out: Option<u64>,
}

/// `report --format json`.
#[derive(Clone, Debug, Deserialize)]
pub struct Report {
    /// The rows.
    pub rows: Vec<Row>,
    /// Their sum.
    pub total: Row,
}

impl Daemon {
    /// Starts `BEFORE sshmeter FLAGS run` as a service of this manager.
    pub(crate) fn launch(
        manager: &ServiceManager,
        before: &[&str],
        server: &Keeper,
        flags: &[&str],
    ) -> Self {
        let words = server.path("/run/sshmeter.words");
        let stderr = File::options().create(true).append(true).open(&words);
        let [program, rest @ ..] = service_words();
        let mut command = server.command(program);
        command
            .args(rest)
            .args(before)
            .arg("sshmeter")
            .args(flags)
            .arg("run")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(stderr.expect("a file for the daemon's words"));
        manager.equip(&mut command);
        let process = server.spawn(&mut command, "sshmeter run");
        Self {
            process,
            answer: Answer::of(server, flags),
            words,
            manager: manager.clone(),
        }
    }

    /// Waits until the daemon says that it is ready.
    ///
    /// # Panics
    /// With its words, when it ends instead.
    pub fn wait_until_ready(&mut self) {
        wait_for("sshmeter to be ready", Duration::from_secs(20), || {
            assert!(self.process.runs(), "sshmeter ended:\n{}", self.words());
            self.manager.is_ready().then_some(())
        });
    }

    /// All that the daemon said to people.
    #[must_use]
    pub fn words(&self) -> String {
        fs::read_to_string(&self.words).unwrap_or_default()
    }

    /// The commands that ask this daemon's ledger.
    #[must_use]
    pub fn ask(&self) -> &Answer {
        &self.answer
    }

    /// Whether it still runs.
    pub fn runs(&mut self) -> bool {
        self.process.runs()
    }

    /// The daemon's process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// See [`Answer::settle`].
    pub fn settle(&self, visits: &[Visit]) {
        self.answer.settle(visits);
    }

    /// Stops it as systemd would. It has to end well, and its ledger can be asked on.
    ///
    /// # Panics
    /// When it does not end with exit code 0.
    pub fn stop(mut self) -> Answer {
        self.process.signal(Signal::TERM);
        let code = self.process.wait(Duration::from_secs(10));
        assert_eq!(code, Some(0), "sshmeter ended badly:\n{}", self.words());
        self.answer.clone()
    }

    /// Kills it without warning.
    pub fn kill(mut self) -> Answer {
        self.process.signal(Signal::KILL);
        self.process.wait(Duration::from_secs(10));
        self.answer.clone()
    }

    /// Its process id as the machine's own processes see it.
    ///
    /// # Panics
    /// When the daemon is gone.
    #[must_use]
    pub fn id_inside(&self) -> u32 {
        let ids = self.status("NSpid:").expect("it runs");
        let innermost = ids.split_whitespace().last();
        innermost
            .and_then(|id| id.parse().ok())
            .expect("a process id")
    }

    /// Whether somebody traces it, or it is gone already.
    #[must_use]
    pub fn is_traced(&self) -> bool {
        self.status("TracerPid:").is_none_or(|tracer| tracer != "0")
    }

    /// A line of the kernel's on the process.
    fn status(&self, name: &str) -> Option<String> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        Some(line.trim().to_owned())
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    /// Stops it until it gets SIGCONT. Every thread stands when this comes back:
    /// a tracer has to let the signal through first.
    ///
    /// # Panics
    /// When the daemon is gone.
    pub fn stand_still(&self) {
        self.signal(Signal::STOP);
        wait_for("the daemon to stand", Duration::from_secs(10), || {
            let threads = fs::read_dir(format!("/proc/{}/task", self.id())).expect("it runs");
            let stands = threads.flatten().all(|thread| {
                let status = fs::read_to_string(thread.path().join("status")).unwrap_or_default();
                status.contains("State:\tT") || status.contains("State:\tt")
            });
            stands.then_some(())
        });
    }

    /// Kills the programs that it has started, and not itself.
    pub fn kill_children(&self) {
        for child in children_of(self.id()) {
            kill(child, Signal::KILL);
        }
    }

    /// Waits for its end and gives its exit code; `None` for a signal.
    ///
    /// # Panics
    /// When it does not end soon.
    pub fn exit_code(&mut self) -> Option<i32> {
        self.process.wait(Duration::from_secs(10))
    }

    /// Seconds of processor time used so far.
    ///
    /// # Panics
    /// When the daemon is gone.
    #[must_use]
    pub fn processor_seconds(&self) -> f64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.id())).expect("it runs");
        let after_name = stat.rsplit_once(')').expect("a name in brackets").1;
        let ticks: f64 = after_name
            .split_whitespace()
            .skip(11)
            .take(2)
            .map(|word| word.parse::<f64>().expect("a number of ticks"))
            .sum();
        #[expect(clippy::cast_precision_loss, reason = "a hundred or a thousand")]
        let per_second = rustix::param::clock_ticks_per_second() as f64;
        ticks / per_second
    }

    /// Bytes of memory in use now.
    ///
    /// # Panics
    /// When the daemon is gone.
    #[must_use]
    pub fn resident_bytes(&self) -> u64 {
        let size = self.status("VmRSS:").expect("it runs");
        let kibibytes: u64 = size
            .trim_end_matches(" kB")
            .parse()
            .expect("a number of KiB");
        kibibytes * 1024
    }
}

impl Answer {
    /// The answers of a server's sshmeter.
    pub(crate) fn of(server: &Keeper, flags: &[&str]) -> Self {
        Self {
            leader: server.leader(),
            flags: flags.iter().map(|&flag| flag.to_owned()).collect(),
        }
    }

    /// Waits until every visit is in the ledger, ended and named. What is not
    /// there after a fair time is left to the judge, who says it better.
    pub fn settle(&self, visits: &[Visit]) {
        let named = visits.iter().filter(|visit| visit.user.is_some()).count();
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_secs(20) {
            let sessions = self.sessions_ever();
            let closed = sessions.iter().filter(|one| one.closed.is_some());
            let known = closed.clone().filter(|one| one.user != NOBODY);
            if closed.count() >= visits.len() && known.count() >= named {
                return;
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// Runs a command of sshmeter on the ledger.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn output(&self, arguments: &[&str]) -> Output {
        std::process::Command::new("nsenter")
            .args(["--target", &self.leader.to_string()])
            .args([
                "--mount", "--net", "--pid", "--uts", "--ipc", "--", "sshmeter",
            ])
            .args(&self.flags)
            .args(arguments)
            .stdin(Stdio::null())
            .env("NO_COLOR", "1")
            .output()
            .expect("nsenter can be started")
    }

    /// Runs a command that has to succeed.
    ///
    /// # Panics
    /// With its words, when it fails.
    #[must_use]
    pub fn text(&self, arguments: &[&str]) -> String {
        let output = self.output(arguments);
        assert!(
            output.status.success(),
            "sshmeter {} failed ({}):\n{}",
            arguments.join(" "),
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).expect("output is UTF-8")
    }

    /// All sessions since yesterday, those that never logged in too, and those
    /// that a stepped clock has put into the future.
    ///
    /// # Panics
    /// When they cannot be read.
    #[must_use]
    pub fn sessions(&self) -> Vec<Session> {
        self.sessions_since("-2d")
    }

    /// The same of all times.
    ///
    /// # Panics
    /// When they cannot be read.
    #[must_use]
    pub fn sessions_ever(&self) -> Vec<Session> {
        self.sessions_since("2000-01-01")
    }

    fn sessions_since(&self, since: &str) -> Vec<Session> {
        let period = ["--since", since, "--until", "2100-01-01"];
        let text = self.text(&[&["sessions", "--all", "--format", "json"][..], &period].concat());
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error} in\n{text}"))
    }

    /// A report as JSON, with further flags.
    ///
    /// # Panics
    /// When it cannot be read.
    #[must_use]
    pub fn report(&self, flags: &[&str]) -> Report {
        let text = self.text(&[&["report", "--format", "json"], flags].concat());
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error} in\n{text}"))
    }
}
