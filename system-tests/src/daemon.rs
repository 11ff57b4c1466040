//! sshmeter under test: started, asked and stopped as a user would.

use std::{
    fs::{self, File},
    os::unix::net::UnixDatagram,
    path::PathBuf,
    process::{Output, Stdio},
    time::{Duration, Instant},
};

use rustix::process::Signal;
use serde::Deserialize;

use crate::{client::Visit, judge::NOBODY, keeper::Keeper, process::Process, wait_for};

/// A running `sshmeter run`.
#[derive(Debug)]
pub struct Daemon {
    process: Process,
    answer: Answer,
    words: PathBuf,
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
    /// Starts `sshmeter FLAGS run` and waits until it says that it is ready.
    pub(crate) fn start(server: &Keeper, flags: &[&str]) -> Self {
        let (mut daemon, socket) = Self::launch(server, flags);
        daemon.wait_until_ready(&socket);
        daemon
    }

    /// Starts `sshmeter FLAGS run`, which will tell the socket when it is ready.
    pub(crate) fn launch(server: &Keeper, flags: &[&str]) -> (Self, UnixDatagram) {
        let notify = server.path("/run/notify");
        // An earlier daemon of the same machine may have left it.
        let _ = fs::remove_file(&notify);
        let socket = UnixDatagram::bind(&notify).expect("a socket for the word of readiness");
        socket
            .set_read_timeout(Some(Duration::from_millis(20)))
            .expect("a timeout can be set");
        let words = server.path("/run/sshmeter.words");
        let stderr = File::options().create(true).append(true).open(&words);
        let mut command = server.command("sshmeter");
        command
            .args(flags)
            .arg("run")
            .env("NOTIFY_SOCKET", "/run/notify")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(stderr.expect("a file for the daemon's words"));
        let process = server.spawn(&mut command, "sshmeter run");
        let answer = Answer {
            leader: server.leader(),
            flags: flags.iter().map(|&flag| flag.to_owned()).collect(),
        };
        let daemon = Self {
            process,
            answer,
            words,
        };
        (daemon, socket)
    }

    fn wait_until_ready(&mut self, socket: &UnixDatagram) {
        wait_for("sshmeter to be ready", Duration::from_secs(20), || {
            assert!(self.process.runs(), "sshmeter ended:\n{}", self.words());
            let mut message = [0; 4096];
            let length = socket.recv(&mut message).ok()?;
            let message = String::from_utf8_lossy(&message[..length]).into_owned();
            message.lines().any(|line| line == "READY=1").then_some(())
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

    /// Waits until every visit is in the ledger, ended and named. What is not
    /// there after a fair time is left to the judge, who says it better.
    pub fn settle(&self, visits: &[Visit]) {
        let named = visits.iter().filter(|visit| visit.user.is_some()).count();
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_secs(20) {
            let sessions = self.answer.sessions();
            let closed = sessions.iter().filter(|one| one.closed.is_some());
            let known = closed.clone().filter(|one| one.user != NOBODY);
            if closed.count() >= visits.len() && known.count() >= named {
                return;
            }
            std::thread::sleep(Duration::from_millis(200));
        }
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
        let status = fs::read_to_string(format!("/proc/{}/status", self.id())).expect("it runs");
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .expect("a resident size");
        let kibibytes: u64 = line
            .trim()
            .trim_end_matches(" kB")
            .parse()
            .expect("a number of KiB");
        kibibytes * 1024
    }
}

impl Answer {
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
        let period = ["--since", "-2d", "--until", "2100-01-01"];
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
