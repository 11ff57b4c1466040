//! What every kind of firewall offers: one counter a direction for each session,
//! told apart by the client's address and port.
//!
//! A kind knows how its rules look and how they are read and changed. It decides
//! nothing: which sessions are counted is said by [`Change`], and what figures
//! mean is the core's to say. It touches nothing that is not its own.

use std::{collections::HashMap, fmt::Debug};

use anyhow::Result;
use sshmeter_core::{identity::Endpoint, units::Flow};

pub use sshmeter_core::session::Counted;

/// What is to change, in one go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Sessions that are counted from now on, from 0.
    pub add: Vec<Counted>,
    /// Clients whose rules go.
    pub remove: Vec<Endpoint>,
}

impl Change {
    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.add.is_empty() && self.remove.is_empty()
    }
}

/// One session's rules as they stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The comment, as the rules carry it.
    pub label: String,
    /// What they have counted. `None` where one direction is missing, or is there
    /// more than once: such rules have to be put anew.
    pub bytes: Option<Flow>,
}

/// All that stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standings {
    /// Sessions' rules by client.
    pub rules: HashMap<Endpoint, Standing>,
    /// What has to be there for all packets to be counted and is not, or is there
    /// and must not be, in words: "the chain useraccount (IPv6)".
    pub missing: Vec<String>,
}

/// The rules of one kind of firewall.
pub trait Rules: Debug {
    /// What it is called in the config.
    fn name(&self) -> &'static str;

    /// Makes what sessions' rules hang on be there for these ports of sshd's.
    /// What is there already stays, with the counters of an earlier run.
    ///
    /// # Errors
    /// Where the firewall cannot be changed.
    fn stand(&mut self, ports: &[u16]) -> Result<()>;

    /// Reads all rules of ours.
    ///
    /// # Errors
    /// Where the firewall cannot be read.
    fn read(&mut self, ports: &[u16]) -> Result<Standings>;

    /// Removes and adds rules, and gives the last figures of those that are gone;
    /// what is added is not counted by anything that was removed. A client whose
    /// rules are not there, or are halves, is removed without a figure.
    ///
    /// # Errors
    /// Where the firewall cannot be changed; then nothing was.
    fn change(&mut self, change: &Change) -> Result<HashMap<Endpoint, Flow>>;

    /// The comment that a session's rules carry.
    fn label(&self, session: &Counted) -> String;

    /// Removes all that is ours; gives whether there was anything.
    ///
    /// # Errors
    /// Where the firewall cannot be changed.
    fn clear(&mut self) -> Result<bool>;
}
