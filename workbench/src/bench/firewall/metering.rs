//! A daemon that counts, and can be made to stand still while others are measured.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;
use system_tests::{Daemon, Machine};

use super::{
    ground::{CROWD_PORT, STREAM_PORT},
    rules::Counting,
};

/// Where logins are told.
pub(super) const LOG: &str = "/var/log/auth.log";

/// How long a daemon may take to catch up.
const PATIENCE: Duration = Duration::from_secs(60);

/// A daemon that can be made to stand still.
#[derive(Debug)]
pub(super) struct Metering(Daemon);

impl Metering {
    /// Starts it, where it is to count here.
    pub(super) fn start(machine: &Machine, counting: Counting) -> Option<Self> {
        let Counting::Sshmeter { kind, .. } = counting else {
            return None;
        };
        let server = machine.server();
        server.shell(&format!("mkdir -p /etc/sshmeter; touch {LOG}"));
        server.write(
            "/etc/sshmeter/config.toml",
            &format!(
                "[source]\nkind = \"file\"\npath = \"{LOG}\"\n\
             [meter]\nkind = \"{kind}\"\nports = [{CROWD_PORT}, {STREAM_PORT}]\n"
            ),
        );
        Some(Self(machine.daemon()))
    }

    /// The daemon itself.
    pub(super) fn daemon(&self) -> &Daemon {
        &self.0
    }

    /// Lets it stand still: its rules go on counting.
    pub(super) fn rest(&self) {
        self.0.signal(Signal::STOP);
    }

    /// Lets it go on.
    pub(super) fn wake(&self) {
        self.0.signal(Signal::CONT);
    }

    /// Waits until it has caught up: for a while it has used no processor time,
    /// and none of its programs runs.
    pub(super) fn wait_until_idle(&self) -> Result<()> {
        let begin = Instant::now();
        let mut last = (self.seconds()?, Instant::now());
        while last.1.elapsed() < Duration::from_millis(250) {
            ensure!(
                begin.elapsed() < PATIENCE,
                "the daemon does not come to rest"
            );
            thread::sleep(Duration::from_millis(25));
            let seconds = self.seconds()?;
            if seconds > last.0 || self.has_children() {
                last = (seconds, Instant::now());
            }
        }
        Ok(())
    }

    /// Seconds of processor time that it and the programs it ran have used
    /// (proc_pid_stat(5)).
    pub(super) fn seconds(&self) -> Result<f64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0.id()))?;
        let (_, after_name) = stat.rsplit_once(')').context("a name in brackets")?;
        let ticks = after_name.split_whitespace().skip(11).take(4);
        let ticks: Vec<u32> = ticks.map(str::parse).collect::<Result<_, _>>()?;
        let per_second = u32::try_from(rustix::param::clock_ticks_per_second())?;
        Ok(f64::from(ticks.iter().sum::<u32>()) / f64::from(per_second))
    }

    fn has_children(&self) -> bool {
        let threads = fs::read_dir(format!("/proc/{}/task", self.0.id()));
        threads.into_iter().flatten().flatten().any(|thread| {
            let children = fs::read_to_string(thread.path().join("children"));
            children.is_ok_and(|children| !children.trim().is_empty())
        })
    }
}
