//! What a forger may write into a log that anybody can write to, each as a
//! short story; and, for all orders of events, that nobody is billed for him.

use std::time::Duration;

use jiff::Timestamp;
use proptest::prelude::*;

use super::{Moment, Owner, Question, Refusal, Table, Verdict, Witness};
use crate::{
    identity::{BootId, Credential, Endpoint, Pid, SocketCookie, UserName},
    ledger::{Login, SessionRecord},
    meter::{Socket, TcpSample},
    sshd::{Event, History, Sender, What},
};

const ESTABLISHED: u8 = 1;

fn at(seconds: i64) -> Moment {
    Moment {
        wall: Timestamp::from_second(1_795_368_000 + seconds).unwrap(),
        monotonic: Duration::from_secs(1000 + seconds.unsigned_abs()),
    }
}

fn peer() -> Endpoint {
    Endpoint::new([192, 0, 2, 7].into(), 4000)
}

fn local(port: u16) -> Endpoint {
    Endpoint::new([192, 0, 2, 1].into(), port)
}

/// The client's connection, with as many bytes as a login takes.
fn socket(cookie: u64) -> Socket {
    Socket {
        cookie: SocketCookie(cookie),
        local: local(22),
        peer: peer(),
        inode: Some(u32::try_from(cookie).unwrap() + 500),
        rule: None,
        sample: TcpSample {
            state: ESTABLISHED,
            bytes_acked: Some(5000),
            bytes_received: Some(5000),
            bytes_sent: Some(5000),
            bytes_retransmitted: Some(0),
            ..TcpSample::default()
        },
    }
}

fn on_port(port: u16, socket: Socket) -> Socket {
    Socket {
        local: local(port),
        ..socket
    }
}

fn table() -> Table {
    let boot = BootId("this-boot".into());
    Table::resume(boot, Timestamp::UNIX_EPOCH, Vec::new(), None, at(0)).0
}

fn line(what: What, seconds: i64) -> Event {
    Event {
        time: Some(at(seconds).wall),
        pid: Some(Pid(4711)),
        sender: Sender::Claimed,
        what,
    }
}

fn accepted(user: &str, seconds: i64) -> Event {
    let what = What::Accepted {
        user: UserName::new(user),
        method: "publickey".into(),
        peer: Some(peer()),
        credential: Some(Credential::new(format!("SHA256:{user}"))),
    };
    line(what, seconds)
}

fn opened(user: &str, seconds: i64) -> Event {
    let user = UserName::new(user);
    line(What::Opened { user }, seconds)
}

fn ended(user: Option<&str>, before_login: bool, seconds: i64) -> Event {
    let what = What::Disconnected {
        user: user.map(UserName::new),
        peer: Some(peer()),
        reason: "gone".into(),
        before_login,
    };
    line(what, seconds)
}

fn hear(table: &mut Table, event: &Event, seconds: i64) {
    table.hear(event, Witness::Silent, at(seconds));
}

/// Lets the kernel answer all there is to ask, as if these names were true.
fn ask(table: &mut Table, seconds: i64, verdict: impl Fn(&Question) -> Verdict) {
    let questions = [table.questions(at(seconds)), table.unsettled()].concat();
    let answers = questions.into_iter().map(|question| {
        let verdict = verdict(&question);
        (question, verdict)
    });
    table.answer(&answers.collect::<Vec<_>>());
}

fn serves(user: &'static str) -> impl Fn(&Question) -> Verdict {
    move |question| match question.user.as_str() == user {
        true => Verdict::Agrees,
        false => Verdict::Denies,
    }
}

fn name(table: &mut Table, cookie: u64) -> Option<String> {
    let login = login(table, cookie)?;
    Some(login.user.as_str().to_owned())
}

fn login(table: &mut Table, cookie: u64) -> Option<Login> {
    let connection = table.roster.get(SocketCookie(cookie)).expect("it is known");
    connection.login.clone()
}

fn kinds(table: &mut Table) -> Vec<&'static str> {
    table.take_refusals().iter().map(Refusal::kind).collect()
}

const DENIED: &str = "for another user's connection";
const NO_LOGIN: &str = "for a connection without a login";
const DISPUTED: &str = "against another line's name";
const CONTRADICTION: &str = "against a name that stands";

#[test]
fn the_kernel_s_words_on_many_logins_are_each_for_its_own() {
    let mut table = table();
    let client = |cookie: u64| Endpoint::new([192, 0, 2, 7].into(), u16::try_from(cookie).unwrap());
    let sockets = (1..=50).map(|cookie| Socket {
        peer: client(cookie),
        ..socket(cookie)
    });
    table.dump(&sockets.collect::<Vec<_>>(), at(1));
    for cookie in 1..=50 {
        let what = What::Accepted {
            user: UserName::new(format!("u{cookie}")),
            method: "password".into(),
            peer: Some(client(cookie)),
            credential: None,
        };
        hear(&mut table, &line(what, 2), 2);
    }
    ask(&mut table, 3, |question| match question.cookie.0 % 3 {
        0 => Verdict::Agrees,
        1 => Verdict::Denies,
        _ => Verdict::NotYet,
    });
    for cookie in 1..=50 {
        let named = (cookie % 3 == 0).then(|| format!("u{cookie}"));
        assert_eq!(name(&mut table, cookie), named);
    }
    assert_eq!(kinds(&mut table), [DENIED; 17]);
    assert!(table.questions(at(3)).is_empty(), "just asked");
    assert_eq!(table.questions(at(4)).len(), 17);
}

#[test]
fn a_file_s_line_waits_for_the_kernel_s_word_on_a_live_connection() {
    let mut table = table();
    table.dump(&[socket(1)], at(10));
    hear(&mut table, &accepted("alice", 10), 11);
    table.dump(&[socket(1)], at(12));
    assert_eq!(name(&mut table, 1), None);
    assert!(table.awaits_a_word());
    ask(&mut table, 12, serves("alice"));
    assert_eq!(name(&mut table, 1).as_deref(), Some("alice"));
    assert!(!table.awaits_a_word());
    assert_eq!(table.unsettled(), []);
}

#[test]
fn a_forger_s_line_before_his_own_is_refused_and_his_own_believed() {
    let mut table = table();
    table.dump(&[socket(1)], at(10));
    hear(&mut table, &accepted("alice", 10), 11);
    ask(&mut table, 11, |_| Verdict::NotYet);
    hear(&mut table, &accepted("mallory", 11), 12);
    ask(&mut table, 12, serves("mallory"));
    assert_eq!(name(&mut table, 1).as_deref(), Some("mallory"));
    assert_eq!(kinds(&mut table), [DENIED]);
}

#[test]
fn a_line_for_a_connection_where_nobody_logs_in_is_given_up() {
    let mut table = table();
    table.dump(&[socket(1)], at(10));
    hear(&mut table, &accepted("alice", 10), 11);
    for seconds in [11, 12, 20, 40, 71] {
        ask(&mut table, seconds, |_| Verdict::NotYet);
        table.dump(&[socket(1)], at(seconds));
    }
    assert_eq!(name(&mut table, 1), None);
    assert_eq!(kinds(&mut table), [NO_LOGIN]);
}

#[test]
fn the_kernel_is_asked_less_and_less_often_and_the_checkpoint_waits() {
    let mut table = table();
    table.dump(&[socket(1)], at(10));
    hear(&mut table, &accepted("alice", 10), 10);
    let mut asked = Vec::new();
    for seconds in 10..60 {
        if !table.questions(at(seconds)).is_empty() {
            asked.push(seconds);
        }
    }
    assert_eq!(asked, [10, 11, 12, 13, 15, 18, 22, 28, 37, 51]);
    assert_eq!(table.take_batch().unwrap().checkpoint, None);
}

#[test]
fn sshd_s_word_that_nobody_logged_in_takes_an_unsure_name_back() {
    for line_first in [true, false] {
        let mut table = table();
        table.ended(&socket(1), at(10));
        let [one, other] = match line_first {
            true => [ended(None, true, 10), accepted("alice", 10)],
            false => [accepted("alice", 10), ended(None, true, 10)],
        };
        hear(&mut table, &one, 10);
        table.dump(&[], at(11));
        hear(&mut table, &other, 11);
        table.dump(&[], at(12));
        assert_eq!(name(&mut table, 1), None, "{line_first}");
        assert_eq!(kinds(&mut table), [NO_LOGIN], "{line_first}");
    }
}

#[test]
fn sshd_s_word_waits_for_a_connection_that_was_not_seen_yet() {
    let mut table = table();
    hear(&mut table, &accepted("alice", 10), 10);
    hear(&mut table, &ended(None, true, 10), 10);
    assert!(table.awaits_a_dump());
    table.ended(&socket(1), at(10));
    table.dump(&[], at(11));
    assert_eq!(name(&mut table, 1), None);
    assert_eq!(kinds(&mut table), [NO_LOGIN]);
}

#[test]
fn sshd_s_word_may_be_written_a_moment_after_the_end() {
    let mut table = table();
    table.dump(&[socket(1)], at(5));
    table.ended(&socket(1), at(10));
    hear(&mut table, &ended(None, true, 11), 11);
    table.dump(&[], at(11));
    hear(&mut table, &accepted("alice", 10), 12);
    table.dump(&[], at(12));
    assert_eq!(name(&mut table, 1), None);
    assert_eq!(kinds(&mut table), [NO_LOGIN]);
}

#[test]
fn two_names_for_a_connection_that_is_over_leave_it_nobody_s() {
    let mut table = table();
    table.ended(&socket(1), at(10));
    hear(&mut table, &accepted("alice", 10), 10);
    table.dump(&[], at(11));
    assert_eq!(name(&mut table, 1).as_deref(), Some("alice"));
    hear(&mut table, &accepted("mallory", 10), 12);
    table.dump(&[], at(12));
    hear(&mut table, &accepted("alice", 10), 13);
    table.dump(&[], at(13));
    assert_eq!(name(&mut table, 1), None);
    assert_eq!(kinds(&mut table), [DISPUTED, NO_LOGIN]);
}

#[test]
fn sshd_s_goodbye_to_another_user_takes_an_unsure_name_back() {
    let mut table = table();
    table.ended(&socket(1), at(10));
    hear(&mut table, &accepted("alice", 10), 10);
    table.dump(&[], at(11));
    hear(&mut table, &ended(Some("mallory"), false, 10), 12);
    assert_eq!(name(&mut table, 1), None);
    assert_eq!(kinds(&mut table), [DISPUTED]);
}

#[test]
fn a_sure_name_stays_whatever_a_log_says() {
    let mut table = table();
    table.dump(&[socket(1)], at(10));
    hear(&mut table, &accepted("alice", 10), 11);
    ask(&mut table, 11, serves("alice"));
    hear(&mut table, &ended(None, true, 12), 12);
    hear(&mut table, &ended(Some("mallory"), false, 12), 12);
    hear(&mut table, &accepted("mallory", 12), 12);
    ask(&mut table, 12, |_| Verdict::Unknown);
    table.ended(&socket(1), at(20));
    let record = table.take_batch().unwrap().sessions.remove(0);
    assert_eq!(record.login.unwrap().user.as_str(), "alice");
    assert_eq!(record.closed.unwrap().reason, "closed");
    assert_eq!(
        kinds(&mut table),
        ["denying a login", CONTRADICTION, CONTRADICTION]
    );
}

#[test]
fn a_connection_too_short_for_a_login_is_nobody_s() {
    let mut short = socket(1);
    short.sample.bytes_sent = Some(40);
    let mut table = table();
    hear(&mut table, &accepted("alice", 10), 10);
    table.ended(&short, at(10));
    table.dump(&[], at(11));
    assert_eq!(name(&mut table, 1), None);
    assert_eq!(kinds(&mut table), [NO_LOGIN]);
}

#[test]
fn an_unsure_name_is_asked_for_as_long_as_its_connection_lives() {
    for verdict in [Verdict::Denies, Verdict::NotYet] {
        let mut table = table();
        table.dump(&[socket(1)], at(10));
        hear(&mut table, &accepted("alice", 10), 11);
        ask(&mut table, 11, |_| Verdict::Unknown);
        assert_eq!(name(&mut table, 1).as_deref(), Some("alice"));
        ask(&mut table, 60, |_| verdict);
        if verdict == Verdict::NotYet {
            // Once that may be the end of the session, when the user's process
            // is gone before the socket is.
            assert_eq!(name(&mut table, 1).as_deref(), Some("alice"));
            table.dump(&[socket(1)], at(120));
            ask(&mut table, 120, |_| verdict);
        }
        assert_eq!(name(&mut table, 1), None);
        // Once is enough; the log's word alone names it no more, the kernel's does.
        hear(&mut table, &accepted("alice", 61), 61);
        ask(&mut table, 61, |_| Verdict::Unknown);
        assert_eq!(name(&mut table, 1), None);
        table.adopt(&Owner {
            inode: 501,
            started: at(9).wall,
            pid: Pid(4),
            user: Some(UserName::new("mallory")),
        });
        assert_eq!(name(&mut table, 1).as_deref(), Some("mallory"));
        assert_eq!(kinds(&mut table).len(), 2);
    }
}

#[test]
fn a_journal_s_name_stays_and_the_kernel_s_other_word_is_told_once() {
    let mut table = table();
    table.dump(&[socket(1)], at(10));
    let by_journal = Event {
        sender: Sender::Kernel { uid: 0, exe: None },
        ..accepted("alice", 10)
    };
    hear(&mut table, &by_journal, 11);
    assert_eq!(table.questions(at(11)), []);
    for seconds in [12, 13] {
        ask(&mut table, seconds, serves("mallory"));
    }
    assert_eq!(name(&mut table, 1).as_deref(), Some("alice"));
    assert_eq!(kinds(&mut table), [DENIED]);
}

#[test]
fn the_journal_may_be_quicker_than_the_login() {
    let mut table = table();
    table.dump(&[socket(1)], at(10));
    let by_journal = Event {
        sender: Sender::Kernel { uid: 0, exe: None },
        ..accepted("alice", 10)
    };
    hear(&mut table, &by_journal, 11);
    ask(&mut table, 12, |_| Verdict::NotYet);
    assert_eq!(kinds(&mut table), [""; 0]);
    table.dump(&[socket(1)], at(72));
    ask(&mut table, 72, |_| Verdict::NotYet);
    assert_eq!(name(&mut table, 1).as_deref(), Some("alice"));
    assert_eq!(kinds(&mut table), [NO_LOGIN]);
}

#[test]
fn a_past_that_names_two_for_one_connection_names_nobody() {
    for (sender, expected) in [
        (Sender::Claimed, None),
        (Sender::Kernel { uid: 0, exe: None }, Some("bob")),
    ] {
        let mut history = History::default();
        for user in ["alice", "bob"] {
            history.note(&Event {
                sender: sender.clone(),
                ..accepted(user, -5)
            });
        }
        let mut table = table();
        table.dump(&[socket(1)], at(1));
        table.recall(history.into_sessions());
        assert_eq!(name(&mut table, 1).as_deref(), expected);
    }
}

#[test]
fn a_past_that_ends_in_the_middle_of_a_login_waits_for_it() {
    let mut history = History::default();
    history.note(&accepted("alice", 1));
    let mut table = table();
    table.dump(&[socket(1)], at(1));
    table.recall(history.into_sessions());
    ask(&mut table, 1, |_| Verdict::NotYet);
    assert!(table.awaits_a_word());
    ask(&mut table, 2, serves("alice"));
    assert_eq!(name(&mut table, 1).as_deref(), Some("alice"));
    assert_eq!(kinds(&mut table), [""; 0]);
}

#[test]
fn pam_s_line_from_a_file_needs_the_kernel_s_agreement() {
    let mut table = table();
    table.dump(&[socket(1)], at(10));
    let holds = || Witness::Holds(vec![501]);
    table.hear(&opened("alice", 10), holds(), at(11));
    ask(&mut table, 11, |_| Verdict::Unknown);
    assert_eq!(name(&mut table, 1), None);
    ask(&mut table, 12, serves("bob"));
    assert_eq!(kinds(&mut table), [DENIED]);
    table.hear(&opened("bob", 10), holds(), at(13));
    ask(&mut table, 13, serves("bob"));
    assert_eq!(name(&mut table, 1).as_deref(), Some("bob"));
}

#[test]
fn one_client_port_on_two_sshds_at_once_names_neither() {
    for sender in [Sender::Claimed, Sender::Kernel { uid: 0, exe: None }] {
        let mut table = table();
        let both = [socket(1), on_port(2222, socket(2))];
        table.dump(&both, at(10));
        let event = Event {
            sender,
            ..accepted("alice", 11)
        };
        hear(&mut table, &event, 11);
        ask(&mut table, 11, |_| Verdict::Agrees);
        table.dump(&both, at(12));
        assert_eq!(name(&mut table, 1), None);
        assert_eq!(name(&mut table, 2), None);
        assert_eq!(kinds(&mut table), ["that may mean several connections"]);
        // The writer's own sockets tell which.
        table.hear(&event, Witness::Holds(vec![502]), at(13));
        ask(&mut table, 13, |_| Verdict::Agrees);
        assert_eq!(name(&mut table, 1), None);
        assert_eq!(name(&mut table, 2).as_deref(), Some("alice"));
    }
}

#[test]
fn one_client_port_on_two_sshds_in_turn_is_decided_by_time() {
    let mut table = table();
    table.dump(&[socket(1)], at(10));
    table.ended(&socket(1), at(15));
    table.dump(&[], at(20));
    table.dump(&[on_port(2222, socket(2))], at(30));
    hear(&mut table, &accepted("bob", 25), 31);
    ask(&mut table, 31, serves("bob"));
    assert_eq!(name(&mut table, 1), None);
    assert_eq!(name(&mut table, 2).as_deref(), Some("bob"));
}

#[test]
fn two_keys_for_one_login_leave_the_key_unknown() {
    let mut table = table();
    table.dump(&[socket(1)], at(10));
    let mut forged = accepted("git", 10);
    if let What::Accepted { credential, .. } = &mut forged.what {
        *credential = Some(Credential::new("SHA256:another"));
    }
    for event in [&forged, &accepted("git", 10), &forged] {
        hear(&mut table, event, 11);
        ask(&mut table, 11, serves("git"));
    }
    let login = login(&mut table, 1).unwrap();
    assert_eq!((login.user.as_str(), login.credential), ("git", None));
    assert_eq!(kinds(&mut table), ["with another key"]);
}

#[test]
fn a_line_about_an_end_that_was_none_is_forgotten() {
    let mut table = table();
    table.dump(&[socket(1)], at(10));
    hear(&mut table, &ended(None, false, 11), 11);
    table.dump(&[socket(1)], at(40));
    assert_eq!(kinds(&mut table), [""; 0]);
    table.dump(&[socket(1)], at(41));
    table.ended(&socket(1), at(42));
    let record = table.take_batch().unwrap().sessions.remove(0);
    assert_eq!(record.closed.unwrap().reason, "closed");
    assert_eq!(kinds(&mut table), ["of an end that was none"]);
}

/// A daemon that was down while these connections of one client came and went.
fn back_after(cookies: &[u64]) -> Table {
    let mut table = table();
    table.dump(&[], at(100));
    for cookie in cookies {
        table.ended_meanwhile(&socket(*cookie), at(100).wall, at(100));
    }
    table
}

fn names_of(table: &mut Table, cookies: &[u64]) -> Vec<Option<String>> {
    cookies.iter().map(|cookie| name(table, *cookie)).collect()
}

#[test]
fn a_file_s_order_names_what_came_and_went_while_no_daemon_ran() {
    let mut table = back_after(&[9, 3, 7]);
    let lines = [
        ended(None, true, 20),
        accepted("alice", 40),
        ended(Some("alice"), false, 42),
        accepted("bob", 60),
    ];
    for line in &lines {
        hear(&mut table, line, 101);
    }
    let expected = [None, Some("alice".to_owned()), Some("bob".to_owned())];
    assert_eq!(names_of(&mut table, &[9, 3, 7]), expected);
    assert_eq!(kinds(&mut table), [""; 0]);
}

#[test]
fn an_end_in_the_same_second_as_the_login_before_speaks_of_the_last_alone() {
    let mut table = back_after(&[9, 3]);
    let lines = [
        accepted("alice", 99),
        accepted("bob", 99),
        ended(None, false, 99),
        ended(Some("bob"), false, 99),
    ];
    for line in &lines {
        hear(&mut table, line, 101);
    }
    table.dump(&[], at(102));
    let expected = [Some("alice".to_owned()), Some("bob".to_owned())];
    assert_eq!(names_of(&mut table, &[9, 3]), expected);
    assert_eq!(kinds(&mut table), [""; 0]);
}

#[test]
fn sshd_s_late_word_against_a_late_name_concerns_the_one_in_turn() {
    for denial in [ended(None, true, 21), ended(Some("mallory"), false, 21)] {
        let mut table = back_after(&[9, 3]);
        let lines = [accepted("alice", 20), denial, accepted("bob", 60)];
        for line in &lines {
            hear(&mut table, line, 101);
        }
        let expected = [None, Some("bob".to_owned())];
        assert_eq!(names_of(&mut table, &[9, 3]), expected);
        assert_eq!(kinds(&mut table).len(), 1);
        let records = table.take_batch().unwrap().sessions;
        let first = records.iter().find(|it| it.id.cookie == SocketCookie(9));
        let closed = first.unwrap().closed.clone().unwrap();
        assert_eq!((closed.at, closed.reason.as_str()), (at(21).wall, "gone"));
    }
}

#[test]
fn a_login_too_many_in_a_file_s_order_leaves_all_of_it_nobody_s() {
    // Forged: the first login, and in one case its end.
    for with_end in [false, true] {
        for second in ["bob", "carol"] {
            let mut table = back_after(&[9, 3]);
            let by = |pid, event| Event {
                pid: Some(Pid(pid)),
                ..event
            };
            let mut lines = vec![by(1, accepted("alice", 20))];
            if with_end {
                lines.push(by(1, ended(Some("alice"), false, 21)));
            }
            lines.push(by(2, accepted("bob", 40)));
            lines.push(by(2, ended(Some("bob"), false, 42)));
            lines.push(by(3, accepted(second, 60)));
            for line in &lines {
                hear(&mut table, line, 101);
            }
            assert_eq!(names_of(&mut table, &[9, 3]), [None, None]);
            assert_eq!(kinds(&mut table), [DISPUTED, DISPUTED]);
        }
    }
}

#[test]
fn an_end_that_denies_a_journal_s_name_is_another_connection_s() {
    let mut table = back_after(&[9, 3]);
    let by_journal = Event {
        sender: Sender::Kernel { uid: 0, exe: None },
        ..accepted("alice", 20)
    };
    hear(&mut table, &by_journal, 101);
    hear(&mut table, &ended(None, true, 40), 101);
    hear(&mut table, &accepted("bob", 40), 101);
    let expected = [Some("alice".to_owned()), None];
    assert_eq!(names_of(&mut table, &[9, 3]), expected);
}

#[test]
fn an_end_waits_behind_a_login_that_the_kernel_is_asked_about() {
    let mut table = table();
    table.dump(&[socket(1)], at(10));
    hear(&mut table, &accepted("alice", 11), 11);
    let question = table.questions(at(11)).remove(0);
    hear(&mut table, &ended(Some("alice"), false, 12), 12);
    table.ended(&socket(1), at(12));
    assert_eq!(name(&mut table, 1), None);
    table.answer(&[(question, Verdict::Unknown)]);
    table.dump(&[], at(13));
    let record = table.take_batch().unwrap().sessions.remove(0);
    assert_eq!(record.login.unwrap().user.as_str(), "alice");
    assert_eq!(record.closed.unwrap().reason, "gone");
    assert!(!table.awaits_a_dump());
}

#[test]
fn a_forged_login_for_no_connection_holds_nobody_s_end_up() {
    let mut table = table();
    table.dump(&[], at(10));
    hear(&mut table, &accepted("alice", 10), 10);
    table.dump(&[], at(20));
    table.dump(&[socket(1)], at(30));
    table.ended(&socket(1), at(35));
    hear(&mut table, &ended(None, true, 35), 35);
    hear(&mut table, &accepted("alice", 35), 35);
    table.dump(&[], at(38));
    assert_eq!(name(&mut table, 1), None);
    assert_eq!(kinds(&mut table), [NO_LOGIN]);
}

/// One thing that happens, or that a forger makes happen.
#[derive(Clone, Debug)]
enum Step {
    /// Time passes, and a dump is taken.
    Dump(i64),
    /// A client connects, to log in as one of three, or never.
    Connect(Option<usize>),
    /// The oldest connection that has not logged in does, or is cut off.
    LogIn,
    /// A connection ends, and the kernel's word of it is heard.
    End(usize),
    /// A forged login line comes, in one of three names, by one of three hands.
    Forge(usize, u8),
    /// A forged end comes, which may deny a login.
    ForgeEnd(Option<usize>, bool),
    /// The kernel is asked, and can say so or not.
    Ask(bool),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0_i64..15).prop_map(Step::Dump),
        3 => prop::option::weighted(0.8, 0_usize..3).prop_map(Step::Connect),
        4 => Just(Step::LogIn),
        3 => (0_usize..4).prop_map(Step::End),
        5 => (0_usize..3, 0_u8..3).prop_map(|(name, hand)| Step::Forge(name, hand)),
        1 => (prop::option::of(0_usize..3), any::<bool>())
            .prop_map(|(name, before_login)| Step::ForgeEnd(name, before_login)),
        5 => prop::bool::weighted(0.8).prop_map(Step::Ask),
    ]
}

const USERS: [&str; 3] = ["alice", "bob", "mallory"];

/// A connection as it truly is.
#[derive(Clone, Debug)]
struct Life {
    user: Option<usize>,
    logged_in: bool,
    over: bool,
}

/// One client's address and port, used again and again.
struct World {
    table: Table,
    clock: i64,
    lives: Vec<Life>,
}

impl World {
    fn socket(&self, index: usize) -> Socket {
        socket(u64::try_from(index).unwrap() + 1)
    }

    /// The one that is open.
    fn open(&self) -> Option<usize> {
        self.lives.iter().rposition(|life| !life.over)
    }

    fn dump(&mut self) {
        let open: Vec<Socket> = self.open().map(|it| self.socket(it)).into_iter().collect();
        self.table.dump(&open, at(self.clock));
    }

    fn verdict(&self, question: &Question) -> Verdict {
        let index = usize::try_from(question.cookie.0).unwrap() - 1;
        let life = &self.lives[index];
        match (life.over, life.logged_in, life.user) {
            (true, ..) => Verdict::Unknown,
            (_, true, Some(user)) if USERS[user] == question.user.as_str() => Verdict::Agrees,
            (_, true, _) => Verdict::Denies,
            _ => Verdict::NotYet,
        }
    }

    fn act(&mut self, step: &Step) {
        let now = at(self.clock);
        match step {
            Step::Dump(seconds) => {
                self.clock += seconds;
                self.dump();
            }
            Step::Connect(user) if self.open().is_none() => self.lives.push(Life {
                user: *user,
                logged_in: false,
                over: false,
            }),
            Step::LogIn => {
                let Some(index) = self.open().filter(|it| !self.lives[*it].logged_in) else {
                    return;
                };
                if let Some(user) = self.lives[index].user {
                    self.lives[index].logged_in = true;
                    hear(
                        &mut self.table,
                        &accepted(USERS[user], self.clock),
                        self.clock,
                    );
                }
            }
            // sshd says goodbye before it closes, and the address is used again
            // only when the clock has moved on.
            Step::End(hand) => {
                let Some(index) = self.open() else { return };
                let life = self.lives[index].clone();
                let user = life.user.filter(|_| life.logged_in).map(|it| USERS[it]);
                let goodbye = ended(user, user.is_none(), self.clock);
                let socket = self.socket(index);
                match hand % 2 {
                    0 => {
                        hear(&mut self.table, &goodbye, self.clock);
                        self.table.ended(&socket, now);
                    }
                    _ => {
                        self.table.ended(&socket, now);
                        hear(&mut self.table, &goodbye, self.clock);
                    }
                }
                self.lives[index].over = true;
                self.dump();
                self.clock += 3;
                self.dump();
            }
            Step::Forge(name, hand) => {
                let witness = match (hand, self.open()) {
                    (0, Some(open)) => {
                        Witness::Holds(self.socket(open).inode.into_iter().collect())
                    }
                    (1, _) => Witness::Holds(vec![9999]),
                    _ => Witness::Silent,
                };
                self.table
                    .hear(&accepted(USERS[*name], self.clock), witness, now);
            }
            Step::ForgeEnd(name, before_login) => {
                let user = name.map(|it| USERS[it]).filter(|_| !before_login);
                let event = ended(user, *before_login, self.clock);
                hear(&mut self.table, &event, self.clock);
            }
            Step::Ask(can_tell) => {
                let questions = [self.table.questions(now), self.table.unsettled()].concat();
                let answers = questions.into_iter().map(|question| {
                    let verdict = match can_tell {
                        true => self.verdict(&question),
                        false => Verdict::Unknown,
                    };
                    (question, verdict)
                });
                let answers: Vec<_> = answers.collect();
                self.table.answer(&answers);
            }
            Step::Connect(_) => {}
        }
    }

    fn records(&mut self) -> Vec<SessionRecord> {
        let batch = self.table.take_batch().unwrap_or_default();
        self.table.committed();
        batch.sessions
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    /// Any interleaving of logins and forged ones, ends and forged ends, dumps,
    /// and a kernel that is asked and answers or not, on one address that is
    /// used again and again: whatever is over has its true user's name or none,
    /// since sshd's own lines about it were heard.
    #[test]
    fn nobody_is_billed_for_a_forger(steps in prop::collection::vec(step(), 1..80)) {
        let mut world = World { table: table(), clock: 10, lives: Vec::new() };
        world.dump();
        let last = [Step::End(0), Step::Dump(1), Step::Dump(70)];
        for step in steps.iter().chain(&last) {
            world.act(step);
        }
        for record in world.records() {
            let index = usize::try_from(record.id.cookie.0).unwrap() - 1;
            let life = &world.lives[index];
            let true_user = life.user.filter(|_| life.logged_in).map(|it| USERS[it]);
            let named = record.login.as_ref().map(|login| login.user.as_str());
            prop_assert!(
                named.is_none() || named == true_user,
                "{} is {named:?}, not {true_user:?}",
                record.id.cookie.0
            );
        }
    }

    /// The same while connections live: once the kernel was asked and answered,
    /// for a while where it saw nobody, an open connection has its true user's name or
    /// none.
    #[test]
    fn the_kernel_s_word_ends_every_doubt(steps in prop::collection::vec(step(), 1..80)) {
        let mut world = World { table: table(), clock: 10, lives: Vec::new() };
        world.dump();
        for step in steps.iter().chain(&[Step::Dump(1), Step::Ask(true), Step::Dump(6), Step::Ask(true)]) {
            world.act(step);
        }
        if let Some(open) = world.open() {
            let life = world.lives[open].clone();
            let true_user = life.user.filter(|_| life.logged_in).map(|it| USERS[it].to_owned());
            let named = name(&mut world.table, u64::try_from(open).unwrap() + 1);
            prop_assert!(named.is_none() || named == true_user, "{named:?}, not {true_user:?}");
        }
    }
}
