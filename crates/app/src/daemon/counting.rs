//! Between the session table and a meter that counts by rules: which sessions it is
//! to count, what its last figures were, and what it has to say.

use std::time::Duration;

use sshmeter_core::{identity::Endpoint, units::Flow};
use tracing::{info, warn};

use super::Daemon;
use crate::kernel::meter::Notice;

/// After a session was named, how long until a firewall counts it: long enough
/// for a burst of logins to share one change.
const RULES_DELAY: Duration = Duration::from_millis(100);

impl Daemon {
    /// A meter that counts sessions is told of others soon.
    pub(super) fn sessions_may_have_changed(&mut self) {
        if self.meter.counts_sessions() && self.table.has_changed() {
            self.schedule.rules_within(RULES_DELAY);
        }
    }

    /// Tells the meter which sessions to count, and takes a reading to begin
    /// from where that is news.
    pub(super) fn count_sessions(&mut self) {
        let Some(sessions) = self.table.counted() else {
            return;
        };
        let recount = self.meter.count(sessions);
        self.rules_removed(recount.removed);
        self.tell_notices();
        if recount.has_begun {
            self.read_connections();
        }
    }

    pub(super) fn rules_removed(&mut self, removed: Vec<(Endpoint, Flow)>) {
        for (peer, bytes) in removed {
            self.table.rule_removed(peer, bytes);
        }
    }

    pub(super) fn tell_notices(&mut self) {
        self.gaps.bridged(self.table.take_bridged());
        for notice in self.meter.take_notices() {
            match notice {
                Notice::Trouble(words) => warn!("{words}"),
                Notice::Well(words) => info!("{words}"),
            }
        }
    }
}
