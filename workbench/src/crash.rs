//! `cargo xtask crash`: daemons killed at random moments over live traffic, for
//! as long as you like, and what the ledger makes of it beside the capture.
//!
//! The tests do the same with a few rounds. Half of the rounds follow a log
//! file, half the journal; after them come the chosen ways to end a daemon, and
//! a sixth as many rounds with each meter that counts at the firewall.

use std::time::Duration;

use anyhow::{Result, ensure};
use system_tests::{
    Log, Meter,
    crash::{self, Deaths, Plan, SEED, Score},
};
use xtask::build;

use crate::prepare;

/// Kills so often, and fails at any difference.
pub(crate) fn run(rounds: u64) -> Result<()> {
    prepare("crash")?;
    let sshmeter = build::sshmeter()?;
    let seed = crash::seed();
    println!("{SEED}={seed}");
    let chosen = Deaths::Chosen {
        times: rounds.div_ceil(200),
        freeze: Duration::from_secs(30),
    };
    let mut all = Score::default();
    let sockdiag = [
        (Log::RsyslogIso, Deaths::Random(rounds.div_ceil(2))),
        (Log::Journald, Deaths::Random(rounds / 2)),
        (Log::RsyslogIso, chosen),
        (Log::Journald, chosen),
    ]
    .map(|(log, deaths)| (log, Meter::Sockdiag, deaths));
    let firewall =
        Meter::FIREWALLS.map(|meter| (Log::RsyslogIso, meter, Deaths::Random(rounds.div_ceil(6))));
    for (log, meter, deaths) in sockdiag.into_iter().chain(firewall) {
        let score = crash::run(Plan {
            sshmeter: sshmeter.clone(),
            log,
            meter,
            deaths,
            seed,
        });
        println!("{log:?}, {meter:?}, {deaths:?}: {score}");
        all += score;
    }
    for (death, count) in &all.deaths {
        println!("{count:>6}  {death}");
    }
    println!("all: {all}, seed {seed}");
    for fault in &all.faults {
        println!("  {fault}");
    }
    ensure!(all.holds(), "the ledger is not what crossed the wire");
    Ok(())
}
