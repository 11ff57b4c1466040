//! Logins found in a log's past, for connections older than the daemon.
//!
//! The past is read once, oldest line first; of a peer that came and went
//! several times only the login that was not ended counts.

use std::collections::HashMap;

use jiff::Timestamp;

use super::login::{Claim, Witness};
use crate::{
    identity::{Endpoint, Pid},
    ledger::Login,
    sshd::{Event, What},
};

/// The logins that the past leaves open.
#[derive(Debug, Default)]
pub struct History {
    by_peer: HashMap<Endpoint, Claim>,
    by_pid: HashMap<Pid, Endpoint>,
}

impl History {
    /// Takes one line's event, in the log's order.
    pub fn note(&mut self, event: &Event) {
        match &event.what {
            What::Accepted {
                user,
                method,
                peer: Some(peer),
                credential,
            } => {
                let login = Login {
                    user: user.clone(),
                    method: Some(method.clone()),
                    credential: credential.clone(),
                };
                self.login(*peer, login, event.pid, event.time);
            }
            What::Disconnected {
                peer: Some(peer), ..
            }
            | What::Connected { peer, .. } => {
                self.by_peer.remove(peer);
            }
            What::Closed { .. } => {
                if let Some(peer) = event.pid.and_then(|pid| self.by_pid.remove(&pid)) {
                    self.by_peer.remove(&peer);
                }
            }
            What::Accepted { .. } | What::Opened { .. } | What::Disconnected { .. } => {}
        }
    }

    fn login(&mut self, peer: Endpoint, login: Login, pid: Option<Pid>, time: Option<Timestamp>) {
        let Some(time) = time else { return };
        if let Some(pid) = pid {
            self.by_pid.insert(pid, peer);
        }
        let claim = Claim {
            login,
            peer: Some(peer),
            pid,
            time,
            witness: Witness::Silent,
        };
        self.by_peer.insert(peer, claim);
    }

    /// What is left: at most one claim a peer.
    #[must_use]
    pub fn into_claims(self) -> Vec<Claim> {
        self.by_peer.into_values().collect()
    }
}
