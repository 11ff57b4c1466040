//! What another program has counted is in the ledger once, however often and
//! at whatever time it is imported.

use std::collections::BTreeMap;

use proptest::prelude::*;
use sshmeter_core::{
    identity::UserName,
    ledger::Batch,
    report::{By, Per, Report, Request},
    time::{Calendar, Period, Unit},
    units::{Flow, Minute},
};

use super::{
    super::{
        ImportOutcome, Imported, SessionQuery, StoreError, Writer,
        sample::{SampleFolder, flow, login, minute, moved, sample_month, session, traffic},
    },
    check, everyone,
    properties::{ZONES, retention},
    report, rows,
};

fn wire(inbound: u64, outbound: u64) -> Flow {
    Flow { inbound, outbound }
}

/// An amount of a minute; without a process, of an hour.
fn amount(user: &str, pid: Option<u32>, at: &str, wire: Flow) -> Imported {
    let minute = minute(at);
    Imported {
        user: UserName::new(user),
        counted_as: UserName::new(user),
        pid,
        minute,
        hour: Minute(minute.0.div_euclid(60) * 60),
        wire,
    }
}

fn import(writer: &mut Writer, amounts: &[Imported]) -> ImportOutcome {
    writer.import("scripts", amounts).expect("an import")
}

fn total(folder: &SampleFolder) -> Option<Flow> {
    report(folder, By::User, Per::Total).total.traffic.wire
}

#[test]
fn what_was_imported_is_there_once() {
    let folder = SampleFolder::new();
    let mut writer = folder.writer("Europe/Berlin");
    let amounts = [
        amount("alice", None, "2026-11-20T08:00:00Z", wire(1_000, 50)),
        amount("alice", Some(7), "2026-11-22T10:00:00Z", wire(100, 5)),
        amount("alice", Some(7), "2026-11-22T10:59:00Z", wire(10, 0)),
        amount("bob", Some(8), "2026-11-22T10:01:00Z", wire(0, 3)),
        amount("bob", Some(9), "2026-11-22T10:01:00Z", wire(0, 0)),
    ];
    let first = ImportOutcome {
        bytes: wire(1_110, 58),
        rows: 4,
        sessions: 3,
        already: 0,
        shrunk: 0,
    };
    assert_eq!(import(&mut writer, &amounts), first);
    let again = ImportOutcome {
        already: 3,
        ..ImportOutcome::default()
    };
    assert_eq!(import(&mut writer, &amounts), again);
    assert_eq!(
        rows(&report(&folder, By::User, Per::Bucket(Unit::Minute))),
        [
            "20T08:00 alice: Some(1050)",
            "22T10:00 alice: Some(105)",
            "22T10:01 bob: Some(3)",
            "22T10:59 alice: Some(10)",
        ]
    );
    assert_eq!(
        rows(&report(&folder, By::User, Per::Total)),
        ["01T00:00 alice: Some(1165)", "01T00:00 bob: Some(3)"]
    );
    // From another source the same is something else.
    let other = writer.import("elsewhere", &amounts).expect("an import");
    assert_eq!(other, first);
    assert_eq!(total(&folder), flow(2_220, 116));
}

#[test]
fn of_minutes_that_were_folded_only_the_rest_is_new() {
    let folder = SampleFolder::new();
    let mut writer = folder.writer("UTC");
    let _ = import(
        &mut writer,
        &[
            amount("alice", Some(7), "2026-11-22T10:05:00Z", wire(100, 5)),
            amount("alice", Some(7), "2026-11-22T10:06:00Z", wire(20, 0)),
        ],
    );
    // The first minute is folded, the second has grown, a third has come.
    let folded = [
        amount("alice", None, "2026-11-22T10:00:00Z", wire(100, 5)),
        amount("alice", Some(7), "2026-11-22T10:06:00Z", wire(30, 2)),
        amount("alice", Some(8), "2026-11-22T10:07:00Z", wire(1, 1)),
    ];
    let outcome = import(&mut writer, &folded);
    assert_eq!((outcome.bytes, outcome.sessions), (wire(11, 3), 1));
    // All of it is folded, with something that was never seen as a minute.
    let whole = [amount("alice", None, "2026-11-22T10:00:00Z", wire(131, 9))];
    let outcome = import(&mut writer, &whole);
    assert_eq!((outcome.bytes, outcome.rows), (wire(0, 1), 1));
    assert_eq!(import(&mut writer, &whole).already, 1);
    assert_eq!(total(&folder), flow(131, 9));
}

#[test]
fn less_than_was_taken_takes_nothing_back() {
    let folder = SampleFolder::new();
    let mut writer = folder.writer("UTC");
    let at = "2026-11-22T10:05:00Z";
    let _ = import(&mut writer, &[amount("alice", Some(7), at, wire(100, 50))]);
    let outcome = import(&mut writer, &[amount("alice", Some(7), at, wire(90, 60))]);
    assert_eq!((outcome.bytes, outcome.shrunk), (wire(0, 10), 1));
    assert_eq!(total(&folder), flow(100, 60));
    let outcome = import(&mut writer, &[amount("alice", Some(7), at, wire(101, 60))]);
    assert_eq!((outcome.bytes, outcome.shrunk), (wire(1, 0), 0));
    assert_eq!(total(&folder), flow(101, 60));
}

#[test]
fn an_imported_session_says_where_it_came_from_and_grows() {
    let folder = SampleFolder::new();
    let mut writer = folder.writer("UTC");
    let middle = amount("alice", Some(7), "2026-11-22T10:05:00Z", wire(100, 50));
    let _ = import(&mut writer, std::slice::from_ref(&middle));
    let before = amount("alice", Some(7), "2026-11-22T09:59:00Z", wire(1, 1));
    let after = amount("alice", Some(7), "2026-11-22T10:06:00Z", wire(2, 2));
    assert_eq!(import(&mut writer, &[before, middle, after]).sessions, 0);

    let query = SessionQuery {
        selection: everyone(),
        ..SessionQuery::default()
    };
    let list = folder.reader().sessions(&query).expect("a list");
    let [listed] = &list.sessions[..] else {
        panic!("one session: {list:?}")
    };
    let record = &listed.record;
    let login = record.login.as_ref().expect("a user");
    let closed = record.closed.as_ref().expect("an end");
    assert_eq!(record.id.boot.0, "import scripts");
    assert_eq!(
        (record.id.cookie.0, record.pid.map(|pid| pid.0)),
        (1, Some(7))
    );
    assert_eq!(login.method.as_deref(), Some("import"));
    assert_eq!(record.opened.to_string(), "2026-11-22T09:59:00Z");
    assert_eq!(closed.at.to_string(), "2026-11-22T10:06:59.999Z");
    assert_eq!(closed.reason, "imported");
    assert_eq!(record.peer.to_string(), "0.0.0.0:0");
    assert_eq!(
        (record.total.wire, record.total.payload),
        (flow(103, 53), None)
    );
    assert_eq!(check(&folder.reader()).expect("a check").faults, []);
}

#[test]
fn odd_names_are_kept_apart() {
    let folder = SampleFolder::new();
    let mut writer = folder.writer("UTC");
    let names = [
        "o'hara", "\"q\"", "🦀", "🦀🦀", "Alice", "alice", "", "a;--", "é",
    ];
    let amounts: Vec<_> = (1..)
        .zip(names)
        .map(|(bytes, name)| amount(name, Some(1), "2026-11-22T10:00:00Z", wire(bytes, 0)))
        .collect();
    let source = "mysql://db's/\"x\" 🦀";
    for times in 0..2 {
        let outcome = writer.import(source, &amounts).expect("an import");
        let there = u64::try_from(names.len()).expect("few") * times;
        assert_eq!(outcome.already, there);
    }
    let mut by_name: Vec<_> = rows(&report(&folder, By::User, Per::Total));
    by_name.sort_by_key(|row| row.rsplit_once('(').map(|(_, bytes)| bytes.to_owned()));
    let expected = (1..).zip(names);
    for (row, (bytes, name)) in by_name.iter().zip(expected) {
        assert_eq!(*row, format!("01T00:00 {name}: Some({bytes})"));
    }
    assert_eq!(by_name.len(), names.len());
}

#[test]
fn an_import_that_fails_leaves_nothing() {
    let folder = SampleFolder::new();
    let mut writer = folder.writer("UTC");
    let good = amount("alice", Some(7), "2026-11-22T10:05:00Z", wire(100, 50));
    let huge = amount("bob", Some(7), "2026-11-22T10:05:00Z", wire(u64::MAX, 0));
    let failed = writer.import("scripts", &[good.clone(), huge]);
    assert!(matches!(failed, Err(StoreError::TooLarge(u64::MAX))));
    assert!(folder.reader().is_empty().expect("readable"));
    assert_eq!(import(&mut writer, &[good]).bytes, wire(100, 50));
}

/// Totals by user of a ledger, over all time, from its rows of one unit.
fn totals(folder: &SampleFolder, per: Per) -> BTreeMap<String, Flow> {
    let request = Request {
        period: Period::new(
            minute("2020-01-01T00:00:00Z"),
            minute("2030-01-01T00:00:00Z"),
        ),
        calendar: Calendar::new(jiff::tz::TimeZone::UTC),
        by: vec![By::User],
        per,
        selection: everyone(),
    };
    let mut reader = folder.reader();
    assert_eq!(check(&reader).expect("a check").faults, []);
    let report: Report = reader.report(&request).expect("a report");
    let mut totals: BTreeMap<String, Flow> = BTreeMap::new();
    for row in &report.rows {
        let who = row.key.user.as_ref().expect("a user").label();
        let sum = totals.entry(who).or_default();
        *sum = sum.plus(row.sum.traffic.wire.unwrap_or_default());
    }
    totals
}

#[test]
fn what_is_older_than_what_is_kept_is_in_the_months() {
    let folder = SampleFolder::new();
    sample_month(&folder);
    let mut writer = folder.writer("Europe/Berlin");
    let now = super::instant("2026-11-22T17:05:30Z");
    // Minutes for a day, hours for ten, days for a hundred.
    let kept = retention((1, 9, 90));
    while writer.retain(now, &kept).expect("retention").more {}
    let mut expected = totals(&folder, Per::Total);
    let old = [
        amount("alice", None, "2024-02-29T08:00:00Z", wire(1_000, 50)),
        amount("alice", None, "2026-10-07T22:00:00Z", wire(200, 0)),
        amount("dora", Some(5), "2026-11-20T10:05:00Z", wire(30, 3)),
        amount("dora", Some(5), "2026-11-22T17:00:00Z", wire(4, 0)),
    ];
    for amount in &old {
        let sum = expected.entry(amount.user.as_str().to_owned()).or_default();
        *sum = sum.plus(amount.wire);
    }
    for again in [false, true] {
        let outcome = import(&mut writer, &old);
        assert_eq!(outcome.bytes == Flow::default(), again);
        for retained in [false, true] {
            if retained {
                while writer.retain(now, &kept).expect("retention").more {}
            }
            for per in [
                Per::Total,
                Per::Bucket(Unit::Minute),
                Per::Bucket(Unit::Hour),
                Per::Bucket(Unit::Day),
                Per::Bucket(Unit::Month),
            ] {
                assert_eq!(totals(&folder, per), expected, "{per:?} {again} {retained}");
            }
        }
    }
    let query = SessionQuery {
        selection: everyone(),
        ..SessionQuery::default()
    };
    let list = folder.reader().sessions(&query).expect("a list");
    let imported = list.sessions.iter().map(|it| &it.record);
    let imported: Vec<_> = imported
        .filter(|record| record.id.boot.0 == "import scripts")
        .map(|record| record.login.as_ref().expect("a user").user.as_str())
        .collect();
    assert_eq!(
        imported,
        ["dora"],
        "alice's ended before the hours that are kept"
    );
}

/// One thing that happens to a program's counts, or to the ledger.
#[derive(Clone, Debug)]
enum Step {
    Count {
        user: usize,
        pid: u32,
        at: i64,
        wire: Flow,
    },
    Fold {
        hours: i64,
    },
    Import {
        hours: usize,
    },
    Own {
        user: usize,
        at: i64,
    },
    Retain {
        at: i64,
        days: (u64, u64, u64),
    },
}

const USERS: [&str; 3] = ["alice", "bob", "🦀"];
/// 2026-10-20, as in the other properties.
const START: i64 = 29_874_240;
const SPAN: i64 = 20 * 24 * 60;

fn any_step() -> impl Strategy<Value = Step> {
    let flow = (0u64..3_000_000_000, 0u64..1_000)
        .prop_map(|(inbound, outbound)| Flow { inbound, outbound });
    prop_oneof![
        8 => (0usize..3, 1u32..4, 0..SPAN, flow)
            .prop_map(|(user, pid, at, wire)| Step::Count { user, pid, at, wire }),
        2 => (0i64..SPAN / 60).prop_map(|hours| Step::Fold { hours }),
        3 => (1usize..6).prop_map(|hours| Step::Import { hours }),
        1 => (0usize..3, 0..SPAN).prop_map(|(user, at)| Step::Own { user, at }),
        1 => (0..SPAN, (0u64..10, 0u64..5, 0u64..40))
            .prop_map(|(at, days)| Step::Retain { at, days }),
    ]
}

/// A program's two tables: its hours, and its minutes by process.
#[derive(Default)]
struct Source {
    hours: BTreeMap<(i64, usize), Flow>,
    minutes: BTreeMap<(i64, usize, u32), Flow>,
}

impl Source {
    /// Folds all minutes of the hours before the given one.
    fn fold(&mut self, hours: i64) {
        let young = self.minutes.split_off(&(START + hours * 60, 0, 0));
        for ((at, user, _), wire) in std::mem::replace(&mut self.minutes, young) {
            let sum = self
                .hours
                .entry((at.div_euclid(60) * 60, user))
                .or_default();
            *sum = sum.plus(wire);
        }
    }

    /// All it has, hour by hour.
    fn amounts(&self) -> BTreeMap<i64, Vec<Imported>> {
        let hours = self
            .hours
            .iter()
            .map(|((at, user), wire)| (*at, *user, None, *wire));
        let minutes = self
            .minutes
            .iter()
            .map(|((at, user, pid), wire)| (*at, *user, Some(*pid), *wire));
        let mut amounts: BTreeMap<i64, Vec<Imported>> = BTreeMap::new();
        for (at, user, pid, wire) in hours.chain(minutes) {
            let hour = at.div_euclid(60) * 60;
            amounts.entry(hour).or_default().push(Imported {
                user: UserName::new(USERS[user]),
                counted_as: UserName::new(USERS[user]),
                pid,
                minute: Minute(at),
                hour: Minute(hour),
                wire,
            });
        }
        amounts
    }

    fn import(&self, writer: &mut Writer, hours: usize) -> ImportOutcome {
        let amounts: Vec<_> = self.amounts().into_values().collect();
        let mut last = ImportOutcome::default();
        for chunk in amounts.chunks(hours) {
            last = import(writer, &chunk.concat());
            assert_eq!(last.shrunk, 0);
        }
        last
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn the_ledger_holds_what_the_source_has(
        steps in prop::collection::vec(any_step(), 1..80),
        zone in prop::sample::select(&ZONES[..]),
    ) {
        let folder = SampleFolder::new();
        let mut writer = folder.writer(zone);
        let mut source = Source::default();
        let mut expected: BTreeMap<String, Flow> = BTreeMap::new();
        for (cookie, step) in (1..).zip(&steps) {
            match step {
                Step::Count { user, pid, at, wire } => {
                    let sum = source.minutes.entry((START + at, *user, *pid)).or_default();
                    *sum = sum.plus(*wire);
                    let sum = expected.entry(USERS[*user].to_owned()).or_default();
                    *sum = sum.plus(*wire);
                }
                Step::Fold { hours } => source.fold(*hours),
                Step::Import { hours } => {
                    let _ = source.import(&mut writer, *hours);
                }
                // What we count ourselves meanwhile is another thing.
                Step::Own { user, at } => {
                    let mut record = session(cookie, "198.51.100.7", "2026-11-22T10:00:00Z");
                    record.login = Some(login(USERS[*user], "password", None));
                    let at = Minute(START + at).start().to_string();
                    let entries = vec![moved(&mut record, &at, traffic(80, 8))];
                    let sessions = vec![record];
                    writer.commit(&Batch { sessions, entries, checkpoint: None }).expect("a commit");
                    let sum = expected.entry(USERS[*user].to_owned()).or_default();
                    *sum = sum.plus(wire(80, 8));
                }
                Step::Retain { at, days } => {
                    let now = Minute(START + at).start();
                    while writer.retain(now, &retention(*days)).expect("retention").more {}
                }
            }
        }
        let _ = source.import(&mut writer, 4);
        source.fold(SPAN);
        let again = source.import(&mut writer, 4);
        prop_assert_eq!(again.bytes, Flow::default());
        expected.retain(|_, sum| sum.total() > 0);
        prop_assert_eq!(totals(&folder, Per::Bucket(Unit::Month)), expected);
    }
}
