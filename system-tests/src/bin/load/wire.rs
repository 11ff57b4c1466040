//! What went over the loopback of this network, which is the test's own.

use anyhow::{Context as _, Result};

/// Its counters.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wire {
    pub(crate) bytes: u64,
    pub(crate) packets: u64,
}

impl Wire {
    /// Reads them (proc(5), `/proc/net/dev`): what was received is what was sent.
    pub(crate) fn read() -> Result<Self> {
        let text = std::fs::read_to_string("/proc/thread-self/net/dev")?;
        let mut lines = text.lines().map(str::trim);
        let line = lines.find_map(|line| line.strip_prefix("lo:"));
        let mut figures = line.context("no loopback")?.split_whitespace();
        let mut next = || figures.next()?.parse().ok();
        Ok(Self {
            bytes: next().context("no bytes of it")?,
            packets: next().context("no packets of it")?,
        })
    }
}
