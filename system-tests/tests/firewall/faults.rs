//! Rules are taken away under sessions that move something all the time: they come
//! back, somebody is told, and what no rule saw is the sockets' figure, so that
//! every session is whole to the byte.
//!
//! Each machine goes through all that can happen to its kind of rules, one after the
//! other, with the interval that nobody has configured.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    thread::sleep,
    time::{Duration, Instant},
};

use system_tests::{
    Daemon, Family, Flow, Machine, Meter, Tolerance, counts_with, must_agree, pairs,
};

use crate::talk::{Chatter, Talk, begin_counted};

/// Within an interval of ten seconds something is missed, and put back at once;
/// the rest is for a busy machine.
const SOON: Duration = Duration::from_secs(14);

/// Something that happens to rules, and what of it sshmeter's words have to hold.
struct Fault {
    what: &'static str,
    script: &'static str,
    words: &'static str,
}

#[test]
fn of_nftables() {
    all_is_put_right("of_nftables", Meter::Nftables, &OF_NFTABLES);
}

#[test]
fn of_iptables() {
    all_is_put_right("of_iptables", Meter::IptablesNft, &OF_IPTABLES);
}

#[test]
fn of_legacy_iptables() {
    all_is_put_right("of_legacy_iptables", Meter::IptablesLegacy, &OF_IPTABLES);
}

const TABLE_DELETED: &str = "nft delete table inet sshmeter";

/// In one go, and again where sshmeter put something back in that moment. The
/// hooks are listed first: iptables-restore holds the lock from its first line on.
const CHAIN_DELETED: &str = "for each in iptables ip6tables; do
    for try in $(seq 50); do
        hooks=$($each -w -S | grep -e '-j useraccount$' | sed 's/^-A/-D/')
        printf '%s\\n' '*filter' \"$hooks\" '-F useraccount' '-X useraccount' COMMIT |
            $each-restore -w --noflush && continue 2
        sleep 0.1
    done
    exit 1
done";

/// Deletes by hand all that counts.
pub(crate) fn delete_all(machine: &Machine) {
    machine.server().shell(match machine.meter() {
        Meter::Nftables => TABLE_DELETED,
        _ => CHAIN_DELETED,
    });
}

const OF_NFTABLES: [Fault; 6] = [
    Fault {
        what: "sets are flushed",
        script: "for set in in4 out4 in6 out6; do nft flush set inet sshmeter $set; done",
        words: "the rules of 4 sessions",
    },
    Fault {
        what: "the chains' rules are flushed",
        script: "nft flush table inet sshmeter",
        words: "the chain",
    },
    Fault {
        what: "the hooks are deleted",
        script: "nft 'delete chain inet sshmeter input; delete chain inet sshmeter output'",
        words: "the chain input",
    },
    Fault {
        what: "the table is deleted",
        script: TABLE_DELETED,
        words: "the table inet sshmeter",
    },
    Fault {
        what: "one element is deleted",
        script: "element=$(nft -n list set inet sshmeter in4 |
            grep -o '10\\.78\\.[0-9.]* \\. [0-9]*' | head -n 1)
            nft delete element inet sshmeter in4 \"{ $element }\"",
        words: "the rules of 1 session",
    },
    Fault {
        what: "another rule set is loaded over all",
        script: "nft -f - <<'END'
flush ruleset
table inet filter {
    chain input { type filter hook input priority 0; tcp dport 22 counter accept; }
    chain output { type filter hook output priority 0; counter; }
}
END",
        words: "the table inet sshmeter",
    },
];

/// What is said at most once a minute comes first.
const OF_IPTABLES: [Fault; 6] = [
    Fault {
        what: "counters are zeroed",
        script: "for each in iptables ip6tables; do $each -w -Z; done",
        words: "did not count all",
    },
    Fault {
        what: "the chain is flushed",
        script: "for each in iptables ip6tables; do $each -w -F useraccount; done",
        words: "the rules of 4 sessions",
    },
    Fault {
        what: "the hooks are deleted",
        script: "for each in iptables ip6tables; do
            $each -w -S | grep -e '-j useraccount$' | sed 's/^-A/-D/' |
                while read -r rule; do $each -w $rule; done; done",
        words: "hook in INPUT for port 22",
    },
    Fault {
        what: "the chain is deleted",
        script: CHAIN_DELETED,
        words: "the chain useraccount",
    },
    Fault {
        what: "one rule is deleted",
        script: "iptables -w -D useraccount 1",
        words: "the rules of 1 session",
    },
    Fault {
        what: "another rule set is loaded over all",
        script: "for each in iptables ip6tables; do $each-restore <<'END'
*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
-A INPUT -p tcp --dport 22 -j ACCEPT
-A INPUT -j ACCEPT
COMMIT
END
done",
        words: "the chain useraccount",
    },
];

#[test]
fn of_nftables_in_the_midst_of_a_transfer() {
    nothing_slips_between("of_nftables_in_the_midst_of_a_transfer", Meter::Nftables);
}

#[test]
fn of_iptables_in_the_midst_of_a_transfer() {
    nothing_slips_between("of_iptables_in_the_midst_of_a_transfer", Meter::IptablesNft);
}

/// A transfer that never pauses is read while bytes pass between the looks at its
/// rule and at its socket, and then the rule is gone.
fn nothing_slips_between(name: &str, meter: Meter) {
    if !counts_with(&format!("firewall::faults::{name}"), meter) {
        return;
    }
    let builder = Machine::builder().meter(meter);
    let machine = builder.meter_lines("interval = \"1s\"").start();
    let capture = machine.capture();
    let daemon = machine.daemon();
    let mut talks = begin_counted(&machine, &["alice", "bob", "carol"]);
    for _ in 0..3 {
        // Quiet for long enough that the rules count from now on.
        sleep(Duration::from_millis(2500));
        let chatter = Chatter::without_a_pause(talks);
        sleep(Duration::from_millis(2500));
        delete_all(&machine);
        sleep(Duration::from_millis(1500));
        talks = chatter.enough();
        for talk in &talks {
            talk.wait(&machine);
            machine.wait_for_rules(talk.visit());
        }
    }
    let visits: Vec<_> = talks.into_iter().map(Talk::end).collect();
    must_agree(&machine, capture, daemon, &visits, Tolerance::Exact);
}

fn all_is_put_right(name: &str, meter: Meter, faults: &[Fault]) {
    if !counts_with(&format!("firewall::faults::{name}"), meter) {
        return;
    }
    let machine = Machine::builder().meter(meter).start();
    let capture = machine.capture();
    let daemon = machine.daemon();
    let mut visits = Vec::new();
    let mut talks = begin_counted(&machine, &["alice", "bob", "carol", "alice"]);
    for fault in faults {
        let chatter = Chatter::of(talks);
        sleep(Duration::from_secs(1));
        is_put_right(&machine, &daemon, fault, name);
        sleep(Duration::from_secs(1));
        talks = chatter.enough();
        // One goes and one comes each time, so that ends meet every fault too.
        let gone = talks.remove(0).end();
        let family = match gone.address {
            IpAddr::V4(_) => Family::V4,
            IpAddr::V6(_) => Family::V6,
        };
        talks.push(Talk::begin(&machine, "bob", family));
        visits.push(gone);
        for talk in &talks {
            machine.wait_for_rules(talk.visit());
        }
    }
    visits.extend(talks.into_iter().map(Talk::end));
    machine.wait_until_quiet();
    machine.wait_for_no_rules();
    must_agree(&machine, capture, daemon, &visits, Tolerance::Exact);
}

fn is_put_right(machine: &Machine, daemon: &Daemon, fault: &Fault, name: &str) {
    let Fault { what, words, .. } = fault;
    let said = daemon.words().len();
    let sessions = machine.open_sessions().len();
    let begin = Instant::now();
    machine.server().shell(fault.script);
    let in_vain = |why: &str| {
        let words = daemon.words();
        panic!("{name}: {what}, and {why}; it said:\n{}", &words[said..]);
    };
    while !daemon.words()[said..].contains(words) {
        if begin.elapsed() > SOON {
            in_vain("sshmeter did not say so");
        }
        sleep(Duration::from_millis(50));
    }
    let told = begin.elapsed();
    while !all_count(machine, sessions) {
        if begin.elapsed() > SOON + Duration::from_secs(2) {
            in_vain("the rules did not come back");
        }
    }
    let (told, back) = (told.as_secs_f64(), begin.elapsed().as_secs_f64());
    println!("{name}: {what}: told after {told:.1} s, put right after {back:.1} s");
}

/// Whether so many sessions have rules, and all of them count both ways.
fn all_count(machine: &Machine, sessions: usize) -> bool {
    let by_client = || -> BTreeMap<SocketAddr, Flow> {
        let pairs = pairs(&machine.rules()).into_iter();
        pairs.map(|pair| (pair.client, pair.bytes)).collect()
    };
    let before = by_client();
    sleep(Duration::from_millis(500));
    let after = by_client();
    let counts = |(client, before): (&SocketAddr, &Flow)| {
        after
            .get(client)
            .is_some_and(|after| after.inbound > before.inbound && after.outbound > before.outbound)
    };
    before.len() == sessions && before.iter().all(counts)
}
