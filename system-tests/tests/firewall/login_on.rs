//! From the login on, what sshmeter says is what a firewall counts: to the byte,
//! also where that is not what crosses the wire.

use std::time::Duration;

use system_tests::{
    Counter, Counts, Daemon, Family, Flow, Machine, Meter, Session, Tolerance, Truth, Visit,
    counts_with, judge,
};

use crate::talk::{Talk, wait_until_still};

/// For a quiet line to be read and to be written down.
const READ: Duration = Duration::from_secs(4);

#[test]
fn as_nftables_counts_it() {
    as_a_firewall_counts_it("as_nftables_counts_it", Meter::Nftables);
}

#[test]
fn as_iptables_counts_it() {
    as_a_firewall_counts_it("as_iptables_counts_it", Meter::IptablesNft);
}

#[test]
fn as_legacy_iptables_counts_it() {
    as_a_firewall_counts_it("as_legacy_iptables_counts_it", Meter::IptablesLegacy);
}

fn as_a_firewall_counts_it(name: &str, meter: Meter) {
    if !counts_with(&format!("firewall::login_on::{name}"), meter) {
        return;
    }
    let builder = Machine::builder().meter(meter);
    let machine = builder.meter_lines("interval = \"1s\"").start();
    let counter = machine.counter();
    let daemon = machine.daemon();

    let capture = machine.capture();
    let small = megabytes_after_the_login(&machine, &daemon, &counter);
    let truth = capture.finish();
    small.must_be_what_was_counted();
    let sessions = &small.after.sessions;
    judge(&small.visits, &truth, sessions, Tolerance::Exact).must_hold(&daemon.words());

    machine.send_large_packets();
    let capture = machine.capture();
    let large = megabytes_after_the_login(&machine, &daemon, &counter);
    let truth = capture.finish();
    large.must_be_what_was_counted();
    large.must_lack_headers(&truth, name);
    let _answer = daemon.stop();
}

/// What was known at one moment, of sshmeter and of the test's own counter.
struct Moment {
    sessions: Vec<Session>,
    counts: Counts,
}

impl Moment {
    fn of(daemon: &Daemon, counter: &Counter) -> Self {
        let counts = wait_until_still(counter);
        std::thread::sleep(READ);
        Self {
            sessions: daemon.ask().sessions(),
            counts,
        }
    }

    fn said(&self, visit: &Visit) -> Flow {
        let mut sessions = self.sessions.iter();
        let session = sessions.find(|one| one.peer.ip == visit.address);
        let session = session.unwrap_or_else(|| panic!("{} is not there", visit.address));
        Flow {
            inbound: session.wire_in.expect("it was counted"),
            outbound: session.wire_out.expect("it was counted"),
        }
    }
}

/// Visits that moved something between two moments, and ended.
struct Passage {
    visits: Vec<Visit>,
    before: Moment,
    after: Moment,
}

fn megabytes_after_the_login(machine: &Machine, daemon: &Daemon, counter: &Counter) -> Passage {
    let mut talks = Vec::new();
    for family in [Family::V4, Family::V6] {
        talks.extend(["alice", "bob"].map(|user| Talk::begin(machine, user, family)));
    }
    for talk in &talks {
        machine.wait_for_rules(talk.visit());
    }
    let before = Moment::of(daemon, counter);
    for _ in 0..2 {
        for talk in &mut talks {
            talk.say(300_000, 1_000_000);
        }
        // Some of it moves while the rules are read.
        std::thread::sleep(Duration::from_millis(500));
    }
    let visits = talks.into_iter().map(Talk::end).collect();
    machine.wait_until_quiet();
    Passage {
        visits,
        before,
        after: Moment::of(daemon, counter),
    }
}

impl Passage {
    fn must_be_what_was_counted(&self) {
        for visit in &self.visits {
            let said = since(self.after.said(visit), self.before.said(visit));
            let counted = |moment: &Moment| moment.counts.from(visit.address);
            let counted = since(counted(&self.after), counted(&self.before));
            assert_eq!(said, counted, "{visit:?}");
            assert!(counted.total() > 2_600_000, "{visit:?} moved {counted:?}");
        }
    }

    /// A download in large packets has fewer headers at a firewall than on the
    /// wire, or the firewall was not asked.
    fn must_lack_headers(&self, truth: &Truth, name: &str) {
        for visit in &self.visits {
            let wire = truth.from(visit.address).wire;
            let said = self.after.said(visit);
            let lacking = wire.outbound.checked_sub(said.outbound);
            let lacking = lacking.expect("it is less than on the wire");
            println!("{name}: {lacking} of {} bytes are headers", wire.outbound);
            assert_eq!(said.inbound, wire.inbound, "{visit:?}");
            assert!(
                lacking * 100 > wire.outbound,
                "{visit:?}: {said:?} {wire:?}"
            );
        }
    }
}

fn since(later: Flow, earlier: Flow) -> Flow {
    Flow {
        inbound: later.inbound - earlier.inbound,
        outbound: later.outbound - earlier.outbound,
    }
}
