//! Words to the service manager (sd_notify(3)); nothing without one.

use std::time::Duration;

use sd_notify::NotifyState;

/// Counting has begun.
pub(super) fn ready() {
    tell(&[NotifyState::Ready]);
}

/// The start takes longer; it goes on within the time given.
pub(super) fn starting(within: Duration) {
    let microseconds = u32::try_from(within.as_micros()).unwrap_or(u32::MAX);
    tell(&[NotifyState::ExtendTimeoutUsec(microseconds)]);
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

fn tell(states: &[NotifyState<'_>]) {
    // Whether anybody listens changes nothing here.
    let _unheard = sd_notify::notify(states);
}
