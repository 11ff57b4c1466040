//! Random ledgers against a model that keeps every entry.

use std::{collections::BTreeMap, time::Duration};

use jiff::{Timestamp, tz::TimeZone};
use proptest::prelude::*;
use rusqlite::Connection;
use sshmeter_core::{
    counter::Reading,
    identity::UserName,
    ledger::{Batch, Closing, Entry, SessionRecord},
    report::{By, Per, Report, Request, Selection, Who},
    time::{Calendar, Period, Unit},
    units::{Flow, Minute, Traffic},
};

use super::{
    super::{
        Reader, SessionQuery, Writer,
        sample::{SampleFolder, login, session},
    },
    check, everyone,
};
use crate::{
    config::Retention,
    render::{View, report_csv, report_json, sessions_csv, sessions_json},
};

pub(super) const ZONES: [&str; 7] = [
    "UTC",
    "Europe/Berlin",
    "Asia/Kathmandu",
    "Asia/Beirut",
    "Australia/Lord_Howe",
    "America/St_Johns",
    "Pacific/Chatham",
];

/// 2026-10-20: the clock changes of many zones lie in the three weeks after.
const START: i64 = 29_874_240;
const SPAN: i64 = 21 * 24 * 60;

/// One thing that happens.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Open {
        named: Option<usize>,
    },
    Move {
        session: usize,
        before: i64,
        traffic: Traffic,
    },
    Name {
        session: usize,
        user: Option<usize>,
    },
    Close {
        session: usize,
    },
    Commit,
    Wait {
        minutes: i64,
    },
}

fn any_traffic() -> impl Strategy<Value = Traffic> {
    let flow = prop::option::weighted(
        0.8,
        (0u64..5_000_000_000, 1u64..1_000_000)
            .prop_map(|(inbound, outbound)| Flow { inbound, outbound }),
    );
    (flow.clone(), flow).prop_map(|(wire, payload)| Traffic { wire, payload })
}

pub(super) fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => prop::option::of(0usize..4).prop_map(|named| Step::Open { named }),
        8 => (any::<prop::sample::Index>(), 0i64..90, any_traffic()).prop_map(
            |(session, before, traffic)| Step::Move { session: session.index(1_000), before, traffic }
        ),
        2 => (0usize..1_000, prop::option::weighted(0.7, 0usize..4))
            .prop_map(|(session, user)| Step::Name { session, user }),
        1 => (0usize..1_000).prop_map(|session| Step::Close { session }),
        3 => Just(Step::Commit),
        3 => (1i64..1_500).prop_map(|minutes| Step::Wait { minutes }),
    ]
}

/// Everything that was ever committed, entry by entry.
#[derive(Default)]
struct Model {
    sessions: Vec<SessionRecord>,
    entries: Vec<(usize, Minute, Traffic)>,
}

const USERS: [(&str, Option<&str>); 4] = [
    ("alice", Some("SHA256:a")),
    ("alice", Some("SHA256:b")),
    ("bob", None),
    ("(unauthenticated)", None),
];

/// Does the steps, on the model and on a ledger.
fn run(steps: &[Step], writer: &mut Writer) -> Model {
    let mut life = Life::default();
    for step in steps {
        life.step(step, writer);
    }
    life.step(&Step::Commit, writer);
    life.model
}

/// What happens to a ledger, step by step.
pub(super) struct Life {
    model: Model,
    batch: Batch,
    now: Minute,
}

impl Default for Life {
    fn default() -> Self {
        Self {
            model: Model::default(),
            batch: Batch::default(),
            now: Minute(START),
        }
    }
}

impl Life {
    pub(super) fn step(&mut self, step: &Step, writer: &mut Writer) {
        let Self { model, batch, now } = self;
        let count = model.sessions.len();
        match step {
            Step::Open { named } => {
                let cookie = u64::try_from(count).expect("few");
                let mut record = session(cookie, "198.51.100.7", "2026-11-22T10:00:00Z");
                record.opened = now.start();
                record.login = named.map(|user| login(USERS[user].0, "publickey", USERS[user].1));
                record.total = Traffic::default();
                record.reading = Reading::default();
                model.sessions.push(record);
            }
            Step::Wait { minutes } => *now = Minute((now.0 + minutes).min(START + SPAN)),
            Step::Commit => {
                writer.commit(batch).expect("a commit");
                *batch = Batch::default();
                return;
            }
            _ if count == 0 => {}
            Step::Move {
                session,
                before,
                traffic,
            } => {
                let at = Minute(now.0 - before);
                let record = &mut model.sessions[session % count];
                record.total = record.total.plus(*traffic);
                record.reading = Reading(record.total);
                batch.entries.push(Entry {
                    session: record.id.clone(),
                    minute: at,
                    traffic: *traffic,
                });
                model.entries.push((session % count, at, *traffic));
            }
            Step::Name { session, user } => {
                model.sessions[session % count].login =
                    user.map(|user| login(USERS[user].0, "publickey", USERS[user].1));
            }
            Step::Close { session } => {
                model.sessions[session % count].closed = Some(Closing {
                    at: now.start() + Duration::from_secs(7),
                    reason: "closed".to_owned(),
                });
            }
        }
        batch.sessions.clone_from(&model.sessions);
    }

    /// The time it is.
    pub(super) fn now(&self) -> Timestamp {
        self.now.start()
    }
}

impl Model {
    fn who(&self, session: usize) -> Who {
        self.sessions[session]
            .login
            .as_ref()
            .map_or(Who::Nameless, |login| {
                Who::User(UserName::new(login.user.as_str()))
            })
    }

    /// By bucket and user, what moved in a period.
    fn sums(
        &self,
        period: Period,
        calendar: &Calendar,
        per: Per,
    ) -> BTreeMap<(Minute, Who), Traffic> {
        let mut sums: BTreeMap<_, Traffic> = BTreeMap::new();
        for (session, minute, traffic) in &self.entries {
            if traffic.is_nothing() || !period.contains(*minute) {
                continue;
            }
            let start = per.unit().map_or(period.since(), |unit| {
                calendar.bucket(unit, *minute).start.max(period.since())
            });
            let sum = sums.entry((start, self.who(*session))).or_default();
            *sum = sum.plus(*traffic);
        }
        sums
    }
}

fn whole() -> Period {
    Period::new(Minute(START - 10_000), Minute(START + SPAN + 10_000))
}

fn sums_of(report: &Report) -> BTreeMap<(Minute, Who), Traffic> {
    let rows = report
        .rows
        .iter()
        .filter(|row| !row.sum.traffic.is_nothing());
    rows.map(|row| {
        (
            (row.start, row.key.user.clone().expect("a user")),
            row.sum.traffic,
        )
    })
    .collect()
}

fn units() -> impl Strategy<Value = Per> {
    prop_oneof![
        Just(Per::Total),
        Just(Per::Bucket(Unit::Minute)),
        Just(Per::Bucket(Unit::Hour)),
        Just(Per::Bucket(Unit::Day)),
        Just(Per::Bucket(Unit::Month)),
    ]
}

fn any_period() -> impl Strategy<Value = Period> {
    (0..SPAN, 1..SPAN).prop_map(|(since, length)| {
        Period::new(
            Minute(START - 60 + since),
            Minute(START - 60 + since + length),
        )
    })
}

pub(super) fn retention(days: (u64, u64, u64)) -> Retention {
    let days_of = |days: u64| Some(Duration::from_secs(days * 86_400));
    Retention {
        minute: days_of(days.0),
        hour: days_of(days.0 + days.1),
        day: days_of(days.0 + days.1 + days.2),
    }
}

/// Every session's minutes and pruned amount add up to its total.
fn assert_sessions_add_up(folder: &SampleFolder) {
    let connection = Connection::open(folder.ledger()).expect("a ledger");
    for figure in ["wire_in", "wire_out", "payload_in", "payload_out"] {
        let wrong: i64 = connection
            .query_row(
                &format!(
                    "SELECT count(*) FROM session WHERE ifnull(total_{figure}, 0) <>
                     ifnull(pruned_{figure}, 0) + ifnull((SELECT sum({figure}) FROM minute
                     WHERE minute.session = session.id), 0)"
                ),
                [],
                |row| row.get(0),
            )
            .expect("a count");
        assert_eq!(wrong, 0, "{figure}");
    }
}

/// What a report and the sessions of one period say in each format.
fn formats(reader: &mut Reader, request: &Request) -> Vec<[u64; 4]> {
    let report = reader.report(request).expect("a report");
    let query = SessionQuery {
        period: Some(request.period),
        open_only: false,
        selection: request.selection.clone(),
    };
    let list = reader.sessions(&query).expect("a list");
    assert_eq!(list.notes, []);
    assert_eq!(report.notes, []);
    assert_eq!(
        report.total.sessions,
        Some(u64::try_from(list.sessions.len()).expect("few"))
    );
    assert_eq!(report.left_out.sessions, list.left_out.sessions);
    let keys = BTreeMap::new();
    let view = View {
        width: 80,
        unicode: true,
        styled: false,
        payload: false,
        top: None,
        keys: &keys,
    };
    let zone = request.calendar.zone();
    let json: serde_json::Value =
        serde_json::from_str(&report_json(&report, &view).expect("JSON")).expect("JSON");
    let sessions: serde_json::Value =
        serde_json::from_str(&sessions_json(&list, zone, &view).expect("JSON")).expect("JSON");
    vec![
        sum_of_json(&[json["total"].clone()]),
        sum_of_json(json["rows"].as_array().expect("rows")),
        sum_of_json(sessions.as_array().expect("sessions")),
        sum_of_csv(&report_csv(&report, &view)),
        sum_of_csv(&sessions_csv(&list, zone, &view)),
    ]
}

fn sum_of_json(rows: &[serde_json::Value]) -> [u64; 4] {
    ["in", "out", "payload_in", "payload_out"]
        .map(|name| rows.iter().map(|row| row[name].as_u64().unwrap_or(0)).sum())
}

/// The last four columns, which hold no quotes.
fn sum_of_csv(text: &str) -> [u64; 4] {
    let mut sums = [0; 4];
    for line in text.lines().skip(1) {
        let fields = line.rsplit(',').take(4).collect::<Vec<_>>();
        for (sum, field) in sums.iter_mut().zip(fields.into_iter().rev()) {
            *sum += field.parse::<u64>().unwrap_or(0);
        }
    }
    sums
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn every_resolution_holds_what_was_committed(
        steps in prop::collection::vec(any_step(), 1..60),
        ledger_zone in prop::sample::select(&ZONES[..]),
        asked_zone in prop::sample::select(&ZONES[..]),
        per in units(),
        period in any_period(),
    ) {
        let folder = SampleFolder::new();
        let mut writer = folder.writer(ledger_zone);
        let model = run(&steps, &mut writer);
        assert_sessions_add_up(&folder);
        let mut reader = folder.reader();
        prop_assert_eq!(check(&reader).expect("a check").faults, []);
        let calendar = Calendar::new(TimeZone::get(asked_zone).expect("a zone"));
        for period in [period, whole()] {
            let request = Request {
                period,
                calendar: calendar.clone(),
                by: vec![By::User],
                per,
                selection: everyone(),
            };
            let report = reader.report(&request).expect("a report");
            prop_assert_eq!(sums_of(&report), model.sums(period, &calendar, per));
            // By session the same is read from other rows.
            let by_session = Request { by: vec![By::Session], ..request };
            let report_by_session = reader.report(&by_session).expect("a report");
            prop_assert_eq!(report_by_session.total, report.total);
        }
    }

    #[test]
    fn a_report_sums_to_the_sessions_in_every_format(
        steps in prop::collection::vec(any_step(), 1..60),
        ledger_zone in prop::sample::select(&ZONES[..]),
        asked_zone in prop::sample::select(&ZONES[..]),
        per in units(),
        by in prop::sample::subsequence(vec![By::User, By::Credential, By::Peer, By::Session, By::Host], 1..3),
        period in any_period(),
        nameless in any::<bool>(),
        users in prop::sample::subsequence(vec!["alice", "(unauthenticated)", "\\(unauthenticated)"], 0..2),
    ) {
        let folder = SampleFolder::new();
        let mut writer = folder.writer(ledger_zone);
        run(&steps, &mut writer);
        let request = Request {
            period,
            calendar: Calendar::new(TimeZone::get(asked_zone).expect("a zone")),
            by,
            per,
            selection: Selection {
                users: users.into_iter().map(str::to_owned).collect(),
                nameless,
            },
        };
        let sums = formats(&mut folder.reader(), &request);
        for sum in &sums {
            prop_assert_eq!(sum, &sums[0], "{:?}", sums);
        }
    }

    #[test]
    fn retention_takes_detail_and_no_byte(
        steps in prop::collection::vec(any_step(), 1..60),
        zone in prop::sample::select(&ZONES[..]),
        days in (0u64..10, 0u64..5, 0u64..40),
        after in 0i64..20,
        more in prop::collection::vec(any_traffic(), 0..5),
    ) {
        let folder = SampleFolder::new();
        let mut writer = folder.writer(zone);
        let mut model = run(&steps, &mut writer);
        let calendar = Calendar::new(TimeZone::get(zone).expect("a zone"));
        let now = Minute(START + after * 1_440).start();
        let retention = retention(days);
        while writer.retain(now, &retention).expect("retention").more {}
        assert_sessions_add_up(&folder);
        assert_kept(&folder, &model, &calendar, now, &retention);

        // Life goes on for sessions that are open, late minutes included.
        let open = (0..model.sessions.len()).find(|index| model.sessions[*index].closed.is_none());
        if let Some(index) = open {
            for (minute, traffic) in (0i64..).zip(more) {
                let minute = Minute(START + minute * 2_000);
                let record = &mut model.sessions[index];
                record.total = record.total.plus(traffic);
                record.reading = Reading(record.total);
                let entry = Entry { session: record.id.clone(), minute, traffic };
                let batch = Batch { sessions: vec![record.clone()], entries: vec![entry], checkpoint: None };
                writer.commit(&batch).expect("a commit");
                model.entries.push((index, minute, traffic));
            }
            while writer.retain(now, &retention).expect("retention").more {}
            assert_sessions_add_up(&folder);
            assert_kept(&folder, &model, &calendar, now, &retention);
        }
    }
}

/// Months hold everything, and each finer kind what is younger than its time.
fn assert_kept(
    folder: &SampleFolder,
    model: &Model,
    calendar: &Calendar,
    now: Timestamp,
    retention: &Retention,
) {
    let mut reader = folder.reader();
    assert_eq!(check(&reader).expect("a check").faults, []);
    let kept = [
        (Unit::Month, None),
        (Unit::Day, retention.day),
        (Unit::Hour, retention.hour),
        (Unit::Minute, retention.minute),
    ];
    for (unit, length) in kept {
        let oldest = length.map(|length| Minute::of(now - length));
        let coarser = match unit {
            Unit::Minute => Unit::Hour,
            Unit::Hour => Unit::Day,
            Unit::Day | Unit::Month => Unit::Month,
        };
        // Whole months, so that no bucket is cut where its finer rows are gone.
        let first = calendar.bucket(Unit::Month, whole().since()).start;
        let last = calendar.bucket(Unit::Month, whole().until()).end;
        let since = oldest.map_or(first, |oldest| calendar.bucket(coarser, oldest).start);
        let period = Period::new(since.max(first), last);
        let per = Per::Bucket(unit);
        let request = Request {
            period,
            calendar: calendar.clone(),
            by: vec![By::User],
            per,
            selection: everyone(),
        };
        let report = reader.report(&request).expect("a report");
        assert_eq!(report.notes, [], "{unit:?}");
        assert_eq!(
            sums_of(&report),
            model.sums(period, calendar, per),
            "{unit:?}"
        );
    }
}
