//! What `backup` and `restore` share: how far it is, on a terminal, and a way
//! to stop that leaves nothing half done.

use std::{
    io::IsTerminal as _,
    ops::ControlFlow,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    error::{Outcome, say},
    store::{CopyError, Progress},
};

/// Does the work, until it is done or a signal says to stop.
pub(super) fn copying<T: Send + 'static>(
    work: impl FnOnce(&mut Progress<'_>) -> Result<T, CopyError> + Send + 'static,
) -> Outcome<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("no runtime can be had")?;
    let is_stopped = Arc::new(AtomicBool::new(false));
    let stop = Arc::clone(&is_stopped);
    let done = runtime.block_on(async {
        let listen = |kind| signal(kind).context("signals cannot be heard");
        let mut interrupt = listen(SignalKind::interrupt())?;
        let mut terminate = listen(SignalKind::terminate())?;
        let mut hang_up = listen(SignalKind::hangup())?;
        let mut work = tokio::task::spawn_blocking(move || {
            let mut meter = Meter::new("copied");
            let done = work(&mut |done, all| {
                meter.show(done, all);
                if stop.load(Ordering::Relaxed) {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            });
            meter.wipe();
            done
        });
        loop {
            tokio::select! {
                done = &mut work => return done.context("the copying ended badly"),
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
                _ = hang_up.recv() => {}
            }
            is_stopped.store(true, Ordering::Relaxed);
        }
    })?;
    Ok(done?)
}

/// How far it is, for who sits before it.
pub(super) struct Meter {
    done: &'static str,
    shown: Option<u64>,
}

impl Meter {
    /// Nothing is shown yet; `done` is what is being done, as of its end.
    pub(super) fn new(done: &'static str) -> Self {
        Self { done, shown: None }
    }

    pub(super) fn show(&mut self, part: u64, all: u64) {
        let percent = part.saturating_mul(100) / all.max(1);
        if self.shown != Some(percent) && std::io::stderr().is_terminal() {
            say(&format!("\r{} {percent} %", self.done));
            self.shown = Some(percent);
        }
    }

    pub(super) fn wipe(&self) {
        if self.shown.is_some() {
            say("\r\x1b[K");
        }
    }
}
