//! The lock that all legacy iptables programs hold while they change anything,
//! except that `iptables-save` reads without it.
//!
//! The legacy kernel interface replaces a whole table by one with counters at 0
//! and adds the old figures afterwards. A listing in that instant shows 0
//! everywhere, which would be taken for new counters. So the lock is held while
//! we read. The variant on nftables needs none, and does not mind.

use std::{
    env,
    ffi::OsString,
    fs::{File, TryLockError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

/// Where iptables has it, unless the environment says otherwise.
const FILE: &str = "/run/xtables.lock";
const FILE_VARIABLE: &str = "XTABLES_LOCKFILE";

const PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(5);

/// The lock, held. `None` within it where the file is not for us: then legacy
/// iptables refuses to change anything for us, too.
#[derive(Debug)]
pub(super) struct Lock(
    #[expect(dead_code, reason = "it is let go when it is closed")] Option<File>,
);

impl Lock {
    /// Waits for it, a while.
    pub(super) fn take() -> Result<Self> {
        let path = env::var_os(FILE_VARIABLE).unwrap_or_else(|| OsString::from(FILE));
        let made = File::options().append(true).create(true).open(&path);
        let Ok(file) = made.or_else(|_| File::open(&path)) else {
            return Ok(Self(None));
        };
        let patience_ends = Instant::now() + PATIENCE;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Self(Some(file))),
                Err(TryLockError::Error(error)) => {
                    return Err(error).context("the lock of iptables cannot be taken");
                }
                Err(TryLockError::WouldBlock) if Instant::now() < patience_ends => {
                    thread::sleep(PAUSE);
                }
                Err(TryLockError::WouldBlock) => {
                    bail!("another program has held the lock of iptables for {PATIENCE:?}")
                }
            }
        }
    }
}
