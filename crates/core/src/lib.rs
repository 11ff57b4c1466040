//! The deciding part of sshmeter.
//!
//! A byte's way through this crate: a log line becomes an [`sshd::Event`], the
//! [`session`] table joins it to a kernel socket, [`meter`] turns the kernel's
//! raw figures into cumulative [`counter`] readings, beside which a firewall's
//! [`rule`] may count the wire's bytes, their differences leave as
//! a [`ledger::Batch`], and what the ledger holds is shown as a
//! [`report::Report`].
//!
//! Nothing here reads a clock, opens a file, waits or runs unsafe code: time
//! comes in with each event, and every decision goes out as a value.

pub mod counter;
pub mod identity;
pub mod ledger;
pub mod meter;
pub mod note;
pub mod report;
pub mod rule;
pub mod session;
pub mod sshd;
pub mod time;
pub mod units;
