//! `cargo xtask bench`: what metering costs, part by part.
//!
//! Machines differ, so no part gives bare times: all that is compared is measured
//! side by side in one run, and the figures are ratios.

mod firewall;

use anyhow::{Result, bail};
use clap::ValueEnum;
use system_tests::missing;

use crate::packages;

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// One stream through the rules of each meter, with up to 5,000 sessions.
    Firewall,
}

/// Measures one part, or all.
pub(crate) fn run(part: Option<Part>, rounds: usize) -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        bail!(
            "the bench needs root, for network namespaces and firewalls in them\n\
             hint: sudo --preserve-env=PATH cargo xtask bench"
        );
    }
    packages::install()?;
    if let Some(reason) = missing() {
        bail!("the bench cannot run here: it {reason}");
    }
    let parts = part.map_or_else(|| Part::value_variants().to_vec(), |part| vec![part]);
    for part in parts {
        match part {
            Part::Firewall => firewall::run(rounds)?,
        }
    }
    Ok(())
}
