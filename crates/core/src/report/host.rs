//! The hosts a report is about: what their ledgers keep, and by which names they
//! are told apart.

use std::collections::HashMap;

use super::Kept;
use crate::{
    identity::HostName,
    time::{Calendar, Unit},
    units::Minute,
};

/// A host whose ledger, or a copy of it, answers a question.
#[derive(Clone, Debug)]
pub struct Host {
    /// The number its rows are known by where they are kept.
    pub number: i64,
    /// Its ledger's id; it tells hosts of one name apart.
    pub id: String,
    /// What it is called.
    pub name: HostName,
    /// The calendar whose hours, days and months its rows are.
    pub calendar: Calendar,
    /// From when on which rows are complete.
    pub kept: Kept,
    /// Whether single sessions and their minutes are there at all.
    pub has_sessions: bool,
}

impl Host {
    /// From when on it is known how many sessions were open.
    pub(super) fn sessions_since(&self) -> Option<Minute> {
        if self.has_sessions {
            self.kept.hours_since
        } else {
            Some(Kept::NEVER)
        }
    }

    /// What hosts are called, in their order, so that no two are called the same.
    ///
    /// Where several have one name, each has the beginning of its ledger's id
    /// behind it. That does not change with the hosts' order or number.
    #[must_use]
    pub fn distinct_names(hosts: &[Self]) -> Vec<HostName> {
        let wanted = hosts.iter().map(Self::names).collect::<Vec<_>>();
        let mut wishes: HashMap<&str, usize> = HashMap::new();
        for name in wanted.iter().flatten() {
            *wishes.entry(name).or_default() += 1;
        }
        let named = wanted.iter().zip(hosts).map(|(names, host)| {
            let free = names.iter().find(|name| wishes[name.as_str()] == 1);
            free.or(names.last())
                .map_or_else(|| host.name.clone(), HostName::new)
        });
        named.collect()
    }

    /// What it may be called, the shortest first. The last is like no other
    /// host's last, whatever hosts call themselves.
    fn names(&self) -> [String; 4] {
        const SHORT_ID: usize = 8;
        let name = self.name.as_str();
        let short_id = self.id.chars().take(SHORT_ID).collect::<String>();
        [
            name.to_owned(),
            format!("{name} ({short_id})"),
            format!("{name} (id {})", self.id),
            format!("{name} (id {}, {})", self.id, self.number),
        ]
    }
}

/// Hosts that are planned for, and read, as one.
#[derive(Clone, Debug)]
pub(super) struct Alike {
    /// Their numbers.
    pub(super) hosts: Vec<i64>,
    /// Their calendar.
    pub(super) calendar: Calendar,
    /// What their ledgers keep, as far as it matters.
    pub(super) kept: Kept,
    /// Whether their sessions are there.
    pub(super) has_sessions: bool,
}

impl Alike {
    /// Puts hosts together of which a question that begins at `since` is answered
    /// by the same rows.
    pub(super) fn of(hosts: &[Host], since: Minute) -> Vec<Self> {
        let mut all: Vec<Self> = Vec::new();
        for host in hosts {
            let calendar = &host.calendar;
            // No row is asked for that begins before this.
            let earliest = calendar.bucket(Unit::Month, since).start;
            let kept = host.kept.seen_from(earliest);
            let known = all.iter_mut().find(|alike| {
                alike.kept == kept
                    && alike.has_sessions == host.has_sessions
                    && alike.calendar.zone() == calendar.zone()
            });
            match known {
                Some(alike) => alike.hosts.push(host.number),
                None => all.push(Self {
                    hosts: vec![host.number],
                    calendar: calendar.clone(),
                    kept,
                    has_sessions: host.has_sessions,
                }),
            }
        }
        all
    }
}
