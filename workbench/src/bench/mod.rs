//! `cargo xtask bench`: what metering costs, part by part.
//!
//! Machines differ, so bare times say little: what is compared is measured side by
//! side in one run, as ratios, or counted in processor time.

mod firewall;
mod mirror;

use anyhow::Result;
use clap::ValueEnum;

use crate::prepare;

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
    let size = mirror::Size::from_words(sizes)?;
    prepare("bench")?;
    let parts = part.map_or_else(|| Part::value_variants().to_vec(), |part| vec![part]);
    for part in parts {
        match part {
            Part::Firewall => firewall::run(rounds)?,
            Part::Mirror => mirror::run(size)?,
        }
    }
    Ok(())
}
