//! Compares what sshmeter says with what crossed the wire.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    net::SocketAddr,
};

use crate::{
    capture::{Capture, Truth},
    client::Visit,
    daemon::{Answer, Daemon, Session},
    machine::Machine,
    packets::{Connection, Flow},
};

/// The name sshmeter gives to connections that never logged in.
pub const NOBODY: &str = "(unauthenticated)";

/// How far figures may be off.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Tolerance {
    /// Not at all.
    Exact,
    /// Payload not at all; wire bytes of a connection, both directions
    /// together, by this part of them. Options of single packets that the
    /// kernel does not count make the difference.
    WireWithin(f64),
}

/// The outcome of a comparison.
#[derive(Clone, Debug, Default)]
pub struct Judgement {
    /// One line for each fault.
    pub faults: Vec<String>,
    /// The largest part by which a connection's wire bytes were off.
    pub worst: f64,
    /// Seconds that the longest connection took on the wire.
    pub longest: f64,
    /// Wire bytes that crossed and are in no session.
    pub lost: u64,
    /// Wire bytes that sessions hold and that did not cross, or are held by
    /// another session too.
    pub doubled: u64,
}

impl Judgement {
    /// Panics with all faults and what the daemon said, if there are any.
    ///
    /// # Panics
    /// When there is a fault.
    pub fn must_hold(&self, words: &str) {
        assert!(
            self.faults.is_empty(),
            "{} faults:\n{}\nthe daemon said:\n{words}",
            self.faults.len(),
            self.faults.join("\n")
        );
    }
}

/// Waits for the end of all visits, stops the daemon, and holds its sessions
/// against the capture.
///
/// # Panics
/// With every fault there is.
pub fn must_agree(
    machine: &Machine,
    capture: Capture,
    daemon: Daemon,
    visits: &[Visit],
    tolerance: Tolerance,
) -> (Answer, Judgement) {
    machine.wait_until_quiet();
    let truth = capture.finish();
    daemon.settle(visits);
    let words = daemon.words();
    let answer = daemon.stop();
    let judgement = judge(visits, &truth, &answer.sessions(), tolerance);
    judgement.must_hold(&words);
    (answer, judgement)
}

/// Holds every visit against the capture and sshmeter's sessions: there once,
/// named right, counted right, and nothing else there.
#[must_use]
pub fn judge(
    visits: &[Visit],
    truth: &Truth,
    sessions: &[Session],
    tolerance: Tolerance,
) -> Judgement {
    let mut judgement = Judgement::default();
    for connection in truth.connections.values() {
        let peer = connection.peer;
        let seconds = connection.end - connection.begin;
        judgement.longest = judgement.longest.max(seconds);
        let Some(visit) = visits.iter().find(|visit| visit.address == peer.ip()) else {
            judgement
                .faults
                .push(format!("{peer}: the test knows no such visit"));
            continue;
        };
        let mut found = sessions
            .iter()
            .filter(|session| session.peer.ip == peer.ip() && session.peer.port == peer.port());
        match (found.next(), found.count()) {
            (Some(session), 0) => judgement.weigh(visit, connection, session, tolerance),
            (None, _) => judgement.fault(visit, connection, "is missing"),
            (Some(_), more) => {
                judgement.fault(visit, connection, &format!("is there {} times", more + 1));
            }
        }
    }
    judgement.balance(truth, sessions);
    for session in sessions {
        let peer = (session.peer.ip, session.peer.port).into();
        if !truth.connections.contains_key(&peer) {
            judgement
                .faults
                .push(format!("{peer} never crossed the wire"));
        }
    }
    for visit in visits {
        if truth.all_from(visit.address).next().is_none() {
            let Visit { address, what, .. } = visit;
            judgement
                .faults
                .push(format!("{address} ({what}) never connected"));
        }
    }
    judgement
}

impl Judgement {
    /// Adds up what is too little and too much, each direction by itself so
    /// that one does not hide the other.
    fn balance(&mut self, truth: &Truth, sessions: &[Session]) {
        let mut said: BTreeMap<SocketAddr, Flow> = BTreeMap::new();
        for session in sessions {
            let sum = said.entry((session.peer.ip, session.peer.port).into());
            *sum.or_default() += flow(session.wire_in, session.wire_out).unwrap_or_default();
        }
        let peers: BTreeSet<_> = truth.connections.keys().chain(said.keys()).collect();
        for peer in peers {
            let crossed = truth
                .connections
                .get(peer)
                .map(|connection| connection.wire);
            let crossed = crossed.unwrap_or_default();
            let said = said.get(peer).copied().unwrap_or_default();
            self.lost += crossed.inbound.saturating_sub(said.inbound)
                + crossed.outbound.saturating_sub(said.outbound);
            self.doubled += said.inbound.saturating_sub(crossed.inbound)
                + said.outbound.saturating_sub(crossed.outbound);
        }
    }

    fn fault(&mut self, visit: &Visit, connection: &Connection, fault: &str) {
        let user = visit.user.as_deref().unwrap_or(NOBODY);
        self.faults.push(format!(
            "{} {user:?} ({}) {fault}",
            connection.peer, visit.what
        ));
    }

    fn weigh(
        &mut self,
        visit: &Visit,
        connection: &Connection,
        session: &Session,
        tolerance: Tolerance,
    ) {
        let expected = visit.user.as_deref().unwrap_or(NOBODY);
        let mut faults = String::new();
        if session.user != expected {
            let _ = write!(faults, " is billed to {:?};", session.user);
        }
        let payload = flow(session.payload_in, session.payload_out);
        if payload != Some(connection.payload) {
            let _ = write!(faults, " payload {}", beside(payload, connection.payload));
        }
        let wire = flow(session.wire_in, session.wire_out);
        let off = wire.map_or(f64::INFINITY, |wire| part_off(wire, connection.wire));
        self.worst = self.worst.max(off);
        let wire_holds = match tolerance {
            Tolerance::Exact => wire == Some(connection.wire),
            Tolerance::WireWithin(part) => off <= part,
        };
        if !wire_holds {
            let _ = write!(faults, " wire {}", beside(wire, connection.wire));
        }
        if !faults.is_empty() {
            let _ = write!(
                faults,
                " (FIN {:?}, RST {}, repeated {:?}, SACK {:?})",
                connection.finished, connection.reset, connection.repeated, connection.selective
            );
            self.fault(visit, connection, faults.trim());
        }
    }
}

fn flow(inbound: Option<u64>, outbound: Option<u64>) -> Option<Flow> {
    Some(Flow {
        inbound: inbound?,
        outbound: outbound?,
    })
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a part of a test's few megabytes"
)]
fn part_off(said: Flow, truth: Flow) -> f64 {
    let off = said.inbound.abs_diff(truth.inbound) + said.outbound.abs_diff(truth.outbound);
    off as f64 / truth.total() as f64
}

fn beside(said: Option<Flow>, truth: Flow) -> String {
    let Some(said) = said else {
        return format!("is unknown instead of {truth:?};");
    };
    let difference = |said: u64, truth: u64| i128::from(said) - i128::from(truth);
    format!(
        "in {} ({:+}), out {} ({:+});",
        said.inbound,
        difference(said.inbound, truth.inbound),
        said.outbound,
        difference(said.outbound, truth.outbound)
    )
}
