//! What a busy machine does to the order of things, each as a short story: we stand
//! still for seconds, and then thousands of lines, ends and lists come at once. The
//! log is a file, whose lines wait for the kernel's word while a connection lives.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::{Moment, Table, Verdict, Witness};
use crate::{
    identity::{BootId, Endpoint, Pid, SocketCookie, UserName},
    meter::{Socket, TcpSample},
    sshd::{Event, Sender, What},
};

/// Their lines are more than may wait.
const CROWD: u64 = 4_000;

fn at(milliseconds: i64) -> Moment {
    let begin = Timestamp::from_second(1_795_368_000).unwrap();
    Moment {
        wall: begin + SignedDuration::from_millis(milliseconds),
        monotonic: Duration::from_millis(1_000_000 + milliseconds.unsigned_abs()),
    }
}

fn peer(number: u64) -> Endpoint {
    let [.., high, low] = (number / 10_000).to_be_bytes();
    let port = 10_000 + u16::try_from(number % 10_000).unwrap();
    Endpoint::new([198, 51, high, low].into(), port)
}

fn socket(number: u64) -> Socket {
    Socket {
        cookie: SocketCookie(number),
        local: Endpoint::new([192, 0, 2, 1].into(), 22),
        peer: peer(number),
        inode: Some(u32::try_from(number).unwrap() + 500),
        rule: None,
        sample: TcpSample {
            state: 1,
            bytes_acked: Some(5000),
            bytes_received: Some(5000),
            bytes_sent: Some(5000),
            bytes_retransmitted: Some(0),
            ..TcpSample::default()
        },
    }
}

/// Its last figures, as they come with its end.
fn last(number: u64) -> Socket {
    Socket {
        inode: None,
        ..socket(number)
    }
}

fn line(number: u64, what: What, milliseconds: i64) -> Event {
    Event {
        time: Some(at(milliseconds).wall),
        pid: Some(Pid(2_000_000 + u32::try_from(number).unwrap())),
        sender: Sender::Claimed,
        what,
    }
}

fn user(number: u64) -> String {
    format!("u{number}")
}

/// The lines of a login that sshd wrote then.
fn logged_in(number: u64, milliseconds: i64) -> [Event; 2] {
    let name = UserName::new(user(number));
    let accepted = What::Accepted {
        user: name.clone(),
        method: "password".into(),
        peer: Some(peer(number)),
        credential: None,
    };
    let opened = What::Opened { user: name };
    [accepted, opened].map(|what| line(number, what, milliseconds))
}

/// The lines of an end that sshd wrote then.
fn logged_out(number: u64, milliseconds: i64) -> [Event; 2] {
    let name = UserName::new(user(number));
    [(None, "disconnected by user"), (Some(name), "disconnected")].map(|(user, reason)| {
        let what = What::Disconnected {
            user,
            peer: Some(peer(number)),
            reason: reason.into(),
            before_login: false,
        };
        line(number, what, milliseconds)
    })
}

fn table() -> Table {
    let boot = BootId("this-boot".into());
    let mut table = Table::resume(boot, Timestamp::UNIX_EPOCH, Vec::new(), None, at(0)).0;
    table.dump(&[], at(0));
    table
}

fn hear(table: &mut Table, lines: impl IntoIterator<Item = Event>, milliseconds: i64) {
    for line in lines {
        table.hear(&line, Witness::Silent, at(milliseconds));
    }
}

/// The kernel is asked all there is to ask, and knows nothing.
fn ask(table: &mut Table, milliseconds: i64) {
    let questions = table.questions(at(milliseconds)).into_iter();
    let answers: Vec<_> = questions.map(|it| (it, Verdict::Unknown)).collect();
    table.answer(&answers);
}

fn list(table: &mut Table, asked: i64, shown: &[Socket], taken: i64) {
    table.asked_for_a_dump(at(asked));
    table.dump(shown, at(taken));
}

/// All of so many sessions have ended under their users' names.
fn assert_named(table: &mut Table, count: u64) {
    assert_eq!(table.take_refusals().first(), None);
    let batch = table.take_batch().expect("there are sessions");
    assert_eq!(batch.sessions.len() as u64, count);
    for session in batch.sessions {
        let number = session.id.cookie.0;
        let login = session.login.map(|login| login.user.as_str().to_owned());
        assert_eq!(login, Some(user(number)), "session {number}");
        let reason = session.closed.expect("it ended").reason;
        assert_eq!(reason, "disconnected by user", "session {number}");
    }
}

/// A second and a half's session, of which nobody heard while it lived: its end came
/// after the ends that waited were taken, and before the list was read.
#[test]
fn a_connection_that_ends_just_before_a_list_is_read_is_not_taken_for_younger() {
    let mut table = table();
    hear(&mut table, logged_in(1, 1000), 3100);
    list(&mut table, 3101, &[], 3110);
    table.ended(&last(1), at(3111));
    hear(&mut table, logged_out(1, 3099), 3111);
    list(&mut table, 3300, &[], 3301);
    assert_named(&mut table, 1);
}

#[test]
fn thousands_of_lines_at_once_name_those_that_ended_meanwhile() {
    for ends_come_first in [true, false] {
        let mut table = table();
        let sessions = 1..=CROWD;
        if ends_come_first {
            for number in sessions.clone() {
                table.ended(&last(number), at(9000));
            }
        }
        for number in sessions.clone() {
            let came = 1000 + i64::try_from(number).unwrap();
            hear(&mut table, logged_in(number, came), 9000);
            hear(&mut table, logged_out(number, came + 1500), 9000);
        }
        if !ends_come_first {
            for number in sessions {
                table.ended(&last(number), at(9001));
            }
        }
        list(&mut table, 9002, &[], 9010);
        assert_named(&mut table, CROWD);
    }
}

#[test]
fn thousands_that_live_are_named_though_the_kernel_s_word_takes_long() {
    let mut table = table();
    let sockets: Vec<Socket> = (1..=CROWD).map(socket).collect();
    for number in 1..=CROWD {
        hear(&mut table, logged_in(number, 1000), 3000);
    }
    list(&mut table, 3100, &sockets, 3200);
    ask(&mut table, 9000);
    for number in 1..=CROWD {
        hear(&mut table, logged_out(number, 9500), 9600);
        table.ended(&last(number), at(9600));
    }
    list(&mut table, 9700, &[], 9800);
    assert_named(&mut table, CROWD);
}

/// The kernel tells of an end in its own time, which may be after several lists.
#[test]
fn lines_wait_for_thousands_of_ends_that_the_kernel_tells_late() {
    let mut table = table();
    let sessions = 1..=3_000;
    for number in sessions.clone() {
        hear(&mut table, logged_in(number, 1000), 1100);
        hear(&mut table, logged_out(number, 1020), 1100);
    }
    for asked in [1200, 1400, 1600] {
        list(&mut table, asked, &[], asked + 1);
    }
    for number in sessions {
        table.ended(&last(number), at(1700));
    }
    list(&mut table, 1800, &[], 1801);
    assert_named(&mut table, 3_000);
}

/// The word of an end may be overdue; what was read last of it says little then.
#[test]
fn an_end_that_is_told_late_takes_no_name() {
    let mut young = socket(1);
    young.sample.bytes_acked = Some(0);
    young.sample.bytes_sent = Some(0);
    let mut table = table();
    list(&mut table, 1000, &[young], 1001);
    hear(&mut table, logged_in(1, 1005), 1010);
    list(&mut table, 1200, &[], 1201);
    list(&mut table, 2300, &[], 2301);
    table.ended(&last(1), at(2310));
    hear(&mut table, logged_out(1, 1100), 2310);
    list(&mut table, 2500, &[], 2501);
    assert_named(&mut table, 1);
}
