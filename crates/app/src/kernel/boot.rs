//! Which boot this is, and when it was.

use std::fs;

use anyhow::{Context as _, Result};
use jiff::Timestamp;
use sshmeter_core::identity::BootId;

/// The running boot's id.
///
/// # Errors
/// Where /proc is not mounted.
pub fn id() -> Result<BootId> {
    let path = "/proc/sys/kernel/random/boot_id";
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?;
    Ok(BootId(text.trim().to_owned()))
}

/// When the running boot began, to the second (`btime` of /proc/stat).
///
/// # Errors
/// Where /proc is not mounted.
pub fn time() -> Result<Timestamp> {
    let text = fs::read_to_string("/proc/stat").context("cannot read /proc/stat")?;
    let seconds = text
        .lines()
        .find_map(|line| line.strip_prefix("btime "))
        .and_then(|seconds| seconds.trim().parse().ok())
        .context("/proc/stat does not tell the boot's time")?;
    Ok(Timestamp::from_second(seconds)?)
}
