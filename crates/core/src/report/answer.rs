//! How a question becomes a report, wherever the rows are kept: in one host's
//! ledger, or in a database with those of many.
//!
//! [`Rows`] gives rows and decides nothing; which are read, and what they mean,
//! is decided here alone, so that no place can answer otherwise than another.

use std::collections::HashMap;

use super::{
    Account, Amount, Builder, Host, Key, Note, Place, Report, Request, RowId, Rows, host::Alike,
    plan,
};
use crate::{
    identity::HostName,
    time::{Period, Unit},
    units::Minute,
};

/// Answers a question.
///
/// # Errors
/// Rows cannot be read.
pub fn answer<R: Rows>(rows: &mut R, request: &Request) -> Result<Report, R::Error> {
    let hosts = rows.hosts()?;
    let accounts = rows.accounts()?;
    let sessions_since = hosts.iter().filter(|host| host.has_sessions);
    let sessions_since = sessions_since.filter_map(Host::sessions_since).max();
    let names = Host::distinct_names(&hosts);
    let names = hosts.iter().map(|host| host.number).zip(names).collect();
    let question = Question {
        request,
        builder: Builder::new(request.clone(), &accounts, sessions_since),
        hosts: &hosts,
        names,
        accounts: &accounts,
        rows,
    };
    if request.needs_sessions() {
        question.by_session()
    } else {
        question.by_account()
    }
}

/// A question on its way to its report.
struct Question<'a, R> {
    request: &'a Request,
    builder: Builder,
    hosts: &'a [Host],
    names: HashMap<i64, HostName>,
    accounts: &'a [Account],
    rows: &'a mut R,
}

impl<R: Rows> Question<'_, R> {
    /// From the rows kept by account, and minutes where those are too coarse.
    fn by_account(mut self) -> Result<Report, R::Error> {
        let places = self.place_accounts();
        for alike in Alike::of(self.hosts, self.request.period.since()) {
            for period in self.periods_with_rows(&alike)? {
                self.read_period(period, &alike, &places)?;
            }
            if alike.has_sessions {
                self.count_sessions(&alike, &places)?;
            }
        }
        Ok(self.builder.finish())
    }

    fn place_accounts(&mut self) -> Places {
        let since = self.sessions_since();
        let mut places = Vec::with_capacity(self.accounts.len());
        for account in self.accounts {
            let place = self.builder.place(&subject(account, &self.names));
            let since = since.get(&account.id.host).copied().flatten();
            self.builder.sessions_known_since(place, since);
            places.push((account.id, place));
        }
        Places::new(places)
    }

    /// By host: from when on it is known how many sessions were open.
    fn sessions_since(&self) -> HashMap<i64, Option<Minute>> {
        let hosts = self.hosts.iter();
        hosts
            .map(|host| (host.number, host.sessions_since()))
            .collect()
    }

    /// The parts of the period in which there can be rows: whole runs of months
    /// that have some. A period of a thousand years, or a row that a clock gone
    /// wrong put there, costs no more than the months that were metered.
    fn periods_with_rows(&mut self, alike: &Alike) -> Result<Vec<Period>, R::Error> {
        let asked = self.request.period;
        let mut periods: Vec<Period> = Vec::new();
        let mut from = alike.calendar.bucket(Unit::Month, asked.since()).start;
        loop {
            let first = self.rows.first_month(&alike.hosts, from)?;
            let Some(first) = first.filter(|first| *first < asked.until()) else {
                return Ok(periods);
            };
            let month = alike.calendar.bucket(Unit::Month, first);
            let since = month.start.max(asked.since());
            let until = month.end.min(asked.until());
            match periods.last_mut() {
                Some(last) if last.until() == since => *last = Period::new(last.since(), until),
                _ => periods.push(Period::new(since, until)),
            }
            from = month.end;
        }
    }

    fn read_period(
        &mut self,
        period: Period,
        alike: &Alike,
        places: &Places,
    ) -> Result<(), R::Error> {
        let request = self.request;
        let (segments, notes) = plan(
            period,
            request.per,
            &request.calendar,
            &alike.calendar,
            alike.kept,
        );
        let builder = &mut self.builder;
        for segment in segments {
            self.rows
                .amounts(&alike.hosts, segment, request.per, |amount| {
                    places.add(builder, amount);
                })?;
        }
        for note in notes {
            builder.note(note);
        }
        Ok(())
    }

    fn count_sessions(&mut self, alike: &Alike, places: &Places) -> Result<(), R::Error> {
        let builder = &mut self.builder;
        self.rows
            .spans(&alike.hosts, self.request, |account, span, sessions| {
                if let Some(place) = places.of(account) {
                    builder.opened(place, span, sessions);
                }
            })
    }

    /// From the minutes of single sessions, and what they remember of those
    /// that have expired.
    fn by_session(mut self) -> Result<Report, R::Error> {
        let (with, without): (Vec<&Host>, Vec<&Host>) =
            self.hosts.iter().partition(|host| host.has_sessions);
        let hosts = with.iter().map(|host| host.number).collect::<Vec<_>>();
        let period = self.request.period;
        if !hosts.is_empty() {
            let places = self.place_sessions(&hosts)?;
            let builder = &mut self.builder;
            self.rows.session_minutes(&hosts, period, |amount| {
                places.add(builder, amount);
            })?;
        }
        let kept_since = with.iter().filter_map(|host| host.kept.hours_since).max();
        if let Some(kept_since) = kept_since.filter(|kept_since| period.since() < *kept_since) {
            self.builder.note(Note::SessionsExpired { kept_since });
        }
        if !without.is_empty() {
            let names = without.iter().map(|host| self.names[&host.number].clone());
            let hosts = names.collect();
            self.builder.note(Note::WithoutSessions { hosts });
        }
        Ok(self.builder.finish())
    }

    /// Counts the sessions of the period, adds their expired minutes, and
    /// gives the places of those whose single minutes are still to be added.
    fn place_sessions(&mut self, hosts: &[i64]) -> Result<Places, R::Error> {
        let period = self.request.period;
        let since = self.sessions_since();
        let accounts = self.accounts.iter().map(|account| (account.id, account));
        let accounts = accounts.collect::<HashMap<_, _>>();
        let (builder, names) = (&mut self.builder, &self.names);
        let mut places = Vec::new();
        let (mut cut, mut merged) = (0, 0);
        self.rows.sessions(hosts, period, |session| {
            let host = session.id.host;
            let id = RowId {
                host,
                id: session.account,
            };
            let Some(account) = accounts.get(&id) else {
                return;
            };
            let place = builder.place(&Key {
                peer: session.peer,
                session: Some(session.id.id),
                ..subject(account, names)
            });
            builder.sessions_known_since(place, since.get(&host).copied().flatten());
            builder.opened(place, session.span, 1);
            match session.pruned {
                // Part of an amount is not known, so neither is the sum.
                Some(pruned) if pruned.are_cut_by(period) => {
                    cut += 1;
                    return;
                }
                Some(pruned) if period.contains(pruned.first) => {
                    merged += u64::from(!builder.is_in_one_bucket(pruned.first, pruned.last));
                    builder.moved(place, pruned.first, pruned.traffic);
                }
                _ => {}
            }
            places.push((session.id, place));
        })?;
        if cut > 0 {
            self.builder.note(Note::SessionsCut { sessions: cut });
        }
        if merged > 0 {
            self.builder.note(Note::SessionsMerged { sessions: merged });
        }
        Ok(Places::new(places))
    }
}

/// All that is known of whom an account's figures belong to.
fn subject(account: &Account, names: &HashMap<i64, HostName>) -> Key {
    Key {
        host: names.get(&account.id.host).cloned(),
        user: Some(account.who.clone()),
        credential: account.credential.clone(),
        ..Key::default()
    }
}

/// Where the figures of accounts or sessions belong. It is asked for every row.
struct Places(Vec<(RowId, Place)>);

impl Places {
    fn new(mut places: Vec<(RowId, Place)>) -> Self {
        places.sort_unstable_by_key(|(id, _)| *id);
        Self(places)
    }

    fn of(&self, id: RowId) -> Option<Place> {
        // The numbers of one ledger follow one another, nearly always without a gap.
        let (first, _) = self.0.first()?;
        let guess = id.id.checked_sub(first.id);
        let guess = guess.and_then(|guess| usize::try_from(guess).ok());
        if let Some((known, place)) = guess.and_then(|guess| self.0.get(guess))
            && *known == id
        {
            return Some(*place);
        }
        let found = self.0.binary_search_by_key(&id, |(known, _)| *known);
        found.ok().map(|found| self.0[found].1)
    }

    fn add(&self, builder: &mut Builder, amount: Amount) {
        if let Some(place) = self.of(amount.of) {
            builder.moved(place, amount.at, amount.traffic);
        }
    }
}

#[cfg(test)]
#[path = "answer_tests.rs"]
mod tests;
