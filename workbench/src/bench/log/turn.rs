//! One command's turn on a log: on the one core that all take, and what it used.

use std::{
    io::Read as _,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use rustix::{
    process::{Pid, WaitId, WaitIdOptions, waitid},
    thread::{CpuSet, sched_getaffinity, sched_setaffinity},
};

use crate::bench::processor;

/// While this lives, whatever this thread starts has one core, always the same.
pub(super) struct OneCore {
    before: CpuSet,
}

impl OneCore {
    /// Takes the last of those that we have.
    pub(super) fn take() -> Result<Self> {
        let before = sched_getaffinity(None)?;
        let mut only = CpuSet::new();
        only.set(processor::last()?);
        sched_setaffinity(None, &only)?;
        Ok(Self { before })
    }
}

impl Drop for OneCore {
    fn drop(&mut self) {
        let _best_effort = sched_setaffinity(None, &self.before);
    }
}

/// What became of a turn.
#[derive(Clone, Debug)]
pub(super) struct Turn {
    /// Processor time, ours and the kernel's for us.
    pub(super) used: Duration,
    /// What it said, unless nobody was to hear it.
    pub(super) said: String,
}

/// Runs a command to its end.
pub(super) fn run(command: &mut Command, is_heard: bool) -> Result<Turn> {
    let program = command.get_program().display().to_string();
    command.stdin(Stdio::null());
    // To /dev/null grep writes nothing, and therefore does not count at all.
    command.stdout(if is_heard {
        Stdio::piped()
    } else {
        Stdio::null()
    });
    let mut child = command
        .spawn()
        .with_context(|| format!("{program} cannot be started"))?;
    let mut said = String::new();
    if let Some(mut output) = child.stdout.take() {
        output.read_to_string(&mut said)?;
    }
    // It has ended, but its accounts stand until it is waited for.
    let process = WaitId::Pid(Pid::from_child(&child));
    waitid(process, WaitIdOptions::EXITED | WaitIdOptions::NOWAIT)?;
    let used = processor::of_one_thread(child.id())?;
    let status = child.wait()?;
    ensure!(status.success(), "{program} failed: {status}");
    Ok(Turn { used, said })
}
