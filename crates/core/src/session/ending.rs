//! What the log says about ends: a reason for the one the kernel tells of, and
//! sometimes that nobody had logged in. It ends nothing by itself.

use std::time::Duration;

use jiff::Timestamp;

use super::{Moment, Refusal, Table, login::Standing};
use crate::{
    identity::{Endpoint, SocketCookie, UserName},
    meter::Socket,
};

/// How long after the log's word of an end the connection may still be open:
/// sshd closes it at once, but for what PAM has to put away.
const LATE_END: Duration = Duration::from_secs(30);
/// How long the log's word of an end waits for its connection to be seen.
const LATE_CONNECTION: Duration = Duration::from_secs(10);
/// How many may wait.
const AT_MOST: usize = 10_000;
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

impl Table {
    /// Takes a line about an end. Where its connection was not seen yet, it
    /// waits for the next dump.
    pub(super) fn bid_farewell(&mut self, farewell: Farewell) {
        let candidates = self.living_at(farewell.peer, farewell.time);
        if candidates.is_empty() {
            if self.farewells.len() < AT_MOST {
                self.farewells.push(farewell);
            }
            return;
        }
        self.apply(&farewell, &candidates);
    }

    /// After a dump: applies the lines whose connections it has shown. One
    /// written a moment after the end is the nearest's, if no newer one is seen.
    pub(super) fn settle_farewells(&mut self, now: Moment) {
        for farewell in std::mem::take(&mut self.farewells) {
            let mut candidates = self.living_at(farewell.peer, farewell.time);
            if candidates.is_empty() {
                candidates.extend(self.roster.nearest(farewell.peer, farewell.time));
            }
            let waited = now.monotonic.saturating_sub(farewell.heard);
            if !candidates.is_empty() {
                self.apply(&farewell, &candidates);
            } else if waited < LATE_CONNECTION {
                self.farewells.push(farewell);
            }
        }
    }

    /// The client's connections that lived at a time, the likeliest first.
    fn living_at(&self, peer: Endpoint, time: Timestamp) -> Vec<SocketCookie> {
        let mut candidates = self.roster.candidates(peer, time);
        candidates.retain(|cookie| {
            let distance = self.roster.get(*cookie).and_then(|it| it.distance(time));
            distance.is_some_and(|it| it.is_zero())
        });
        candidates
    }

    /// A word against the name concerns all it may mean, the reason the likeliest.
    fn apply(&mut self, farewell: &Farewell, candidates: &[SocketCookie]) {
        let mut is_refused = false;
        for cookie in candidates {
            is_refused |= self.contradicts(farewell, *cookie, candidates.len() == 1);
        }
        if let (false, [likeliest, ..]) = (is_refused, candidates)
            && let Some(connection) = self.roster.get_mut(*likeliest)
            && connection.explain(&farewell.reason, farewell.heard)
        {
            self.outbox.session_changed(*likeliest);
        }
    }

    /// Holds the line against the connection's name; gives whether it is refused.
    fn contradicts(&mut self, farewell: &Farewell, cookie: SocketCookie, is_meant: bool) -> bool {
        let Some(connection) = self.roster.get_mut(cookie) else {
            return false;
        };
        let peer = connection.peer;
        let Some(login) = &connection.login else {
            connection.is_doubted |= farewell.before_login;
            return false;
        };
        let named = login.user.clone();
        let another = farewell.user.as_ref().filter(|user| **user != named);
        if !farewell.before_login && another.is_none() {
            return false;
        }
        if connection.standing != Standing::Unsure {
            if is_meant {
                self.refusals.push(match another {
                    Some(claimed) => Refusal::Contradiction {
                        peer,
                        named,
                        claimed: claimed.clone(),
                    },
                    None => Refusal::LoggedIn { peer, named },
                });
            }
            return is_meant;
        }
        self.refusals.push(match another {
            Some(claimed) => Refusal::Disputed {
                peer,
                named,
                claimed: claimed.clone(),
            },
            None => Refusal::NoLogin {
                peer,
                claimed: named,
            },
        });
        connection.take_name_back();
        self.outbox.session_changed(cookie);
        false
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
