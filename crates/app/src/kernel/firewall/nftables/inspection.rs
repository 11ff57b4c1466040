//! What stands under our table's name, held against what should.
//!
//! Only read here; what is not as it should be is put in words, and mended
//! elsewhere. A rule is known by its comment: that somebody writes another rule
//! under a comment of ours is not looked for.

use rustix::io::Errno;

use super::{
    bytes::{Attributes, Writer},
    elements::comment,
    kernel::Kernel,
    layout::{Direction, Faults, PORTS, PRIORITY, SessionSet, TABLE},
    numbers::{
        NF_ACCEPT, NFT_MSG_GETCHAIN, NFT_MSG_GETRULE, NFT_MSG_GETSET, NFT_MSG_GETSETELEM,
        NFT_MSG_GETTABLE, NFT_SET_ANONYMOUS, NFT_SET_SPECIAL, NFT_TABLE_F_DORMANT, NFTA_CHAIN_HOOK,
        NFTA_CHAIN_NAME, NFTA_CHAIN_POLICY, NFTA_DATA_VALUE, NFTA_EXPR_NAME, NFTA_HOOK_HOOKNUM,
        NFTA_HOOK_PRIORITY, NFTA_RULE_CHAIN, NFTA_RULE_USERDATA, NFTA_SET_ELEM_KEY,
        NFTA_SET_ELEM_LIST_ELEMENTS, NFTA_SET_ELEM_LIST_SET, NFTA_SET_EXPR, NFTA_SET_FLAGS,
        NFTA_SET_KEY_TYPE, NFTA_SET_NAME, NFTA_TABLE, NFTA_TABLE_FLAGS, TYPE_INET_SERVICE,
    },
};

/// Compares what stands with what should.
pub(super) fn inspect(kernel: &Kernel, ports: &[u16]) -> Result<Faults, Errno> {
    Ok(Standing::read(kernel)?.faults(ports))
}

/// The flags of our table; `None` where it is not there.
pub(super) fn table_flags(kernel: &Kernel) -> Result<Option<u32>, Errno> {
    let question = |question: &mut Writer| question.text(NFTA_TABLE, TABLE);
    kernel.get(NFT_MSG_GETTABLE, question, |table| {
        table.number(NFTA_TABLE_FLAGS).unwrap_or_default()
    })
}

/// What stands under our table's name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Standing {
    /// Its flags; `None` where it is not there.
    table: Option<u32>,
    chains: Vec<Chain>,
    rules: Vec<Rule>,
    sets: Vec<Set>,
    ports: Vec<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Chain {
    name: String,
    /// Hook and priority, where it is a base chain.
    place: Option<(u32, i32)>,
    policy: Option<u32>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Rule {
    chain: String,
    comment: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Set {
    name: String,
    flags: u32,
    key_type: u32,
    counts: bool,
}

impl Standing {
    fn read(kernel: &Kernel) -> Result<Self, Errno> {
        let Some(flags) = table_flags(kernel)? else {
            return Ok(Self::default());
        };
        let sets = list(kernel, NFT_MSG_GETSET, Set::read)?;
        let has_ports = sets.iter().any(|set| set.name == PORTS);
        Ok(Self {
            table: Some(flags),
            chains: list(kernel, NFT_MSG_GETCHAIN, Chain::read)?,
            rules: list(kernel, NFT_MSG_GETRULE, Rule::read)?,
            ports: if has_ports {
                read_ports(kernel)?
            } else {
                Vec::new()
            },
            sets,
        })
    }

    fn faults(&self, ports: &[u16]) -> Faults {
        let mut faults = Faults::default();
        let Some(flags) = self.table else {
            faults.missing(format!("the table inet {TABLE}"));
            faults.absent_ports = ports.to_vec();
            return faults;
        };
        if flags & NFT_TABLE_F_DORMANT != 0 {
            faults.missing(format!("the table inet {TABLE}, awake"));
        }
        for direction in Direction::ALL {
            self.judge_chain(direction, &mut faults);
        }
        for set in SessionSet::ALL {
            self.judge_set(set.name(), (set.key_type(), true), &mut faults);
        }
        self.judge_set(PORTS, (TYPE_INET_SERVICE, false), &mut faults);
        self.judge_strangers(&mut faults);
        self.judge_ports(ports, &mut faults);
        faults
    }

    fn judge_chain(&self, direction: Direction, faults: &mut Faults) {
        let name = direction.chain();
        match self.chains.iter().find(|chain| chain.name == name) {
            None => return faults.missing(format!("the chain {name}")),
            Some(chain) if chain.place != Some((direction.hook(), PRIORITY)) => {
                faults.foreign(format!("the chain {name} in our form"));
            }
            Some(chain) if chain.policy != Some(NF_ACCEPT) => {
                faults.missing(format!("the policy accept of the chain {name}"));
            }
            Some(_) => {}
        }
        let ours = SessionSet::ALL.into_iter();
        let ours = ours.filter(|set| set.direction == direction);
        let ours = ours.map(|set| Some(set.rule_comment()));
        let rules = self.rules.iter().filter(|rule| rule.chain == name);
        if !rules.map(|rule| rule.comment.clone()).eq(ours) {
            faults.missing(format!("our rules alone in the chain {name}"));
        }
    }

    fn judge_set(&self, name: &str, form: (u32, bool), faults: &mut Faults) {
        match self.sets.iter().find(|set| set.name == name) {
            None => faults.missing(format!("the set {name}")),
            Some(set) if set.is_plain() && (set.key_type, set.counts) == form => {}
            Some(_) => faults.foreign(format!("the set {name} in our form")),
        }
    }

    fn judge_strangers(&self, faults: &mut Faults) {
        let our_chains = Direction::ALL.map(Direction::chain);
        for Chain { name, .. } in &self.chains {
            if !our_chains.contains(&name.as_str()) {
                faults.foreign(format!("a table inet {TABLE} without a chain {name}"));
            }
        }
        for Set { name, flags, .. } in &self.sets {
            // A set without a name goes with its rule.
            let is_named = flags & NFT_SET_ANONYMOUS == 0;
            if is_named && name != PORTS && SessionSet::named(name).is_none() {
                faults.foreign(format!("a table inet {TABLE} without a set {name}"));
            }
        }
    }

    fn judge_ports(&self, ports: &[u16], faults: &mut Faults) {
        let without = |some: &[u16], others: &[u16]| -> Vec<u16> {
            let some = some.iter().copied();
            some.filter(|port| !others.contains(port)).collect()
        };
        let absent = without(ports, &self.ports);
        let other = without(&self.ports, ports);
        // Where the set is not there, that says it.
        if self.sets.iter().any(|set| set.name == PORTS) {
            for port in &absent {
                faults.missing(format!("port {port} in the set {PORTS}"));
            }
            for port in &other {
                faults.missing(format!("a set {PORTS} without port {port}"));
            }
        }
        (faults.absent_ports, faults.other_ports) = (absent, other);
    }
}

impl Chain {
    fn read(chain: Attributes<'_>) -> Option<Self> {
        let place = chain.nested(NFTA_CHAIN_HOOK);
        let priority = place.number(NFTA_HOOK_PRIORITY).map(u32::cast_signed);
        Some(Self {
            name: chain.text(NFTA_CHAIN_NAME)?.to_owned(),
            place: place.number(NFTA_HOOK_HOOKNUM).zip(priority),
            policy: chain.number(NFTA_CHAIN_POLICY),
        })
    }
}

impl Rule {
    fn read(rule: Attributes<'_>) -> Option<Self> {
        Some(Self {
            chain: rule.text(NFTA_RULE_CHAIN)?.to_owned(),
            comment: rule.value(NFTA_RULE_USERDATA).and_then(comment),
        })
    }
}

impl Set {
    fn read(set: Attributes<'_>) -> Option<Self> {
        Some(Self {
            name: set.text(NFTA_SET_NAME)?.to_owned(),
            flags: set.number(NFTA_SET_FLAGS).unwrap_or_default(),
            key_type: set.number(NFTA_SET_KEY_TYPE).unwrap_or_default(),
            counts: set.nested(NFTA_SET_EXPR).text(NFTA_EXPR_NAME) == Some("counter"),
        })
    }

    fn is_plain(&self) -> bool {
        self.flags & (NFT_SET_ANONYMOUS | NFT_SET_SPECIAL) == 0
    }
}

/// What of a kind is in our table. Not every kernel leaves out other tables'.
fn list<T>(
    kernel: &Kernel,
    kind: u16,
    read: impl Fn(Attributes<'_>) -> Option<T>,
) -> Result<Vec<T>, Errno> {
    let question = |question: &mut Writer| question.text(NFTA_TABLE, TABLE);
    kernel.list(kind, question, |attributes, list| {
        if attributes.text(NFTA_TABLE) == Some(TABLE) {
            list.extend(read(attributes));
        }
    })
}

fn read_ports(kernel: &Kernel) -> Result<Vec<u16>, Errno> {
    let question = |question: &mut Writer| {
        question.text(NFTA_TABLE, TABLE);
        question.text(NFTA_SET_ELEM_LIST_SET, PORTS);
    };
    let port = |element: Attributes<'_>| {
        let key = element.nested(NFTA_SET_ELEM_KEY).value(NFTA_DATA_VALUE)?;
        Some(u16::from_be_bytes(key.get(..2)?.try_into().ok()?))
    };
    kernel.list(NFT_MSG_GETSETELEM, question, |attributes, list| {
        let elements = attributes.nested(NFTA_SET_ELEM_LIST_ELEMENTS).each();
        list.extend(elements.filter_map(port));
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the remedy of the layout leaves it.
    fn whole() -> Standing {
        let chain = |direction: Direction| Chain {
            name: direction.chain().to_owned(),
            place: Some((direction.hook(), PRIORITY)),
            policy: Some(NF_ACCEPT),
        };
        let rule = |set: SessionSet| Rule {
            chain: set.direction.chain().to_owned(),
            comment: Some(set.rule_comment()),
        };
        let set = |name: &str, key_type, counts| Set {
            name: name.to_owned(),
            flags: 0,
            key_type,
            counts,
        };
        let mut sets = vec![set(PORTS, TYPE_INET_SERVICE, false)];
        sets.extend(SessionSet::ALL.map(|one| set(one.name(), one.key_type(), true)));
        Standing {
            table: Some(0),
            chains: Direction::ALL.map(chain).to_vec(),
            rules: SessionSet::ALL.map(rule).to_vec(),
            sets,
            ports: vec![22],
        }
    }

    #[test]
    fn what_is_whole_has_no_fault() {
        assert_eq!(whole().faults(&[22]), Faults::default());
    }

    #[test]
    fn whatever_is_taken_away_is_missed() {
        let missed = |take: &dyn Fn(&mut Standing)| {
            let mut standing = whole();
            take(&mut standing);
            standing.faults(&[22]).words
        };
        assert_eq!(missed(&|all| all.table = None), ["the table inet sshmeter"]);
        assert_eq!(missed(&|all| drop(all.chains.pop())), ["the chain output"]);
        assert_eq!(missed(&|all| drop(all.sets.pop())), ["the set out6"]);
        assert_eq!(missed(&|all| drop(all.sets.remove(0))), ["the set ports"]);
        assert_eq!(
            missed(&|all| all.ports.clear()),
            ["port 22 in the set ports"]
        );
        let in_order = missed(&|all| all.rules.reverse());
        assert_eq!(in_order.len(), 2, "{in_order:?}");
        let older = missed(&|all| all.rules[0].comment = Some("sshmeter in4".to_owned()));
        assert_eq!(older, ["our rules alone in the chain input"]);
    }
}
