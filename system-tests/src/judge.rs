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
    service::Service,
};

/// The name sshmeter gives to connections that never logged in.
pub const NOBODY: &str = "(unauthenticated)";

/// The IP and TCP headers of a segment without payload, with timestamps and a
/// report of what came twice: of IPv4, whose are the crowds.
const LONGEST_HEADER: u64 = 20 + 20 + 12 + 12;

/// How far figures may be off.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Tolerance {
    /// Not at all.
    Exact,
    /// Payload not at all; wire bytes of a connection, both directions
    /// together, by this part of them. Options of single packets that the
    /// kernel does not count make the difference.
    WireWithin(f64),
    /// Payload not at all, and no wire byte may be too many. Of what is said to
    /// end a connection some may be missing: each way at most a header for each
    /// FIN that was sent, whether it was that FIN or the answer to it.
    Farewell,
    /// No byte may be missing. What the kernel counted as sent into an interface
    /// that was gone may be there too.
    NothingLost,
}

/// The outcome of a comparison.
#[derive(Clone, Debug, Default)]
pub struct Judgement {
    /// One line for each fault.
    pub faults: Vec<String>,
    /// The largest part by which a connection's wire bytes were off.
    pub worst: f64,
    /// Seconds that each connection took on the wire.
    pub seconds: Vec<f64>,
    /// Connections on the wire.
    pub sessions: usize,
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
            "{} faults, {self}:\n{}\nthe daemon said:\n{words}",
            self.faults.len(),
            self.faults.join("\n")
        );
    }
}

/// A running sshmeter, however it was started.
pub trait Running {
    /// The commands that ask its ledger.
    fn answer(&self) -> &Answer;
    /// All that it said to people.
    fn said(&self) -> String;
    /// Stops it, which has to end well.
    fn end(self) -> Answer;
}

impl Running for Daemon {
    fn answer(&self) -> &Answer {
        self.ask()
    }

    fn said(&self) -> String {
        self.words()
    }

    fn end(self) -> Answer {
        self.stop()
    }
}

impl Running for Service<'_> {
    fn answer(&self) -> &Answer {
        self.ask()
    }

    fn said(&self) -> String {
        self.words()
    }

    fn end(self) -> Answer {
        self.stop()
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
    daemon: impl Running,
    visits: &[Visit],
    tolerance: Tolerance,
) -> (Answer, Judgement) {
    machine.wait_until_quiet();
    let truth = capture.finish();
    daemon.answer().settle(visits);
    let words = daemon.said();
    let answer = daemon.end();
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
        judgement.seconds.push(seconds);
        let Some(visit) = visits.iter().find(|visit| visit.address == peer.ip()) else {
            judgement
                .faults
                .push(format!("{peer}: the test knows no such visit"));
            continue;
        };
        let found: Vec<&Session> = sessions
            .iter()
            .filter(|session| session.peer.ip == peer.ip() && session.peer.port == peer.port())
            .collect();
        judgement.sessions += 1;
        match found.as_slice() {
            [session] => judgement.weigh(visit, connection, session, tolerance),
            [] => judgement.fault(visit, connection, "is missing"),
            several => {
                let times = several.len();
                judgement.fault(visit, connection, &format!("is there {times} times"));
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

impl std::fmt::Display for Judgement {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            formatter,
            "{} sessions, {} bytes lost, {} bytes doubled",
            self.sessions, self.lost, self.doubled
        )
    }
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
        let payload_holds = match tolerance {
            Tolerance::NothingLost => holds_all(payload, connection.payload),
            Tolerance::Exact | Tolerance::WireWithin(_) | Tolerance::Farewell => {
                payload == Some(connection.payload)
            }
        };
        if !payload_holds {
            let _ = write!(faults, " payload {}", beside(payload, connection.payload));
        }
        let wire = flow(session.wire_in, session.wire_out);
        let off = wire.map_or(f64::INFINITY, |wire| part_off(wire, connection.wire));
        self.worst = self.worst.max(off);
        let wire_holds = match tolerance {
            Tolerance::Exact => wire == Some(connection.wire),
            Tolerance::WireWithin(part) => off <= part,
            Tolerance::Farewell => {
                let farewells = connection.farewells.total() * LONGEST_HEADER;
                lacks_at_most(farewells, wire, connection.wire)
            }
            Tolerance::NothingLost => holds_all(wire, connection.wire),
        };
        if !wire_holds {
            let _ = write!(faults, " wire {}", beside(wire, connection.wire));
        }
        if !faults.is_empty() {
            let _ = write!(
                faults,
                " (FIN {:?}, RST {}, repeated {:?}, SACK {:?})",
                connection.farewells, connection.reset, connection.repeated, connection.selective
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

fn holds_all(said: Option<Flow>, truth: Flow) -> bool {
    said.is_some_and(|said| said.inbound >= truth.inbound && said.outbound >= truth.outbound)
}

/// Whether no more than so many bytes are missing each way, and none is too many.
fn lacks_at_most(bytes: u64, said: Option<Flow>, truth: Flow) -> bool {
    let holds = |said: u64, truth: u64| truth.checked_sub(said).is_some_and(|it| it <= bytes);
    said.is_some_and(|said| {
        holds(said.inbound, truth.inbound) && holds(said.outbound, truth.outbound)
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
