//! The text of one change, for `iptables-restore --noflush`: done as a whole or
//! not at all.
//!
//! The chain is never declared as `:useraccount - [0:0]`, which would empty one
//! that is there. `-N` fails instead where somebody was quicker, and so does the
//! whole batch.

use sshmeter_core::identity::Endpoint;

use super::{
    Family,
    hooks::Way,
    listing::{CHAIN, Rule},
    words,
};

/// A rule is found by its words, from the chain's head on: 20 µs for each rule
/// above it in the variant on nftables. Beyond so many comparisons rules go by
/// their numbers, which costs nothing, but could mean another rule if somebody
/// else changed the chain since it was listed.
const MOST_COMPARISONS: usize = 10_000;

/// Commands, in order.
#[derive(Debug, Default)]
pub(super) struct Batch(Vec<u8>);

impl Batch {
    /// What iptables-restore reads. `None` where there is nothing to do.
    pub(super) fn text(&self) -> Option<Vec<u8>> {
        let text = [b"*filter\n", &self.0[..], b"COMMIT\n"].concat();
        (!self.0.is_empty()).then_some(text)
    }

    pub(super) fn make_chain(&mut self) {
        self.line(&format!("-N {CHAIN}"));
    }

    pub(super) fn remove_chain(&mut self) {
        self.line(&format!("-X {CHAIN}"));
    }

    pub(super) fn insert_hook(&mut self, way: Way, port: u16) {
        let (chain, option) = (way.chain(), way.port_option());
        self.line(&format!(
            "-I {chain} 1 -p tcp -m tcp {option} {port} -j {CHAIN}"
        ));
    }

    /// A session's two rules, in the scripts' words.
    pub(super) fn insert_session(&mut self, client: Endpoint, label: &str) {
        let address = format!("{}/{}", client.ip(), Family::of(client).whole_prefix());
        let port = client.port();
        let comment = words::quoted(label);
        for (end, port_option) in [("-s", "--sport"), ("-d", "--dport")] {
            self.line(&format!(
                "-I {CHAIN} {end} {address} -p tcp -m tcp {port_option} {port} \
                 -m comment --comment {comment}"
            ));
        }
    }

    /// Removes a rule by the words it was listed with.
    pub(super) fn remove(&mut self, listed: &[u8]) {
        self.0.extend_from_slice(&[b"-D ", listed, b"\n"].concat());
    }

    /// Removes rules of the chain, given in the order that they were listed in.
    pub(super) fn remove_rules(&mut self, rules: &[&Rule]) {
        // By the time that one is looked for, those before it are gone.
        let above = rules
            .iter()
            .enumerate()
            .map(|(gone, rule)| rule.place - gone);
        if above.sum::<usize>() <= MOST_COMPARISONS {
            for rule in rules {
                self.remove(&rule.text);
            }
            return;
        }
        // From below, so that no number changes before it is used.
        for rule in rules.iter().rev() {
            self.line(&format!("-D {CHAIN} {}", rule.place));
        }
    }

    fn line(&mut self, line: &str) {
        self.0.extend_from_slice(line.as_bytes());
        self.0.push(b'\n');
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sshmeter_core::identity::{Pid, UserName};

    use super::*;
    use crate::kernel::firewall::{
        iptables::{Iptables, listing},
        rules::{Counted, Rules as _},
    };

    fn text(batch: &Batch) -> String {
        String::from_utf8(batch.text().unwrap()).unwrap()
    }

    fn client(text: &str) -> Endpoint {
        text.parse::<std::net::SocketAddr>().unwrap().into()
    }

    fn rule(place: usize) -> Rule {
        Rule {
            client: Endpoint::default(),
            inbound: true,
            label: String::new(),
            bytes: 0,
            place,
            text: format!("useraccount rule {place}").into_bytes(),
        }
    }

    #[test]
    fn a_batch_reads_as_iptables_restore_wants_it() {
        let mut batch = Batch::default();
        assert_eq!(batch.text(), None);
        batch.make_chain();
        batch.remove(b"INPUT -p tcp -j useraccount");
        batch.insert_hook(Way::In, 22);
        batch.insert_hook(Way::Out, 22);
        batch.insert_session(client("192.168.17.3:53014"), r"pid:1 user:two\040words");
        batch.insert_session(client("[2001:db8::7]:53014"), "pid:2 user:zoë");
        batch.remove_chain();
        assert_eq!(
            text(&batch),
            r#"*filter
-N useraccount
-D INPUT -p tcp -j useraccount
-I INPUT 1 -p tcp -m tcp --dport 22 -j useraccount
-I OUTPUT 1 -p tcp -m tcp --sport 22 -j useraccount
-I useraccount -s 192.168.17.3/32 -p tcp -m tcp --sport 53014 -m comment --comment "pid:1 user:two\\040words"
-I useraccount -d 192.168.17.3/32 -p tcp -m tcp --dport 53014 -m comment --comment "pid:1 user:two\\040words"
-I useraccount -s 2001:db8::7/128 -p tcp -m tcp --sport 53014 -m comment --comment "pid:2 user:zoë"
-I useraccount -d 2001:db8::7/128 -p tcp -m tcp --dport 53014 -m comment --comment "pid:2 user:zoë"
-X useraccount
COMMIT
"#
        );
    }

    #[test]
    fn a_few_rules_go_by_their_words_and_many_by_number() {
        let rules = [rule(3), rule(9_000)];
        let mut batch = Batch::default();
        batch.remove_rules(&rules.iter().collect::<Vec<_>>());
        let by_words = "*filter\n-D useraccount rule 3\n-D useraccount rule 9000\nCOMMIT\n";
        assert_eq!(text(&batch), by_words);

        let rules = [rule(3), rule(9_000), rule(9_001)];
        let mut batch = Batch::default();
        batch.remove_rules(&rules.iter().collect::<Vec<_>>());
        let by_number =
            "*filter\n-D useraccount 9001\n-D useraccount 9000\n-D useraccount 3\nCOMMIT\n";
        assert_eq!(text(&batch), by_number);

        // All of a long chain: each is the first when its turn comes.
        let rules: Vec<Rule> = (1..=9_000).map(rule).collect();
        let mut batch = Batch::default();
        batch.remove_rules(&rules.iter().collect::<Vec<_>>());
        assert!(text(&batch).starts_with("*filter\n-D useraccount rule 1\n"));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(
            user in ".{0,300}",
            ip: std::net::IpAddr,
            port: u16,
        ) {
            let session = Counted {
                peer: Endpoint::new(ip, port),
                pid: Some(Pid(7)),
                user: UserName::new(user),
            };
            let label = Iptables::default().label(&session);
            let mut batch = Batch::default();
            batch.insert_session(session.peer, &label);
            let listed = text(&batch).replace("-I ", "[1:2] -A ");
            let family = Family::of(session.peer);
            let listing = listing::parse(family, listed.as_bytes()).unwrap();
            prop_assert_eq!(listing.strangers, 0);
            prop_assert_eq!(listing.rules.len(), 2);
            for (rule, inbound) in listing.rules.iter().zip([true, false]) {
                prop_assert_eq!(rule.client, session.peer);
                prop_assert_eq!(rule.inbound, inbound);
                prop_assert_eq!(&rule.label, &label);
            }
        }
    }
}
