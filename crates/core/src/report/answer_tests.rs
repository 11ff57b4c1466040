//! Reports over the ledgers of several hosts, kept in memory.

use std::{
    collections::{BTreeMap, HashSet},
    convert::Infallible,
};

use jiff::tz::TimeZone;

use super::*;
use crate::{
    identity::UserName,
    report::{By, Kept, KnownSession, Per, PrunedMinutes, Segment, Selection, SessionSpan, Who},
    time::Calendar,
    units::{Flow, Traffic},
};

/// Ledgers whose coarser rows are made from their minutes.
#[derive(Default)]
struct Memory {
    hosts: Vec<Host>,
    accounts: Vec<Account>,
    sessions: Vec<KnownSession>,
    minutes: Vec<Amount>,
    /// Totals are given as one amount an account.
    adds_up: bool,
    /// How often it was asked for rows.
    questions: usize,
}

impl Memory {
    fn host(&mut self, number: i64, name: &str, zone: &str) -> &mut Host {
        self.hosts.push(Host {
            number,
            id: format!("{number:08x}-and-more"),
            name: HostName::new(name),
            calendar: Calendar::new(TimeZone::get(zone).expect("a known zone")),
            kept: Kept::default(),
            has_sessions: true,
        });
        self.hosts.last_mut().expect("it was pushed")
    }

    /// A session of an account of the same number, with one minute of traffic.
    fn session(&mut self, host: i64, id: i64, user: &str, at: &str, outbound: u64) {
        let (id, at) = (RowId { host, id }, minute(at));
        self.accounts.push(Account {
            id,
            who: Who::User(UserName::new(user)),
            credential: None,
        });
        self.sessions.push(KnownSession {
            id,
            account: id.id,
            peer: "192.0.2.7".parse().ok(),
            span: SessionSpan {
                begin: at,
                end: Some(at),
            },
            pruned: None,
        });
        self.minutes.push(Amount {
            of: id,
            at,
            traffic: bytes(outbound),
        });
    }

    fn bucket(&self, host: i64, unit: Unit, at: Minute) -> Minute {
        let host = self.hosts.iter().find(|one| one.number == host);
        let calendar = &host.expect("a host of ours").calendar;
        calendar.bucket(unit, at).start
    }

    fn rows(&self, hosts: &[i64], segment: Segment) -> Vec<Amount> {
        let rows = self.minutes.iter();
        rows.filter(|row| hosts.contains(&row.of.host))
            .map(|row| Amount {
                at: self.bucket(row.of.host, segment.unit, row.at),
                ..*row
            })
            .filter(|row| segment.from <= row.at && row.at < segment.until)
            .collect()
    }
}

impl Rows for Memory {
    type Error = Infallible;

    fn hosts(&mut self) -> Result<Vec<Host>, Infallible> {
        Ok(self.hosts.clone())
    }

    fn accounts(&mut self) -> Result<Vec<Account>, Infallible> {
        Ok(self.accounts.clone())
    }

    fn first_month(&mut self, hosts: &[i64], from: Minute) -> Result<Option<Minute>, Infallible> {
        self.questions += 1;
        let all = Segment {
            unit: Unit::Month,
            from,
            until: Minute(i64::MAX),
        };
        Ok(self.rows(hosts, all).iter().map(|row| row.at).min())
    }

    fn amounts(
        &mut self,
        hosts: &[i64],
        segment: Segment,
        per: Per,
        mut each: impl FnMut(Amount),
    ) -> Result<(), Infallible> {
        self.questions += 1;
        let rows = self.rows(hosts, segment);
        if per == Per::Total && self.adds_up {
            let mut sums: BTreeMap<RowId, Traffic> = BTreeMap::new();
            for row in rows {
                let sum = sums.entry(row.of).or_default();
                *sum = sum.plus(row.traffic);
            }
            sums.into_iter().for_each(|(of, traffic)| {
                each(Amount {
                    of,
                    at: segment.from,
                    traffic,
                });
            });
        } else {
            rows.into_iter().for_each(each);
        }
        Ok(())
    }

    fn spans(
        &mut self,
        hosts: &[i64],
        _: &Request,
        mut each: impl FnMut(RowId, SessionSpan, u64),
    ) -> Result<(), Infallible> {
        self.questions += 1;
        for session in &self.sessions {
            if hosts.contains(&session.id.host) {
                let account = RowId {
                    id: session.account,
                    ..session.id
                };
                each(account, session.span, 1);
            }
        }
        Ok(())
    }

    fn sessions(
        &mut self,
        hosts: &[i64],
        _: Period,
        each: impl FnMut(KnownSession),
    ) -> Result<(), Infallible> {
        self.questions += 1;
        let sessions = self.sessions.iter().copied();
        sessions
            .filter(|session| hosts.contains(&session.id.host))
            .for_each(each);
        Ok(())
    }

    fn session_minutes(
        &mut self,
        hosts: &[i64],
        period: Period,
        each: impl FnMut(Amount),
    ) -> Result<(), Infallible> {
        self.questions += 1;
        let segment = Segment {
            unit: Unit::Minute,
            from: period.since(),
            until: period.until(),
        };
        self.rows(hosts, segment).into_iter().for_each(each);
        Ok(())
    }
}

fn minute(text: &str) -> Minute {
    Minute::of(format!("{text}:00Z").parse().expect("an instant"))
}

fn bytes(outbound: u64) -> Traffic {
    Traffic {
        wire: Some(Flow {
            inbound: 0,
            outbound,
        }),
        payload: None,
    }
}

/// Of the days from the 20th to the 22nd of November.
fn request(by: &[By], per: Per) -> Request {
    Request {
        period: Period::new(minute("2026-11-20T00:00"), minute("2026-11-23T00:00")),
        calendar: Calendar::new(TimeZone::UTC),
        by: by.to_vec(),
        per,
        selection: Selection::default(),
    }
}

fn answered(memory: &mut Memory, request: &Request) -> Report {
    let Ok(report) = answer(memory, request);
    report
}

/// Rows as `day host user session: sessions, bytes`.
fn words(report: &Report) -> Vec<String> {
    let number = |number: Option<u64>| number.map_or("?".to_owned(), |number| number.to_string());
    let rows = report.rows.iter().map(|row| {
        let key = &row.key;
        let mut words = vec![row.start.start().strftime("%d").to_string()];
        words.extend(key.host.iter().map(|host| host.as_str().to_owned()));
        words.extend(key.user.iter().map(Who::label));
        words.extend(key.session.map(|session| session.to_string()));
        format!(
            "{}: {}, {}",
            words.join(" "),
            number(row.sum.sessions),
            number(row.sum.traffic.wire.map(Flow::total))
        )
    });
    rows.collect()
}

/// Alice at two hosts of different zones, with the same numbers; at the second,
/// minutes before the 19th of November have expired.
fn two_hosts() -> Memory {
    let mut memory = Memory::default();
    memory.host(1, "web1", "Europe/Berlin");
    memory.host(2, "web2", "Asia/Kathmandu").kept.minutes_since = Some(minute("2026-11-18T18:15"));
    memory.session(1, 7, "alice", "2026-11-20T23:30", 100);
    memory.session(2, 7, "alice", "2026-11-20T18:20", 20);
    memory.session(2, 8, "bob", "2026-11-22T00:01", 3);
    memory
}

#[test]
fn places_are_found_with_gaps_and_of_many_hosts() {
    let ids = [
        (0, 3),
        (0, 1),
        (0, 2),
        (0, 9),
        (7, 2),
        (7, i64::MAX),
        (-1, i64::MIN),
    ];
    let ids = ids.map(|(host, id)| RowId { host, id });
    let request = request(&[By::User], Per::Total);
    let mut builder = Builder::new(request, &[], None);
    let mut place = |id: RowId| {
        builder.place(&Key {
            user: Some(Who::User(UserName::new(format!("{id:?}")))),
            ..Key::default()
        })
    };
    let known = ids.map(|id| (id, place(id)));
    let places = Places::new(known.to_vec());
    for (id, place) in known {
        assert_eq!(places.of(id), Some(place), "{id:?}");
    }
    for (host, id) in [
        (0, 0),
        (0, 4),
        (0, 10),
        (7, 3),
        (8, 2),
        (0, i64::MIN),
        (-1, i64::MAX),
    ] {
        assert_eq!(places.of(RowId { host, id }), None);
    }
    assert_eq!(Places::new(Vec::new()).of(ids[0]), None);
}

#[test]
fn a_user_is_one_over_all_hosts() {
    for adds_up in [false, true] {
        let mut memory = two_hosts();
        memory.adds_up = adds_up;
        let report = answered(&mut memory, &request(&[By::User], Per::Total));
        assert_eq!(words(&report), ["20 alice: 2, 120", "20 bob: 1, 3"]);
        assert_eq!(report.total.sessions, Some(3));
        assert_eq!(report.total.traffic, bytes(123));
        assert_eq!(report.notes, []);
    }
}

#[test]
fn rows_are_told_apart_by_host_where_that_is_asked_for() {
    let report = answered(&mut two_hosts(), &request(&[By::Host], Per::Total));
    assert_eq!(words(&report), ["20 web1: 1, 100", "20 web2: 2, 23"]);
    let both = request(&[By::User, By::Host], Per::Bucket(Unit::Day));
    let report = answered(&mut two_hosts(), &both);
    assert_eq!(
        words(&report),
        [
            "20 web1 alice: 1, 100",
            "20 web2 alice: 1, 20",
            "22 web2 bob: 1, 3"
        ]
    );
}

#[test]
fn sessions_of_the_same_number_are_not_the_same_session() {
    let report = answered(&mut two_hosts(), &request(&[By::Session], Per::Total));
    assert_eq!(
        words(&report),
        [
            "20 web1 alice 7: 1, 100",
            "20 web2 alice 7: 1, 20",
            "20 web2 bob 8: 1, 3"
        ]
    );
    let report = answered(&mut two_hosts(), &request(&[By::Peer], Per::Total));
    assert_eq!(words(&report), ["20: 3, 123"]);
}

#[test]
fn a_user_is_chosen_at_every_host() {
    let mut asked = request(&[By::Host], Per::Total);
    asked.selection.users = vec!["alice".to_owned()];
    let report = answered(&mut two_hosts(), &asked);
    assert_eq!(words(&report), ["20 web1: 1, 100", "20 web2: 1, 20"]);
    asked.by = vec![By::Peer];
    let report = answered(&mut two_hosts(), &asked);
    assert_eq!(words(&report), ["20: 2, 120"]);
}

#[test]
fn each_host_is_planned_by_what_it_keeps() {
    let mut memory = two_hosts();
    let kept_since = Some(minute("2026-11-20T18:15"));
    memory.hosts[1].kept.minutes_since = kept_since;
    let mut asked = request(&[By::Host], Per::Total);
    asked.period = Period::new(minute("2026-11-20T18:10"), minute("2026-11-23T00:00"));
    let report = answered(&mut memory, &asked);
    assert_eq!(words(&report), ["20 web1: 1, 100", "20 web2: 2, 23"]);
    let coarser = |unit, kept_since| Note::Coarser { unit, kept_since };
    assert_eq!(report.notes, [coarser(Unit::Hour, kept_since)]);

    // A third never had minutes: of the later of two times only one is told.
    memory.host(3, "web3", "UTC").kept.minutes_since = Some(Kept::NEVER);
    memory.session(3, 1, "alice", "2026-11-20T18:30", 1000);
    let report = answered(&mut memory, &asked);
    assert_eq!(report.notes, [coarser(Unit::Hour, None)]);
    assert_eq!(
        words(&report),
        ["20 web1: 1, 100", "20 web2: 2, 23", "20 web3: 1, ?"],
        "the hour began before the period"
    );
    // The whole hour is exact.
    asked.period = Period::new(minute("2026-11-20T18:00"), minute("2026-11-20T19:00"));
    memory.hosts.remove(1);
    let report = answered(&mut memory, &asked);
    assert_eq!(words(&report), ["20 web3: 1, 1000"]);
    assert_eq!(report.notes, []);
}

#[test]
fn sessions_that_are_not_there_are_not_counted_as_none() {
    let mut memory = two_hosts();
    memory.hosts[1].has_sessions = false;
    let report = answered(&mut memory, &request(&[By::User], Per::Total));
    assert_eq!(words(&report), ["20 alice: ?, 120", "20 bob: ?, 3"]);
    assert_eq!(report.total.sessions, None);
    let report = answered(&mut memory, &request(&[By::Host], Per::Total));
    assert_eq!(words(&report), ["20 web1: 1, 100", "20 web2: ?, 23"]);

    // Of whom that host knows nothing, all is known.
    memory.session(1, 9, "carol", "2026-11-21T10:00", 5);
    let mut asked = request(&[By::User], Per::Total);
    asked.selection.users = vec!["carol".to_owned()];
    let report = answered(&mut memory, &asked);
    assert_eq!(words(&report), ["20 carol: 1, 5"]);
    assert_eq!(report.total.sessions, Some(1));

    for by in [By::Session, By::Peer] {
        let report = answered(&mut memory, &request(&[by], Per::Total));
        assert_eq!(report.total.traffic, bytes(105));
        assert_eq!(report.total.sessions, Some(2));
        let hosts = vec![HostName::new("web2")];
        assert_eq!(report.notes, [Note::WithoutSessions { hosts }]);
    }
}

#[test]
fn sessions_that_expired_at_one_host_are_unknown_there_only() {
    let mut memory = two_hosts();
    memory.hosts[1].kept.hours_since = Some(minute("2026-11-21T00:00"));
    let report = answered(&mut memory, &request(&[By::Host], Per::Total));
    assert_eq!(words(&report), ["20 web1: 1, 100", "20 web2: ?, 23"]);
    assert_eq!(report.total.sessions, None);
    let report = answered(&mut memory, &request(&[By::Session], Per::Total));
    let kept_since = minute("2026-11-21T00:00");
    assert_eq!(report.notes, [Note::SessionsExpired { kept_since }]);
}

#[test]
fn what_sessions_remember_is_counted_for_each_host() {
    let mut memory = two_hosts();
    let pruned = |first, last| PrunedMinutes {
        first: minute(first),
        last: minute(last),
        traffic: bytes(1),
    };
    memory.sessions[0].pruned = Some(pruned("2026-11-19T23:59", "2026-11-20T00:01"));
    memory.sessions[1].pruned = Some(pruned("2026-11-19T23:58", "2026-11-20T00:02"));
    memory.sessions[2].pruned = Some(pruned("2026-11-20T01:00", "2026-11-21T01:00"));
    let report = answered(
        &mut memory,
        &request(&[By::Session], Per::Bucket(Unit::Day)),
    );
    assert_eq!(
        words(&report),
        ["20 web2 bob 8: 0, 1", "22 web2 bob 8: 1, 3"]
    );
    assert_eq!(
        report.notes,
        [
            Note::SessionsCut { sessions: 2 },
            Note::SessionsMerged { sessions: 1 }
        ]
    );
}

#[test]
fn hosts_of_one_name_are_told_apart_by_their_ledgers() {
    let mut memory = two_hosts();
    memory.hosts[1].name = HostName::new("web1");
    let names = |memory: &mut Memory| words(&answered(memory, &request(&[By::Host], Per::Total)));
    let told = ["20 web1 (00000001): 1, 100", "20 web1 (00000002): 2, 23"];
    assert_eq!(names(&mut memory), told);
    memory.hosts.reverse();
    assert_eq!(names(&mut memory), told, "in whatever order they come");
}

#[test]
fn no_host_can_take_the_name_of_another() {
    let mut memory = Memory::default();
    let called = [
        "a",
        "a",
        "a (00000001)",
        "a (id 00000001-and-more)",
        "a (id 00000001-and-more, 1)",
        "",
        "",
    ];
    for (number, name) in (1..).zip(called) {
        memory.host(number, name, "UTC");
    }
    let names = Host::distinct_names(&memory.hosts);
    let distinct = names.iter().collect::<HashSet<_>>();
    assert_eq!(distinct.len(), called.len(), "{names:?}");
    // Ids are drawn at random; two that are equal were copied.
    for host in &mut memory.hosts {
        host.id = "0".repeat(32);
        host.name = HostName::new("a");
    }
    let names = Host::distinct_names(&memory.hosts);
    assert_eq!(names.iter().collect::<HashSet<_>>().len(), called.len());
}

#[test]
fn a_thousand_hosts_that_are_alike_are_read_as_one() {
    let mut memory = Memory::default();
    for number in 0..1000 {
        let kept = &mut memory.host(number, "web", "Europe/Berlin").kept;
        // Retention that went past before the period tells no host from another.
        kept.minutes_since = Some(Minute(number));
    }
    memory.session(1, 7, "alice", "2026-11-20T23:30", 100);
    memory.session(999, 7, "alice", "2026-11-20T23:31", 10);
    let report = answered(&mut memory, &request(&[By::User], Per::Total));
    assert_eq!(words(&report), ["20 alice: 2, 110"]);
    assert!(memory.questions <= 8, "{}", memory.questions);
    memory.questions = 0;
    answered(&mut memory, &request(&[By::Peer], Per::Total));
    assert_eq!(memory.questions, 2);
}

#[test]
fn without_a_host_there_is_nothing_to_tell() {
    for by in [By::User, By::Peer] {
        let report = answered(&mut Memory::default(), &request(&[by], Per::Total));
        assert!(report.rows.is_empty() && report.notes.is_empty());
    }
}
