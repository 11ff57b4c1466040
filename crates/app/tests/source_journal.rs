//! The journal as a source, against a real systemd-journald: each test runs
//! itself again in a mount namespace whose /run and /var/log are its own, and
//! starts journald there by hand.

#![expect(
    clippy::unwrap_used,
    reason = "a scene that cannot be set fails its test, in helpers too"
)]

use std::{
    env, fs,
    os::unix::net::UnixDatagram,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use sshmeter::{
    config::{SourceConfig, SourceKind},
    source::{self, Choice, Delivery, Kind, Line, Text},
};
use sshmeter_core::ledger::Checkpoint;
use tokio::sync::mpsc::{self, Receiver};

const JOURNALD: &str = "/usr/lib/systemd/systemd-journald";
const INNER: &str = "SSHMETER_TEST_IN_NAMESPACE";
const PATIENCE: Duration = Duration::from_secs(20);

/// Runs `story` in a namespace of its own; or says plainly why it cannot.
fn in_namespace(test: &str, story: impl FnOnce(&mut Journald)) {
    if env::var_os(INNER).is_some() {
        let mut journald = Journald::start();
        story(&mut journald);
        return;
    }
    if !rustix::process::geteuid().is_root() {
        eprintln!("left out: {test} (needs root)");
        return;
    }
    if !Path::new(JOURNALD).exists() {
        eprintln!("left out: {test} (needs systemd's journald)");
        return;
    }
    let prepare = "set -e; mount -t tmpfs tmpfs /run; mount -t tmpfs tmpfs /var/log; \
                   mkdir -p /run/systemd/journal /run/log \"$TMPDIR\"; exec \"$@\"";
    let status = Command::new("unshare")
        .args([
            "--mount",
            "--propagation",
            "private",
            "sh",
            "-c",
            prepare,
            "sh",
        ])
        .arg(env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(INNER, "1")
        .env("TMPDIR", "/run/tmp")
        .status()
        .unwrap();
    assert!(status.success(), "{test} failed in its namespace");
}

/// A journald of the test's own; killed when the test ends, well or badly.
struct Journald {
    process: Child,
}

impl Journald {
    fn start() -> Self {
        fs::create_dir_all("/var/log/journal").unwrap();
        let journald = Self {
            process: Self::spawn(),
        };
        journald.ready();
        // From /run to /var, as a booted system does it.
        journalctl(&["--flush"]);
        journald
    }

    fn spawn() -> Child {
        Command::new(JOURNALD)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }

    fn ready(&self) {
        until("journald answers", || {
            connect().is_ok()
                && Command::new("journalctl")
                    .args(["-n1", "-q"])
                    .output()
                    .unwrap()
                    .status
                    .success()
        });
    }

    fn restart(&mut self) {
        self.kill();
        self.process = Self::spawn();
        self.ready();
    }

    fn kill(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Drop for Journald {
    fn drop(&mut self) {
        self.kill();
    }
}

fn connect() -> std::io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.connect("/run/systemd/journal/dev-log")?;
    Ok(socket)
}

fn log(tag: &str, message: &str) {
    let line = format!("<38>Nov 22 17:32:20 {tag}[7]: {message}");
    connect().unwrap().send(line.as_bytes()).unwrap();
}

fn journalctl(arguments: &[&str]) {
    let output = Command::new("journalctl").args(arguments).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "in vain: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

fn message(line: &Line) -> String {
    let Text::Journal(entry) = &line.text else {
        panic!("the journal gives entries")
    };
    let entry: serde_json::Value = serde_json::from_slice(entry).unwrap();
    entry["MESSAGE"].as_str().unwrap().to_owned()
}

fn choice() -> Choice {
    let config = SourceConfig {
        kind: SourceKind::Auto,
        path: None,
    };
    let choice = source::choose(&config).unwrap_or_else(|failure| panic!("{}", failure.text()));
    assert_eq!(choice.kind, Kind::Journal, "{}", choice.why);
    choice
}

fn past(since: Timestamp) -> (Vec<String>, Checkpoint) {
    let mut lines = Vec::new();
    let checkpoint = source::past(&choice(), since, &mut |line| lines.push(message(&line)));
    (lines, checkpoint.unwrap())
}

/// A follower in a runtime and thread of its own.
struct Following {
    deliveries: Receiver<Delivery>,
    checkpoint: Option<Checkpoint>,
    notices: Vec<String>,
    caught_up: usize,
}

fn follow(resume: Option<Checkpoint>) -> Following {
    let (sender, deliveries) = mpsc::channel(4);
    let choice = choice();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(source::follow(choice, resume, sender));
    });
    Following {
        deliveries,
        checkpoint: None,
        notices: Vec::new(),
        caught_up: 0,
    }
}

impl Following {
    /// Waits for so many lines, or for one notice more where that is 0.
    fn take(&mut self, count: usize) -> Vec<String> {
        let mut lines = Vec::new();
        let notices = self.notices.len();
        let deadline = Instant::now() + PATIENCE;
        while lines.len() < count || (count == 0 && self.notices.len() == notices) {
            assert!(
                Instant::now() < deadline,
                "only {lines:?}; {:?}",
                self.notices
            );
            match self.deliveries.try_recv() {
                Ok(Delivery::Lines(new)) => {
                    for line in new {
                        lines.push(message(&line));
                        self.checkpoint = Some(line.checkpoint);
                    }
                }
                Ok(Delivery::Notice(notice)) => self.notices.push(notice),
                Ok(Delivery::CaughtUp) => self.caught_up += 1,
                Ok(Delivery::Failed(error)) => panic!("{error:#}"),
                Err(mpsc::error::TryRecvError::Empty) => thread::sleep(Duration::from_millis(10)),
                Err(error) => panic!("{error}"),
            }
        }
        lines
    }

    fn catch_up(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        while self.caught_up == 0 {
            assert!(
                Instant::now() < deadline,
                "never caught up: {:?}",
                self.notices
            );
            match self.deliveries.try_recv() {
                Ok(Delivery::CaughtUp) => self.caught_up += 1,
                Ok(other) => panic!("{other:?}"),
                Err(_) => thread::sleep(Duration::from_millis(10)),
            }
        }
    }
}

/// The journalctl processes a process has started to follow, and their states.
fn followers_of(parent: &str) -> Vec<(u32, String)> {
    let tasks = fs::read_dir(format!("/proc/{parent}/task"));
    let children = tasks.into_iter().flatten().flat_map(|task| {
        let path = task.unwrap().path().join("children");
        let text = fs::read_to_string(path).unwrap_or_default();
        text.split_whitespace()
            .map(|pid| pid.parse().unwrap())
            .collect::<Vec<u32>>()
    });
    children
        .filter_map(|pid| {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
            status
                .contains("Name:\tjournalctl")
                .then_some((pid, status))
        })
        .collect()
}

fn followers() -> Vec<(u32, String)> {
    followers_of("self")
}

#[test]
fn only_the_wanted_entries_come_and_past_and_present_join() {
    in_namespace(
        "only_the_wanted_entries_come_and_past_and_present_join",
        |_| {
            let (lines, before) = past(Timestamp::UNIX_EPOCH);
            assert!(lines.is_empty());
            log("sshd", "one");
            log("cron", "not ours");
            log("sshd-session", "two");
            log("sshd-auth", "three");
            log("dropbear", "four");
            log("sshdx", "not ours");
            let all = ["one", "two", "three", "four"];
            until("four lines are in the journal", || {
                past(Timestamp::UNIX_EPOCH).0.len() == 4
            });
            let (lines, checkpoint) = past(Timestamp::UNIX_EPOCH);
            assert_eq!(lines, all);
            log("sshd", "five");
            let mut following = follow(Some(checkpoint));
            assert_eq!(following.take(1), ["five"]);
            following.catch_up();
            log("sshd", "six");
            assert_eq!(following.take(1), ["six"]);
            assert!(following.notices.is_empty(), "{:?}", following.notices);
            // The place before the first entry holds too.
            assert_eq!(follow(Some(before)).take(6).len(), 6);
            let mut fresh = follow(None);
            fresh.catch_up();
            log("sshd", "seven");
            assert_eq!(fresh.take(1), ["seven"]);
        },
    );
}

#[test]
fn a_killed_journalctl_and_a_restarted_journald_lose_nothing() {
    in_namespace(
        "a_killed_journalctl_and_a_restarted_journald_lose_nothing",
        |journald| {
            log("sshd", "zero");
            let mut following = follow(Some(Checkpoint::Journal {
                cursor: String::new(),
            }));
            assert_eq!(following.take(1), ["zero"]);
            following.catch_up();
            for round in 0..3 {
                until("a follower runs", || followers().len() == 1);
                let (pid, _) = followers()[0];
                let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
                rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
                log("sshd", &format!("after kill {round}"));
                assert_eq!(following.take(1), [format!("after kill {round}")]);
            }
            assert!(
                following
                    .notices
                    .iter()
                    .all(|notice| notice.contains("started again"))
            );
            assert_eq!(following.notices.len(), 3, "{:?}", following.notices);
            for round in 0..2 {
                journald.restart();
                log("sshd", &format!("after restart {round}"));
                assert_eq!(following.take(1), [format!("after restart {round}")]);
                journalctl(&["--rotate"]);
                log("sshd", &format!("after rotate {round}"));
                assert_eq!(following.take(1), [format!("after rotate {round}")]);
            }
            let states = followers();
            assert!(
                states
                    .iter()
                    .all(|(_, status)| !status.contains("State:\tZ")),
                "{states:?}"
            );
            drop(following);
            until("journalctl is gone with its listener", || {
                followers().is_empty()
            });
        },
    );
}

#[test]
fn a_vacuumed_place_is_said_and_reading_goes_on() {
    in_namespace("a_vacuumed_place_is_said_and_reading_goes_on", |_| {
        log("sshd", "one");
        let mut following = follow(Some(Checkpoint::Journal {
            cursor: String::new(),
        }));
        assert_eq!(following.take(1), ["one"]);
        let checkpoint = following.checkpoint.clone();
        drop(following);
        log("sshd", "lost");
        until("it is written", || past(Timestamp::UNIX_EPOCH).0.len() == 2);
        journalctl(&["--rotate"]);
        thread::sleep(Duration::from_millis(1100));
        journalctl(&["--vacuum-time=1s"]);
        log("sshd", "kept");
        until("it is written", || {
            past(Timestamp::UNIX_EPOCH).0 == ["kept"]
        });
        let mut following = follow(checkpoint);
        assert_eq!(following.take(1), ["kept"]);
        assert!(
            following.notices[0].contains("may be missing"),
            "{:?}",
            following.notices
        );

        let mut refused = follow(Some(Checkpoint::Journal {
            cursor: "nonsense".into(),
        }));
        assert_eq!(refused.take(1), ["kept"]);
        assert!(
            refused.notices[0].contains("does not accept the place"),
            "{:?}",
            refused.notices
        );
    });
}

#[test]
fn a_burst_comes_in_order_to_a_slow_listener() {
    in_namespace("a_burst_comes_in_order_to_a_slow_listener", |_| {
        // A burst beyond journald's rate limit would be dropped by journald.
        let socket = connect().unwrap();
        let mut following = follow(Some(Checkpoint::Journal {
            cursor: String::new(),
        }));
        let writer = thread::spawn(move || {
            for number in 0..5000 {
                let line = format!("<38>Nov 22 17:32:20 sshd[7]: line {number}");
                socket.send(line.as_bytes()).unwrap();
            }
        });
        let lines = following.take(5000);
        writer.join().unwrap();
        let expected: Vec<_> = (0..5000).map(|number| format!("line {number}")).collect();
        assert!(lines == expected, "{} lines", lines.len());
    });
}

#[test]
fn journalctl_does_not_outlive_a_killed_follower() {
    const FOLLOWER: &str = "SSHMETER_TEST_ONLY_FOLLOW";
    const TEST: &str = "journalctl_does_not_outlive_a_killed_follower";
    if env::var_os(FOLLOWER).is_some() {
        let _following = follow(None);
        thread::sleep(PATIENCE * 2);
        return;
    }
    in_namespace(TEST, |_| {
        let mut victim = Command::new(env::current_exe().unwrap())
            .args(["--exact", TEST])
            .env(FOLLOWER, "1")
            .spawn()
            .unwrap();
        let mut followers = Vec::new();
        until("a follower runs", || {
            followers = followers_of(&victim.id().to_string());
            followers.iter().any(|(pid, _)| {
                let command = fs::read_to_string(format!("/proc/{pid}/cmdline"));
                command.is_ok_and(|command| command.contains("--follow"))
            })
        });
        victim.kill().unwrap();
        victim.wait().unwrap();
        until("journalctl is gone with its reader", || {
            followers.iter().all(|(pid, _)| {
                let status = fs::read_to_string(format!("/proc/{pid}/status"));
                status.is_err() || status.is_ok_and(|status| status.contains("State:\tZ"))
            })
        });
    });
}
