//! A followed log file against the real thing: rsyslogd writes it, logrotate
//! rotates it, and every line must come once and in order.

#![expect(
    clippy::unwrap_used,
    reason = "a scene that cannot be set fails its test, in helpers too"
)]

use std::{
    fs,
    os::unix::net::UnixDatagram,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use sshmeter::{
    config::{SourceConfig, SourceKind},
    source::{self, Choice, Delivery, Text},
};
use sshmeter_core::ledger::Checkpoint;
use tempfile::TempDir;
use tokio::sync::mpsc::{self, Receiver, error::TryRecvError};

const PATIENCE: Duration = Duration::from_secs(30);

/// An rsyslogd of the test's own, with a private socket.
struct Rsyslog {
    folder: TempDir,
    process: Child,
}

impl Rsyslog {
    /// `None`, said plainly, where a tool is not installed.
    fn start(test: &str) -> Option<Self> {
        for tool in ["rsyslogd", "logrotate"] {
            let found = ["/usr/sbin", "/usr/bin", "/sbin"]
                .into_iter()
                .any(|folder| Path::new(folder).join(tool).exists());
            if !found {
                eprintln!("left out: {test} (needs {tool})");
                return None;
            }
        }
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().display();
        let config = format!(
            "global(workDirectory=\"{at}\")\n\
             module(load=\"imuxsock\" SysSock.Use=\"off\")\n\
             input(type=\"imuxsock\" Socket=\"{at}/log\" RateLimit.Interval=\"0\")\n\
             action(type=\"omfile\" file=\"{at}/auth.log\" template=\"RSYSLOG_FileFormat\")\n"
        );
        fs::write(folder.path().join("rsyslog.conf"), config).unwrap();
        let process = Command::new("rsyslogd")
            .arg("-n")
            .arg("-f")
            .arg(folder.path().join("rsyslog.conf"))
            .arg("-i")
            .arg(folder.path().join("pid"))
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let rsyslog = Self { folder, process };
        let deadline = Instant::now() + PATIENCE;
        while rsyslog.connect().is_err() || !rsyslog.at("pid").exists() {
            assert!(Instant::now() < deadline, "rsyslogd never listens");
            thread::sleep(Duration::from_millis(20));
        }
        Some(rsyslog)
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn connect(&self) -> std::io::Result<UnixDatagram> {
        let socket = UnixDatagram::unbound()?;
        socket.connect(self.at("log"))?;
        Ok(socket)
    }

    fn rotate(&self, how: &str) {
        let at = self.folder.path().display();
        let hup = format!("postrotate\nkill -HUP $(cat {at}/pid)\nendscript");
        let (how, hup) = match how {
            "copytruncate" => (how, ""),
            _ => (how, hup.as_str()),
        };
        let config = format!("{at}/auth.log {{\nrotate 50\n{how}\n{hup}\n}}\n");
        let path = self.at("logrotate.conf");
        fs::write(&path, config).unwrap();
        let output = Command::new("logrotate")
            .args(["--force", "--state"])
            .arg(self.at("state"))
            .arg(path)
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
    }

    fn choice(&self) -> Choice {
        let config = SourceConfig {
            kind: SourceKind::File,
            path: Some(self.at("auth.log")),
        };
        source::choose(&config).unwrap_or_else(|failure| panic!("{}", failure.text()))
    }

    fn wait_for(&self, words: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !fs::read_to_string(self.at("auth.log")).is_ok_and(|log| log.contains(words)) {
            assert!(Instant::now() < deadline, "rsyslogd never writes {words:?}");
            thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Rsyslog {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn write(socket: &UnixDatagram, numbers: std::ops::Range<u32>) {
    for number in numbers {
        let line = format!("<38>Nov 22 17:32:20 sshd[7]: line {number}.");
        socket.send(line.as_bytes()).unwrap();
    }
}

struct Following {
    deliveries: Receiver<Delivery>,
    checkpoint: Option<Checkpoint>,
    notices: Vec<String>,
    caught_up: usize,
}

fn follow(choice: Choice, resume: Option<Checkpoint>) -> Following {
    let (sender, deliveries) = mpsc::channel(4);
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
    /// Takes so many of the numbered lines; others are rsyslogd's own.
    fn take(&mut self, count: usize) -> Vec<u32> {
        let mut numbers = Vec::new();
        let deadline = Instant::now() + PATIENCE;
        while numbers.len() < count {
            assert!(
                Instant::now() < deadline,
                "only {} of {count} lines after {:?}: {:?}",
                numbers.len(),
                numbers.last(),
                self.notices
            );
            match self.deliveries.try_recv() {
                Ok(Delivery::Lines(lines)) => {
                    for line in lines {
                        let Text::Plain(text) = line.text else {
                            panic!("a file gives plain lines")
                        };
                        let text = String::from_utf8(text).unwrap();
                        if let Some((_, number)) = text.split_once("line ") {
                            numbers.push(number.trim_end_matches('.').parse().unwrap());
                        }
                        self.checkpoint = Some(line.checkpoint);
                    }
                }
                Ok(Delivery::Notice(notice)) => self.notices.push(notice),
                Ok(Delivery::CaughtUp) => self.caught_up += 1,
                Ok(Delivery::Failed(error)) => panic!("{error:#}"),
                Err(TryRecvError::Empty) => thread::sleep(Duration::from_millis(5)),
                Err(error) => panic!("{error}"),
            }
        }
        numbers
    }
}

fn numbers(range: std::ops::Range<u32>) -> Vec<u32> {
    range.collect()
}

/// Rotates while lines are written, with the follower there; then again with
/// the follower away.
fn rotate_under_load(test: &str, how: &str, pause: Duration) {
    let Some(rsyslog) = Rsyslog::start(test) else {
        return;
    };
    let socket = rsyslog.connect().unwrap();
    let choice = rsyslog.choice();
    let place = source::past(&choice, jiff::Timestamp::UNIX_EPOCH, &mut |_| {}).unwrap();
    let mut following = follow(choice.clone(), Some(place));
    let writer = {
        let socket = rsyslog.connect().unwrap();
        thread::spawn(move || {
            for start in (0..6000).step_by(20) {
                write(&socket, start..start + 20);
                thread::sleep(Duration::from_millis(10));
            }
        })
    };
    while !writer.is_finished() {
        thread::sleep(pause);
        rsyslog.rotate(how);
    }
    writer.join().unwrap();
    write(&socket, 6000..6001);
    assert_eq!(
        following.take(6001),
        numbers(0..6001),
        "{:?}",
        following.notices
    );
    assert_eq!(following.caught_up, 1);

    let checkpoint = following.checkpoint.clone();
    drop(following);
    for start in [6001, 6100, 6200] {
        let end = start / 100 * 100 + 100;
        write(&socket, start..end);
        rsyslog.wait_for(&format!("line {}.", end - 1));
        rsyslog.rotate(how);
    }
    write(&socket, 6300..6301);
    rsyslog.wait_for("line 6300.");
    let mut following = follow(choice, checkpoint);
    assert_eq!(
        following.take(300),
        numbers(6001..6301),
        "{:?}",
        following.notices
    );
}

#[test]
fn rotations_faster_than_the_follower_lose_nothing() {
    rotate_under_load(
        "rotations_faster_than_the_follower_lose_nothing",
        "compress\ndelaycompress",
        Duration::from_millis(400),
    );
}

#[test]
fn compressing_at_once_loses_nothing() {
    // logrotate may compress before the last line is written to the old file:
    // only who has that file open still gets it.
    rotate_under_load(
        "compressing_at_once_loses_nothing",
        "compress",
        Duration::from_millis(2500),
    );
}

#[test]
fn plain_rotation_loses_nothing() {
    rotate_under_load(
        "plain_rotation_loses_nothing",
        "nocreate",
        Duration::from_millis(1200),
    );
}

#[test]
fn a_line_comes_at_once_and_a_copytruncate_is_survived() {
    let Some(rsyslog) = Rsyslog::start("a_line_comes_at_once_and_a_copytruncate_is_survived")
    else {
        return;
    };
    let socket = rsyslog.connect().unwrap();
    write(&socket, 0..1);
    rsyslog.wait_for("line 0.");
    let mut following = follow(rsyslog.choice(), None);
    while following.caught_up == 0 {
        if let Ok(Delivery::CaughtUp) = following.deliveries.try_recv() {
            following.caught_up += 1;
        }
        thread::sleep(Duration::from_millis(5));
    }
    // Ten lines one by one: by the periodic look alone they would take ten seconds.
    let began = Instant::now();
    for number in 1..11 {
        write(&socket, number..number + 1);
        assert_eq!(following.take(1), [number]);
    }
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );

    rsyslog.rotate("copytruncate");
    write(&socket, 11..12);
    assert_eq!(following.take(1), [11]);
    assert!(
        following
            .notices
            .iter()
            .any(|notice| notice.contains("truncated in place")),
        "{:?}",
        following.notices
    );
}
