//! One connection: its name so far, its end, and beside them its figures.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::{
    identity::{BootId, Endpoint, Pid, SocketCookie, SocketId},
    ledger::{Closing, Login, SessionRecord},
    meter::Socket,
};

use super::{
    figures::{Added, Figures},
    login::{Claim, Standing},
    refusal::Refusal,
};

/// The reason of an end of which the log said nothing (yet).
pub(super) const CLOSED: &str = "closed";
/// The reason of an end nobody saw: the connection was there, then it was not.
/// It is a guess, and the kernel may still speak of the connection in this boot.
pub const UNSEEN: &str = "unseen";
/// The reason of an end by a reboot of the machine.
pub(super) const REBOOT: &str = "reboot";

/// A log's time may be a whole second, cut; a line may be written a moment
/// after the fact.
const SLACK_SECONDS: i64 = 2;

/// How much later than its line's time a thing may have been.
pub(super) const SLACK: SignedDuration = SignedDuration::from_secs(SLACK_SECONDS);

/// No login takes fewer bytes from the server: its version, what it offers, its
/// host key and its word that the login succeeded.
const FEWEST_BYTES_OF_A_LOGIN: u64 = 256;

/// How long a session's beginning or end may take.
const EDGE: Duration = Duration::from_secs(5);

/// The longest time between two dumps.
const RESTORED_SLACK: SignedDuration = SignedDuration::from_secs(60);

#[derive(Clone, Debug)]
pub(super) struct Connection {
    pub(super) peer: Endpoint,
    pub(super) local: Endpoint,
    pub(super) inode: Option<u32>,
    pub(super) pid: Option<Pid>,
    pub(super) login: Option<Login>,
    pub(super) standing: Standing,
    /// The log has contradicted itself about it, or sshd said that nobody
    /// logged in: no log's word alone names it any more.
    pub(super) is_doubted: bool,
    /// Lines named different keys for it.
    is_key_disputed: bool,
    /// When the kernel first saw nobody logged in although it had a name, by the
    /// monotonic clock.
    in_doubt_since: Option<Duration>,
    pub(super) opened: Timestamp,
    /// The socket cannot have existed before this.
    pub(super) not_before: Timestamp,
    pub(super) closed: Option<Closing>,
    /// The log's word on why it ended, where it came before the kernel's.
    pub(super) reason: Option<String>,
    /// When that word came, by the monotonic clock.
    pub(super) explained: Option<Duration>,
    /// When the end was heard of, where that was long after it: until then the
    /// log may tell when it was.
    heard_late: Option<Timestamp>,
    /// The wall clock was stepped forwards just after the end: lines about the
    /// connection may be dated up to this.
    pub(super) dated_until: Option<Timestamp>,
    /// The log has told of such an end, or of a later connection from the same
    /// address: a login that it tells of after that is hardly this one's.
    is_told_over: bool,
    pub(super) figures: Figures,
    /// The number of the last complete list when the kernel showed it last.
    pub(super) last_shown: u64,
}

impl Connection {
    pub(super) fn new(socket: &Socket, not_before: Timestamp, seen: Timestamp) -> Self {
        Self {
            peer: socket.peer,
            local: socket.local,
            inode: socket.inode,
            pid: None,
            login: None,
            standing: Standing::default(),
            is_doubted: false,
            is_key_disputed: false,
            in_doubt_since: None,
            opened: seen,
            not_before: not_before.min(seen),
            closed: None,
            reason: None,
            explained: None,
            heard_late: None,
            dated_until: None,
            is_told_over: false,
            figures: Figures::default(),
            last_shown: 0,
        }
    }

    /// A connection as the ledger remembers it.
    pub(super) fn restored(record: SessionRecord) -> Self {
        Self {
            peer: record.peer,
            local: record.local,
            inode: None,
            pid: record.pid,
            login: record.login,
            // The ledger does not keep how a name came about.
            standing: Standing::Sure,
            is_doubted: false,
            is_key_disputed: false,
            in_doubt_since: None,
            opened: record.opened,
            // What was seen first may have been there for a while.
            not_before: (record.opened.checked_sub(RESTORED_SLACK)).unwrap_or(Timestamp::MIN),
            closed: record.closed,
            reason: None,
            explained: None,
            heard_late: None,
            dated_until: None,
            is_told_over: false,
            figures: Figures {
                reading: record.reading,
                counters: record.counters,
                total: record.total,
            },
            last_shown: 0,
        }
    }

    pub(super) fn record(&self, boot: &BootId, cookie: SocketCookie) -> SessionRecord {
        SessionRecord {
            id: SocketId {
                boot: boot.clone(),
                cookie,
            },
            peer: self.peer,
            local: self.local,
            pid: self.pid,
            login: self.login.clone(),
            opened: self.opened,
            closed: self.closed.clone(),
            reading: self.figures.reading,
            counters: self.figures.counters,
            total: self.figures.total,
        }
    }

    /// Takes the socket's figures; gives what they add.
    pub(super) fn count(&mut self, socket: &Socket) -> Added {
        self.inode = socket.inode.or(self.inode);
        self.figures.count(socket)
    }

    /// The kernel's word that it is over; the log may have said why before.
    /// Gives whether that is news.
    pub(super) fn close(&mut self, at: Timestamp) -> bool {
        if self.closed.is_some() && !self.ended_unseen() {
            return false;
        }
        let at = self.closed.as_ref().map_or(at, |closing| closing.at);
        self.end(at, self.reason.clone().unwrap_or_else(|| CLOSED.to_owned()));
        true
    }

    /// It is gone without the kernel's word: its last bytes may be missing,
    /// which no reason of the log's may hide.
    pub(super) fn lose(&mut self, at: Timestamp) {
        self.end(at, UNSEEN.to_owned());
    }

    fn end(&mut self, at: Timestamp, reason: String) {
        let at = at.max(self.opened);
        self.closed = Some(Closing { at, reason });
    }

    /// The end's time is only when it was heard of.
    pub(super) fn end_was_heard_late(&mut self) {
        self.heard_late = self.closed.as_ref().map(|closing| closing.at);
    }

    /// Whether its end is only a guess.
    pub(super) fn ended_unseen(&self) -> bool {
        self.closed
            .as_ref()
            .is_some_and(|closing| closing.reason == UNSEEN)
    }

    /// The log's word on why and when; kept for the end, or put to an end that
    /// has none. Gives whether the record changed.
    pub(super) fn explain(&mut self, reason: &str, time: Timestamp, now: Duration) -> bool {
        let is_dated = self.date_end(time);
        is_dated | self.give_reason(reason, now)
    }

    /// The log's time of an end that was heard of late.
    fn date_end(&mut self, time: Timestamp) -> bool {
        if self.heard_late.is_none_or(|heard| time > heard) {
            return false;
        }
        self.is_told_over = true;
        self.began_by(time);
        self.set_end(time)
    }

    /// Another connection from the same address had begun by then. Gives
    /// whether that is news.
    pub(super) fn was_over_by(&mut self, time: Timestamp) -> bool {
        if self.heard_late.take().is_none() {
            return false;
        }
        self.is_told_over = true;
        time < self.end_or_never() && self.set_end(time)
    }

    /// Whether its end was heard of late: which lines mean it is a matter of order.
    pub(super) fn is_known_by_order(&self) -> bool {
        self.heard_late.is_some() || self.is_told_over
    }

    /// Whether a login that the log tells of is hardly this connection's: its
    /// end, of which no time is known, may have been long before.
    pub(super) fn is_hardly_meant(&self) -> bool {
        self.is_told_over || (self.heard_late.is_some() && self.login.is_some())
    }

    /// Whether this is the connection of a login that was heard before.
    pub(super) fn is_known_from(&self, claim: &Claim) -> bool {
        let same_user = |login: &Login| login.user == claim.login.user;
        self.login.as_ref().is_some_and(same_user) && self.pid.is_some() && self.pid == claim.pid
    }

    /// Whether its name rests on the order of lines that anybody can write.
    pub(super) fn is_named_by_order(&self) -> bool {
        self.login.is_some() && self.standing == Standing::Unsure && self.is_hardly_meant()
    }

    /// Whether it has such a name, and another login means it for want of a
    /// connection.
    pub(super) fn is_one_too_few_for(&self, claim: &Claim) -> bool {
        self.is_named_by_order() && !self.is_known_from(claim)
    }

    /// Whether the log has told of a later connection from the same address.
    pub(super) fn is_succeeded(&self) -> bool {
        self.is_told_over && self.heard_late.is_none()
    }

    fn set_end(&mut self, time: Timestamp) -> bool {
        let at = time.max(self.opened);
        match &mut self.closed {
            Some(closing) if closing.at != at => {
                closing.at = at;
                true
            }
            _ => false,
        }
    }

    fn give_reason(&mut self, reason: &str, now: Duration) -> bool {
        match &mut self.closed {
            Some(closing) if closing.reason == CLOSED => {
                reason.clone_into(&mut closing.reason);
                true
            }
            Some(closing) if closing.reason != UNSEEN => false,
            _ => {
                if self.reason.is_none() {
                    self.reason = Some(reason.to_owned());
                    self.explained = Some(now);
                }
                false
            }
        }
    }

    /// Whether it moved so little that no login can have been among it.
    pub(super) fn is_too_short_for_a_login(&self) -> bool {
        self.figures
            .total
            .payload
            .is_some_and(|payload| payload.outbound < FEWEST_BYTES_OF_A_LOGIN)
    }

    /// Whether it moved so little by its last reading, and the kernel's word of its
    /// end, with its last figures, may still come.
    pub(super) fn may_prove_longer(&self) -> bool {
        self.ended_unseen() && self.is_too_short_for_a_login()
    }

    /// Whether a log's word alone does not do.
    pub(super) fn may_not_be_named(&self) -> bool {
        self.is_doubted || (!self.lives() && self.is_too_short_for_a_login())
    }

    /// Whether the kernel has not seen anybody logged in for no more than a moment.
    /// That is so at either end of a session: the journal's word may come before the
    /// user's process is there, and sshd's own still holds the socket when that one
    /// is gone.
    pub(super) fn may_be_at_its_edge(&mut self, now: Duration) -> bool {
        let since = *self.in_doubt_since.get_or_insert(now);
        now.saturating_sub(since) < EDGE
    }

    /// Takes its first name.
    pub(super) fn name(&mut self, claim: Claim, standing: Standing) -> Option<Refusal> {
        self.login = Some(claim.login);
        self.standing = standing;
        self.pid = claim.pid.or(self.pid);
        self.began_by(claim.time);
        None
    }

    /// Takes the same name again, which may add what the first did not know.
    /// Where a log that anybody can write to names two keys, neither counts.
    pub(super) fn add(&mut self, claim: Claim, standing: Standing) -> Option<Refusal> {
        let is_vouched_for = claim.is_vouched_for();
        let login = self.login.as_mut()?;
        self.standing = self.standing.max(standing);
        if login.method.is_none() && claim.login.method.is_some() && !self.is_key_disputed {
            return self.name(claim, self.standing);
        }
        let is_same = claim.login.method.is_none() || *login == claim.login;
        if is_vouched_for || is_same || self.is_key_disputed {
            return None;
        }
        self.is_key_disputed = true;
        let named = login.user.clone();
        (login.method, login.credential) = (None, None);
        Some(Refusal::AnotherKey {
            peer: self.peer,
            named,
        })
    }

    /// Takes another name than the unsure one it has: the kernel's or the
    /// journal's word decides, and two words of a log leave it nobody's.
    pub(super) fn dispute(&mut self, claim: Claim, standing: Standing) -> Option<Refusal> {
        let (peer, named) = (self.peer, self.login.take()?.user);
        if standing > Standing::Unsure {
            self.name(claim, standing);
            let claimed = named;
            return Some(Refusal::Denied { peer, claimed });
        }
        self.take_name_back();
        let claimed = claim.login.user;
        Some(Refusal::Disputed {
            peer,
            named,
            claimed,
        })
    }

    /// Whether it is open, as far as is known.
    pub(super) fn lives(&self) -> bool {
        self.closed.is_none()
    }

    /// Takes the name back, for good as far as logs are concerned.
    pub(super) fn take_name_back(&mut self) {
        self.login = None;
        self.pid = None;
        self.standing = Standing::default();
        self.is_doubted = true;
    }

    /// When it ended; for one that lives, later than any time.
    pub(super) fn end_or_never(&self) -> Timestamp {
        self.closed
            .as_ref()
            .map_or(Timestamp::MAX, |closing| closing.at)
    }

    /// The log knows an earlier time than we saw. Gives whether that is news.
    pub(super) fn began_by(&mut self, time: Timestamp) -> bool {
        let time = time.max(self.not_before);
        let earlier = time < self.opened;
        if earlier {
            self.opened = time;
        }
        earlier
    }

    /// How far outside this connection's life a line's time is: zero inside,
    /// `None` when too far to be its line. Of an end that was heard of late the
    /// log's time is no bound: its lines may be another connection's.
    pub(super) fn distance(&self, time: Timestamp) -> Option<SignedDuration> {
        let early = self.not_before.duration_since(time);
        let late = self.closed.as_ref().map(|closing| {
            time.duration_since(closing.at.max(self.dated_until.unwrap_or(closing.at)))
        });
        let outside = late.map_or(early, |late| late.max(early));
        let is_bound = early >= outside || self.heard_late.is_none_or(|heard| time > heard);
        if is_bound && outside.as_secs() >= SLACK_SECONDS {
            return None;
        }
        Some(outside.max(SignedDuration::ZERO))
    }

    /// The same for a line about the end: several come within a moment, and all
    /// of them are about the end that the first of them dated.
    pub(super) fn distance_of_end(&self, time: Timestamp) -> Option<SignedDuration> {
        let distance = self.distance(time)?;
        let is_told_now = self.is_told_over && self.heard_late.is_some();
        let is_same_moment = is_told_now && distance.as_secs() < SLACK_SECONDS;
        Some(if is_same_moment {
            SignedDuration::ZERO
        } else {
            distance
        })
    }
}
