//! The meter that counts at the firewall: the socket meter, with the rules'
//! counters put beside each socket's figures.
//!
//! It looks at the rules, twice at the sockets, and at the rules again, so that a
//! still moment is known for one. It puts back what is missing, and reads a rule for the last time as it removes it. Which figure
//! counts is not decided here.

use std::collections::{HashMap, HashSet};

use anyhow::Result;
use sshmeter_core::{identity::Endpoint, meter::Socket, rule::RuleReading, session::Counted};

use super::rules::{Change, Rules, Standing, Standings};
use crate::kernel::{
    endings::{Endings, Heard},
    meter::{Meter, Notice, Recount},
    sockdiag::{Dump, SocketMeter},
};

/// The meter.
#[derive(Debug)]
pub struct FirewallMeter {
    sockets: SocketMeter,
    rules: Box<dyn Rules>,
    /// Sessions to be counted by client; `None` until somebody says.
    wanted: Option<HashMap<Endpoint, Counted>>,
    /// Clients whose rules stand, with their labels, as far as is known.
    standing: HashMap<Endpoint, String>,
    /// Those of them that were put since the last reading.
    fresh: HashSet<Endpoint>,
    notices: Vec<Notice>,
    /// What is wrong with the firewall, and was told.
    trouble: Option<String>,
}

impl FirewallMeter {
    /// A meter that counts with these rules beside these sockets. Rules that an
    /// earlier run has left go on counting.
    #[must_use]
    pub fn new(sockets: SocketMeter, rules: Box<dyn Rules>) -> Self {
        let mut meter = Self {
            sockets,
            rules,
            wanted: None,
            standing: HashMap::new(),
            fresh: HashSet::new(),
            notices: Vec::new(),
            trouble: None,
        };
        // Where they cannot be read, setting them up tells why.
        if let Ok(standings) = meter.look() {
            meter.standing = labels(&standings);
        }
        meter
    }

    fn look(&mut self) -> Result<Standings> {
        self.rules.read(self.sockets.ports())
    }

    /// All that was asked of the firewall in a reading was done.
    fn works(&mut self) {
        if self.trouble.take().is_some() {
            let words = "the firewall's counters can be used again";
            self.notices.push(Notice::Well(words.to_owned()));
        }
    }

    /// Something was not; that is told when it is news.
    fn fails(&mut self, error: &anyhow::Error) {
        let words = format!("{error:#}");
        if self.trouble.as_ref() != Some(&words) {
            self.notices.push(Notice::Trouble(format!(
                "the firewall's counters cannot be used, the sockets' count meanwhile: {words}"
            )));
            self.trouble = Some(words);
        }
    }

    /// Puts back what was missing, and says so.
    fn repair(&mut self, standings: &Standings) -> Result<()> {
        let lost = self.standing.keys().filter(|peer| {
            let rule = standings.rules.get(*peer);
            rule.is_none_or(|rule| rule.bytes.is_none())
        });
        let lost = lost.count();
        let mut missing = standings.missing.clone();
        if lost > 0 {
            missing.push(match lost {
                1 => "the rules of 1 session".to_owned(),
                many => format!("the rules of {many} sessions"),
            });
        }
        if missing.is_empty() {
            return Ok(());
        }
        self.rules.stand(self.sockets.ports())?;
        self.notices.push(Notice::Trouble(format!(
            "put back in the firewall: {}; what it missed is counted by the sockets",
            missing.join(", ")
        )));
        Ok(())
    }

    /// Makes the rules that stand those that are wanted.
    fn reconcile(&mut self) -> Result<Recount> {
        let Some(wanted) = &self.wanted else {
            return Ok(Recount::default());
        };
        let rules = &self.rules;
        let add: Vec<Counted> = wanted
            .values()
            .filter(|session| self.standing.get(&session.peer) != Some(&rules.label(session)))
            .cloned()
            .collect();
        let stale = add.iter().map(|session| session.peer);
        let unwanted = self.standing.keys().copied();
        let remove = unwanted
            .filter(|peer| !wanted.contains_key(peer))
            .chain(stale.filter(|peer| self.standing.contains_key(peer)));
        let change = Change {
            remove: remove.collect(),
            add,
        };
        if change.is_empty() {
            return Ok(Recount::default());
        }
        let last = self.rules.change(&change)?;
        for peer in &change.remove {
            self.standing.remove(peer);
        }
        for session in &change.add {
            self.fresh.insert(session.peer);
            let label = self.rules.label(session);
            self.standing.insert(session.peer, label);
        }
        Ok(Recount {
            removed: last.into_iter().collect(),
            has_begun: !change.add.is_empty(),
        })
    }

    /// The second look at the rules, after both at the sockets; then they are made
    /// what they should be.
    fn look_again(&mut self, before: &Standings, first: &Dump, dump: &mut Dump) -> Result<()> {
        let after = self.look()?;
        if before.missing.is_empty() && after.missing.is_empty() {
            self.put_beside(dump, first, before, &after);
            self.fresh.clear();
        }
        self.repair(&after)?;
        self.standing = labels(&after);
        dump.removed = self.reconcile()?.removed;
        Ok(())
    }

    /// Puts to each socket what its rule counted by both looks. A client that is
    /// connected more than once shares a rule, which then tells nothing.
    fn put_beside(&mut self, dump: &mut Dump, first: &Dump, before: &Standings, after: &Standings) {
        let segments = |socket: &Socket| (socket.cookie, socket.sample.segments_in);
        let earlier: HashMap<_, _> = first.sockets.iter().map(segments).collect();
        let sockets = &mut dump.sockets;
        let mut times: HashMap<Endpoint, usize> = HashMap::new();
        for socket in &*sockets {
            *times.entry(socket.peer).or_default() += 1;
        }
        let bytes = |standings: &Standings, peer| standings.rules.get(&peer)?.bytes;
        for socket in sockets {
            let peer = socket.peer;
            let looks = bytes(before, peer).zip(bytes(after, peer));
            if let (Some((before, after)), Some(1)) = (looks, times.get(&peer)) {
                socket.rule = Some(Box::new(RuleReading {
                    before,
                    after,
                    is_quiet: earlier.get(&socket.cookie) == Some(&socket.sample.segments_in),
                    is_new: self.fresh.contains(&peer),
                }));
            }
        }
    }

    /// Removes the rules of connections that ended, and puts what they counted to
    /// their last figures.
    fn finish(&mut self, ended: &mut [Socket]) {
        let mut times: HashMap<Endpoint, usize> = HashMap::new();
        for socket in &*ended {
            if self.standing.contains_key(&socket.peer) {
                *times.entry(socket.peer).or_default() += 1;
            }
        }
        if times.is_empty() {
            return;
        }
        let change = Change {
            add: Vec::new(),
            remove: times.keys().copied().collect(),
        };
        let last = match self.rules.change(&change) {
            Ok(last) => last,
            Err(error) => {
                self.fails(&error);
                return;
            }
        };
        for socket in ended {
            let peer = socket.peer;
            if self.standing.remove(&peer).is_some() {
                let wanted = self.wanted.as_mut();
                wanted.and_then(|wanted| wanted.remove(&peer));
            }
            let is_new = self.fresh.remove(&peer);
            // Counted for another connection too, it says nothing of this one.
            let is_alone = times.get(&peer) == Some(&1) && !self.sockets.is_connected_again(socket);
            if let (true, Some(bytes)) = (is_alone, last.get(&peer)) {
                let last = RuleReading::last(*bytes);
                socket.rule = Some(Box::new(RuleReading { is_new, ..last }));
            }
        }
    }
}

/// The labels of rules that stand; of a half it is none, so that it is put anew.
fn labels(standings: &Standings) -> HashMap<Endpoint, String> {
    let label = |rule: &Standing| rule.bytes.map(|_| rule.label.clone()).unwrap_or_default();
    let rules = standings.rules.iter();
    rules.map(|(peer, rule)| (*peer, label(rule))).collect()
}

impl Meter for FirewallMeter {
    fn name(&self) -> &'static str {
        self.rules.name()
    }

    fn watch(&mut self, ports: &[u16]) -> Result<()> {
        self.sockets.watch(ports)?;
        self.rules.stand(ports)
    }

    fn connections(&mut self) -> Result<Dump> {
        let before = self.look();
        let first = self.sockets.connections()?;
        let before = match before {
            Ok(before) => before,
            Err(error) => {
                self.fails(&error);
                return Ok(first);
            }
        };
        let mut dump = self.sockets.connections()?;
        match self.look_again(&before, &first, &mut dump) {
            Ok(()) => self.works(),
            Err(error) => self.fails(&error),
        }
        Ok(dump)
    }

    fn queue(&self) -> &Endings {
        self.sockets.queue()
    }

    fn endings(&mut self, note: &mut dyn FnMut(&Socket)) -> Heard {
        let mut heard = self.sockets.endings(note);
        self.finish(&mut heard.sockets);
        heard
    }

    fn counts_sessions(&self) -> bool {
        true
    }

    fn count(&mut self, sessions: Vec<Counted>) -> Recount {
        let by_peer = sessions.into_iter().map(|session| (session.peer, session));
        self.wanted = Some(by_peer.collect());
        self.reconcile().unwrap_or_else(|error| {
            self.fails(&error);
            Recount::default()
        })
    }

    fn take_notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.notices)
    }

    fn leave(&mut self) -> Result<()> {
        self.rules.clear().map(|_| ())
    }
}

#[cfg(test)]
#[path = "meter_tests.rs"]
mod tests;
