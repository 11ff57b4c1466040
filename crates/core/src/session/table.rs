//! The table of connections: all the rules of who is who, and nothing else.
//!
//! It is told what the kernel showed ([`Table::dump`], [`Table::ended`]) and
//! what the log said ([`Table::hear`]), in any order, and hands out batches.
//! It never asks: whatever it should know comes in with the call.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use jiff::Timestamp;

use super::{
    Moment,
    connection::{CLOSED, Connection, REBOOT, UNSEEN},
    login::{Claim, Refusal, Waiting, Witness},
    outbox::Outbox,
};
use crate::{
    identity::{BootId, Endpoint, Pid, SocketCookie, SocketId, UserName},
    ledger::{Batch, Checkpoint, Closing, Entry, Login, SessionRecord},
    meter::Socket,
    sshd::{Event, LoggedSession, What},
    units::Minute,
};

/// How long an ended connection waits for a late name.
const LATE_NAME: Duration = Duration::from_secs(300);
/// The same where very many wait, as in a flood of connections that never log
/// in: memory has to stay bounded.
const LATE_NAME_IN_A_CROWD: Duration = Duration::from_secs(20);
const CROWD: usize = 50_000;
/// How long an ended connection with a name waits for the log's reason.
const LATE_REASON: Duration = Duration::from_secs(30);
/// How long a login waits for its connection to be seen.
const LATE_CONNECTION: Duration = Duration::from_secs(60);
/// How long a connection may be missing from dumps before it counts as ended
/// unseen: the kernel's word of its end is then overdue.
const OVERDUE_END: Duration = Duration::from_secs(1);

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

/// All connections on sshd's ports, alive or lately ended.
#[derive(Debug)]
pub struct Table {
    pub(super) boot: BootId,
    pub(super) booted: Timestamp,
    pub(super) started: Timestamp,
    pub(super) connections: HashMap<SocketCookie, Connection>,
    pub(super) by_peer: HashMap<Endpoint, Vec<SocketCookie>>,
    pub(super) ended: Vec<(SocketCookie, Duration)>,
    pub(super) missing: HashMap<SocketCookie, Duration>,
    pub(super) waiting: Vec<Waiting>,
    pub(super) last_dump: Option<Timestamp>,
    pub(super) minute: Minute,
    pub(super) read_to: Option<Checkpoint>,
    pub(super) written_to: Option<Checkpoint>,
    pub(super) outbox: Outbox,
    pub(super) refusals: Vec<Refusal>,
}

impl Table {
    /// A table that goes on where the ledger stopped; `booted` is when the
    /// running boot began.
    ///
    /// Sessions of another boot are over: they come back as a batch that ends
    /// them as `reboot` at their last reading, to be committed first.
    #[must_use]
    pub fn resume(
        boot: BootId,
        booted: Timestamp,
        saved: Vec<SessionRecord>,
        checkpoint: Option<Checkpoint>,
        now: Moment,
    ) -> (Self, Batch) {
        let mut table = Self {
            boot,
            booted,
            started: now.wall,
            connections: HashMap::new(),
            by_peer: HashMap::new(),
            ended: Vec::new(),
            missing: HashMap::new(),
            waiting: Vec::new(),
            last_dump: None,
            minute: Minute::of(now.wall),
            read_to: checkpoint.clone(),
            written_to: checkpoint,
            outbox: Outbox::default(),
            refusals: Vec::new(),
        };
        let mut outlived = Batch::default();
        for record in saved {
            if record.id.boot == table.boot {
                table.restore(record, now);
            } else if record.closed.is_none() {
                outlived.sessions.push(ended_by_reboot(record, booted));
            }
        }
        (table, outlived)
    }

    fn restore(&mut self, record: SessionRecord, now: Moment) {
        let cookie = record.id.cookie;
        if record.closed.is_some() {
            self.ended.push((cookie, now.monotonic));
        }
        self.insert(cookie, Connection::restored(record));
    }

    /// Takes a complete list of the connections on sshd's ports.
    pub fn dump(&mut self, sockets: &[Socket], now: Moment) {
        let mut seen = HashSet::with_capacity(sockets.len());
        for socket in sockets {
            seen.insert(socket.cookie);
            self.count(socket, now);
            self.reopen(socket.cookie);
        }
        self.miss(&seen, now);
        self.last_dump = Some(now.wall);
        self.minute = Minute::of(now.wall);
        self.forget(now);
    }

    /// Takes the kernel's word that a connection ended, with its last figures.
    pub fn ended(&mut self, socket: &Socket, now: Moment) {
        self.count(socket, now);
        self.end(socket.cookie, CLOSED, now);
    }

    /// Takes what the log said, with what the kernel says of the line's writer.
    pub fn hear(&mut self, event: &Event, witness: Witness, now: Moment) {
        let time = event.time.unwrap_or(now.wall);
        let claim = |user: &UserName, method, credential, peer| Claim {
            login: Login {
                user: user.clone(),
                method,
                credential,
            },
            peer,
            pid: event.pid,
            time,
            witness,
        };
        match &event.what {
            What::Accepted {
                user,
                method,
                peer,
                credential,
            } => {
                let claim = claim(user, Some(method.clone()), credential.clone(), *peer);
                self.settle(claim, now);
            }
            // PAM names no address; only a process caught alive tells whose.
            What::Opened { user } => self.settle(claim(user, None, None, None), now),
            What::Disconnected {
                peer: Some(peer),
                reason,
                ..
            } => {
                self.explain(*peer, reason, time);
            }
            What::Connected { peer, .. } => self.began(*peer, time),
            // The end is the kernel's to tell.
            What::Closed { .. } | What::Disconnected { .. } => {}
        }
    }

    /// Everything up to here has been heard.
    pub fn read_to(&mut self, checkpoint: Checkpoint) {
        self.read_to = Some(checkpoint);
    }

    /// How far the log has been heard.
    #[must_use]
    pub fn heard_to(&self) -> Option<&Checkpoint> {
        self.read_to.as_ref()
    }

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
        let Some(cookie) = self.live_with_inode(&[owner.inode]) else {
            return;
        };
        let Some(connection) = self.connections.get_mut(&cookie) else {
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

    /// Live connections without a name: their clients and sockets' inodes.
    pub fn nameless(&self) -> impl Iterator<Item = (Endpoint, Option<u32>)> {
        self.connections
            .values()
            .filter(|connection| connection.login.is_none() && connection.closed.is_none())
            .map(|connection| (connection.peer, connection.inode))
    }

    /// Clients of logins whose connection was not seen yet.
    pub fn awaited(&self) -> impl Iterator<Item = Endpoint> {
        self.waiting.iter().filter_map(|waiting| waiting.claim.peer)
    }

    /// How many connections live.
    #[must_use]
    pub fn open_count(&self) -> usize {
        self.connections
            .values()
            .filter(|connection| connection.closed.is_none())
            .count()
    }

    /// What was refused since the last call.
    pub fn take_refusals(&mut self) -> Vec<Refusal> {
        std::mem::take(&mut self.refusals)
    }

    /// Whether figures, names or ends wait to be written.
    #[must_use]
    pub fn has_news(&self) -> bool {
        !self.outbox.is_empty()
    }

    /// Hands out all that waits, with the log's checkpoint that belongs to it.
    /// `None` when there is nothing, or until the batch before is answered for
    /// by [`Table::committed`] or [`Table::failed`].
    pub fn take_batch(&mut self) -> Option<Batch> {
        if let Some(checkpoint) = self.safe_checkpoint()
            && self.written_to.as_ref() != Some(checkpoint)
        {
            let checkpoint = checkpoint.clone();
            self.outbox.log_read_to(checkpoint.clone());
            self.written_to = Some(checkpoint);
        }
        let (boot, connections) = (&self.boot, &self.connections);
        let changes = self.outbox.take()?;
        let record = |cookie: &SocketCookie| Some(connections.get(cookie)?.record(boot, *cookie));
        Some(Batch {
            sessions: changes.sessions.iter().filter_map(record).collect(),
            entries: changes
                .entries
                .iter()
                .map(|((cookie, minute), traffic)| Entry {
                    session: SocketId {
                        boot: boot.clone(),
                        cookie: *cookie,
                    },
                    minute: *minute,
                    traffic: *traffic,
                })
                .collect(),
            checkpoint: changes.checkpoint.clone(),
        })
    }

    /// The last batch is in the ledger.
    pub fn committed(&mut self) {
        self.outbox.committed();
    }

    /// The last batch is not in the ledger; all of it goes with the next.
    pub fn failed(&mut self) {
        self.outbox.failed();
    }

    /// How far a restart need not read again: up to the first login that still
    /// waits for its connection.
    fn safe_checkpoint(&self) -> Option<&Checkpoint> {
        match self.waiting.first() {
            Some(waiting) => waiting.before.as_ref(),
            None => self.read_to.as_ref(),
        }
    }

    fn insert(&mut self, cookie: SocketCookie, connection: Connection) {
        self.by_peer
            .entry(connection.peer)
            .or_default()
            .push(cookie);
        self.connections.insert(cookie, connection);
    }

    fn count(&mut self, socket: &Socket, now: Moment) {
        let cookie = socket.cookie;
        if !self.connections.contains_key(&cookie) {
            let not_before = self.last_dump.unwrap_or(self.booted);
            self.insert(cookie, Connection::new(socket, not_before, now.wall));
            self.outbox.session_changed(cookie);
        }
        let Some(connection) = self.connections.get_mut(&cookie) else {
            return;
        };
        let added = connection.count(socket);
        if !added.is_nothing() {
            self.outbox.enter(cookie, self.minute, added);
        }
        self.settle_waiting(socket.peer);
    }

    fn end(&mut self, cookie: SocketCookie, reason: &str, now: Moment) {
        self.missing.remove(&cookie);
        let Some(connection) = self.connections.get_mut(&cookie) else {
            return;
        };
        match &mut connection.closed {
            // The kernel's word came after all.
            Some(closing) if closing.reason == UNSEEN => closing.reason = reason.to_owned(),
            Some(_) => return,
            None => {
                connection.close(now.wall, reason);
                self.ended.push((cookie, now.monotonic));
            }
        }
        self.outbox.session_changed(cookie);
    }

    /// A connection that a dump shows is alive, whatever was thought of it.
    fn reopen(&mut self, cookie: SocketCookie) {
        self.missing.remove(&cookie);
        let Some(connection) = self.connections.get_mut(&cookie) else {
            return;
        };
        if connection.closed.take().is_some() {
            self.ended.retain(|(ended, _)| *ended != cookie);
            self.outbox.session_changed(cookie);
        }
    }

    /// Ends, as unseen, what has been missing from dumps for too long.
    fn miss(&mut self, seen: &HashSet<SocketCookie>, now: Moment) {
        let gone: Vec<SocketCookie> = self
            .connections
            .iter()
            .filter(|(cookie, connection)| connection.closed.is_none() && !seen.contains(cookie))
            .map(|(cookie, _)| *cookie)
            .collect();
        for cookie in gone {
            let since = *self.missing.entry(cookie).or_insert(now.monotonic);
            if now.monotonic.saturating_sub(since) >= OVERDUE_END {
                self.end(cookie, UNSEEN, now);
            }
        }
    }

    /// Lets go of what nothing can be said of any more.
    fn forget(&mut self, now: Moment) {
        self.forget_ended(now);
        let started = self.started;
        let (waiting, overdue) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition(|one| now.monotonic.saturating_sub(one.since.monotonic) < LATE_CONNECTION);
        self.waiting = waiting;
        self.refusals.extend(overdue.into_iter().filter_map(|one| {
            // A line from before the daemon may well speak of a connection that
            // was over by then.
            let peer = one.claim.peer.filter(|_| one.claim.time >= started)?;
            Some(Refusal::NoConnection {
                peer,
                claimed: one.claim.login.user,
            })
        }));
    }

    fn forget_ended(&mut self, now: Moment) {
        let late_name = if self.ended.len() < CROWD {
            LATE_NAME
        } else {
            LATE_NAME_IN_A_CROWD
        };
        let (connections, by_peer, outbox) =
            (&mut self.connections, &mut self.by_peer, &self.outbox);
        self.ended.retain(|(cookie, since)| {
            let Some(connection) = connections.get(cookie) else {
                return false;
            };
            let patience = if connection.login.is_some() {
                LATE_REASON
            } else {
                late_name
            };
            if now.monotonic.saturating_sub(*since) < patience || outbox.holds(*cookie) {
                return true;
            }
            let peer = connection.peer;
            connections.remove(cookie);
            if let Some(cookies) = by_peer.get_mut(&peer) {
                cookies.retain(|other| other != cookie);
                if cookies.is_empty() {
                    by_peer.remove(&peer);
                }
            }
            false
        });
    }
}

fn ended_by_reboot(record: SessionRecord, booted: Timestamp) -> SessionRecord {
    let closing = Closing {
        at: booted.max(record.opened),
        reason: REBOOT.to_owned(),
    };
    SessionRecord {
        closed: Some(closing),
        ..record
    }
}
