//! Who is who: from a log line's claim to the connection it names.
//!
//! A name is given only to a connection the kernel has shown, the first name
//! wins, and a line that contradicts what is known is refused, never applied.

use jiff::Timestamp;

use super::{
    Moment,
    login::{Claim, Refusal, Waiting, Witness},
    table::Table,
};
use crate::identity::{Endpoint, SocketCookie};

impl Table {
    /// Finds the claim's connection; a claim whose connection was not seen yet
    /// waits for it.
    pub(super) fn settle(&mut self, claim: Claim, now: Moment) {
        match self.find(&claim) {
            Ok(Some(cookie)) => self.attach(cookie, claim),
            Ok(None) if claim.peer.is_some() => {
                let before = self.read_to.clone();
                self.waiting.push(Waiting {
                    claim,
                    before,
                    since: now,
                });
            }
            Ok(None) => {}
            Err(refusal) => self.refusals.push(refusal),
        }
    }

    pub(super) fn settle_waiting(&mut self, peer: Endpoint) {
        if self.waiting.is_empty() {
            return;
        }
        let (ready, waiting) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition::<Vec<_>, _>(|waiting| waiting.claim.peer == Some(peer));
        self.waiting = waiting;
        for one in ready {
            match self.find(&one.claim) {
                Ok(Some(cookie)) => self.attach(cookie, one.claim),
                Ok(None) => self.waiting.push(one),
                Err(refusal) => self.refusals.push(refusal),
            }
        }
        self.waiting.sort_by_key(|waiting| waiting.since.monotonic);
    }

    /// The connection a claim speaks of. The writer's own sockets decide where
    /// the kernel could show them; else the peer's address, and of several
    /// connections from it the one that lived at the line's time.
    pub(super) fn find(&self, claim: &Claim) -> Result<Option<SocketCookie>, Refusal> {
        let claimed = || claim.login.user.clone();
        let by_peer = claim.peer.and_then(|peer| self.nearest(peer, claim.time));
        match &claim.witness {
            Witness::Stranger => Err(Refusal::Stranger {
                pid: claim.pid,
                claimed: claimed(),
            }),
            Witness::Silent => Ok(by_peer),
            Witness::Holds(inodes) => {
                let Some(peer) = claim.peer else {
                    return Ok(self.live_with_inode(inodes));
                };
                match self.live_with_inode(inodes) {
                    Some(held) if self.connections[&held].peer == peer => Ok(Some(held)),
                    None if !by_peer.is_some_and(|cookie| self.has_inode(cookie)) => Ok(by_peer),
                    _ => Err(Refusal::Elsewhere {
                        peer,
                        pid: claim.pid,
                        claimed: claimed(),
                    }),
                }
            }
        }
    }

    /// Whether the connection lives and its socket's inode is known; of one
    /// first seen at its end it never is.
    fn has_inode(&self, cookie: SocketCookie) -> bool {
        self.connections
            .get(&cookie)
            .is_some_and(|connection| connection.closed.is_none() && connection.inode.is_some())
    }

    pub(super) fn live_with_inode(&self, inodes: &[u32]) -> Option<SocketCookie> {
        self.connections
            .iter()
            .find(|(_, connection)| {
                connection.closed.is_none()
                    && connection
                        .inode
                        .is_some_and(|inode| inodes.contains(&inode))
            })
            .map(|(cookie, _)| *cookie)
    }

    fn nearest(&self, peer: Endpoint, time: Timestamp) -> Option<SocketCookie> {
        let candidates = self.by_peer.get(&peer)?.iter().filter_map(|cookie| {
            let connection = self.connections.get(cookie)?;
            let distance = connection.distance(time)?;
            Some((distance, connection.login.is_some(), *cookie))
        });
        candidates
            .min_by_key(|(distance, named, _)| (*distance, *named))
            .map(|(_, _, cookie)| cookie)
    }

    /// First attribution wins. The same name again may only add what the first
    /// did not know.
    pub(super) fn attach(&mut self, cookie: SocketCookie, claim: Claim) {
        let Some(connection) = self.connections.get_mut(&cookie) else {
            return;
        };
        match &mut connection.login {
            None => connection.login = Some(claim.login),
            Some(login) if login.user == claim.login.user => {
                if login.method.is_some() || claim.login.method.is_none() {
                    return;
                }
                *login = claim.login;
            }
            Some(login) => {
                self.refusals.push(Refusal::Contradiction {
                    peer: connection.peer,
                    named: login.user.clone(),
                    claimed: claim.login.user,
                });
                return;
            }
        }
        connection.pid = claim.pid.or(connection.pid);
        connection.began_by(claim.time);
        self.outbox.session_changed(cookie);
    }

    pub(super) fn explain(&mut self, peer: Endpoint, reason: &str, time: Timestamp) {
        let Some(cookie) = self.nearest(peer, time) else {
            return;
        };
        let Some(connection) = self.connections.get_mut(&cookie) else {
            return;
        };
        if connection.explain(reason) {
            self.outbox.session_changed(cookie);
        }
    }

    pub(super) fn began(&mut self, peer: Endpoint, time: Timestamp) {
        let Some(cookie) = self.nearest(peer, time) else {
            return;
        };
        let Some(connection) = self.connections.get_mut(&cookie) else {
            return;
        };
        if connection.began_by(time) {
            self.outbox.session_changed(cookie);
        }
    }
}
