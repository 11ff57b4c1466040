//! The table's rules, each as a short story; and, for all orders of events,
//! what must never break.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

use super::{Moment, Owner, Refusal, Table, UNSEEN, Witness};
use crate::{
    identity::{BootId, Credential, Endpoint, Pid, SocketCookie, UserName},
    ledger::{Batch, Checkpoint, SessionRecord},
    meter::{Remains, Socket, TcpSample},
    note::Note,
    rule::RuleReading,
    sshd::{Event, History, Sender, What},
    units::{Flow, Minute, Traffic},
};

const BOOTED: Timestamp = Timestamp::UNIX_EPOCH;

fn at(seconds: i64) -> Moment {
    let wall = Timestamp::from_second(1_795_368_000 + seconds).unwrap();
    Moment {
        wall,
        monotonic: Duration::from_secs(1000 + seconds.unsigned_abs()),
    }
}

fn boot() -> BootId {
    BootId("this-boot".into())
}

fn peer(port: u16) -> Endpoint {
    Endpoint::new([192, 0, 2, 7].into(), port)
}

fn socket(cookie: u64, port: u16, bytes: u64) -> Socket {
    Socket {
        cookie: SocketCookie(cookie),
        local: Endpoint::new([192, 0, 2, 1].into(), 22),
        peer: peer(port),
        inode: Some(u32::try_from(cookie).unwrap() + 500),
        rule: None,
        sample: TcpSample {
            // CLOSE_WAIT: the client's FIN is counted, and no byte is in doubt.
            state: 8,
            bytes_acked: Some(bytes),
            bytes_received: Some(bytes + 1),
            segments_out: Some(1),
            segments_in: Some(1),
            bytes_sent: Some(bytes),
            bytes_retransmitted: Some(0),
            ..TcpSample::default()
        },
    }
}

fn both_ways(bytes: u64) -> Flow {
    Flow {
        inbound: bytes,
        outbound: bytes,
    }
}

fn table() -> Table {
    Table::resume(boot(), BOOTED, Vec::new(), None, at(0)).0
}

/// A login, by the journal's word.
fn accepted(user: &str, port: u16, seconds: i64) -> Event {
    Event {
        time: Some(at(seconds).wall),
        pid: Some(Pid(4711)),
        sender: Sender::Kernel { uid: 0, exe: None },
        what: What::Accepted {
            user: UserName::new(user),
            method: "publickey".into(),
            peer: Some(peer(port)),
            credential: Some(Credential::new("SHA256:key")),
        },
    }
}

fn disconnected(port: u16, reason: &str, seconds: i64) -> Event {
    Event {
        time: Some(at(seconds).wall),
        pid: Some(Pid(4713)),
        sender: Sender::Claimed,
        what: What::Disconnected {
            user: None,
            peer: Some(peer(port)),
            reason: reason.into(),
            before_login: false,
        },
    }
}

fn place(offset: u64) -> Checkpoint {
    Checkpoint::File {
        path: "log".into(),
        device: 1,
        inode: 2,
        offset,
        first_line_crc: None,
    }
}

/// Commits everything and gives the sessions as the ledger then has them.
fn commit(table: &mut Table) -> Vec<SessionRecord> {
    let batch = table.take_batch().unwrap_or_default();
    table.committed();
    batch.sessions
}

fn names(table: &mut Table) -> Vec<Option<String>> {
    let name = |record: SessionRecord| record.login.map(|login| login.user.as_str().to_owned());
    commit(table).into_iter().map(name).collect()
}

fn named(user: &str) -> Vec<Option<String>> {
    vec![Some(user.to_owned())]
}

#[test]
fn a_connection_that_came_while_a_list_was_read_is_not_taken_for_younger() {
    let mut table = table();
    table.asked_for_a_dump(at(10));
    // It came at 11, logged in, and went; the list was taken long after it was made.
    table.dump(&[], at(14));
    table.ended(&socket(1, 40_000, 100), at(15));
    table.hear(&accepted("alice", 40_000, 11), Witness::Silent, at(15));
    table.dump(&[], at(16));
    let record = table.take_batch().unwrap().sessions.remove(0);
    assert_eq!(record.login.unwrap().user.as_str(), "alice");
}

#[test]
fn a_login_names_the_connection_from_its_peer() {
    let mut table = table();
    table.dump(&[socket(1, 4000, 100)], at(10));
    table.hear(&accepted("alice", 4000, 10), Witness::Silent, at(11));
    let record = commit(&mut table).remove(0);
    let login = record.login.expect("alice logged in");
    assert_eq!(login.user.as_str(), "alice");
    assert_eq!(login.credential, Some(Credential::new("SHA256:key")));
    assert_eq!(record.pid, Some(Pid(4711)));
}

#[test]
fn a_login_heard_before_its_connection_is_seen_waits_for_it() {
    let mut table = table();
    table.hear(&accepted("alice", 4000, 3), Witness::Silent, at(3));
    assert_eq!(table.awaited().collect::<Vec<_>>(), [peer(4000)]);
    table.dump(&[socket(1, 4000, 100)], at(10));
    assert_eq!(names(&mut table), named("alice"));
}

#[test]
fn a_connection_that_ended_before_its_line_came_is_still_named() {
    let mut table = table();
    table.ended(&socket(1, 4000, 100), at(5));
    assert_eq!(names(&mut table), [None]);
    table.hear(&accepted("alice", 4000, 4), Witness::Silent, at(9));
    table.dump(&[], at(10));
    assert_eq!(names(&mut table), named("alice"));
}

#[test]
fn the_first_name_wins_and_a_contradiction_is_refused() {
    let mut table = table();
    table.dump(&[socket(1, 4000, 100)], at(10));
    table.hear(&accepted("alice", 4000, 10), Witness::Silent, at(11));
    table.hear(&accepted("mallory", 4000, 12), Witness::Silent, at(12));
    assert_eq!(names(&mut table), named("alice"));
    assert!(matches!(
        table.take_refusals()[..],
        [Refusal::Contradiction { .. }]
    ));
}

#[test]
fn a_line_of_a_process_that_is_not_sshd_s_is_refused() {
    let mut table = table();
    table.dump(&[socket(1, 4000, 100)], at(10));
    table.hear(&accepted("mallory", 4000, 10), Witness::Stranger, at(11));
    assert_eq!(names(&mut table), [None]);
    assert!(matches!(
        table.take_refusals()[..],
        [Refusal::Stranger { .. }]
    ));
}

#[test]
fn a_line_of_another_connection_s_sshd_is_refused() {
    let mut table = table();
    let sockets = [socket(1, 4000, 100), socket(2, 4001, 100)];
    table.dump(&sockets, at(10));
    table.hear(
        &accepted("mallory", 4001, 10),
        Witness::Holds(vec![501]),
        at(11),
    );
    table.dump(&sockets, at(12));
    assert_eq!(names(&mut table), [None, None]);
    assert!(matches!(
        table.take_refusals()[..],
        [Refusal::Elsewhere { .. }]
    ));
}

#[test]
fn an_sshd_that_has_just_closed_its_connection_is_no_stranger_to_it() {
    let mut table = table();
    table.dump(&[socket(1, 4000, 100)], at(10));
    table.hear(
        &accepted("alice", 4000, 10),
        Witness::Holds(vec![77]),
        at(11),
    );
    table.ended(&socket(1, 4000, 150), at(11));
    table.dump(&[], at(12));
    assert_eq!(names(&mut table), named("alice"));
    assert_eq!(table.take_refusals(), []);
}

#[test]
fn a_connection_first_seen_at_its_end_has_no_inode_to_deny_its_line() {
    let mut table = table();
    table.hear(
        &accepted("alice", 4000, 3),
        Witness::Holds(vec![501]),
        at(3),
    );
    table.ended(
        &Socket {
            inode: None,
            ..socket(1, 4000, 100)
        },
        at(4),
    );
    table.dump(&[], at(5));
    assert_eq!(names(&mut table), named("alice"));
    assert_eq!(table.take_refusals(), []);
}

#[test]
fn pam_s_line_without_an_address_names_what_its_process_holds() {
    let mut table = table();
    table.dump(&[socket(1, 4000, 100), socket(2, 4001, 100)], at(10));
    let opened = Event {
        what: What::Opened {
            user: UserName::new("two words"),
        },
        ..accepted("two words", 4001, 10)
    };
    table.hear(&opened, Witness::Holds(vec![502]), at(11));
    assert_eq!(names(&mut table), [None, Some("two words".into())]);
}

#[test]
fn pam_s_line_waits_for_the_connection_its_process_holds() {
    let mut table = table();
    let opened = Event {
        what: What::Opened {
            user: UserName::new("two words"),
        },
        ..accepted("two words", 4001, 10)
    };
    table.hear(&opened, Witness::Holds(vec![502]), at(11));
    assert!(table.awaits_a_dump());
    table.dump(&[socket(1, 4000, 100), socket(2, 4001, 100)], at(12));
    assert_eq!(names(&mut table), [None, Some("two words".into())]);
}

#[test]
fn an_address_used_again_belongs_to_whoever_logged_in_at_the_time() {
    let mut table = table();
    table.dump(&[socket(1, 4000, 100)], at(10));
    table.ended(&socket(1, 4000, 200), at(15));
    table.dump(&[], at(20));
    table.dump(&[socket(2, 4000, 50)], at(30));
    table.hear(&accepted("bob", 4000, 25), Witness::Silent, at(31));
    table.hear(&accepted("alice", 4000, 8), Witness::Silent, at(32));
    table.dump(&[socket(2, 4000, 50)], at(33));
    assert_eq!(
        names(&mut table),
        [Some("alice".into()), Some("bob".into())]
    );
    assert_eq!(table.take_refusals(), []);
}

#[test]
fn an_old_line_does_not_name_a_new_connection() {
    let mut table = table();
    table.dump(&[], at(10));
    table.dump(&[socket(1, 4000, 100)], at(20));
    table.hear(&accepted("bob", 4000, 2), Witness::Silent, at(21));
    assert_eq!(names(&mut table), [None]);
}

#[test]
fn the_kernel_ends_a_session_and_the_log_says_why() {
    let mut table = table();
    table.dump(&[socket(1, 4000, 100), socket(2, 4001, 100)], at(10));
    table.hear(
        &disconnected(4000, "disconnected by user", 12),
        Witness::Silent,
        at(12),
    );
    table.ended(&socket(1, 4000, 150), at(13));
    table.ended(&socket(2, 4001, 150), at(13));
    table.hear(&disconnected(4001, "timeout", 13), Witness::Silent, at(14));
    let reasons: Vec<String> = commit(&mut table)
        .into_iter()
        .filter_map(|it| Some(it.closed?.reason))
        .collect();
    assert_eq!(reasons, ["disconnected by user", "timeout"]);
}

#[test]
fn the_log_alone_ends_nothing() {
    let mut table = table();
    table.dump(&[socket(1, 4000, 100)], at(10));
    table.hear(
        &disconnected(4000, "disconnected by user", 12),
        Witness::Silent,
        at(12),
    );
    assert!(commit(&mut table).remove(0).closed.is_none());
}

#[test]
fn an_end_nobody_saw_is_told_as_such_and_mended_when_the_kernel_s_word_comes() {
    let mut table = table();
    table.dump(&[socket(1, 4000, 100)], at(10));
    table.dump(&[], at(11));
    assert!(
        commit(&mut table).remove(0).closed.is_none(),
        "its word may be on the way"
    );
    table.dump(&[], at(20));
    assert_eq!(
        commit(&mut table).remove(0).closed.unwrap().reason,
        "unseen"
    );
    table.ended(&socket(1, 4000, 130), at(21));
    let record = commit(&mut table).remove(0);
    assert_eq!(record.closed.unwrap().reason, "closed");
    assert_eq!(
        record.total.payload,
        Some(Flow {
            inbound: 130,
            outbound: 130
        })
    );
}

#[test]
fn an_end_nobody_saw_is_known_for_good_so_that_a_late_word_counts_nothing_twice() {
    let mut table = table();
    table.dump(&[socket(1, 4000, 100)], at(10));
    table.dump(&[], at(20));
    table.dump(&[], at(30));
    commit(&mut table);
    // A process that hangs holds a socket that no dump shows any more.
    for minutes in 1..30 {
        table.dump(&[], at(30 + minutes * 60));
    }
    table.ended(&socket(1, 4000, 130), at(4000));
    assert_eq!(sum(&table.take_batch().unwrap()).inbound, 30);
}

#[test]
fn an_address_used_again_at_once_is_not_the_one_before_s() {
    let mut table = table();
    table.dump(&[socket(1, 4000, 100)], at(10));
    table.hear(&accepted("alice", 4000, 10), Witness::Silent, at(10));
    table.ended(&socket(1, 4000, 200), at(15));
    table.hear(&accepted("bob", 4000, 16), Witness::Silent, at(16));
    table.dump(&[socket(2, 4000, 50)], at(17));
    assert_eq!(
        names(&mut table),
        [Some("alice".into()), Some("bob".into())]
    );
    assert_eq!(table.take_refusals(), []);
}

#[test]
fn a_nameless_end_does_not_take_the_next_one_s_name() {
    let mut table = table();
    table.dump(&[socket(1, 4000, 100)], at(10));
    table.ended(&socket(1, 4000, 200), at(15));
    table.hear(&accepted("bob", 4000, 16), Witness::Silent, at(16));
    table.dump(&[socket(2, 4000, 50)], at(17));
    assert_eq!(names(&mut table), [None, Some("bob".into())]);
}

#[test]
fn a_clock_set_back_denies_no_name() {
    let back = |seconds: i64| Moment {
        wall: at(seconds - 3600).wall,
        ..at(seconds)
    };
    let mut table = table();
    table.dump(&[], at(10));
    table.dump(&[socket(1, 4000, 100)], at(20));
    table.hear(
        &accepted("alice", 4000, 25 - 3600),
        Witness::Silent,
        back(25),
    );
    table.dump(&[socket(1, 4000, 100), socket(2, 4001, 9)], back(30));
    table.hear(&accepted("bob", 4001, 26 - 3600), Witness::Silent, back(31));
    assert_eq!(
        names(&mut table),
        [Some("alice".into()), Some("bob".into())]
    );
}

#[test]
fn a_line_from_before_the_clock_was_set_back_still_names_its_connection() {
    let back = |seconds: i64| Moment {
        wall: at(seconds - 3600).wall,
        ..at(seconds)
    };
    let mut table = table();
    table.dump(&[], at(10));
    table.ended(&socket(1, 4000, 100), back(15));
    table.hear(&accepted("alice", 4000, 14), Witness::Silent, back(15));
    table.dump(&[], back(16));
    assert_eq!(names(&mut table), [Some("alice".into())]);
}

#[test]
fn a_line_on_its_way_while_the_clock_is_stepped_still_names_its_connection() {
    for hour in [-3600, 3600] {
        let stepped = |seconds: i64| Moment {
            wall: at(seconds + hour).wall,
            ..at(seconds)
        };
        for dated in [14, 16 + hour] {
            let mut table = table();
            table.dump(&[], at(10));
            table.ended(&socket(1, 4000, 1000), at(15));
            table.hear(
                &accepted("alice", 4000, dated),
                Witness::Silent,
                stepped(16),
            );
            table.dump(&[], stepped(17));
            assert_eq!(
                names(&mut table),
                [Some("alice".into())],
                "{hour} s, a line of second {dated}"
            );
        }
    }
}

#[test]
fn a_line_that_waits_while_the_clock_is_stepped_still_names_its_connection() {
    for hour in [-3600, 3600] {
        let stepped = |seconds: i64| Moment {
            wall: at(seconds + hour).wall,
            ..at(seconds)
        };
        let mut table = table();
        table.dump(&[], at(10));
        table.hear(&accepted("alice", 4000, 14), Witness::Silent, at(14));
        table.ended(&socket(1, 4000, 1000), stepped(15));
        table.dump(&[], stepped(16));
        assert_eq!(names(&mut table), [Some("alice".into())], "{hour} s");
    }
}

#[test]
fn bytes_up_to_a_minute_s_end_belong_to_that_minute() {
    let mut table = table();
    table.dump(&[socket(1, 4000, 100)], at(50));
    commit(&mut table);
    // 1,795,368,000 is a whole minute: second 60 is the next one's first.
    table.dump(&[socket(1, 4000, 300)], at(60));
    table.dump(&[socket(1, 4000, 700)], at(70));
    let batch = table.take_batch().unwrap();
    let minute = Minute::of(at(0).wall);
    let moved: Vec<(Minute, u64)> = batch
        .entries
        .iter()
        .map(|entry| (entry.minute, entry.traffic.payload.unwrap().inbound))
        .collect();
    assert_eq!(moved, [(minute, 200), (minute.next(), 400)]);
}

#[test]
fn a_restart_goes_on_at_the_last_committed_reading() {
    let mut before = table();
    before.dump(&[socket(1, 4000, 100)], at(10));
    before.hear(&accepted("alice", 4000, 10), Witness::Silent, at(11));
    let saved = commit(&mut before);
    let (mut after, ends) = Table::resume(boot(), BOOTED, saved, None, at(100));
    assert!(ends.is_empty());
    after.dump(&[socket(1, 4000, 175)], at(101));
    let batch = after.take_batch().unwrap();
    assert_eq!(
        batch.entries[0].traffic.payload,
        Some(Flow {
            inbound: 75,
            outbound: 75
        })
    );
    assert_eq!(
        batch.sessions[0].total.payload,
        Some(Flow {
            inbound: 175,
            outbound: 175
        })
    );
    assert_eq!(
        batch.sessions[0].login.as_ref().unwrap().user.as_str(),
        "alice"
    );
}

/// A table that was started at second 100 and has taken a dump then.
fn restarted(saved: Vec<SessionRecord>) -> Table {
    let mut table = Table::resume(boot(), BOOTED, saved, None, at(100)).0;
    table.dump(&[], at(100));
    table
}

fn ended_meanwhile(table: &mut Table, sockets: &[Socket]) {
    for socket in sockets {
        table.ended_meanwhile(socket, at(100).wall, at(100));
    }
}

#[test]
fn an_end_that_is_in_the_ledger_adds_nothing_when_it_is_heard_again() {
    let mut before = table();
    before.ended(&socket(1, 4000, 100), at(10));
    let saved = commit(&mut before);
    let mut after = restarted(saved);
    ended_meanwhile(&mut after, &[socket(1, 4000, 90), socket(1, 4000, 100)]);
    assert!(after.take_batch().is_none());
}

#[test]
fn a_late_end_is_dated_by_the_log_and_else_by_when_it_was_heard() {
    let mut before = table();
    before.dump(&[socket(1, 4000, 100), socket(2, 4001, 100)], at(10));
    before.hear(&accepted("alice", 4000, 10), Witness::Silent, at(11));
    let saved = commit(&mut before);
    let mut after = restarted(saved);
    ended_meanwhile(&mut after, &[socket(1, 4000, 150), socket(2, 4001, 160)]);
    let line = disconnected(4000, "disconnected by user", 50);
    after.hear(&line, Witness::Silent, at(101));
    let ends = commit(&mut after).into_iter().map(|it| it.closed.unwrap());
    let ends: Vec<_> = ends.map(|end| (end.at, end.reason)).collect();
    let expected = [
        (at(50).wall, "disconnected by user".to_owned()),
        (at(100).wall, "closed".to_owned()),
    ];
    assert_eq!(ends, expected);
}

/// All that the log says of one address while no daemon runs, in every way that
/// a log may leave out ends: whom the connections are named after, in order.
fn named_after(lines: &[Event]) -> Vec<Option<String>> {
    let mut after = restarted(Vec::new());
    // Cookies tell no order.
    let sockets = [9, 3, 7].map(|cookie| socket(cookie, 4000, cookie));
    ended_meanwhile(&mut after, &sockets);
    for line in lines {
        after.hear(line, Witness::Silent, at(101));
    }
    after.dump(&[], at(102));
    assert_eq!(after.take_refusals(), []);
    let records = commit(&mut after);
    let name = |record: &SessionRecord| Some(record.login.as_ref()?.user.as_str().to_owned());
    let of = |cookie| records.iter().find(|it| it.id.cookie == cookie);
    let named = sockets.map(|socket| of(socket.cookie).and_then(name));
    named.into()
}

#[test]
fn one_address_used_by_many_while_no_daemon_ran_is_each_one_s_in_turn() {
    // Long before the start, just before it, and all in one second.
    for (begin, step) in [(10, 20), (94, 2), (99, 0)] {
        let login = |user, turn: i64| accepted(user, 4000, begin + turn * step);
        let end = |turn: i64| disconnected(4000, "gone", begin + turn * step);
        let some = |user: &str| Some(user.to_owned());
        let each = [some("alice"), some("bob"), some("carol")];
        let (alice, bob, carol) = (login("alice", 0), login("bob", 1), login("carol", 2));
        let without_ends = [alice.clone(), bob.clone(), carol.clone()];
        assert_eq!(named_after(&without_ends), each, "{begin} {step}");
        let with_ends = [
            alice.clone(),
            end(0),
            end(0),
            bob.clone(),
            end(1),
            carol,
            end(2),
        ];
        assert_eq!(named_after(&with_ends), each, "{begin} {step}");
        let nobody_first = [end(0), login("alice", 1), login("bob", 2), end(2)];
        let named = [None, some("alice"), some("bob")];
        assert_eq!(named_after(&nobody_first), named, "{begin} {step}");
        let nobody_between = [alice, end(0), end(1), login("bob", 2)];
        if step > 2 {
            let named = [some("alice"), None, some("bob")];
            assert_eq!(named_after(&nobody_between), named, "{begin} {step}");
        }
    }
}

#[test]
fn a_login_heard_again_after_a_restart_names_nobody_else() {
    let mut before = table();
    before.dump(&[socket(1, 4000, 100)], at(10));
    before.hear(&accepted("alice", 4000, 10), Witness::Silent, at(11));
    let mut after = restarted(commit(&mut before));
    ended_meanwhile(&mut after, &[socket(1, 4000, 150), socket(2, 4000, 40)]);
    after.hear(&accepted("alice", 4000, 10), Witness::Silent, at(101));
    after.dump(&[], at(102));
    assert_eq!(names(&mut after), [Some("alice".into()), None]);
}

#[test]
fn a_list_that_may_lack_connections_ends_none() {
    let mut table = table();
    table.dump(&[socket(1, 4000, 100), socket(2, 4001, 100)], at(10));
    for second in [20, 30, 40] {
        table.partial_dump(&[socket(2, 4001, 150)], at(second));
    }
    let records = commit(&mut table);
    assert!(records.iter().all(|record| record.closed.is_none()));
    let moved = records.iter().map(|it| it.total.payload.unwrap().inbound);
    assert_eq!(moved.collect::<Vec<_>>(), [100, 150]);
}

#[test]
fn a_reboot_ends_the_sessions_of_the_boot_before() {
    let mut before = table();
    before.dump(&[socket(1, 4000, 100)], at(10));
    let saved = commit(&mut before);
    let other = BootId("another-boot".into());
    let (mut after, ends) = Table::resume(other, at(60).wall, saved, None, at(100));
    let closing = ends.sessions[0].closed.clone().unwrap();
    assert_eq!(
        (closing.reason.as_str(), closing.at),
        ("reboot", at(60).wall)
    );
    assert!(ends.entries.is_empty());
    // A cookie of that boot means nothing in this one.
    after.dump(&[socket(1, 4000, 30)], at(101));
    assert_eq!(
        after.take_batch().unwrap().sessions[0]
            .total
            .payload
            .unwrap()
            .inbound,
        30
    );
}

#[test]
fn the_past_names_connections_older_than_the_daemon() {
    let mut history = History::default();
    history.note(&accepted("bob", 4000, -500));
    history.note(&disconnected(4000, "disconnected by user", -400));
    history.note(&accepted("alice", 4000, -300));
    let mut table = table();
    table.dump(&[socket(1, 4000, 100)], at(1));
    let started = at(-301).wall;
    table.adopt(&Owner {
        inode: 501,
        started,
        pid: Pid(4711),
        user: None,
    });
    table.recall(history.into_sessions());
    let record = commit(&mut table).remove(0);
    assert_eq!(record.login.unwrap().user.as_str(), "alice");
    assert_eq!(record.opened, started);
    assert_eq!(
        record.total.payload,
        Some(Flow {
            inbound: 100,
            outbound: 100
        })
    );
}

#[test]
fn a_past_older_than_the_connection_names_nothing() {
    let mut history = History::default();
    history.note(&accepted("bob", 4000, -500));
    let mut table = table();
    table.dump(&[socket(1, 4000, 100)], at(1));
    table.adopt(&Owner {
        inode: 501,
        started: at(-20).wall,
        pid: Pid(4711),
        user: None,
    });
    table.recall(history.into_sessions());
    assert_eq!(names(&mut table), [None]);
}

#[test]
fn the_process_table_names_what_no_log_does_and_the_log_adds_the_method() {
    let mut table = table();
    table.dump(&[socket(1, 4000, 100)], at(1));
    let user = Some(UserName::new("alice"));
    table.adopt(&Owner {
        inode: 501,
        started: at(-20).wall,
        pid: Pid(4711),
        user,
    });
    assert_eq!(commit(&mut table)[0].login.as_ref().unwrap().method, None);
    let mut history = History::default();
    history.note(&Event {
        pid: None,
        ..accepted("alice", 4000, -19)
    });
    table.recall(history.into_sessions());
    let record = commit(&mut table).remove(0);
    assert_eq!(record.login.unwrap().method.as_deref(), Some("publickey"));
    assert_eq!(record.pid, Some(Pid(4711)));
}

#[test]
fn the_checkpoint_waits_for_a_login_whose_connection_is_not_known() {
    let mut table = table();
    table.read_to(place(10));
    table.hear(&accepted("alice", 4000, 3), Witness::Silent, at(3));
    table.read_to(place(20));
    table.read_to(place(30));
    assert_eq!(table.take_batch().unwrap().checkpoint, Some(place(10)));
    table.committed();
    table.dump(&[socket(1, 4000, 100)], at(10));
    assert_eq!(table.take_batch().unwrap().checkpoint, Some(place(30)));
}

#[test]
fn a_login_without_any_connection_is_given_up_and_told() {
    let mut table = table();
    table.hear(&accepted("mallory", 4000, 3), Witness::Silent, at(3));
    table.dump(&[], at(10));
    assert_eq!(table.take_refusals(), []);
    table.dump(&[], at(70));
    assert!(matches!(
        table.take_refusals()[..],
        [Refusal::NoConnection { .. }]
    ));
    assert_eq!(table.awaited().count(), 0);
}

#[test]
fn a_failed_batch_goes_whole_with_the_next() {
    let mut table = table();
    table.read_to(place(10));
    table.dump(&[socket(1, 4000, 100)], at(10));
    let first = table.take_batch().unwrap();
    table.dump(&[socket(1, 4000, 160)], at(20));
    assert!(table.take_batch().is_none(), "one batch at a time");
    table.failed();
    let second = table.take_batch().unwrap();
    assert_eq!(second.checkpoint, first.checkpoint);
    assert_eq!(
        sum(&second),
        Flow {
            inbound: 160,
            outbound: 160
        }
    );
}

fn sum(batch: &Batch) -> Flow {
    let traffic = batch.entries.iter().map(|entry| entry.traffic);
    traffic
        .fold(Traffic::default(), Traffic::plus)
        .payload
        .unwrap_or_default()
}

/// One thing that may happen to a table.
#[derive(Clone, Debug)]
enum Step {
    /// A connection moves bytes.
    Move(u64, u64),
    /// It ends, and the kernel has a word of it.
    End(u64, Word),
    /// The kernel's word of an end that seemed lost comes after all.
    LateWord(u64),
    /// The daemon reads some of the words that wait in the kernel's queue.
    Hear(usize),
    /// Time passes and a dump is taken.
    Dump(i64),
    /// A login line comes, for one connection, in one of three names.
    Login(u64, u8),
    /// A batch is handed to the ledger.
    Take,
    /// The ledger takes the batch, or does not, and the daemon is told of it.
    Answer(bool),
    /// The daemon dies and comes back with what was committed.
    Restart(Death),
    /// Something befalls a firewall's rule.
    Rule(u64, Fault),
}

/// What becomes of the kernel's word of an end.
#[derive(Clone, Copy, Debug)]
enum Word {
    /// It is read at once.
    Heard,
    /// It waits in the kernel's queue.
    Waits,
    /// The queue is full: it is lost, or comes very late.
    Lost,
}

/// At what instant the daemon dies.
#[derive(Clone, Copy, Debug)]
enum Death {
    /// Anywhere.
    Idle,
    /// An end is noted and still in the queue.
    Noted,
    /// The ledger has the batch, and the daemon was not told.
    Unanswered,
    /// In the start that follows, so that there is another.
    Twice,
}

/// What becomes of a firewall's rule.
#[derive(Clone, Copy, Debug)]
enum Fault {
    /// Somebody takes it away.
    Gone,
    /// Packets do not pass it any more.
    Blind,
    /// Its counter begins anew.
    Zeroed,
}

fn step() -> impl Strategy<Value = Step> {
    let fault = prop_oneof![Just(Fault::Gone), Just(Fault::Blind), Just(Fault::Zeroed)];
    let word = prop_oneof![Just(Word::Heard), Just(Word::Waits), Just(Word::Lost)];
    let death = prop_oneof![
        Just(Death::Idle),
        Just(Death::Noted),
        Just(Death::Unanswered),
        Just(Death::Twice),
    ];
    prop_oneof![
        4 => (0_u64..6, 1_u64..100_000).prop_map(|(which, bytes)| Step::Move(which, bytes)),
        3 => (0_u64..6, word).prop_map(|(which, word)| Step::End(which, word)),
        1 => (0_u64..6).prop_map(Step::LateWord),
        2 => (0_usize..3).prop_map(Step::Hear),
        4 => (-30_i64..90).prop_map(Step::Dump),
        3 => (0_u64..6, 0_u8..3).prop_map(|(which, name)| Step::Login(which, name)),
        4 => Just(Step::Take),
        4 => any::<bool>().prop_map(Step::Answer),
        2 => death.prop_map(Step::Restart),
        2 => (0_u64..6, fault).prop_map(|(which, fault)| Step::Rule(which, fault)),
    ]
}

/// A firewall's rule, which counts payload alone.
#[derive(Clone, Copy, Default)]
struct Rule {
    bytes: u64,
    is_blind: bool,
    /// Put since the last reading.
    is_new: bool,
}

impl Rule {
    fn reading(&self) -> Box<RuleReading> {
        Box::new(RuleReading {
            is_new: self.is_new,
            ..RuleReading::last(both_ways(self.bytes))
        })
    }
}

/// A ledger, as far as the table needs one, the kernel's queue and the notes
/// that outlive a daemon, and the world that is measured.
#[derive(Default)]
struct World {
    saved: HashMap<SocketCookie, SessionRecord>,
    entries: HashMap<SocketCookie, Traffic>,
    moved: HashMap<u64, u64>,
    over: HashSet<u64>,
    /// Those whose end the queue could not take.
    lost: HashSet<u64>,
    rules: HashMap<u64, Rule>,
    queue: VecDeque<u64>,
    notes: Vec<Note>,
    /// The batch the ledger was handed, and how many notes there were then.
    in_flight: Option<(Batch, usize)>,
    clock: i64,
    monotonic: u64,
}

impl World {
    fn now(&self) -> Moment {
        Moment {
            wall: at(self.clock).wall,
            monotonic: Duration::from_secs(self.monotonic),
        }
    }

    fn socket(&self, which: u64) -> Socket {
        let port = 4000 + u16::try_from(which).unwrap();
        socket(
            which,
            port,
            self.moved.get(&which).copied().unwrap_or_default(),
        )
    }

    /// A socket at its end. What the kernel kept of it is known only at first.
    fn ended(&self, which: u64) -> Socket {
        let is_noted = |note: &Note| note.socket.cookie == SocketCookie(which);
        let mut socket = self.socket(which);
        socket.sample.state = 7;
        socket.sample.bytes_acked = socket.sample.bytes_sent.map(|sent| sent + 1);
        if !self.notes.iter().any(is_noted) {
            socket.sample.remains = Remains::HasFin;
            // The FIN came to the stand-in, and is no byte of the socket's.
            socket.sample.bytes_received = socket.sample.bytes_sent;
        }
        socket
    }

    /// The live ones, as a meter at the firewall shows them.
    fn live(&self) -> Vec<Socket> {
        let seen = self.moved.keys().filter(|which| !self.over.contains(which));
        seen.map(|which| Socket {
            rule: self.rules.get(which).map(Rule::reading),
            ..self.socket(*which)
        })
        .collect()
    }

    /// A dump, after which the rules are made those that are wanted.
    fn dump(&mut self, table: &mut Table) {
        table.dump(&self.live(), self.now());
        for rule in self.rules.values_mut() {
            rule.is_new = false;
        }
        let Some(counted) = table.counted() else {
            return;
        };
        let counted: HashSet<_> = counted.into_iter().map(|session| session.peer).collect();
        let peer_of = |which: u64| peer(4000 + u16::try_from(which).unwrap());
        let unwanted = |which: &u64| !counted.contains(&peer_of(*which));
        let removed: Vec<u64> = self.rules.keys().copied().filter(unwanted).collect();
        for which in removed {
            let rule = self.rules.remove(&which).unwrap();
            table.rule_removed(peer_of(which), both_ways(rule.bytes));
        }
        for which in self.moved.keys().filter(|which| !unwanted(which)) {
            self.rules.entry(*which).or_insert(Rule {
                is_new: true,
                ..Rule::default()
            });
        }
    }

    /// The first word of the queue is noted; it is in the queue still.
    fn note_first(&mut self) -> Option<Socket> {
        let socket = self.ended(*self.queue.front()?);
        self.notes.push(Note {
            boot: boot(),
            heard: self.now().wall,
            socket: socket.clone(),
        });
        Some(socket)
    }

    fn hear(&mut self, table: &mut Table, at_most: usize) {
        for _ in 0..at_most {
            let Some(socket) = self.note_first() else {
                return;
            };
            let last = self.queue.pop_front();
            let rule = last.and_then(|which| self.rules.remove(&which));
            let socket = Socket {
                rule: rule.as_ref().map(Rule::reading),
                ..socket
            };
            table.ended(&socket, self.now());
        }
    }

    fn take(&mut self, table: &mut Table) {
        if self.in_flight.is_none()
            && let Some(batch) = table.take_batch()
        {
            self.in_flight = Some((batch, self.notes.len()));
        }
    }

    fn answer(&mut self, table: &mut Table, well: bool) {
        match (self.in_flight.take(), well) {
            (Some((batch, noted)), true) => {
                self.commit(&batch);
                table.committed();
                self.notes.drain(..noted);
            }
            (Some(_), false) => table.failed(),
            (None, _) => {}
        }
    }

    fn commit(&mut self, batch: &Batch) {
        let ids: HashSet<_> = batch.sessions.iter().map(|record| &record.id).collect();
        assert_eq!(ids.len(), batch.sessions.len(), "no session twice");
        for record in &batch.sessions {
            if let Some(earlier) = self.saved.get(&record.id.cookie)
                && let Some(login) = &earlier.login
            {
                assert_eq!(Some(&login.user), record.login.as_ref().map(|it| &it.user));
            }
            self.saved.insert(record.id.cookie, record.clone());
        }
        for entry in &batch.entries {
            let sum = self.entries.entry(entry.session.cookie).or_default();
            *sum = sum.plus(entry.traffic);
        }
        for (cookie, record) in &self.saved {
            let entered = self.entries.get(cookie).copied().unwrap_or_default();
            assert_eq!(entered, record.total, "sum of entries = total");
            assert_eq!(record.reading.0, record.total, "total = last reading");
            let (wire, payload) = (record.total.wire.unwrap(), record.total.payload.unwrap());
            let headers = wire.total() - payload.total();
            let closing = record.closed.as_ref();
            // Of one whose end nobody saw a rule may tell more than its socket.
            let is_unseen = closing.is_some_and(|closing| closing.reason == UNSEEN);
            assert!(headers < 300 || is_unseen, "{headers} bytes of headers");
        }
    }

    fn die(&mut self, death: Death) {
        let in_flight = self.in_flight.take();
        match death {
            Death::Unanswered => {
                if let Some((batch, _)) = in_flight {
                    self.commit(&batch);
                }
            }
            Death::Noted => drop(self.note_first()),
            Death::Idle | Death::Twice => {}
        }
    }

    /// A start: the queue is read into the notes, the ledger is asked for the
    /// sessions they speak of, and they are told of after the first dump.
    fn start(&mut self) -> Table {
        while self.note_first().is_some() {
            self.queue.pop_front();
        }
        let cutoff = self.now().wall - SignedDuration::from_mins(5);
        let is_noted = |record: &SessionRecord| {
            let mut noted = self.notes.iter().map(|note| note.socket.cookie);
            noted.any(|cookie| cookie == record.id.cookie)
        };
        let kept = self.saved.values().filter(|record| {
            is_noted(record)
                || record.closed.as_ref().is_none_or(|closing| {
                    closing.reason == UNSEEN || (closing.at >= cutoff && record.login.is_none())
                })
        });
        let kept = kept.cloned().collect();
        let (mut table, outlived) = Table::resume(boot(), BOOTED, kept, None, self.now());
        assert!(outlived.is_empty());
        table.dump(&self.live(), self.now());
        for note in &self.notes {
            table.ended_meanwhile(&note.socket, note.heard, self.now());
        }
        table
    }

    /// Whether all that a connection moved is in the ledger, and no more.
    fn is_whole(&self, which: u64) -> bool {
        let record = self.saved.get(&SocketCookie(which));
        let written = record.and_then(|record| record.total.payload);
        written.unwrap_or_default().inbound == self.moved[&which]
    }

    fn act(&mut self, table: &mut Table, step: &Step) {
        match step {
            Step::Move(which, bytes) if !self.over.contains(which) => {
                *self.moved.entry(*which).or_default() += bytes;
                if let Some(rule) = self.rules.get_mut(which)
                    && !rule.is_blind
                {
                    rule.bytes += bytes;
                }
            }
            Step::End(which, word)
                if self.moved.contains_key(which) && self.over.insert(*which) =>
            {
                match word {
                    Word::Lost => drop(self.lost.insert(*which)),
                    Word::Waits => self.queue.push_back(*which),
                    Word::Heard => {
                        self.queue.push_back(*which);
                        self.hear(table, usize::MAX);
                    }
                }
            }
            Step::LateWord(which) if self.lost.remove(which) => self.queue.push_back(*which),
            Step::Hear(at_most) => self.hear(table, *at_most),
            Step::Dump(seconds) => {
                self.clock += seconds;
                self.monotonic += seconds.unsigned_abs();
                self.dump(table);
            }
            Step::Login(which, name) => {
                let name = ["alice", "bob", "zoë"][usize::from(*name)];
                let port = 4000 + u16::try_from(*which).unwrap();
                table.hear(
                    &accepted(name, port, self.clock),
                    Witness::Silent,
                    self.now(),
                );
            }
            Step::Rule(which, fault) => match (fault, self.rules.get_mut(which)) {
                (Fault::Gone, _) => drop(self.rules.remove(which)),
                (Fault::Blind, Some(rule)) => rule.is_blind = true,
                (Fault::Zeroed, Some(rule)) => rule.bytes = 0,
                (_, None) => {}
            },
            Step::Take => self.take(table),
            Step::Answer(well) => self.answer(table, *well),
            Step::Restart(death) => {
                self.die(*death);
                if matches!(death, Death::Twice) {
                    drop(self.start());
                }
                *table = self.start();
            }
            Step::Move(..) | Step::End(..) | Step::LateWord(_) => {}
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    /// Any interleaving of bytes, ends, dumps, logins, commits that fail or are
    /// answered late, clock steps and deaths at any instant: what the ledger
    /// holds is the sum of its entries, a name never changes, and all that a
    /// connection moved is there, and there once, when it was read and committed.
    #[test]
    fn no_order_of_events_loses_or_doubles_a_byte(steps in proptest::collection::vec(step(), 1..80)) {
        let mut world = World::default();
        let mut table = table();
        let end = [
            Step::Hear(usize::MAX),
            Step::Dump(1),
            Step::Answer(true),
            Step::Take,
            Step::Answer(true),
        ];
        for step in steps.iter().chain(&end) {
            world.act(&mut table, step);
        }
        for which in world.moved.keys() {
            prop_assert!(world.lost.contains(which) || world.is_whole(*which), "{which}");
        }
    }
}

/// What may happen at one address of a client.
#[derive(Clone, Debug)]
enum Turn {
    /// Time passes.
    Wait(i64),
    /// The connection ends, where there is one; its word is heard or lost.
    End(bool),
    /// It ends before a dump that follows the ends that were heard.
    EndUnderDump,
    /// A connection begins, where there is none.
    Begin,
    /// A dump is taken.
    Dump,
    /// A line comes that is so many seconds old, in one of three names.
    Line(i64, u8),
}

fn turn() -> impl Strategy<Value = Turn> {
    prop_oneof![
        3 => (0_i64..15).prop_map(Turn::Wait),
        2 => any::<bool>().prop_map(Turn::End),
        1 => Just(Turn::EndUnderDump),
        2 => Just(Turn::Begin),
        2 => Just(Turn::Dump),
        3 => (0_i64..40, 0_u8..3).prop_map(|(age, name)| Turn::Line(age, name)),
    ]
}

/// When a connection may have lived, as far as anybody could know.
struct Life {
    from: i64,
    until: i64,
    shown: bool,
}

impl Life {
    /// It is heard to have ended. Where no dump has shown it, it may have ended
    /// under the last one, and only the one before is known not to have had it.
    fn ended(&mut self, now: i64, dump_before: i64) {
        self.until = now;
        if !self.shown {
            self.from = self.from.min(dump_before);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Connections that follow one another at one address: a name is only given
    /// to one that may have lived when its line was written, give or take the
    /// two seconds that logs are imprecise by.
    #[test]
    fn no_line_names_a_connection_of_another_time(turns in proptest::collection::vec(turn(), 1..60)) {
        let mut table = table();
        let (mut clock, mut open) = (0, false);
        // When the last list was read, and the one before.
        let mut dumped = [-1_000_000_000; 2];
        let mut lives: Vec<Life> = Vec::new();
        let mut lines: Vec<(&str, i64)> = Vec::new();
        for turn in turns.iter().chain([&Turn::Dump, &Turn::Wait(2), &Turn::Dump]) {
            let cookie = u64::try_from(lives.len()).unwrap();
            match turn {
                Turn::Wait(seconds) => clock += seconds,
                Turn::Begin if !open => {
                    lives.push(Life { from: dumped[0], until: i64::MAX, shown: false });
                    open = true;
                }
                Turn::End(heard) if open => {
                    open = false;
                    if *heard {
                        lives.last_mut().unwrap().ended(clock, dumped[1]);
                        table.ended(&socket(cookie, 4000, 10), at(clock));
                    }
                }
                Turn::EndUnderDump if open => {
                    open = false;
                    table.dump(&[], at(clock));
                    dumped = [clock, dumped[0]];
                    lives.last_mut().unwrap().ended(clock, dumped[1]);
                    table.ended(&socket(cookie, 4000, 10), at(clock));
                }
                Turn::Dump => {
                    let alive = open.then(|| socket(cookie, 4000, 10));
                    table.dump(alive.as_slice(), at(clock));
                    dumped = [clock, dumped[0]];
                    if open {
                        lives.last_mut().unwrap().shown = true;
                    }
                }
                Turn::Line(age, name) => {
                    let name = ["alice", "bob", "zoë"][usize::from(*name)];
                    lines.push((name, clock - age));
                    table.hear(&accepted(name, 4000, clock - age), Witness::Silent, at(clock));
                }
                Turn::Begin | Turn::End(_) | Turn::EndUnderDump => {}
            }
        }
        for record in commit(&mut table) {
            let Some(login) = record.login else { continue };
            let life = &lives[usize::try_from(record.id.cookie.0).unwrap() - 1];
            let fits = |time: i64| time + 2 > life.from && time < life.until.saturating_add(2);
            let said = lines.iter().any(|(name, time)| *name == login.user.as_str() && fits(*time));
            prop_assert!(said, "{} never was {}", record.id.cookie.0, login.user.as_str());
        }
    }
}
