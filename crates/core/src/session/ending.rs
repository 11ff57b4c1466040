//! What the log says about ends: a reason for the one the kernel tells of, and
//! sometimes that nobody had logged in. It ends nothing by itself.

use std::time::Duration;

use jiff::Timestamp;

use super::{Moment, Refusal, Table, login::Standing, waiting::Saying};
use crate::{
    identity::{Endpoint, SocketCookie, UserName},
    ledger::Login,
    meter::Socket,
};

/// How long after the log's word of an end the connection may still be open:
/// sshd closes it at once, but for what PAM has to put away.
const LATE_END: Duration = Duration::from_secs(30);
/// The state of a connection of which neither end has closed anything
/// (include/net/tcp_states.h).
const ESTABLISHED: u8 = 1;

/// A line about an end.
#[derive(Clone, Debug)]
pub(super) struct Farewell {
    pub(super) peer: Endpoint,
    pub(super) reason: String,
    /// The user the line names as logged in.
    pub(super) user: Option<UserName>,
    /// It says that nobody had logged in.
    pub(super) before_login: bool,
    pub(super) time: Timestamp,
    pub(super) heard: Duration,
}

impl Farewell {
    /// The user it names, where that is another than the login's.
    fn another_than(&self, login: &Login) -> Option<UserName> {
        self.user.clone().filter(|user| *user != login.user)
    }

    /// Whether it says that nobody, or somebody else, had logged in.
    fn contradicts(&self, login: Option<&Login>) -> bool {
        login.is_some_and(|login| self.before_login || self.another_than(login).is_some())
    }
}

impl Table {
    /// Takes a line about an end. It waits behind a login that may be its
    /// connection's, and where its connection was not seen yet for the next dump.
    pub(super) fn bid_farewell(&mut self, farewell: Farewell, now: Moment) {
        let is_held_up = self
            .waiting
            .claims()
            .any(|claim| claim.peer == Some(farewell.peer) && self.holds_ends_up(claim));
        if is_held_up || !self.tell_end(&farewell) {
            self.wait(Saying::End(farewell), now);
        }
    }

    /// Applies the line if its connection is known to have lived at its time;
    /// gives whether it was.
    pub(super) fn tell_end(&mut self, farewell: &Farewell) -> bool {
        let mut candidates = self.roster.ending(farewell.peer, farewell.time);
        let get = |cookie: SocketCookie| self.roster.get(cookie);
        candidates.retain(|cookie| {
            let distance = get(*cookie).and_then(|it| it.distance_of_end(farewell.time));
            distance.is_some_and(|it| it.is_zero())
        });
        self.apply(farewell, candidates)
    }

    /// After a dump: applies the line if the dump has shown its connection. One
    /// written a moment after the end is the nearest's, if no newer one is seen.
    /// Gives whether it is settled.
    pub(super) fn settle_farewell(&mut self, farewell: &Farewell) -> bool {
        if self.tell_end(farewell) {
            return true;
        }
        let mut candidates = self.roster.ending(farewell.peer, farewell.time);
        candidates.truncate(1);
        self.apply(farewell, candidates)
    }

    /// A word against the name concerns all it may mean, the reason the likeliest.
    /// Gives whether there was anything that it may mean.
    fn apply(&mut self, farewell: &Farewell, candidates: Vec<SocketCookie>) -> bool {
        let Some(likeliest) = candidates.first().copied() else {
            return false;
        };
        let meant = self.those_meant(farewell, candidates);
        for cookie in &meant {
            self.hold_against(farewell, *cookie);
        }
        match meant.first() {
            None => self.refuse(farewell, likeliest),
            Some(cookie) => self.give_end(farewell, *cookie),
        }
        true
    }

    /// Of the connections whose end the line may tell, likeliest first, those
    /// whose standing name it does not contradict; and of those that only order
    /// tells apart, as their ends were heard late, only the first.
    fn those_meant(
        &self,
        farewell: &Farewell,
        mut candidates: Vec<SocketCookie>,
    ) -> Vec<SocketCookie> {
        candidates.retain(|cookie| {
            let connection = self.roster.get(*cookie);
            connection.is_some_and(|it| {
                it.standing == Standing::Unsure || !farewell.contradicts(it.login.as_ref())
            })
        });
        let first = candidates.first().copied();
        candidates.retain(|cookie| {
            let connection = self.roster.get(*cookie);
            first == Some(*cookie) || connection.is_some_and(|it| !it.is_known_by_order())
        });
        candidates
    }

    /// Holds the line against the connection's name, which does not stand.
    fn hold_against(&mut self, farewell: &Farewell, cookie: SocketCookie) {
        let Some(connection) = self.roster.get_mut(cookie) else {
            return;
        };
        let Some(login) = &connection.login else {
            connection.is_doubted |= farewell.before_login;
            return;
        };
        if !farewell.contradicts(Some(login)) {
            return;
        }
        let (peer, named) = (connection.peer, login.user.clone());
        self.refusals.push(match farewell.another_than(login) {
            Some(claimed) => Refusal::Disputed {
                peer,
                named,
                claimed,
            },
            None => Refusal::NoLogin {
                peer,
                claimed: named,
            },
        });
        connection.take_name_back();
        self.outbox.session_changed(cookie);
    }

    /// Tells that the line is against a name that stands.
    fn refuse(&mut self, farewell: &Farewell, cookie: SocketCookie) {
        let Some(connection) = self.roster.get(cookie) else {
            return;
        };
        let Some(login) = &connection.login else {
            return;
        };
        let (peer, named) = (connection.peer, login.user.clone());
        self.refusals.push(match farewell.another_than(login) {
            Some(claimed) => Refusal::Contradiction {
                peer,
                named,
                claimed,
            },
            None => Refusal::LoggedIn { peer, named },
        });
    }

    fn give_end(&mut self, farewell: &Farewell, cookie: SocketCookie) {
        if let Some(connection) = self.roster.get_mut(cookie)
            && connection.explain(&farewell.reason, farewell.time, farewell.heard)
        {
            self.outbox.session_changed(cookie);
        }
    }

    /// A connection that is open long after the log spoke of its end did not end.
    pub(super) fn doubt_farewell(&mut self, socket: &Socket, now: Moment) {
        let Some(connection) = self.roster.get_mut(socket.cookie) else {
            return;
        };
        let is_late = connection
            .explained
            .is_some_and(|heard| now.monotonic.saturating_sub(heard) >= LATE_END);
        if is_late && socket.sample.state == ESTABLISHED {
            connection.explained = None;
            connection.reason = None;
            self.refusals.push(Refusal::GoesOn {
                peer: connection.peer,
            });
        }
    }

    /// A name by a log alone does not stand where the connection ended with
    /// fewer bytes than any login takes.
    pub(super) fn doubt_short_one(&mut self, cookie: SocketCookie) {
        let Some(connection) = self.roster.get_mut(cookie) else {
            return;
        };
        if connection.standing == Standing::Unsure
            && connection.is_too_short_for_a_login()
            && let Some(login) = &connection.login
        {
            self.refusals.push(Refusal::NoLogin {
                peer: connection.peer,
                claimed: login.user.clone(),
            });
            connection.take_name_back();
        }
    }
}
