//! Words to the service manager (sd_notify(3)) and what it keeps for us
//! (sd_pid_notify_with_fds(3)); nothing without one.

use std::{
    env,
    os::fd::{AsFd as _, IntoRawFd as _, OwnedFd},
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use rustix::io::{FdFlags, fcntl_setfd};
use sd_notify::NotifyState;
use tracing::warn;

/// Whether descriptors that we give away come back at the next start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Store {
    /// There is no service manager.
    Absent,
    /// It says that it keeps none, or too few.
    TooSmall,
    /// It keeps them if it is told to; older ones do not say.
    Unsaid,
    /// It says that it keeps enough.
    Large,
}

/// Counting has begun.
pub(super) fn ready() {
    tell(&[NotifyState::Ready]);
}

/// The start takes longer; it goes on within the time given.
pub(super) fn starting(within: Duration) {
    let microseconds = u32::try_from(within.as_micros()).unwrap_or(u32::MAX);
    tell(&[NotifyState::ExtendTimeoutUsec(microseconds)]);
}

/// A part of the start that can take as long as a log is large.
pub(super) struct LongStart {
    told: Instant,
}

impl LongStart {
    /// How often the service manager hears of it.
    const PERIOD: Duration = Duration::from_secs(10);

    pub(super) fn begin() -> Self {
        Self {
            told: Instant::now(),
        }
    }

    /// It goes on: the service manager shall not give up on it.
    pub(super) fn goes_on(&mut self) {
        if self.told.elapsed() >= Self::PERIOD {
            starting(6 * Self::PERIOD);
            self.told = Instant::now();
        }
    }
}

/// How long the service manager waits for a sign of life, where it does.
pub(super) fn watchdog() -> Option<Duration> {
    sd_notify::watchdog_enabled().filter(|bite| !bite.is_zero())
}

/// Still counting: keeps the watchdog quiet.
pub(super) fn alive() {
    tell(&[NotifyState::Watchdog]);
}

/// The last figures are being written.
pub(super) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// What is known of the service manager's store, where `needed` descriptors are
/// to be kept.
pub(super) fn store(needed: u32) -> Store {
    if env::var_os("NOTIFY_SOCKET").is_none() {
        return Store::Absent;
    }
    // systemd says so from version 254 on.
    match env::var("FDSTORE").map(|room| room.parse::<u32>()) {
        Ok(Ok(room)) if room >= needed => Store::Large,
        Ok(_) => Store::TooSmall,
        Err(_) => Store::Unsaid,
    }
}

/// Asks the service manager to keep a descriptor past our end, and to watch
/// nothing of it: an overrun would make it let go.
pub(super) fn keep(name: &str, descriptor: &OwnedFd) {
    let states = [
        NotifyState::FdStore,
        NotifyState::FdName(name),
        NotifyState::Custom("FDPOLL=0"),
    ];
    if let Err(error) = sd_notify::notify_with_fds(&states, &[descriptor.as_fd()]) {
        warn!("the service manager did not take what it is to keep across a restart: {error}");
    }
}

/// Asks the service manager to let go of whatever it keeps by a name.
pub(super) fn let_go(name: &str) {
    tell(&[NotifyState::FdStoreRemove, NotifyState::FdName(name)]);
}

/// The descriptors that the service manager handed to this process, by name.
/// They are taken once, before anything else is opened, and no child gets them.
pub(super) fn handed_over() -> Vec<(String, OwnedFd)> {
    static ARE_TAKEN: AtomicBool = AtomicBool::new(false);
    if ARE_TAKEN.swap(true, Ordering::Relaxed) {
        return Vec::new();
    }
    let given = match sd_listen_fds::get() {
        Ok(given) => given,
        Err(error) => {
            warn!("what the service manager handed over cannot be told: {error}");
            Vec::new()
        }
    };
    given
        .into_iter()
        .filter_map(|(name, descriptor)| {
            let descriptor = descriptor.into_std();
            if fcntl_setfd(&descriptor, FdFlags::CLOEXEC).is_err() {
                // It was announced, but is not there: nothing to be closed.
                let _absent = descriptor.into_raw_fd();
                return None;
            }
            Some((name.unwrap_or_default(), descriptor))
        })
        .collect()
}

fn tell(states: &[NotifyState<'_>]) {
    // Whether anybody listens changes nothing here.
    let _unheard = sd_notify::notify(states);
}
