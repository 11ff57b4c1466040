//! sshmeter against the real thing: sshd, ssh, rsyslogd, journald and dropbear
//! in namespaces of their own, with a packet capture as the truth.
//!
//! A [`Machine`] is a throwaway server with a root file system, a process tree
//! and a network of its own. Its [`Client`] logs in over a wire that a
//! [`Capture`] listens on, and what sshmeter says is compared with what crossed
//! that wire. Nothing here reads sshmeter's code: a fault of the meter must not
//! be shared by its judge.
//!
//! Nothing outlives a test. All that a machine is made of hangs on one process,
//! which ends when the test's end of a pipe is closed, however that comes about.

pub mod book;
mod boot;
mod busybox;
mod caller;
mod capture;
mod client;
mod clock;
mod counter;
pub mod crash;
mod daemon;
mod database;
mod debian;
mod ground;
pub mod instructions;
mod judge;
mod keeper;
mod kinds;
mod ledger;
mod logins;
mod machine;
mod manager;
mod meter;
mod mirror;
pub mod outage;
mod packets;
mod process;
mod root;
mod rules;
mod service;
mod stillness;
pub mod told;
mod users;
mod wire;

pub use busybox::{Busybox, has_release, release, stands_on_busybox};
pub use caller::Caller;
pub use capture::{Capture, Truth};
pub use client::{Client, Family, OpenVisit, Visit, VisitBuilder};
pub use counter::{Counter, Counts};
pub use daemon::{Answer, Daemon, End, Report, Row, Session};
pub use database::{
    Auth, Authority, Backend, Certificate, Database, DatabaseBuilder, Galera, MariaDb, MySql,
    PASSWORD, Postgres, Rows, Usage,
};
pub use debian::{Apt, package_for, stands_on_debian};
pub use ground::{MUST_RUN, binary, boots, counts_with, missing, package, stands, stands_with};
pub use judge::{Judgement, NOBODY, Running, Tolerance, judge, must_agree};
pub use keeper::{Keeper, Network};
pub use kinds::every_kind;
pub use ledger::ledger_faults;
pub use logins::Logins;
pub use machine::{Down, Log, Machine, MachineBuilder, SERVED};
pub use manager::ServiceManager;
pub use meter::Meter;
pub use mirror::{Comparison, Mirror};
pub use packets::{Connection, Flow, read_capture};
pub use process::Process;
pub use rules::{Pair, Rule, escaped, pairs, tells};
pub use service::Service;
pub use users::{User, standard_users};
pub use wire::Loss;

use std::time::{Duration, Instant};

/// Waits until `done` gives a value, or panics with what it waited for.
///
/// # Panics
/// When `limit` passes first.
pub fn wait_for<T>(what: &str, limit: Duration, mut done: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(value) = done() {
            return value;
        }
        assert!(
            begin.elapsed() < limit,
            "waited {} s in vain for {what}",
            limit.as_secs()
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}
pub use xtask::debian::Release;
