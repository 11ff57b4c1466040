//! Compares what sshmeter says with what crossed the wire.

use std::fmt::Write;

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
    /// Seconds that the longest connection took on the wire.
    pub longest: f64,
    /// Connections on the wire.
    pub sessions: usize,
    /// Bytes that crossed the wire and are on no bill.
    pub lost: u64,
    /// Bytes on a bill that never crossed the wire, or are on two.
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
        let found: Vec<&Session> = sessions
            .iter()
            .filter(|session| session.peer.ip == peer.ip() && session.peer.port == peer.port())
            .collect();
        judgement.count(connection, &found);
        match found.as_slice() {
            [session] => judgement.weigh(visit, connection, session, tolerance),
            [] => judgement.fault(visit, connection, "is missing"),
            several => {
                let times = several.len();
                judgement.fault(visit, connection, &format!("is there {times} times"));
            }
        }
    }
    for session in sessions {
        let peer = (session.peer.ip, session.peer.port).into();
        if !truth.connections.contains_key(&peer) {
            judgement.doubled += session.wire_in.unwrap_or(0) + session.wire_out.unwrap_or(0);
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
    /// Adds a connection to the sums of what is wrong.
    fn count(&mut self, connection: &Connection, found: &[&Session]) {
        self.sessions += 1;
        let sum = |figure: fn(&Session) -> Option<u64>| -> u64 {
            found.iter().filter_map(|session| figure(session)).sum()
        };
        for (truth, said) in [
            (connection.wire.inbound, sum(|session| session.wire_in)),
            (connection.wire.outbound, sum(|session| session.wire_out)),
        ] {
            self.lost += truth.saturating_sub(said);
            self.doubled += said.saturating_sub(truth);
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
            Tolerance::Exact | Tolerance::WireWithin(_) => payload == Some(connection.payload),
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
            Tolerance::NothingLost => holds_all(wire, connection.wire),
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

fn holds_all(said: Option<Flow>, truth: Flow) -> bool {
    said.is_some_and(|said| said.inbound >= truth.inbound && said.outbound >= truth.outbound)
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
