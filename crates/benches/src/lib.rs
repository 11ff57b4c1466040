//! The hot paths of sshmeter, each as a piece of work that is the same at every run:
//! what `benches/times.rs` measures is what `benches/instructions.rs` counts.
//!
//! A package of its own, so that nobody who builds or tests sshmeter builds what
//! measures it.

pub mod commit;
pub mod difference;
pub mod line;
pub mod netlink;

use jiff::Timestamp;
use sshmeter_core::identity::{BootId, Endpoint};

/// Work that can be done again and again.
pub trait Work: Sized {
    /// Of how many things one run takes care.
    fn count(&self) -> u64;

    /// Makes ready for the next run. It is not measured.
    fn prepare(&mut self) {}

    /// Does the work, which is measured.
    fn run(&mut self);

    /// Makes sure that it was done.
    ///
    /// # Panics
    /// Where it was not.
    fn check(self);
}

/// The kinds of a work by their names, each with what makes it.
pub type Kinds<W, const N: usize> = [(&'static str, fn() -> W); N];

/// How many things a run takes care of, in all works.
const COUNT: u16 = 1_000;

/// The user, and the credential, of one of many sessions.
fn account(number: u16) -> (String, String) {
    let user = number % 100;
    (format!("user{user}"), format!("SHA256:key-of-{user}"))
}

/// The boot in which all happens.
fn boot() -> BootId {
    BootId("3b1f7c1e-5a3d-4c7e-9d53-0d9f6a1c2e44".to_owned())
}

/// The two ends of one of many sessions: the client's and sshd's.
fn ends(number: u16) -> [Endpoint; 2] {
    let [high, low] = (number / 50).to_be_bytes();
    [
        Endpoint::new([198, 51, high, low].into(), 40_000 + number),
        Endpoint::new([192, 0, 2, 1].into(), 22),
    ]
}

/// The instant at which all begins: that of a minute and an hour.
fn begin() -> Timestamp {
    Timestamp::from_second(1_795_341_600).unwrap_or_default()
}
