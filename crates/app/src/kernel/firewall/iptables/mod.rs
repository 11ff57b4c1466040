//! The chain `useraccount` of iptables and ip6tables, two rules a session. Chain,
//! rules and comments are those of a pair of scripts that has long counted SSH users
//! this way ("the scripts"), so that whoever knows them can read ours.
//!
//! Which iptables is the system's affair: whatever `iptables-save` and
//! `iptables-restore` are, nftables underneath or the legacy tables. All changes
//! of a family go in one batch, so that no packet meets half of them; the two
//! families are two batches.
//!
//! Iptables cannot read a rule and remove it in one step. The last figures are
//! read directly before the batch that removes the rules, and what comes in
//! between is lost; of a connection whose socket is gone that can only be stray
//! packets.
//!
//! The legacy programs put all rules' counters back after a change, but those of
//! the chains' policies begin at 0 again, whoever changes what (libiptc keeps no
//! map of them). Writing them ourselves would mean to write the policies too, and
//! to undo what somebody else set a moment ago.
//!
//! What is ours: the chain, each jump to it from anywhere in the table, and the
//! rules in it that look like a session's. Any other rule, in our chain too, is
//! somebody else's: not read, not changed, not removed.

mod batch;
mod hooks;
mod listing;
mod lock;
mod passage;
mod words;

use std::{
    collections::{HashMap, HashSet},
    net::IpAddr,
    path::Path,
};

use anyhow::{Context as _, Result};
use sshmeter_core::{identity::Endpoint, units::Flow};

use self::{
    batch::Batch,
    listing::{Listing, Rule},
    lock::Lock,
};
use super::{
    command, label,
    rules::{Change, Counted, Rules, Standing, Standings},
};

/// As long as the kernel lets a comment be (`XT_MAX_COMMENT_LEN`, less its end).
const LABEL_BYTES: usize = 255;

/// Only a kernel with IPv6 has it. Without it there are no IPv6 sessions, and
/// ip6tables may be missing or refuse to work.
const SIGN_OF_IPV6: &str = "/proc/net/if_inet6";

/// One of the two rule sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    Ipv4,
    Ipv6,
}

impl Family {
    fn of(client: Endpoint) -> Self {
        match client.ip() {
            IpAddr::V4(_) => Self::Ipv4,
            IpAddr::V6(_) => Self::Ipv6,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Ipv4 => "IPv4",
            Self::Ipv6 => "IPv6",
        }
    }

    /// The length of a prefix that is one address.
    fn whole_prefix(self) -> &'static str {
        match self {
            Self::Ipv4 => "32",
            Self::Ipv6 => "128",
        }
    }
}

/// The rules of iptables.
#[derive(Debug)]
pub struct Iptables {
    ipv4: String,
    ipv6: String,
    /// Last figures of rules that are gone although the change as a whole failed,
    /// in its other family: given when it is tried again.
    undelivered: HashMap<Endpoint, Flow>,
}

impl Default for Iptables {
    fn default() -> Self {
        Self::of_programs("iptables", "ip6tables")
    }
}

impl Iptables {
    /// Iptables by other names, such as `iptables-legacy` and `ip6tables-legacy`;
    /// `-save` and `-restore` are added to them.
    #[must_use]
    pub fn of_programs(ipv4: &str, ipv6: &str) -> Self {
        Self {
            ipv4: ipv4.to_owned(),
            ipv6: ipv6.to_owned(),
            undelivered: HashMap::new(),
        }
    }

    /// What it says of itself: "iptables v1.8.9 (nf_tables)".
    ///
    /// # Errors
    /// Where it cannot be started.
    pub fn variant(&self) -> Result<String> {
        let said = command::run(&self.ipv4, &["--version"], b"")?;
        Ok(String::from_utf8_lossy(&said).trim().to_owned())
    }

    fn program(&self, family: Family, suffix: &str) -> String {
        let name = match family {
            Family::Ipv4 => &self.ipv4,
            Family::Ipv6 => &self.ipv6,
        };
        format!("{name}-{suffix}")
    }

    fn list(&self, family: Family) -> Result<Listing> {
        let program = self.program(family, "save");
        let output = {
            let _held = Lock::take()?;
            command::run(&program, &["-c", "-t", "filter"], b"")?
        };
        listing::parse(family, &output).with_context(|| format!("{program} cannot be understood"))
    }

    /// Gives whether there was anything to do.
    fn apply(&self, family: Family, batch: &Batch) -> Result<bool> {
        let Some(text) = batch.text() else {
            return Ok(false);
        };
        let program = self.program(family, "restore");
        command::run(&program, &["-w", "5", "--noflush"], &text)?;
        Ok(true)
    }

    fn stand_in(&self, family: Family, ports: &[u16]) -> Result<()> {
        let listing = self.list(family)?;
        let inspection = hooks::inspect(&listing, ports);
        let mut batch = Batch::default();
        if !listing.chain_stands {
            batch.make_chain();
        }
        for hook in &inspection.wrong {
            batch.remove(&hook.text);
        }
        for (way, port) in inspection.absent.iter().rev() {
            batch.insert_hook(*way, *port);
        }
        self.apply(family, &batch)?;
        Ok(())
    }

    fn change_in(&mut self, family: Family, change: &Change) -> Result<()> {
        let of_family = |client: &Endpoint| Family::of(*client) == family;
        let removed: HashSet<Endpoint> = change.remove.iter().copied().filter(of_family).collect();
        // By client, so that one who is named twice is counted once.
        let added: HashMap<Endpoint, &Counted> = change
            .add
            .iter()
            .map(|session| (session.peer, session))
            .filter(|(client, _)| of_family(client))
            .collect();
        if removed.is_empty() && added.is_empty() {
            return Ok(());
        }
        let listing = self.list(family)?;
        let goes =
            |rule: &&Rule| removed.contains(&rule.client) || added.contains_key(&rule.client);
        let gone: Vec<&Rule> = listing.rules.iter().filter(goes).collect();
        let mut batch = Batch::default();
        if !listing.chain_stands && !added.is_empty() {
            batch.make_chain();
        }
        batch.remove_rules(&gone);
        for session in added.values() {
            batch.insert_session(session.peer, &self.label(session));
        }
        self.apply(family, &batch)?;
        let renewed = |client: &Endpoint| added.contains_key(client) && !removed.contains(client);
        self.undelivered.retain(|client, _| !renewed(client));
        let gone = gone
            .into_iter()
            .filter(|rule| removed.contains(&rule.client));
        self.keep_figures(standings(gone));
        Ok(())
    }

    fn keep_figures(&mut self, gone: HashMap<Endpoint, Standing>) {
        for (client, standing) in gone {
            if let Some(bytes) = standing.bytes {
                let undelivered = self.undelivered.entry(client).or_default();
                *undelivered = undelivered.plus(bytes);
            }
        }
    }

    fn clear_in(&self, family: Family) -> Result<bool> {
        let listing = self.list(family)?;
        let mut batch = Batch::default();
        batch.remove_rules(&listing.rules.iter().collect::<Vec<_>>());
        for hook in &listing.hooks {
            batch.remove(&hook.text);
        }
        // With rules of somebody else's in it the chain stays, for them.
        if listing.chain_stands && listing.strangers == 0 {
            batch.remove_chain();
        }
        self.apply(family, &batch)
    }
}

impl Rules for Iptables {
    fn name(&self) -> &'static str {
        "iptables"
    }

    fn stand(&mut self, ports: &[u16]) -> Result<()> {
        families().try_for_each(|family| self.stand_in(family, ports))
    }

    fn read(&mut self, ports: &[u16]) -> Result<Standings> {
        let mut all = Standings::default();
        for family in families() {
            let listing = self.list(family)?;
            all.rules.extend(standings(listing.rules.iter()));
            let inspection = hooks::inspect(&listing, ports);
            let named = |words| format!("{words} ({})", family.name());
            all.missing.extend(inspection.words.into_iter().map(named));
        }
        Ok(all)
    }

    fn change(&mut self, change: &Change) -> Result<HashMap<Endpoint, Flow>> {
        families().try_for_each(|family| self.change_in(family, change))?;
        let figures = change.remove.iter().filter_map(|client| {
            let bytes = self.undelivered.remove(client)?;
            Some((*client, bytes))
        });
        Ok(figures.collect())
    }

    fn label(&self, session: &Counted) -> String {
        label::label(session.pid, &session.user, LABEL_BYTES)
    }

    fn clear(&mut self) -> Result<bool> {
        families().try_fold(false, |any, family| Ok(self.clear_in(family)? || any))
    }
}

/// Asked each time, since the kernel's IPv6 may be a module that comes later.
fn families() -> impl Iterator<Item = Family> {
    let ipv6 = Path::new(SIGN_OF_IPV6).exists().then_some(Family::Ipv6);
    [Some(Family::Ipv4), ipv6].into_iter().flatten()
}

fn standings<'a>(rules: impl Iterator<Item = &'a Rule>) -> HashMap<Endpoint, Standing> {
    let mut by_client: HashMap<Endpoint, Vec<&Rule>> = HashMap::new();
    for rule in rules {
        by_client.entry(rule.client).or_default().push(rule);
    }
    by_client
        .into_iter()
        .map(|(client, rules)| (client, standing(&rules)))
        .collect()
}

fn standing(rules: &[&Rule]) -> Standing {
    let label = rules.first().map_or("", |rule| &rule.label).to_owned();
    let bytes = match rules {
        // Two labels are halves of two sessions, whatever they add up to.
        [one, other] if one.label == other.label => match (one.inbound, other.inbound) {
            (true, false) => Some(flow(one, other)),
            (false, true) => Some(flow(other, one)),
            (true, true) | (false, false) => None,
        },
        _ => None,
    };
    Standing { label, bytes }
}

fn flow(inbound: &Rule, outbound: &Rule) -> Flow {
    Flow {
        inbound: inbound.bytes,
        outbound: outbound.bytes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(inbound: bool, label: &str, bytes: u64) -> Rule {
        Rule {
            client: Endpoint::default(),
            inbound,
            label: label.to_owned(),
            bytes,
            place: 1,
            text: Vec::new(),
        }
    }

    #[test]
    fn only_one_rule_a_direction_is_a_figure() {
        let (to, from) = (rule(true, "a", 3), rule(false, "a", 5));
        let whole = Some(Flow {
            inbound: 3,
            outbound: 5,
        });
        assert_eq!(standing(&[&to, &from]).bytes, whole);
        assert_eq!(standing(&[&from, &to]).bytes, whole);
        for rules in [&[&to][..], &[&to, &to], &[&to, &from, &from]] {
            assert_eq!(standing(rules).bytes, None, "{rules:?}");
        }
        let another = rule(false, "b", 5);
        assert_eq!(standing(&[&to, &another]).bytes, None);
    }
}
