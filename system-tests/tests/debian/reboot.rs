//! The system goes down under an open session, and comes back.

use std::net::IpAddr;

use system_tests::{Capture, Down, Flow, Machine, Release, Session, Truth, Visit};

use crate::story::wait_until_counted;

const MOVED: u64 = 500_000;

/// A session that a reboot ended.
pub(crate) struct Over {
    pub(crate) visit: Visit,
    /// What the ledger had of it before.
    counted: Flow,
    down: Down,
}

pub(crate) fn with_a_session_open(
    machine: &mut Machine,
    release: Release,
    capture: Capture,
) -> (Over, Capture) {
    let command = format!("head -c {MOVED} /dev/zero; read line");
    let open = machine.client().visit("alice").open(&[], Some(&command));
    let visit = open.visit.clone();
    let service = machine.installed();
    wait_until_counted(&service, &visit, MOVED);
    let counted = of(&service.ask().sessions(), visit.address).1;
    let down = match release {
        Release::Bookworm => Down::PowerCut,
        Release::Bullseye | Release::Trixie => Down::InOrder,
    };
    let capture = machine.reboot(down, capture);
    let visit = open.kill();
    (
        Over {
            visit,
            counted,
            down,
        },
        capture,
    )
}

impl Over {
    /// What was counted of it is kept, and no more than crossed the wire; takes it
    /// out of what is still to be judged, and tells what became of it.
    pub(crate) fn must_be_kept(&self, truth: &mut Truth, sessions: &mut Vec<Session>) -> String {
        let address = self.visit.address;
        let crossed = truth.from(address).wire;
        truth.connections.retain(|peer, _| peer.ip() != address);
        let (session, kept) = of(sessions, address);
        sessions.retain(|session| session.peer.ip != address);
        assert!(session.closed.is_some(), "{session:?}");
        if self.down == Down::PowerCut {
            assert_eq!(session.reason.as_deref(), Some("reboot"), "{session:?}");
        }
        assert_eq!(session.user, "alice");
        for (counted, kept, crossed) in [
            (self.counted.inbound, kept.inbound, crossed.inbound),
            (self.counted.outbound, kept.outbound, crossed.outbound),
        ] {
            let order = counted <= kept && kept <= crossed;
            assert!(
                order,
                "{:?}, {kept:?}, {crossed:?}: {session:?}",
                self.counted
            );
        }
        format!(
            "{} of {} bytes kept of the session that {:?} ended as {:?}",
            kept.total(),
            crossed.total(),
            self.down,
            session.reason.unwrap_or_default()
        )
    }
}

fn of(sessions: &[Session], address: IpAddr) -> (Session, Flow) {
    let mut found = sessions.iter().filter(|session| session.peer.ip == address);
    let session = found.next().expect("the session is in the ledger").clone();
    assert!(found.next().is_none(), "the session is there twice");
    let flow = Flow {
        inbound: session.wire_in.expect("a figure"),
        outbound: session.wire_out.expect("a figure"),
    };
    (session, flow)
}
