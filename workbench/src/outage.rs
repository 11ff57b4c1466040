//! `cargo xtask outage`: a database server, hosts and the cable between them,
//! broken at random for as long as you like, and whether the server has what the
//! ledgers have in the end.
//!
//! The tests do the same with a few rounds.

use anyhow::{Result, ensure};
use system_tests::{
    Backend,
    outage::{self, Plan, SEED, Score},
};
use xtask::build;

use crate::prepare;

/// How many hosts share the server.
const HOSTS: [usize; 2] = [1, 20];

/// Kills so often for each number of hosts over each server, and fails at any
/// difference.
pub(crate) fn run(kills: u64) -> Result<()> {
    prepare("outage")?;
    build::succeed(
        build::cargo().args([
            "build",
            "--package",
            "sshmeter",
            "--package",
            "system-tests",
        ]),
        "the hosts did not build",
    )?;
    let seed = outage::seed();
    println!("{SEED}={seed}");
    let mut all = Score::default();
    for backend in [Backend::MariaDb, Backend::Postgres] {
        for hosts in HOSTS {
            let score = outage::run(Plan {
                backend,
                hosts,
                kills,
                seed,
            });
            println!("{backend:?}, {hosts} hosts: {score}");
            all += score;
        }
    }
    for (event, count) in &all.events {
        println!("{count:>6}  {event}");
    }
    println!("all: {all}, seed {seed}");
    for fault in &all.faults {
        println!("  {fault}");
    }
    ensure!(all.holds(), "a server is not what the ledgers are");
    Ok(())
}
