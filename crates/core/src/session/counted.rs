//! Which sessions a firewall is to count, and what becomes of its word on them.
//!
//! A rule knows a session by its client's address and port alone. So only a
//! connection that is named and the only one from there has one, and what a rule
//! may have counted for another is not believed. Who puts rules is not known here.

use super::{Table, connection::Connection};
use crate::{
    identity::{Endpoint, Pid, UserName},
    meter::Socket,
    units::Flow,
};

/// A session that a firewall is to count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counted {
    /// The client's end, by which its packets are known.
    pub peer: Endpoint,
    /// sshd's process for it, for people who read the rules.
    pub pid: Option<Pid>,
    /// Whose it is.
    pub user: UserName,
}

impl Table {
    /// Whether there may be others to count than at the last call of
    /// [`Table::counted`].
    #[must_use]
    pub fn has_changed(&self) -> bool {
        self.outbox.has_changed()
    }

    /// The sessions that a firewall is to count from now on: those that live and
    /// have a name. `None` where nothing has changed since the last call.
    pub fn counted(&mut self) -> Option<Vec<Counted>> {
        if !self.outbox.take_changed() {
            return None;
        }
        let live = self.roster.live();
        let counted = live.filter_map(|(cookie, connection)| {
            let user = connection.login.as_ref()?.user.clone();
            let is_alone = !self
                .roster
                .has_others(cookie, connection.peer, Connection::lives);
            is_alone.then_some(Counted {
                peer: connection.peer,
                pid: connection.pid,
                user,
            })
        });
        Some(counted.collect())
    }

    /// Takes the last figure of a rule that was removed while its connection was
    /// not seen to end: of one whose end nobody saw, it is all there is to know.
    pub fn rule_removed(&mut self, peer: Endpoint, bytes: Flow) {
        for cookie in self.roster.of_peer(peer) {
            let Some(connection) = self.roster.get_mut(cookie) else {
                continue;
            };
            if !connection.ended_unseen() {
                connection.figures.forget_rule();
            } else if let Some(added) = connection.figures.count_last_of_rule(bytes)
                && !added.is_nothing()
            {
                self.outbox.enter(cookie, self.minute, added);
            }
        }
    }

    /// How many readings since the last call had to be the sockets', since a
    /// firewall that had counted missed something.
    pub fn take_bridged(&mut self) -> u64 {
        std::mem::take(&mut self.bridged)
    }

    /// A connection is new: a rule that counts for an older one from the same
    /// address and port may have counted its packets too.
    pub(super) fn doubt_rules(&mut self, socket: &Socket) {
        for other in self.roster.of_peer(socket.peer) {
            if other == socket.cookie {
                continue;
            }
            if let Some(connection) = self.roster.get_mut(other) {
                connection.figures.forget_rule();
            }
        }
    }
}
