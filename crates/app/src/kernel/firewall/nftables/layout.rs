//! How our table looks, and how it comes to look that way.
//!
//! ```text
//! table inet sshmeter
//!   set ports                 sshd's ports
//!   set in4, out4, in6, out6  client's address . port, with a counter each
//!   chain input, output       one rule a family: a packet is looked up once,
//!                             however many sessions there are
//! ```
//!
//! A set that stands is kept with what it has counted, unless it is not of this
//! form. Other tables are neither read nor written.

use super::numbers::{
    NF_INET_LOCAL_IN, NF_INET_LOCAL_OUT, TYPE_INET_SERVICE, TYPE_IP6ADDR, TYPE_IPADDR,
};

/// Our table, of the family `inet`.
pub(super) const TABLE: &str = "sshmeter";
pub(super) const PORTS: &str = "ports";
/// Told in the rules' comments, so that a later layout replaces this one's rules.
const LAYOUT: u32 = 1;
/// Right before the chains of the iptables table `filter` and its like, whose
/// priority is 0 (`NF_IP_PRI_FILTER`): behind address translation, as there, and
/// whatever they drop has been counted, as by a first rule of theirs.
pub(super) const PRIORITY: i32 = -1;
/// Sessions that a set holds. The kernel takes 8 bytes for each slot, and looks
/// at every slot when it lists.
const SIZE: u32 = 65536;

/// The way of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Direction {
    /// From the client.
    In,
    /// To the client.
    Out,
}

impl Direction {
    pub(super) const ALL: [Self; 2] = [Self::In, Self::Out];

    pub(super) fn chain(self) -> &'static str {
        match self {
            Self::In => "input",
            Self::Out => "output",
        }
    }

    pub(super) fn hook(self) -> u32 {
        match self {
            Self::In => NF_INET_LOCAL_IN,
            Self::Out => NF_INET_LOCAL_OUT,
        }
    }
}

/// A set of sessions' counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SessionSet {
    pub(super) direction: Direction,
    pub(super) is_v6: bool,
}

impl SessionSet {
    pub(super) const ALL: [Self; 4] = [
        Self::new(Direction::In, false),
        Self::new(Direction::Out, false),
        Self::new(Direction::In, true),
        Self::new(Direction::Out, true),
    ];

    const fn new(direction: Direction, is_v6: bool) -> Self {
        Self { direction, is_v6 }
    }

    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|set| set.name() == name)
    }

    pub(super) fn name(self) -> &'static str {
        match (self.direction, self.is_v6) {
            (Direction::In, false) => "in4",
            (Direction::Out, false) => "out4",
            (Direction::In, true) => "in6",
            (Direction::Out, true) => "out6",
        }
    }

    /// The type of its elements, as nft numbers it.
    pub(super) fn key_type(self) -> u32 {
        let address = if self.is_v6 {
            TYPE_IP6ADDR
        } else {
            TYPE_IPADDR
        };
        address << 6 | TYPE_INET_SERVICE
    }

    fn definition(self) -> String {
        let address = if self.is_v6 { "ipv6_addr" } else { "ipv4_addr" };
        format!("type {address} . inet_service; size {SIZE}; counter;")
    }

    /// The other family's packets leave at the first word, and those of other
    /// protocols and ports before the set is looked at.
    fn rule(self) -> String {
        let (family, address) = if self.is_v6 {
            ("ipv6", "ip6")
        } else {
            ("ipv4", "ip")
        };
        let (server, client, from) = match self.direction {
            Direction::In => ("dport", "sport", "saddr"),
            Direction::Out => ("sport", "dport", "daddr"),
        };
        format!(
            "meta nfproto {family} tcp {server} @{PORTS} {address} {from} . tcp {client} @{} \
             comment \"{}\"",
            self.name(),
            self.rule_comment()
        )
    }

    pub(super) fn rule_comment(self) -> String {
        format!("sshmeter {}, layout {LAYOUT}", self.name())
    }
}

/// What is not as it should be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Faults {
    /// In words.
    pub(super) words: Vec<String>,
    /// Whether what stands has to go before ours can stand.
    pub(super) is_foreign: bool,
    pub(super) absent_ports: Vec<u16>,
    pub(super) other_ports: Vec<u16>,
}

impl Faults {
    /// Something has to be added.
    pub(super) fn missing(&mut self, word: impl Into<String>) {
        self.words.push(word.into());
    }

    /// Something has to be replaced.
    pub(super) fn foreign(&mut self, word: impl Into<String>) {
        self.words.push(word.into());
        self.is_foreign = true;
    }

    /// What nft has to do, which it does at once or not at all. Adding what
    /// stands wakes the table and sets the chain's policy, and changes nothing
    /// else; rules are exchanged between two packets.
    pub(super) fn remedy(&self, ports: &[u16]) -> String {
        let add_table = format!("add table inet {TABLE}\n");
        let (absent, other) = (&self.absent_ports[..], &self.other_ports[..]);
        if self.is_foreign {
            // Added first, or its removal might find nothing and fail.
            let remove_table = format!("delete table inet {TABLE}\n");
            add_table.clone() + &remove_table + &add_table + &parts(ports, &[])
        } else {
            add_table + &parts(absent, other)
        }
    }
}

/// Adds what a table is made of.
fn parts(absent_ports: &[u16], other_ports: &[u16]) -> String {
    let mut parts = vec![format!("set inet {TABLE} {PORTS} {{ type inet_service; }}")];
    for set in SessionSet::ALL {
        let (name, definition) = (set.name(), set.definition());
        parts.push(format!("set inet {TABLE} {name} {{ {definition} }}"));
    }
    let element = |port| format!("element inet {TABLE} {PORTS} {{ {port} }}");
    parts.extend(absent_ports.iter().map(element));
    for direction in Direction::ALL {
        let chain = direction.chain();
        parts.push(format!(
            "chain inet {TABLE} {chain} \
             {{ type filter hook {chain} priority {PRIORITY}; policy accept; }}"
        ));
    }
    let mut lines: Vec<String> = parts.iter().map(|part| format!("add {part}\n")).collect();
    lines.extend(
        other_ports
            .iter()
            .map(|port| format!("delete {}\n", element(port))),
    );
    for direction in Direction::ALL {
        lines.push(format!("flush chain inet {TABLE} {}\n", direction.chain()));
    }
    for set in SessionSet::ALL {
        let (chain, rule) = (set.direction.chain(), set.rule());
        lines.push(format!("add rule inet {TABLE} {chain} {rule}\n"));
    }
    lines.concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_of_our_form_is_never_removed() {
        let faults = Faults {
            absent_ports: vec![2222],
            other_ports: vec![22],
            ..Faults::default()
        };
        let remedy = faults.remedy(&[2222]);
        assert!(!remedy.contains("delete table") && !remedy.contains("flush set"));
        assert!(remedy.contains("add element inet sshmeter ports { 2222 }\n"));
        assert!(remedy.contains("delete element inet sshmeter ports { 22 }\n"));
    }

    #[test]
    fn what_is_not_of_our_form_goes_first() {
        let mut faults = Faults {
            other_ports: vec![22],
            ..Faults::default()
        };
        faults.foreign("the set in4 in our form");
        let remedy = faults.remedy(&[2222]);
        let begin =
            "add table inet sshmeter\ndelete table inet sshmeter\nadd table inet sshmeter\n";
        assert!(remedy.starts_with(begin), "{remedy}");
        assert!(remedy.contains("add element inet sshmeter ports { 2222 }\n"));
        assert!(!remedy.contains("{ 22 }"), "it went with the table");
    }

    #[test]
    fn a_rule_asks_for_the_cheapest_first() {
        let set = SessionSet::named("out6").unwrap();
        assert_eq!(
            set.rule(),
            "meta nfproto ipv6 tcp sport @ports ip6 daddr . tcp dport @out6 \
             comment \"sshmeter out6, layout 1\""
        );
    }
}
