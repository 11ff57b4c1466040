//! Words to the service manager (sd_notify(3)); nothing without one.

use sd_notify::NotifyState;

/// Counting has begun.
pub(super) fn ready() {
    tell(&[NotifyState::Ready]);
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
