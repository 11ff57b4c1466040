//! Who is who: from a log line's claim to the connection it names.
//!
//! A name is given only to a connection the kernel has shown. What the kernel
//! or the journal said stays, and a line that contradicts it is refused; two
//! words of a log that anybody can write to leave the connection nobody's.

use std::collections::HashSet;

use jiff::Timestamp;

use super::{
    Moment, Refusal,
    connection::{Connection, SLACK},
    login::{Claim, Standing, Witness},
    table::Table,
    waiting::{Saying, Waiting},
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
    /// yet. Of several from one client the last that was left open counts; where
    /// a file leaves two open for one connection, the kernel's word decides, for
    /// which any file's line about a connection that lives has to wait.
    pub fn recall(&mut self, past: Vec<LoggedSession>) {
        let mut heard: HashSet<Endpoint> = HashSet::new();
        for claim in past.into_iter().rev().filter_map(Claim::of_past) {
            let is_last = claim.peer.is_some_and(|peer| heard.insert(peer));
            if !is_last && claim.is_vouched_for() {
                continue;
            }
            if let Ok(Some(cookie)) = self.find(&claim)
                && !self.place(cookie, &claim)
            {
                self.wait(Saying::Login(claim), self.latest);
            }
        }
    }

    /// Takes what the process table says: when connections began and, where no
    /// log did, whose they are. Where a log's word waits for the kernel's, that
    /// comes first, as the log spells a name the way it was typed.
    pub fn adopt(&mut self, owner: &Owner) {
        let Some(cookie) = self.roster.holding(&[owner.inode]) else {
            return;
        };
        let awaited = |peer| self.awaited_by_kernel(peer);
        let is_awaited = self.roster.get(cookie).is_some_and(|it| awaited(it.peer));
        let Some(connection) = self.roster.get_mut(cookie) else {
            return;
        };
        connection.not_before = owner.started;
        let mut changed = connection.began_by(owner.started);
        if connection.pid.is_none() {
            connection.pid = Some(owner.pid);
            changed = true;
        }
        if let (None, Some(user), false) = (&connection.login, &owner.user, is_awaited) {
            connection.standing = Standing::Settled;
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

    fn awaited_by_kernel(&self, peer: Endpoint) -> bool {
        let mut claims = self.waiting.claims();
        claims.any(|claim| claim.peer == Some(peer) && !claim.is_vouched_for())
    }

    /// Settles the claim if its connection is seen to live, or if a dump of after
    /// its time was taken. A file's claim waits for the kernel's word on a
    /// connection that lives; others wait for the next dump, which shows whether a
    /// newer connection from the same address is meant than one that is over.
    pub(super) fn settle(&mut self, claim: Claim, now: Moment) {
        match self.find(&claim) {
            Ok(Some(cookie))
                if (self.is_seen_alive(cookie) || self.all_are_seen(claim.time))
                    && self.place(cookie, &claim) => {}
            Ok(_) if claim.can_be_placed() => self.wait(Saying::Login(claim), now),
            Ok(_) => {}
            // A process at its end has closed its connection a moment before the
            // kernel tells us of it, and another connection of the same client
            // may not have been seen yet: the next dump decides.
            Err(Refusal::Elsewhere { .. } | Refusal::Ambiguous { .. }) => {
                self.wait(Saying::Login(claim), now);
            }
            Err(refusal) => self.refusals.push(refusal),
        }
    }

    pub(super) fn wait(&mut self, saying: Saying, now: Moment) {
        self.waiting.push(saying, self.read_to.clone(), now);
    }

    /// Settles, after a dump, what waited for it.
    pub(super) fn settle_waiting(&mut self, now: Moment) {
        self.go_through_lines(|table, waiting| match &waiting.saying {
            Saying::Login(claim) => table.settle_late(claim),
            Saying::End(farewell) => table.settle_farewell(farewell),
        });
        for waiting in self.waiting.overdue(now) {
            self.give_up(waiting);
        }
    }

    /// Goes through the lines that wait, in order, and lets go of those that
    /// `settle` has settled. A line about an end is not asked for while a login
    /// before it holds it up.
    pub(super) fn go_through_lines(
        &mut self,
        mut settle: impl FnMut(&mut Self, &mut Waiting) -> bool,
    ) {
        let mut waiting = std::mem::take(&mut self.waiting);
        let mut held_up: HashSet<Endpoint> = HashSet::new();
        waiting.retain(|waiting| {
            if let Saying::End(farewell) = &waiting.saying
                && held_up.contains(&farewell.peer)
            {
                return true;
            }
            if settle(self, waiting) {
                return false;
            }
            let holding = waiting.claim().filter(|claim| self.holds_ends_up(claim));
            held_up.extend(holding.and_then(|claim| claim.peer));
            true
        });
        self.waiting = waiting;
    }

    /// Whether lines about ends at the address of a login that waits have to
    /// wait behind it: they may be about the same connection.
    pub(super) fn holds_ends_up(&self, claim: &Claim) -> bool {
        !matches!(self.find(claim), Ok(None))
    }

    /// Settles, after a dump, a claim that waited for it; gives whether it did.
    fn settle_late(&mut self, claim: &Claim) -> bool {
        match self.find(claim) {
            Ok(Some(cookie)) => self.place(cookie, claim),
            Ok(None) => false,
            Err(refusal) => {
                self.refusals.push(refusal);
                true
            }
        }
    }

    /// Gives whether the claim is settled: while the connection lives, a file's
    /// claim goes on waiting for the kernel's word, and where its end is but guessed,
    /// for figures that tell whether anybody can have logged in.
    fn place(&mut self, cookie: SocketCookie, claim: &Claim) -> bool {
        let connection = self.roster.get(cookie);
        let is_open = connection.is_some_and(|it| it.lives() || it.may_prove_longer());
        if is_open && !claim.is_vouched_for() {
            return false;
        }
        self.attach(cookie, claim.clone(), claim.standing());
        true
    }

    /// What becomes of a line that waited for too long. Without the kernel's
    /// word on a live connection the log's counts; against it, it does not.
    fn give_up(
        &mut self,
        Waiting {
            saying,
            is_too_early,
            ..
        }: Waiting,
    ) {
        let claim = match saying {
            Saying::Login(claim) => claim,
            Saying::End(farewell) => {
                self.settle_farewell(&farewell);
                return;
            }
        };
        let Some(peer) = claim.peer else {
            return;
        };
        let claimed = claim.login.user.clone();
        match self.find(&claim) {
            Ok(Some(_)) if is_too_early => self.refusals.push(Refusal::NoLogin { peer, claimed }),
            Ok(Some(cookie)) => self.attach(cookie, claim, Standing::Unsure),
            Err(refusal) => self.refusals.push(refusal),
            // A line from before the daemon may well speak of a connection that
            // was over by then.
            Ok(None) if claim.time < self.started => {}
            Ok(None) => self.refusals.push(Refusal::NoConnection { peer, claimed }),
        }
    }

    /// Whether every connection of this time has been shown or its end heard.
    fn all_are_seen(&self, time: Timestamp) -> bool {
        self.last_dump
            .is_some_and(|dump| dump.duration_since(time) > SLACK)
    }

    fn is_seen_alive(&self, cookie: SocketCookie) -> bool {
        !self.missing.contains_key(&cookie)
            && self.roster.get(cookie).is_some_and(Connection::lives)
    }

    /// The connection a claim speaks of. The writer's own sockets decide where
    /// the kernel could show them; else the peer's address, and of several
    /// connections from it the one that lived at the line's time.
    pub(super) fn find(&self, claim: &Claim) -> Result<Option<SocketCookie>, Refusal> {
        let claimed = || claim.login.user.clone();
        let held = match &claim.witness {
            Witness::Stranger => {
                return Err(Refusal::Stranger {
                    pid: claim.pid,
                    claimed: claimed(),
                });
            }
            Witness::Silent => None,
            Witness::Holds(inodes) => Some(self.roster.holding(inodes)),
        };
        let Some(peer) = claim.peer else {
            return Ok(held.flatten());
        };
        let mut candidates = self.roster.candidates(peer, claim.time);
        if let Some(held) = held {
            if let Some(cookie) = held.filter(|cookie| self.is_from(*cookie, peer)) {
                return Ok(Some(cookie));
            }
            // What another process holds is not what the line speaks of.
            let all = candidates.len();
            candidates.retain(|cookie| !self.has_inode(*cookie));
            if held.is_some() || (candidates.is_empty() && all > 0) {
                return Err(Refusal::Elsewhere {
                    peer,
                    pid: claim.pid,
                    claimed: claimed(),
                });
            }
        }
        if let Some(known) = candidates.iter().find(|it| self.is_known_from(**it, claim)) {
            return Ok(Some(*known));
        }
        let likeliest = candidates.first().copied();
        if likeliest.is_some_and(|it| self.has_rival(it, &candidates, claim)) {
            return Err(Refusal::Ambiguous {
                peer,
                claimed: claimed(),
            });
        }
        Ok(likeliest)
    }

    /// Whether the client had another connection at the line's time, to another
    /// address or port of ours, that the line may speak of just as well.
    fn has_rival(&self, cookie: SocketCookie, candidates: &[SocketCookie], claim: &Claim) -> bool {
        let Some(likeliest) = self.roster.get(cookie) else {
            return false;
        };
        let lived = |it: &Connection| {
            it.distance(claim.time).is_some_and(|it| it.is_zero())
                && it.is_hardly_meant() <= likeliest.is_hardly_meant()
        };
        let others = candidates.iter().filter_map(|it| self.roster.get(*it));
        let mut rivals = others.filter(|it| it.local != likeliest.local && lived(it));
        lived(likeliest)
            && rivals.any(|it| {
                let login = it.login.as_ref();
                login.is_none_or(|login| login.user == claim.login.user)
            })
    }

    /// Whether this login has named the connection before.
    fn is_known_from(&self, cookie: SocketCookie, claim: &Claim) -> bool {
        let connection = self.roster.get(cookie);
        connection.is_some_and(|connection| connection.is_known_from(claim))
    }

    /// Whether the connection lives and its socket's inode is known; of one
    /// first seen at its end it never is.
    fn has_inode(&self, cookie: SocketCookie) -> bool {
        self.roster
            .get(cookie)
            .is_some_and(|connection| connection.lives() && connection.inode.is_some())
    }

    fn is_from(&self, cookie: SocketCookie, peer: Endpoint) -> bool {
        self.roster
            .get(cookie)
            .is_some_and(|connection| connection.peer == peer)
    }

    /// Gives the connection the claim's name, unless it has one that stands, or
    /// is doubted and nothing but a log speaks for the name.
    pub(super) fn attach(&mut self, cookie: SocketCookie, claim: Claim, standing: Standing) {
        let Some(connection) = self.roster.get_mut(cookie) else {
            return;
        };
        if standing == Standing::Unsure && connection.is_one_too_few_for(&claim) {
            self.doubt_order(cookie, &claim);
            return;
        }
        let (user, time) = (claim.login.user.clone(), claim.time);
        let refusal = match &connection.login {
            None if standing == Standing::Unsure && connection.may_not_be_named() => {
                self.refusals.push(Refusal::NoLogin {
                    peer: connection.peer,
                    claimed: claim.login.user,
                });
                return;
            }
            None => connection.name(claim, standing),
            Some(login) if login.user == claim.login.user => connection.add(claim, standing),
            Some(_) if connection.standing == Standing::Unsure => {
                connection.dispute(claim, standing)
            }
            Some(login) => {
                self.refusals.push(Refusal::Contradiction {
                    peer: connection.peer,
                    named: login.user.clone(),
                    claimed: claim.login.user,
                });
                return;
            }
        };
        let login = connection.login.as_ref();
        let is_named_so = login.is_some_and(|login| login.user == user);
        self.refusals.extend(refusal);
        self.outbox.session_changed(cookie);
        if is_named_so {
            self.end_those_before(cookie, time);
        }
    }

    /// A file has one login more than its client had connections while nobody
    /// listened. Any of its lines may be the one too many, so no connection keeps
    /// a name that rests on their order.
    fn doubt_order(&mut self, cookie: SocketCookie, claim: &Claim) {
        for one in self.roster.beside(cookie) {
            let Some(connection) = self.roster.get_mut(one) else {
                continue;
            };
            if !connection.is_named_by_order() {
                continue;
            }
            if let Some(login) = &connection.login {
                self.refusals.push(Refusal::Disputed {
                    peer: connection.peer,
                    named: login.user.clone(),
                    claimed: claim.login.user.clone(),
                });
            }
            connection.take_name_back();
            self.outbox.session_changed(one);
        }
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
