//! A process inside a machine, told and ended from outside.
//!
//! `nsenter` has to fork to enter a pid namespace, so the child we hold is not
//! the program itself: signals and `/proc` figures go to its only child.

use std::{
    fs,
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::wait_for;

/// A running program. It is killed when this is dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    leader: u32,
    name: String,
}

impl Process {
    /// Takes a started `nsenter` whose child is the program.
    ///
    /// # Panics
    /// When the program does not come to life.
    #[must_use]
    pub fn behind(mut child: Child, name: &str) -> Self {
        let outer = child.id();
        let leader = wait_for(name, Duration::from_secs(10), || {
            if child.try_wait().is_ok_and(|status| status.is_some()) {
                return Some(outer);
            }
            children_of(outer).first().copied()
        });
        Self {
            child,
            leader,
            name: name.to_owned(),
        }
    }

    /// The program's process id, as this process sees it.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.leader
    }

    /// The started child, for its pipes.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Whether the program still runs.
    pub fn runs(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Sends a signal to the program.
    pub fn signal(&self, signal: Signal) {
        kill(self.leader, signal);
        if [Signal::CONT, Signal::KILL].contains(&signal) {
            // `nsenter` stops itself when it sees its child stopped.
            kill(self.child.id(), Signal::CONT);
        }
    }

    /// Waits for the program's end and gives its exit code; `None` for a signal.
    ///
    /// # Panics
    /// When it does not end within the limit.
    pub fn wait(&mut self, limit: Duration) -> Option<i32> {
        let name = format!("the end of {}", self.name);
        wait_for(&name, limit, || {
            self.child.try_wait().expect("a child can be waited for")
        })
        .code()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.runs() {
            self.signal(Signal::KILL);
            // `nsenter` ends with its child. Killed before, it would leave the
            // child's remains to this machine's first process, for which the
            // child's namespaces would have to wait.
            let begin = Instant::now();
            while self.runs() && begin.elapsed() < Duration::from_secs(1) {
                std::thread::sleep(Duration::from_millis(1));
            }
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// Sends a signal to a process.
pub(crate) fn kill(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        // It may have ended by itself, which is what most signals ask for.
        let _ = kill_process(pid, signal);
    }
}

/// The children of a process.
#[must_use]
pub(crate) fn children_of(pid: u32) -> Vec<u32> {
    fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))
        .unwrap_or_default()
        .split_whitespace()
        .filter_map(|word| word.parse().ok())
        .collect()
}

/// No input, and output that can be read.
pub(crate) fn quietly(command: &mut std::process::Command) -> &mut std::process::Command {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
}
