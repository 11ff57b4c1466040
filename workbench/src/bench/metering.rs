//! A daemon that counts, and can be made to stand still while others are measured.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;
use system_tests::{Answer, Daemon, Machine};

use super::processor;

/// Where logins are told.
pub(super) const LOG: &str = "/var/log/auth.log";

const CONFIG: &str = "/etc/sshmeter/config.toml";

/// How long a daemon may take to catch up.
const PATIENCE: Duration = Duration::from_secs(60);

/// A daemon that can be made to stand still.
#[derive(Debug)]
pub(super) struct Metering(Daemon);

impl Metering {
    /// Starts it with this config; it says when it takes samples.
    pub(super) fn start(machine: &Machine, config: &str) -> Self {
        let server = machine.server();
        server.shell(&format!("mkdir -p /etc/sshmeter; touch {LOG}"));
        server.write(CONFIG, config);
        Self(machine.daemon_under(&["env", "SSHMETER_LOG=debug"]))
    }

    /// Goes on with another config.
    pub(super) fn configure(&self, machine: &Machine, config: &str) {
        machine.server().write(CONFIG, config);
        self.0.signal(Signal::HUP);
    }

    /// The daemon itself.
    pub(super) fn daemon(&self) -> &Daemon {
        &self.0
    }

    /// Stops it; its ledger can be asked on.
    pub(super) fn stop(self) -> Answer {
        self.0.stop()
    }

    /// How many readings it has taken.
    pub(super) fn readings(&self) -> usize {
        self.0.words().matches("debug: sample").count()
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

    /// Seconds of processor time that it and the programs it ran have used.
    pub(super) fn seconds(&self) -> Result<f64> {
        Ok(processor::with_children(self.0.id())?.as_secs_f64())
    }

    /// What its threads have used, to the nanosecond: that which writes the ledger,
    /// and before it all the others.
    pub(super) fn counting_and_ledger(&self) -> Result<[Duration; 2]> {
        let mut threads = processor::by_threads(self.0.id())?;
        let ledger = threads.remove("ledger");
        let ledger = ledger.context("the daemon has no thread called ledger")?;
        ensure!(
            threads.contains_key("sshmeter"),
            "the daemon has no thread called sshmeter"
        );
        Ok([threads.values().sum(), ledger])
    }

    fn has_children(&self) -> bool {
        let threads = fs::read_dir(format!("/proc/{}/task", self.0.id()));
        threads.into_iter().flatten().flatten().any(|thread| {
            let children = fs::read_to_string(thread.path().join("children"));
            children.is_ok_and(|children| !children.trim().is_empty())
        })
    }
}
