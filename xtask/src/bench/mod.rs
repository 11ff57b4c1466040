//! `cargo xtask bench`: what metering costs, part by part.
//!
//! Machines differ, so bare times say little: what is compared is measured side by
//! side in one run, as ratios, or counted in processor time.

mod firewall;
mod mirror;
mod table;

use anyhow::{Result, bail};
use clap::ValueEnum;
use system_tests::missing;

use crate::packages;

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// One stream through the rules of each meter, with up to 5,000 sessions.
    Firewall,
    /// A server that many hosts share: HOSTS USERS MINUTES, or some minutes' worth.
    Mirror,
}

/// Measures one part, or all.
pub(crate) fn run(part: Option<Part>, sizes: &[usize], rounds: usize) -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        bail!(
            "the bench needs root, for network namespaces and firewalls in them\n\
             hint: sudo --preserve-env=PATH cargo xtask bench"
        );
    }
    let size = mirror::Size::from_words(sizes)?;
    packages::install()?;
    if let Some(reason) = missing() {
        bail!("the bench cannot run here: it {reason}");
    }
    let parts = part.map_or_else(|| Part::value_variants().to_vec(), |part| vec![part]);
    for part in parts {
        match part {
            Part::Firewall => firewall::run(rounds)?,
            Part::Mirror => mirror::run(size)?,
        }
    }
    Ok(())
}
