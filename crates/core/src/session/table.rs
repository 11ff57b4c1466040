//! The table of connections: all the rules of who is who, and nothing else.
//!
//! It is told what the kernel showed ([`Table::dump`], [`Table::ended`]) and
//! what the log said ([`Table::hear`]), in any order, and hands out batches.
//! It never asks: whatever it should know comes in with the call.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};

use super::{
    Moment, Refusal,
    connection::{Connection, REBOOT, SLACK},
    ending::Farewell,
    login::{Claim, Witness},
    outbox::Outbox,
    roster::Roster,
    waiting::WaitingLines,
};
use crate::{
    identity::{BootId, Endpoint, SocketCookie, SocketId, UserName},
    ledger::{Batch, Checkpoint, Closing, Entry, Login, SessionRecord},
    meter::Socket,
    sshd::{Event, What},
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
/// How long a connection may be missing from dumps before it counts as ended
/// unseen: the kernel's word of its end is then overdue.
const OVERDUE_END: Duration = Duration::from_secs(1);
/// Clocks that differ by this were stepped, or slept, apart; by less than this lines
/// may be off anyway.
const STEP: SignedDuration = SignedDuration::from_secs(1);

/// All connections on sshd's ports, alive or lately ended.
#[derive(Debug)]
pub struct Table {
    boot: BootId,
    booted: Timestamp,
    pub(super) started: Timestamp,
    pub(super) roster: Roster,
    /// Those that ended, and when by the monotonic clock.
    ended: HashMap<SocketCookie, Duration>,
    /// How many complete lists were taken.
    dumps: u64,
    /// When the list was asked for that is on its way.
    asked: Option<Timestamp>,
    /// Those that live but were not in the last dump, and since when.
    pub(super) missing: HashMap<SocketCookie, Duration>,
    pub(super) waiting: WaitingLines,
    pub(super) last_dump: Option<Timestamp>,
    /// When the list before that was asked for.
    dump_before: Option<Timestamp>,
    pub(super) latest: Moment,
    pub(super) minute: Minute,
    pub(super) read_to: Option<Checkpoint>,
    written_to: Option<Checkpoint>,
    pub(super) outbox: Outbox,
    pub(super) refusals: Vec<Refusal>,
    /// Steps that a firewall's rules had missed something of.
    pub(super) bridged: u64,
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
            roster: Roster::default(),
            ended: HashMap::new(),
            dumps: 0,
            asked: None,
            missing: HashMap::new(),
            waiting: WaitingLines::default(),
            last_dump: None,
            dump_before: None,
            latest: now,
            minute: Minute::of(now.wall),
            read_to: checkpoint.clone(),
            written_to: checkpoint,
            outbox: Outbox::default(),
            refusals: Vec::new(),
            bridged: 0,
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
            self.ended.insert(cookie, now.monotonic);
        }
        self.roster
            .get_or_insert(cookie, || Connection::restored(record));
    }

    /// A list of the connections is asked for, and the ends that were announced have
    /// been told. Whoever is not in it was not there now, or has just ended; what came
    /// since may be much by the time that it is taken.
    pub fn asked_for_a_dump(&mut self, now: Moment) {
        self.notice_step(now);
        self.asked = Some(now.wall);
    }

    /// Takes a complete list of the connections on sshd's ports.
    pub fn dump(&mut self, sockets: &[Socket], now: Moment) {
        self.notice_step(now);
        self.dumps += 1;
        for socket in sockets {
            if self.show(socket, now) {
                self.doubt_farewell(socket, now);
            }
        }
        self.miss(now);
        let asked = self.asked.take().unwrap_or(now.wall);
        self.dump_before = self.last_dump.replace(asked.min(now.wall));
        self.minute = Minute::of(now.wall);
        self.settle_waiting(now);
        self.forget(now);
    }

    /// Takes what a list showed that may lack connections: of those that are in
    /// it the figures count, and of those that are not nothing is said.
    pub fn partial_dump(&mut self, sockets: &[Socket], now: Moment) {
        self.notice_step(now);
        for socket in sockets {
            self.show(socket, now);
        }
        self.minute = Minute::of(now.wall);
    }

    /// Takes the kernel's word that a connection ended, with its last figures.
    pub fn ended(&mut self, socket: &Socket, now: Moment) {
        self.notice_step(now);
        if self.is_over(socket.cookie) {
            return;
        }
        // Between the ends that were told before the last list and that list it may
        // have lived and gone; the list before would have shown it.
        self.count(socket, self.dump_before, now.wall);
        self.end(socket.cookie, now.wall, now);
    }

    /// Takes the kernel's word of an end that came while no daemon listened, or
    /// to one that did not live to write it: it was heard at a time that may be
    /// long after it. Where the log tells an earlier time, that is believed.
    pub fn ended_meanwhile(&mut self, socket: &Socket, heard: Timestamp, now: Moment) {
        self.notice_step(now);
        if self.is_over(socket.cookie) {
            return;
        }
        self.count(socket, None, heard);
        self.end(socket.cookie, heard, now);
        if let Some(connection) = self.roster.get_mut(socket.cookie) {
            connection.end_was_heard_late();
        }
    }

    /// Takes what the log said, with what the kernel says of the line's writer.
    pub fn hear(&mut self, event: &Event, witness: Witness, now: Moment) {
        self.notice_step(now);
        // A line from the future was written before the clock was set back.
        let time = event.time.unwrap_or(now.wall).min(now.wall);
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
            sender: event.sender.clone(),
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
                user,
                before_login,
            } => {
                let farewell = Farewell {
                    peer: *peer,
                    reason: reason.clone(),
                    user: user.clone(),
                    before_login: *before_login,
                    time,
                    heard: now.monotonic,
                };
                self.bid_farewell(farewell, now);
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

    /// Live connections without a name: their clients and sockets' inodes.
    pub fn nameless(&self) -> impl Iterator<Item = (Endpoint, Option<u32>)> {
        self.roster
            .live()
            .filter(|(_, connection)| connection.login.is_none())
            .map(|(_, connection)| (connection.peer, connection.inode))
    }

    /// Clients of connections without a name, of those that ended too.
    pub fn nameless_clients(&self) -> impl Iterator<Item = Endpoint> {
        self.roster
            .all()
            .filter(|connection| connection.login.is_none())
            .map(|connection| connection.peer)
    }

    /// Whether a line waits for the next dump.
    #[must_use]
    pub fn awaits_a_dump(&self) -> bool {
        let mut claims = self.waiting.claims();
        self.waiting.has_end() || claims.any(|claim| self.question_of(claim).is_none())
    }

    /// Clients of logins whose connection was not seen on any port yet.
    pub fn awaited(&self) -> impl Iterator<Item = Endpoint> {
        let claims = self.waiting.claims();
        claims
            .filter(|claim| matches!(self.find(claim), Ok(None)))
            .filter_map(|claim| claim.peer)
    }

    /// How many connections live.
    #[must_use]
    pub fn open_count(&self) -> usize {
        self.roster.live().count()
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
        let (boot, roster) = (&self.boot, &self.roster);
        let changes = self.outbox.take()?;
        let record = |cookie: &SocketCookie| Some(roster.get(*cookie)?.record(boot, *cookie));
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

    /// How far a restart need not read again: up to the first line that still
    /// waits.
    fn safe_checkpoint(&self) -> Option<&Checkpoint> {
        self.waiting.holds_log_at().unwrap_or(self.read_to.as_ref())
    }

    /// After a step of the wall clock, lines are dated by another clock than what
    /// was seen and heard before it: they must still find their connections.
    fn notice_step(&mut self, now: Moment) {
        let before = std::mem::replace(&mut self.latest, now);
        let elapsed = now.monotonic.saturating_sub(before.monotonic);
        // What the clock of now would have said then.
        let then = SignedDuration::try_from(elapsed)
            .ok()
            .and_then(|elapsed| now.wall.checked_sub(elapsed).ok())
            .unwrap_or(now.wall);
        let step = then.duration_since(before.wall);
        if step <= -STEP {
            self.clock_was_set_back(before.monotonic, then);
        } else if step >= STEP {
            self.clock_was_set_forwards(before.monotonic, now.wall);
        }
    }

    /// What was dated before now lies in the future.
    fn clock_was_set_back(&mut self, before: Duration, then: Timestamp) {
        for dump in [&mut self.asked, &mut self.last_dump, &mut self.dump_before] {
            *dump = dump.map(|dump| dump.min(then));
        }
        self.waiting.date_back(then);
        let just_ended = self.just_ended(before);
        for (cookie, connection) in self.roster.all_mut() {
            if connection.lives() || just_ended.contains(&cookie) {
                connection.not_before = connection.not_before.min(then);
            }
        }
    }

    /// A line on its way when its connection ended is dated long after that.
    fn clock_was_set_forwards(&mut self, before: Duration, now: Timestamp) {
        for cookie in self.just_ended(before) {
            if let Some(connection) = self.roster.get_mut(cookie) {
                connection.dated_until = Some(now);
            }
        }
    }

    /// Those whose last lines may still have been on their way.
    fn just_ended(&self, before: Duration) -> HashSet<SocketCookie> {
        let ended = self.ended.iter();
        let lately = ended.filter(|(_, at)| before.saturating_sub(**at) <= SLACK.unsigned_abs());
        lately.map(|(cookie, _)| *cookie).collect()
    }

    /// Whether the kernel has told of the connection's end. Its figures were
    /// final then; the same word heard again may lack what was asked of the
    /// kernel the first time, and must not count as a counter that fell.
    fn is_over(&self, cookie: SocketCookie) -> bool {
        self.roster
            .get(cookie)
            .is_some_and(|connection| connection.closed.is_some() && !connection.ended_unseen())
    }

    /// Takes a socket that a list shows: it is alive, whatever was thought of it.
    /// Gives whether anything was said of its end. Nearly always nothing was, and
    /// its connection is looked up once.
    fn show(&mut self, socket: &Socket, now: Moment) -> bool {
        let is_told_of = self.count(socket, self.last_dump, now.wall);
        if !self.missing.is_empty() {
            self.missing.remove(&socket.cookie);
        }
        if is_told_of {
            self.reopen(socket.cookie);
        }
        is_told_of
    }

    /// Takes a socket's figures; one that is new was not there at `before`, nor
    /// before this boot. Gives whether its end was seen, guessed or told of.
    fn count(&mut self, socket: &Socket, before: Option<Timestamp>, seen: Timestamp) -> bool {
        let cookie = socket.cookie;
        let not_before = before.unwrap_or(self.booted);
        let make = || Connection::new(socket, not_before, seen);
        let (connection, is_new) = self.roster.get_or_insert(cookie, make);
        connection.last_shown = self.dumps;
        let is_told_of = !connection.lives() || connection.explained.is_some();
        let inode_before = connection.inode.filter(|_| !is_new);
        let added = connection.count(socket);
        if let Some(inode) = socket.inode
            && inode_before != socket.inode
        {
            self.roster.has_inode(cookie, inode);
        }
        if !added.traffic.is_nothing() {
            self.outbox.enter(cookie, self.minute, added.traffic);
        } else if is_new {
            self.outbox.session_changed(cookie);
        }
        self.bridged += u64::from(added.is_bridged);
        if is_new {
            self.doubt_rules(socket);
        }
        is_told_of
    }

    fn end(&mut self, cookie: SocketCookie, at: Timestamp, now: Moment) {
        self.missing.remove(&cookie);
        let Some(connection) = self.roster.get_mut(cookie) else {
            return;
        };
        let was_open = connection.closed.is_none();
        if !connection.close(at) {
            return;
        }
        if was_open {
            self.ended.insert(cookie, now.monotonic);
        }
        self.doubt_short_one(cookie);
        self.outbox.session_changed(cookie);
    }

    fn lose(&mut self, cookie: SocketCookie, now: Moment) {
        self.missing.remove(&cookie);
        if let Some(connection) = self.roster.get_mut(cookie) {
            connection.lose(now.wall);
            self.ended.insert(cookie, now.monotonic);
            self.outbox.session_changed(cookie);
        }
    }

    fn reopen(&mut self, cookie: SocketCookie) {
        let Some(connection) = self.roster.get_mut(cookie) else {
            return;
        };
        if connection.closed.take().is_some() {
            self.ended.remove(&cookie);
            self.outbox.session_changed(cookie);
        }
    }

    /// Ends, as unseen, what has been missing from dumps for too long.
    fn miss(&mut self, now: Moment) {
        let live = self.roster.live();
        let gone: Vec<SocketCookie> = live
            .filter(|(_, connection)| connection.last_shown != self.dumps)
            .map(|(cookie, _)| cookie)
            .collect();
        for cookie in gone {
            let since = *self.missing.entry(cookie).or_insert(now.monotonic);
            if now.monotonic.saturating_sub(since) >= OVERDUE_END {
                self.lose(cookie, now);
            }
        }
    }

    /// Lets go of what nothing can be said of any more. An end that nobody saw
    /// is a guess: were its connection forgotten and then heard of, all it moved
    /// would be new.
    fn forget(&mut self, now: Moment) {
        let is_crowd = self.ended.len() >= CROWD;
        let late_name = if is_crowd {
            LATE_NAME_IN_A_CROWD
        } else {
            LATE_NAME
        };
        let (roster, outbox) = (&mut self.roster, &self.outbox);
        self.ended.retain(|cookie, since| {
            let Some(connection) = roster.get(*cookie) else {
                return false;
            };
            let patience = if connection.ended_unseen() && !is_crowd {
                Duration::MAX
            } else if connection.login.is_some() {
                LATE_REASON
            } else {
                late_name
            };
            if now.monotonic.saturating_sub(*since) < patience || outbox.holds(*cookie) {
                return true;
            }
            roster.remove(*cookie);
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
