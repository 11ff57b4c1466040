//! Who is who: from a log line's claim to the connection it names.
//!
//! A name is given only to a connection the kernel has shown, the first name
//! wins, and a line that contradicts what is known is refused, never applied.

use std::collections::HashMap;

use jiff::Timestamp;

use super::{
    Moment,
    connection::SLACK,
    login::{Claim, Refusal, Witness},
    table::Table,
    waiting::Saying,
};
use crate::{
    identity::{Endpoint, Pid, SocketCookie, UserName},
    ledger::Login,
    sshd::LoggedSession,
};

/// What the process table says of a connection's owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The inode of the connection's socket.
    pub inode: u32,
    /// When sshd's process for it started.
    pub started: Timestamp,
    /// sshd's process that watches over it.
    pub pid: Pid,
    /// The user who logged in; `None` before a login.
    pub user: Option<UserName>,
}

impl Table {
    /// Takes the sessions of the log's past, for connections that have no name
    /// yet. Of several from one client the last that was left open counts.
    pub fn recall(&mut self, past: Vec<LoggedSession>) {
        let mut claims: HashMap<Endpoint, Claim> = HashMap::new();
        for claim in past.into_iter().filter_map(Claim::of_past) {
            if let Some(peer) = claim.peer {
                claims.insert(peer, claim);
            }
        }
        for claim in claims.into_values() {
            if let Ok(Some(cookie)) = self.find(&claim) {
                self.attach(cookie, claim);
            }
        }
    }

    /// Takes what the process table says: when connections began and, where no
    /// log did, whose they are.
    pub fn adopt(&mut self, owner: &Owner) {
        let Some(cookie) = self.roster.holding(&[owner.inode]) else {
            return;
        };
        let Some(connection) = self.roster.get_mut(cookie) else {
            return;
        };
        connection.not_before = owner.started;
        let mut changed = connection.began_by(owner.started);
        if connection.pid.is_none() {
            connection.pid = Some(owner.pid);
            changed = true;
        }
        if let (None, Some(user)) = (&connection.login, &owner.user) {
            connection.login = Some(Login {
                user: user.clone(),
                method: None,
                credential: None,
            });
            changed = true;
        }
        if changed {
            self.outbox.session_changed(cookie);
        }
    }

    /// Settles the claim if its connection is seen to live, or if a dump of
    /// after its time was taken; another waits for the next dump, which shows
    /// whether a newer connection from the same address is meant than one that
    /// is over.
    pub(super) fn settle(&mut self, claim: Claim, now: Moment) {
        match self.find(&claim) {
            Ok(Some(cookie)) if self.is_seen_alive(cookie) || self.all_are_seen(claim.time) => {
                self.attach(cookie, claim);
            }
            Ok(_) if claim.can_be_placed() => {
                self.await_dump(claim, now);
            }
            Ok(_) => {}
            // A process at its end has closed its connection a moment before the
            // kernel tells us of it: the next dump decides.
            Err(Refusal::Elsewhere { .. }) => self.await_dump(claim, now),
            Err(refusal) => self.refusals.push(refusal),
        }
    }

    fn await_dump(&mut self, claim: Claim, now: Moment) {
        let before = self.read_to.clone();
        self.waiting.push(Saying::Login(claim), before, now);
    }

    /// Settles, after a dump, what waited for it.
    pub(super) fn settle_waiting(&mut self, now: Moment) {
        let mut waiting = std::mem::take(&mut self.waiting);
        let overdue = waiting.settle(now, |saying| match saying {
            Saying::Login(claim) => self.settle_late(claim).map(Saying::Login),
            Saying::End { peer, reason, time } => {
                self.explain(peer, &reason, time);
                None
            }
        });
        self.waiting = waiting;
        let started = self.started;
        self.refusals
            .extend(overdue.into_iter().filter_map(|saying| {
                let Saying::Login(claim) = saying else {
                    return None;
                };
                // A line from before the daemon may well speak of a connection that
                // was over by then.
                let peer = claim.peer.filter(|_| claim.time >= started)?;
                Some(Refusal::NoConnection {
                    peer,
                    claimed: claim.login.user,
                })
            }));
    }

    /// Settles a claim after the dump it waited for; gives it back where its
    /// connection is not known yet.
    fn settle_late(&mut self, claim: Claim) -> Option<Claim> {
        match self.find(&claim) {
            Ok(Some(cookie)) => self.attach(cookie, claim),
            Ok(None) => return Some(claim),
            Err(refusal) => self.refusals.push(refusal),
        }
        None
    }

    /// Whether every connection of this time has been shown or its end heard.
    fn all_are_seen(&self, time: Timestamp) -> bool {
        self.last_dump
            .is_some_and(|dump| dump.duration_since(time) > SLACK)
    }

    fn is_seen_alive(&self, cookie: SocketCookie) -> bool {
        !self.missing.contains_key(&cookie)
            && self
                .roster
                .get(cookie)
                .is_some_and(|connection| connection.closed.is_none())
    }

    /// The connection a claim speaks of. The writer's own sockets decide where
    /// the kernel could show them; else the peer's address, and of several
    /// connections from it the one that lived at the line's time.
    pub(super) fn find(&self, claim: &Claim) -> Result<Option<SocketCookie>, Refusal> {
        let claimed = || claim.login.user.clone();
        let by_peer = claim.peer.and_then(|peer| {
            let known = self.roster.known_from(peer, claim);
            known.or_else(|| self.roster.nearest(peer, claim.time))
        });
        match &claim.witness {
            Witness::Stranger => Err(Refusal::Stranger {
                pid: claim.pid,
                claimed: claimed(),
            }),
            Witness::Silent => Ok(by_peer),
            Witness::Holds(inodes) => {
                let Some(peer) = claim.peer else {
                    return Ok(self.roster.holding(inodes));
                };
                match self.roster.holding(inodes) {
                    Some(held) if self.is_from(held, peer) => Ok(Some(held)),
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
        self.roster
            .get(cookie)
            .is_some_and(|connection| connection.closed.is_none() && connection.inode.is_some())
    }

    fn is_from(&self, cookie: SocketCookie, peer: Endpoint) -> bool {
        self.roster
            .get(cookie)
            .is_some_and(|connection| connection.peer == peer)
    }

    /// First attribution wins. The same name again may only add what the first
    /// did not know.
    pub(super) fn attach(&mut self, cookie: SocketCookie, claim: Claim) {
        let Some(connection) = self.roster.get_mut(cookie) else {
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
        self.end_those_before(cookie, claim.time);
    }

    /// A connection from an address ends before the next one begins.
    fn end_those_before(&mut self, cookie: SocketCookie, time: Timestamp) {
        for earlier in self.roster.before(cookie) {
            let connection = self.roster.get_mut(earlier);
            if connection.is_some_and(|connection| connection.was_over_by(time)) {
                self.outbox.session_changed(earlier);
            }
        }
    }

    pub(super) fn explain(&mut self, peer: Endpoint, reason: &str, time: Timestamp) {
        let Some(cookie) = self.roster.ending(peer, time) else {
            return;
        };
        let Some(connection) = self.roster.get_mut(cookie) else {
            return;
        };
        if connection.explain(reason, time) {
            self.outbox.session_changed(cookie);
        }
    }

    pub(super) fn began(&mut self, peer: Endpoint, time: Timestamp) {
        let Some(cookie) = self.roster.nearest(peer, time) else {
            return;
        };
        let Some(connection) = self.roster.get_mut(cookie) else {
            return;
        };
        if connection.began_by(time) {
            self.outbox.session_changed(cookie);
        }
    }
}
