//! The meters that count at the firewall: counter rules of our own, one a
//! direction for each session, beside the sockets' figures.
//!
//! `meter` is the same for all of them, `rules` is what they differ in. Nothing
//! here decides which figure counts, and nothing that is not ours is touched.

mod command;
mod iptables;
mod label;
mod meter;
mod nftables;
pub mod rules;

use crate::{
    config::MeterKind,
    kernel::{
        PATH_WITH_SBIN,
        rights::{Right, Rights},
    },
};

pub use iptables::Iptables;
pub use meter::FirewallMeter;
pub use nftables::Nftables;

/// The rules of a kind of meter; `None` for one that needs none.
#[must_use]
pub fn rules(kind: MeterKind) -> Option<Box<dyn rules::Rules>> {
    match kind {
        MeterKind::Sockdiag => None,
        MeterKind::Nftables => Some(Box::new(Nftables)),
        MeterKind::Iptables => Some(Box::new(Iptables::default())),
    }
}

/// Whether a kind of meter can count on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Usable {
    /// It can; which program, in a few words.
    Yes(String),
    /// Its programs are not installed.
    Absent(String),
    /// It is there and cannot be used.
    No(String),
    /// It is there, and only who may change the firewall can tell more.
    Hidden,
}

/// Looks whether a kind of meter can count here, and changes nothing.
#[must_use]
pub fn usable(kind: MeterKind) -> Usable {
    let (programs, package) = match kind {
        MeterKind::Sockdiag => return Usable::Yes("the kernel's socket counters".to_owned()),
        MeterKind::Nftables => (&["nft"][..], "nftables"),
        MeterKind::Iptables => (&["iptables-save", "iptables-restore"][..], "iptables"),
    };
    if let Some(absent) = programs.iter().find(|program| !is_installed(program)) {
        return Usable::Absent(format!("{absent} is not installed (package {package})"));
    }
    if !Rights::here().has(Right::Rules) {
        return Usable::Hidden;
    }
    let found = match kind {
        MeterKind::Iptables => Iptables::default().variant(),
        _ => Nftables.variant(),
    };
    let read = rules(kind).map(|mut rules| rules.read(&[]));
    match (found, read) {
        (Ok(_), Some(Err(error))) | (Err(error), _) => Usable::No(format!("{error:#}")),
        (Ok(variant), _) => Usable::Yes(variant),
    }
}

fn is_installed(program: &str) -> bool {
    std::env::split_paths(PATH_WITH_SBIN).any(|folder| folder.join(program).exists())
}
