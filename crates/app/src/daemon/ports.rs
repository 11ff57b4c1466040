//! Which ports are watched: those of the config, or all that were ever found to
//! be sshd's while the daemon ran.
//!
//! A port is never dropped while we run: its last connections outlive their
//! listener. Searches run beside the loop, as they may ask systemd.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result};
use sshmeter_core::identity::Endpoint;
use tokio::sync::mpsc;

use crate::kernel::ports;

pub(super) use crate::kernel::ports::Found;

/// Where sshd listens when nothing tells otherwise.
const DEFAULT_PORT: u16 = 22;

#[derive(Debug)]
pub(super) struct PortSearch {
    configured: Option<BTreeSet<u16>>,
    known: BTreeSet<u16>,
    searching: bool,
    answers: mpsc::UnboundedReceiver<Result<Found>>,
    answer: mpsc::UnboundedSender<Result<Found>>,
}

impl PortSearch {
    pub(super) fn new(configured: Option<&[u16]>) -> Self {
        let (answer, answers) = mpsc::unbounded_channel();
        let mut search =
            Self { configured: None, known: BTreeSet::new(), searching: false, answers, answer };
        search.configure(configured);
        search
    }

    pub(super) fn configure(&mut self, configured: Option<&[u16]>) {
        self.configured = configured.map(|ports| ports.iter().copied().collect());
    }

    /// The ports to watch.
    pub(super) fn watched(&self) -> Vec<u16> {
        let ports = self.configured.as_ref().unwrap_or(&self.known);
        if ports.is_empty() { vec![DEFAULT_PORT] } else { ports.iter().copied().collect() }
    }

    /// Takes what was found; gives a sentence where that changes what is
    /// watched.
    pub(super) fn learn(&mut self, found: &Found) -> Option<String> {
        let before = self.watched();
        self.know(found.all());
        let after = self.watched();
        let new: Vec<String> =
            after.iter().filter(|port| !before.contains(port)).map(u16::to_string).collect();
        (after != before).then(|| format!("sshd serves port {} too", new.join(", ")))
    }

    /// Ports of connections that are known to be sshd's.
    pub(super) fn know(&mut self, ports: impl IntoIterator<Item = u16>) {
        self.known.extend(ports);
    }

    /// Looks, beside the loop, for sshd's ports and for those of logins whose
    /// connection was not seen on the known ones.
    pub(super) fn search_for(&mut self, awaited: impl Iterator<Item = Endpoint>) {
        if self.searching || self.configured.is_some() {
            return;
        }
        self.searching = true;
        let awaited: Vec<Endpoint> = awaited.collect();
        let answer = self.answer.clone();
        tokio::task::spawn_blocking(move || {
            // The daemon may be gone by now, and with it the question.
            let _unheard = answer.send(ports::find_with(&awaited));
        });
    }

    /// Waits for a search's end.
    pub(super) async fn found(&mut self) -> Result<Found> {
        let found = self.answers.recv().await.context("the search for sshd's ports is gone")?;
        self.searching = false;
        found
    }
}
