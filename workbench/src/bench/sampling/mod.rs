//! `cargo xtask bench sampling`: what a reading of very many connections costs.
//!
//! One server fills up with sessions, plain TCP connections that the log names, and
//! at each number of them three readings are watched: of connections that do nothing,
//! of some that move a few bytes, and of all that do. Beside them `ss` and
//! `iptables-save` read the same. Another server has few sessions, and very many
//! connections that are not sshd's.
//!
//! What counts is processor time, to the nanosecond, from one reading to the next,
//! and of these the middle one: so a busy machine matters little, and what is done
//! once a minute not at all. That is watched apart.

mod others;
mod reading;
mod stage;

use anyhow::Result;
use system_tests::Machine;

use self::{
    reading::{Cost, Tools},
    stage::{Figures as Measured, Stage},
};
use super::{
    Found,
    goal::Goal,
    page::{Figures, Place},
    programs::Programs,
};
use crate::table::{Table, grouped};

/// How many sessions, and how many seconds lie between two readings: more where
/// what moved takes the ledger longer.
const STAGES: [(usize, u64); 4] = [(100, 1), (1_000, 1), (10_000, 2), (50_000, 6)];

/// Where memory is looked at too.
const MANY: usize = 10_000;

/// What a reading and its ledger should cost a session.
const AIM_MICROSECONDS: f64 = 2.5;

/// Measures, and gives the tables.
pub(super) fn run(rounds: usize) -> Result<Found> {
    let programs = Programs::build(&["crowd"])?;
    let mut stage = Stage::start(&programs)?;
    let mut goals = vec![Goal::at_most(
        20.0,
        "MB of memory with no session",
        stage.megabytes()?,
    )];
    let empty = stage.reading_of_nothing(rounds)?;
    let mut table = Table::new(HEAD.map(str::to_owned));
    let mut shares = Table::new(SHARES.map(str::to_owned));
    for (sessions, interval) in STAGES {
        eprintln!("{} sessions", grouped(sessions));
        let measured = stage.measure(sessions, interval, rounds)?;
        table.row(&grouped(sessions), row(&measured));
        shares.row(&grouped(sessions), share(&measured));
        goals.extend(aims(sessions, &measured));
        if sessions == MANY {
            let what = format!("MB of memory with {} sessions", grouped(MANY));
            goals.push(Goal::at_most(60.0, what, stage.megabytes()?));
        }
    }
    stage.check()?;
    drop(stage);
    let others = others::measure(&programs, rounds)?;
    table.row(&others.name(), others.row());
    shares.row(&others.name(), [others.share()]);
    println!(
        "\na reading of nothing takes {:.2} ms on this machine",
        empty.whole() * 1e3
    );
    goals.push(others.goal());
    let figures = vec![
        Figures {
            place: Place::Sampling,
            table,
        },
        Figures {
            place: Place::SamplingShare,
            table: shares,
        },
    ];
    Ok(Found { figures, goals })
}

const HEAD: [&str; 7] = [
    "sessions",
    "the kernel alone",
    "none moved",
    "one in twenty moved",
    "all moved",
    "`ss -tin`, all",
    "`iptables-save -c` (nft)",
];

const SHARES: [&str; 4] = ["sessions", "none moved", "one in twenty moved", "all moved"];

/// Ratios to what `ss` takes for sshd's connections.
fn row(measured: &Measured) -> Vec<String> {
    let one = measured.tools.filtered;
    let ratio = |seconds: f64| format!("{:.2}", seconds / one);
    let mut cells = vec![ratio(measured.tools.kernel)];
    cells.extend(measured.readings().map(|cost| ratio(cost.whole())));
    cells.push(ratio(measured.tools.all));
    cells.extend(measured.tools.rules.map(ratio));
    cells
}

/// What a daemon with the default interval takes of a core.
fn share(measured: &Measured) -> [String; 3] {
    measured.readings().map(Cost::share)
}

fn aims(sessions: usize, measured: &Measured) -> Vec<Goal> {
    let names = ["none moved", "one in twenty moved", "all moved"];
    let part = |seconds: f64, cost: Cost| 100.0 * seconds / cost.whole();
    let goals = names.into_iter().zip(measured.readings()).map(|(name, cost)| {
        let kernel = part(measured.tools.kernel, cost);
        let ledger = part(cost.ledger, cost);
        let what = format!(
            "µs a session and sample, {} sessions, {name} (kernel {kernel:.0} %, ledger {ledger:.0} %)",
            grouped(sessions)
        );
        Goal::at_most(AIM_MICROSECONDS, what, cost.a_session(sessions))
    });
    goals.collect()
}

/// sshd's port on these machines.
const PORT: u16 = 7000;

fn config(interval: u64) -> String {
    let log = super::metering::LOG;
    format!(
        "[source]\nkind = \"file\"\npath = \"{log}\"\n\
         [meter]\nkind = \"sockdiag\"\nports = [{PORT}]\ninterval = \"{interval}s\"\n"
    )
}

/// What other programs take to read the same: these sessions, and all that is listed.
fn tools(machine: &Machine, sessions: usize, listed: usize) -> Result<Tools> {
    Tools::measure(machine.server(), PORT, sessions, listed)
}
