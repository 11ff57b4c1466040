//! What is looked up beside the loop: sshd's ports and, where the log left
//! connections without a name, their owners in the process table. Both may ask
//! systemd or a name service, and those may be slow.
//!
//! The ports that are watched are the config's, or all that were ever found to
//! be sshd's while the daemon ran: none is dropped, since the last connections
//! of a listener outlive it.

use std::collections::BTreeSet;

use anyhow::Result;
use jiff::Timestamp;
use sshmeter_core::{identity::Endpoint, session::Owner};

use super::beside::Beside;
use crate::kernel::{
    ports::{self, Found},
    process,
};

/// Where sshd listens when nothing tells otherwise.
const DEFAULT_PORT: u16 = 22;

/// What a survey is to look for.
#[derive(Debug, Default)]
pub(super) struct Questions {
    /// Clients of logins whose connection is on no port we know.
    pub(super) awaited: Vec<Endpoint>,
    /// Whether live connections wait for a name.
    pub(super) owners: bool,
}

/// What a survey found.
#[derive(Debug)]
pub(super) struct Findings {
    pub(super) ports: Result<Found>,
    pub(super) owners: Vec<Owner>,
}

/// The ports watched, and the survey that may be under way.
#[derive(Debug)]
pub(super) struct Survey {
    configured: Option<BTreeSet<u16>>,
    known: BTreeSet<u16>,
    beside: Beside<Findings>,
}

impl Survey {
    pub(super) fn new(configured: Option<&[u16]>) -> Self {
        let mut survey = Self {
            configured: None,
            known: BTreeSet::new(),
            beside: Beside::new(),
        };
        survey.configure(configured);
        survey
    }

    pub(super) fn configure(&mut self, configured: Option<&[u16]>) {
        self.configured = configured.map(|ports| ports.iter().copied().collect());
    }

    /// The ports to watch.
    pub(super) fn watched(&self) -> Vec<u16> {
        let ports = self.configured.as_ref().unwrap_or(&self.known);
        if ports.is_empty() {
            vec![DEFAULT_PORT]
        } else {
            ports.iter().copied().collect()
        }
    }

    /// Ports that are known to be sshd's; gives those that are watched only now.
    pub(super) fn know(&mut self, ports: impl IntoIterator<Item = u16>) -> Vec<u16> {
        let before = self.watched();
        self.known.extend(ports);
        self.watched()
            .into_iter()
            .filter(|port| !before.contains(port))
            .collect()
    }

    /// Looks beside the loop; one survey at a time.
    pub(super) fn begin(&mut self, questions: Questions) {
        let watched = self.watched();
        self.beside.begin(move || Findings {
            ports: ports::find_with(&questions.awaited),
            owners: if questions.owners {
                process::owners(Timestamp::now(), &watched).unwrap_or_default()
            } else {
                Vec::new()
            },
        });
    }

    /// Waits for a survey's end.
    pub(super) async fn findings(&mut self) -> Result<Findings> {
        self.beside.answer().await
    }
}
