//! Sessions: log events joined to kernel sockets.
//!
//! The kernel says which connections exist, what they moved and when they end;
//! the log only gives them a name and a reason. [`Table`] keeps both together
//! and hands out what is to be written as [`Batch`]es.
//!
//! A connection is counted from its first byte under no name; a login found in
//! the log, however late, names all of it. A name is given only to a socket that
//! the kernel has shown on one of sshd's ports, and while that socket lives the
//! kernel is asked whose it is ([`Question`]). A name that rests on a log alone,
//! to which anybody can write, goes back to nobody when that log contradicts it.
//!
//! [`Batch`]: crate::ledger::Batch

mod attribution;
mod connection;
mod counted;
#[cfg(test)]
mod counted_tests;
mod ending;
mod figures;
#[cfg(test)]
mod forged_tests;
mod inquiry;
mod login;
mod outbox;
mod refusal;
mod roster;
#[cfg(test)]
mod stall_tests;
mod table;
#[cfg(test)]
mod tests;
mod waiting;

pub use attribution::Owner;
pub use connection::UNSEEN;
pub use counted::Counted;
pub use inquiry::{Question, Verdict};
pub use login::{Claim, Witness};
pub use refusal::Refusal;
pub use table::Table;

use std::time::Duration;

use jiff::Timestamp;

/// When something happened, by both clocks. The wall clock dates what is
/// written and may be stepped; ages are told by the monotonic one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// The time of day.
    pub wall: Timestamp,
    /// Time since some fixed point, never stepped.
    pub monotonic: Duration,
}
