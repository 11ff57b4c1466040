//! `cargo xtask bench churn`: what comings and goings cost.
//!
//! A thousand sessions a second come, are logged as sshd would log them, move bytes
//! by a plan and go, for a minute. Afterwards each of them has to be in the ledger,
//! once, under its user's name and with its bytes. Then connections that sshd has
//! nothing to do with come and go on two servers in turns, with sshmeter and without:
//! the kernel tells of their ends whoever listens, and that is work of its own.

mod logins;
mod passers;

use anyhow::Result;

use super::{
    Found,
    goal::Goal,
    page::{Figures, Place},
    programs::Programs,
};
use crate::table::{Table, grouped};

/// Measures, and gives the table.
pub(super) fn run() -> Result<Found> {
    let programs = Programs::build(&["churn"])?;
    // First, since the kernel is busy for a while with the end of a namespace that had
    // many connections.
    let passers = passers::measure(&programs)?;
    let logins = logins::measure(&programs)?;
    let percent = |part: f64| format!("{:.1} %", part * 100.0);
    let mut table = Table::new(HEAD.map(str::to_owned));
    table.row(
        &format!("{} sessions a second", grouped(logins::RATE)),
        [percent(logins.cores), percent(logins.ledger_cores)],
    );
    table.row(
        &format!("{} other ends a second", grouped(passers.in_hundreds())),
        [
            percent(passers.cores),
            String::new(),
            passers.ratio.to_string(),
        ],
    );
    let mut goals = vec![
        Goal::at_least(
            logins::LEAST,
            "sessions a second, all in the ledger to the byte",
            logins.rate_reached,
        ),
        Goal::at_most(0.5, "of a core, with so many sessions", logins.cores),
        Goal::at_most(100.0, "MB of memory at most meanwhile", logins.megabytes),
    ];
    goals.extend(passers.goals());
    let figures = vec![Figures {
        place: Place::Churn,
        table,
    }];
    Ok(Found { figures, goals })
}

const HEAD: [&str; 4] = [
    "what comes and goes",
    "sshmeter, of one core",
    "of that, the ledger",
    "the host's own work, as a ratio to that without sshmeter",
];

/// sshd's port on these machines.
const PORT: u16 = 7000;

fn config() -> String {
    let log = super::metering::LOG;
    format!(
        "[source]\nkind = \"file\"\npath = \"{log}\"\n\
         [meter]\nkind = \"sockdiag\"\nports = [{PORT}]\n"
    )
}
