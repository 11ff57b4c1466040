//! Sessions that a firewall's rules count, each rule of it as a short story.

use std::time::Duration;

use jiff::Timestamp;

use super::{Counted, Moment, Table, UNSEEN, Witness};
use crate::{
    identity::{BootId, Endpoint, Pid, SocketCookie, UserName},
    ledger::SessionRecord,
    meter::{Socket, TcpSample},
    rule::RuleReading,
    sshd::{Event, Sender, What},
    units::Flow,
};

/// The socket's bytes of headers inwards: one segment, the SYN, with an MSS for
/// its only option.
const HEADERS: u64 = 44;

fn at(seconds: i64) -> Moment {
    Moment {
        wall: Timestamp::from_second(1_795_368_000 + seconds).unwrap(),
        monotonic: Duration::from_secs(1000 + seconds.unsigned_abs()),
    }
}

fn peer() -> Endpoint {
    Endpoint::new([192, 0, 2, 7].into(), 4000)
}

fn flow(bytes: u64) -> Flow {
    Flow {
        inbound: bytes,
        outbound: bytes,
    }
}

/// A socket that moved so much payload, and what its rule has counted.
fn socket(cookie: u64, payload: u64, rule: Option<u64>) -> Socket {
    Socket {
        cookie: SocketCookie(cookie),
        local: Endpoint::new([192, 0, 2, 1].into(), 22),
        peer: peer(),
        inode: None,
        rule: rule.map(|bytes| Box::new(RuleReading::last(flow(bytes)))),
        sample: TcpSample {
            // CLOSE_WAIT: the client's FIN is counted, and no byte is in doubt.
            state: 8,
            bytes_acked: Some(payload),
            bytes_received: Some(payload + 1),
            segments_out: Some(1),
            segments_in: Some(1),
            bytes_sent: Some(payload),
            bytes_retransmitted: Some(0),
            ..TcpSample::default()
        },
    }
}

/// A table in which alice is connected, and has moved 100 bytes.
fn table() -> Table {
    let boot = BootId("this-boot".into());
    let (mut table, _) = Table::resume(boot, Timestamp::UNIX_EPOCH, Vec::new(), None, at(0));
    table.dump(&[socket(1, 100, None)], at(1));
    let login = Event {
        time: Some(at(1).wall),
        pid: Some(Pid(4711)),
        sender: Sender::Kernel { uid: 0, exe: None },
        what: What::Accepted {
            user: UserName::new("alice"),
            method: "password".into(),
            peer: Some(peer()),
            credential: None,
        },
    };
    table.hear(&login, Witness::Silent, at(1));
    table
}

fn commit(table: &mut Table) -> Vec<SessionRecord> {
    let batch = table.take_batch().unwrap_or_default();
    table.committed();
    batch.sessions
}

/// What has crossed the wire inwards, by the ledger.
fn wire(table: &mut Table) -> u64 {
    let record = commit(table).remove(0);
    assert_eq!(record.reading.0, record.total);
    record.total.wire.unwrap().inbound
}

#[test]
fn who_is_named_is_counted_until_the_end() {
    let mut table = table();
    let alice = Counted {
        peer: peer(),
        pid: Some(Pid(4711)),
        user: UserName::new("alice"),
    };
    assert_eq!(table.counted(), Some(vec![alice]));
    assert_eq!(table.counted(), None, "nothing has changed");
    table.ended(&socket(1, 100, None), at(5));
    assert_eq!(table.counted(), Some(Vec::new()));
}

#[test]
fn who_has_no_name_is_not() {
    let boot = BootId("this-boot".into());
    let (mut table, _) = Table::resume(boot, Timestamp::UNIX_EPOCH, Vec::new(), None, at(0));
    table.dump(&[socket(1, 100, None)], at(1));
    assert_eq!(table.counted(), Some(Vec::new()));
}

#[test]
fn what_came_before_the_rule_is_the_sockets_and_what_follows_the_rules() {
    let mut table = table();
    table.dump(&[socket(1, 150, Some(20))], at(2));
    assert_eq!(wire(&mut table), 150 + HEADERS);
    // The firewall saw 5000 bytes in fewer packets than the card sent.
    table.dump(&[socket(1, 5150, Some(5072))], at(3));
    assert_eq!(wire(&mut table), 150 + HEADERS + 5052);
    table.ended(&socket(1, 5150, Some(5124)), at(4));
    assert_eq!(wire(&mut table), 150 + HEADERS + 5104);
    assert_eq!(table.take_bridged(), 0);
}

#[test]
fn a_rule_taken_away_and_put_back_leaves_no_gap() {
    let mut table = table();
    table.dump(&[socket(1, 150, Some(20))], at(2));
    table.dump(&[socket(1, 300, None)], at(3));
    assert_eq!(table.take_bridged(), 1);
    table.dump(&[socket(1, 400, Some(10))], at(4));
    table.dump(&[socket(1, 500, Some(110))], at(5));
    assert_eq!(wire(&mut table), 500 + HEADERS);
    assert_eq!(table.take_bridged(), 0);
}

#[test]
fn after_a_restart_the_rule_is_gone_on_from() {
    let mut before = table();
    before.dump(&[socket(1, 150, Some(20))], at(2));
    let saved = commit(&mut before);
    for (rule, expected) in [(Some(1072), 1052), (Some(7), 1000), (None, 1000)] {
        let boot = BootId("this-boot".into());
        let saved = saved.clone();
        let (mut table, _) = Table::resume(boot, Timestamp::UNIX_EPOCH, saved, None, at(60));
        table.dump(&[socket(1, 1150, rule)], at(60));
        assert_eq!(wire(&mut table), 150 + HEADERS + expected, "{rule:?}");
    }
}

#[test]
fn an_end_nobody_saw_counts_all_that_its_rule_saw() {
    let mut table = table();
    table.dump(&[socket(1, 150, Some(20))], at(2));
    table.dump(&[], at(3));
    table.dump(&[], at(6));
    table.rule_removed(peer(), flow(920));
    let record = commit(&mut table).remove(0);
    assert_eq!(record.closed.unwrap().reason, UNSEEN);
    assert_eq!(record.total.wire.unwrap().inbound, 150 + HEADERS + 900);
    assert_eq!(record.total.payload.unwrap().inbound, 150);
    // The kernel's word comes after all: nothing counts twice.
    table.ended(&socket(1, 1000, None), at(9));
    assert_eq!(wire(&mut table), 150 + HEADERS + 900);
    table.rule_removed(peer(), flow(920));
    assert!(commit(&mut table).is_empty());
}

#[test]
fn a_rule_that_counted_for_two_connections_is_believed_of_neither() {
    let mut table = table();
    table.dump(&[socket(1, 150, Some(20))], at(2));
    // Another connection from the same address and port, to another of our ports.
    let mut other = socket(2, 400, None);
    other.local = Endpoint::new([192, 0, 2, 1].into(), 2222);
    table.dump(&[socket(1, 160, None), other.clone()], at(3));
    assert_eq!(table.counted(), Some(Vec::new()), "they share a rule");
    other.sample.state = 7;
    table.ended(&other, at(4));
    assert_eq!(table.counted().map(|counted| counted.len()), Some(1));
    table.ended(&socket(1, 200, Some(620)), at(5));
    let mut sums: Vec<u64> = commit(&mut table)
        .into_iter()
        .map(|record| record.total.wire.unwrap().inbound)
        .collect();
    sums.sort_unstable();
    assert_eq!(sums, [200 + HEADERS, 401 + HEADERS]);
}

/// Packets that pass only outwards make a rule's two looks differ, and say nothing
/// against the newest byte.
#[test]
fn the_newest_byte_counts_beside_a_busy_rule_once_its_socket_is_quiet() {
    let mut table = table();
    for (is_quiet, received, counted) in [(false, 201, 200), (true, 301, 301)] {
        let mut open = socket(1, received - 1, Some(20));
        // ESTABLISHED: the newest byte received may be a FIN.
        open.sample.state = 1;
        let rule = open.rule.as_mut().unwrap();
        rule.after = flow(90);
        rule.is_quiet = is_quiet;
        table.dump(&[open], at(2));
        let record = commit(&mut table).remove(0);
        assert_eq!(record.total.payload.unwrap().inbound, counted);
    }
}
