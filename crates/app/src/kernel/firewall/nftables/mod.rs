//! The rules of nftables: the table `inet sshmeter`, whose sets hold an element
//! with a counter for each session and direction.
//!
//! A packet is looked up once, however many sessions there are. The table is
//! made by the program `nft`, since its rules are best said in nft's words; all
//! that happens often is said to the kernel directly. Nothing is remembered
//! here: what stands is what the kernel tells. No other table is touched.

mod bytes;
mod elements;
mod inspection;
mod kernel;
mod layout;
mod numbers;

use std::collections::{HashMap, HashSet};

use anyhow::{Context as _, Result, ensure};
use rustix::io::Errno;
use sshmeter_core::{identity::Endpoint, units::Flow};

use super::{
    command,
    label::label,
    rules::{Change, Counted, Rules, Standings},
};
use bytes::{NLM_F_ACK, Writer};
use elements::{COMMENT_BYTES, Counter, Elements, Plan};
use kernel::{Kernel, refusal};
use layout::TABLE;
use numbers::{NFT_MSG_DELTABLE, NFTA_TABLE};

/// How often a change is planned anew because something else stood than was
/// read a moment before.
const TRIES: usize = 3;

/// The rules of nftables.
#[derive(Debug, Default)]
pub struct Nftables;

impl Nftables {
    /// Which nftables this is, where it can be used: "nftables v1.0.6".
    ///
    /// # Errors
    /// Where the program is not installed, or the kernel does not offer or
    /// allow it.
    pub fn variant(&self) -> Result<String> {
        let said = command::run("nft", &["--version"], b"")
            .context("the program nft is needed (package nftables)")?;
        Kernel::open()
            .and_then(|kernel| inspection::table_flags(&kernel))
            .map_err(refusal)?;
        let said = String::from_utf8_lossy(&said);
        // "nftables v1.0.6 (Lester Gooch #5)"
        Ok(said
            .split(" (")
            .next()
            .unwrap_or_default()
            .trim()
            .to_owned())
    }
}

impl Rules for Nftables {
    fn name(&self) -> &'static str {
        "nftables"
    }

    fn stand(&mut self, ports: &[u16]) -> Result<()> {
        set_up(ports).context("the table inet sshmeter cannot be set up")
    }

    fn read(&mut self, ports: &[u16]) -> Result<Standings> {
        let read = || -> Result<Standings, Errno> {
            let kernel = Kernel::open()?;
            Ok(Standings {
                missing: inspection::inspect(&kernel, ports)?.words,
                rules: elements::by_client(elements::read(&kernel)?),
            })
        };
        read()
            .map_err(refusal)
            .context("the table inet sshmeter cannot be read")
    }

    fn change(&mut self, change: &Change) -> Result<HashMap<Endpoint, Flow>> {
        let removed = carry_out(change)
            .map_err(refusal)
            .context("the counters in the table inet sshmeter cannot be changed")?;
        let removed = elements::by_client(removed).into_iter();
        Ok(removed
            .filter_map(|(peer, rules)| Some((peer, rules.bytes?)))
            .collect())
    }

    fn label(&self, session: &Counted) -> String {
        comment(session)
    }

    fn clear(&mut self) -> Result<bool> {
        Kernel::open()
            .and_then(|kernel| remove_table(&kernel))
            .map_err(refusal)
            .context("the table inet sshmeter cannot be removed")
    }
}

/// Makes the table be there; what stands in our form is kept.
fn set_up(ports: &[u16]) -> Result<()> {
    let kernel = Kernel::open().map_err(refusal)?;
    let faults = inspection::inspect(&kernel, ports).map_err(refusal)?;
    if faults.words.is_empty() {
        return Ok(());
    }
    command::run("nft", &["-f", "-"], faults.remedy(ports).as_bytes())?;
    let left = inspection::inspect(&kernel, ports).map_err(refusal)?.words;
    ensure!(
        left.is_empty(),
        "nft has run, and still is missing: {}",
        left.join(", ")
    );
    Ok(())
}

/// Removes the table and all that is in it; gives whether it was there.
fn remove_table(kernel: &Kernel) -> Result<bool, Errno> {
    if inspection::table_flags(kernel)?.is_none() {
        return Ok(false);
    }
    let batch = Writer::batch(|batch| {
        batch.message(NFT_MSG_DELTABLE, NLM_F_ACK, |message| {
            message.text(NFTA_TABLE, TABLE);
        });
    });
    match kernel.commit(&batch, 0, |_| ()) {
        Err(Errno::NOENT) => Ok(false),
        done => done.map(|()| true),
    }
}

fn comment(session: &Counted) -> String {
    label(session.pid, &session.user, COMMENT_BYTES)
}

/// Does a change as a whole, and gives what it removed.
///
/// It is planned by what the caller has read, and only where that proves to be
/// outdated by what stands now: a login must not cost a list of all sessions.
fn carry_out(change: &Change) -> Result<Elements, Errno> {
    let kernel = Kernel::open()?;
    let mut done = plan(change, None).carry_out(&kernel);
    for _ in 0..TRIES {
        done = match (done, halves(change)) {
            (Err(Errno::NOENT | Errno::EXIST), _) => {
                plan(change, Some(&elements::read(&kernel)?)).carry_out(&kernel)
            }
            // Only where the kernel does not let us have larger buffers, as in
            // some containers; then it is done in parts.
            (Err(Errno::MSGSIZE), Some([one, other])) => {
                let mut removed = carry_out(&one)?;
                removed.extend(carry_out(&other)?);
                return Ok(removed);
            }
            (done, _) => return done,
        };
    }
    done
}

/// What is to be removed and added, where this stands; where that is not known,
/// where exactly what is to be removed stands.
fn plan(change: &Change, standing: Option<&Elements>) -> Plan {
    let add: HashMap<Endpoint, &Counted> = change
        .add
        .iter()
        .map(|session| (session.peer, session))
        .collect();
    let mut remove: HashSet<Endpoint> = change.remove.iter().copied().collect();
    if standing.is_some() {
        remove.extend(add.keys());
    }
    let stands = |counter: &Counter| standing.is_none_or(|these| these.contains_key(counter));
    let add = add
        .into_values()
        .flat_map(|session| Counter::both(session.peer).map(|counter| (counter, comment(session))));
    Plan {
        remove: remove
            .into_iter()
            .flat_map(Counter::both)
            .filter(stands)
            .collect(),
        add: add.collect(),
    }
}

/// A change in two parts, each with all that is about its clients; `None` where
/// there is only one client.
fn halves(change: &Change) -> Option<[Change; 2]> {
    let added = change.add.iter().map(|session| session.peer);
    let mut clients: Vec<Endpoint> = change.remove.iter().copied().chain(added).collect();
    clients.sort_unstable();
    clients.dedup();
    let middle = *clients
        .get(clients.len() / 2)
        .filter(|_| clients.len() > 1)?;
    let part = |is_first: bool| Change {
        add: (change
            .add
            .iter()
            .filter(|session| (session.peer < middle) == is_first))
        .cloned()
        .collect(),
        remove: (change.remove.iter().copied())
            .filter(|peer| (*peer < middle) == is_first)
            .collect(),
    };
    Some([part(true), part(false)])
}

#[cfg(test)]
mod tests {
    use sshmeter_core::identity::{Pid, UserName};

    use super::*;

    fn client(port: u16) -> Endpoint {
        Endpoint::from(std::net::SocketAddr::from(([192, 0, 2, 7], port)))
    }

    fn session(port: u16) -> Counted {
        Counted {
            peer: client(port),
            pid: Some(Pid(1)),
            user: UserName::new("alice"),
        }
    }

    #[test]
    fn what_stands_in_the_way_of_a_new_session_is_removed() {
        let change = Change {
            add: vec![session(1), session(2)],
            remove: vec![client(3)],
        };
        assert_eq!(plan(&change, None).remove.len(), 2);
        let none = plan(&change, Some(&Elements::new()));
        assert_eq!((none.remove.len(), none.add.len()), (0, 4));
    }

    #[test]
    fn a_client_is_added_and_removed_once() {
        let change = Change {
            add: vec![session(1), session(1)],
            remove: vec![client(1), client(1)],
        };
        let plan = plan(&change, None);
        assert_eq!((plan.remove.len(), plan.add.len()), (2, 2));
    }

    #[test]
    fn the_halves_are_the_whole_and_a_client_stays_in_one() {
        let change = Change {
            add: (1..=5).map(session).collect(),
            remove: (3..=9).map(client).collect(),
        };
        let [one, other] = halves(&change).unwrap();
        assert_eq!([&one.add[..], &other.add[..]].concat(), change.add);
        assert_eq!([&one.remove[..], &other.remove[..]].concat(), change.remove);
        assert!(
            one.add
                .iter()
                .all(|session| !other.remove.contains(&session.peer))
        );
        assert!(!one.is_empty() && !other.is_empty());
        assert_eq!(
            halves(&Change {
                remove: vec![client(1)],
                ..Change::default()
            }),
            None
        );
    }
}
