//! What a ledger promises, tried on real files.

use sshmeter_core::{
    identity::{BootId, Endpoint, Pid, SocketCookie},
    ledger::{Batch, Checkpoint, SessionRecord},
    report::{By, Per, Report, Request, Selection, Who},
    rule::Counters,
    time::{Calendar, Period, Unit},
    units::{Flow, Minute, Traffic},
};

use super::{
    Depth, Reader, SessionQuery, StoreError, Verification, Writer,
    sample::{
        SampleFolder, closed, flow, instant, login, minute, moved, sample_month, session, traffic,
    },
    verify,
};

mod changes;
mod copies;
mod failures;
mod import;
mod properties;
mod verification;

fn request(by: By, per: Per, selection: Selection) -> Request {
    Request {
        period: Period::new(
            minute("2026-11-01T00:00:00Z"),
            minute("2026-12-01T00:00:00Z"),
        ),
        calendar: Calendar::new(jiff::tz::TimeZone::UTC),
        by: vec![by],
        per,
        selection,
    }
}

/// All that can be checked.
fn check(reader: &Reader) -> Result<Verification, StoreError> {
    verify(reader, Depth::Full, 50)
}

fn everyone() -> Selection {
    Selection {
        users: Vec::new(),
        nameless: true,
    }
}

fn report(folder: &SampleFolder, by: By, per: Per) -> Report {
    let mut reader = folder.reader();
    assert_eq!(check(&reader).expect("a check").faults, []);
    reader
        .report(&request(by, per, everyone()))
        .expect("a report")
}

/// Rows as `start user: bytes`.
fn rows(report: &Report) -> Vec<String> {
    let rows = report.rows.iter().map(|row| {
        let who = row.key.user.as_ref().map_or_else(String::new, Who::label);
        let wire = row.sum.traffic.wire.map(Flow::total);
        let start = row.start.start().strftime("%dT%H:%M");
        format!("{start} {who}: {wire:?}")
    });
    rows.collect()
}

#[test]
fn what_was_committed_is_saved() {
    let folder = SampleFolder::new();
    let mut open = session(1, "198.51.100.7", "2026-11-22T10:00:00.123Z");
    open.login = Some(login("alice", "publickey", Some("SHA256:a")));
    let mut knock = session(2, "198.51.100.8", "2026-11-22T10:00:00Z");
    closed(&mut knock, "2026-11-22T10:01:00Z", "closed");
    let mut gone = session(3, "198.51.100.9", "2026-11-22T10:00:00Z");
    gone.login = Some(login("bob", "password", None));
    closed(&mut gone, "2026-11-22T10:01:00Z", "closed");
    let mut lost = session(4, "198.51.100.9", "2026-11-21T10:00:00Z");
    closed(&mut lost, "2026-11-21T10:01:00Z", "unseen");
    // A cookie beyond SQLite's signed integers.
    let far = session(u64::MAX, "2001:db8::1", "2026-11-22T10:02:00Z");
    let entry = moved(&mut open, "2026-11-22T10:00:00Z", traffic(10, 20));
    let checkpoint = Checkpoint::File {
        path: "/var/log/auth.log".to_owned(),
        device: u64::MAX,
        inode: 7,
        offset: 99,
        first_line_crc: None,
    };
    let batch = Batch {
        sessions: vec![
            open.clone(),
            knock.clone(),
            gone.clone(),
            lost.clone(),
            far.clone(),
        ],
        entries: vec![entry],
        checkpoint: Some(checkpoint.clone()),
    };
    folder.writer("UTC").commit(&batch).expect("a commit");

    let writer = folder.writer("UTC");
    let saved = writer
        .saved(&open.id.boot, instant("2026-11-22T10:01:00Z"), &[])
        .expect("a state");
    assert_eq!(saved.checkpoint, Some(checkpoint));
    assert_eq!(
        saved.sessions,
        [open.clone(), knock, lost.clone(), far.clone()]
    );
    let later = writer
        .saved(&open.id.boot, instant("2026-11-22T10:01:01Z"), &[])
        .expect("a state");
    assert_eq!(later.sessions, [open.clone(), lost.clone(), far.clone()]);
    // Of an end that is told of once more, the session comes back with the others.
    let told_again = [gone.id.cookie, SocketCookie(77), far.id.cookie];
    let again = writer
        .saved(&open.id.boot, instant("2026-11-22T10:01:01Z"), &told_again)
        .expect("a state");
    assert_eq!(again.sessions, [open, gone, lost, far.clone()]);
    let other_boot = BootId("another".to_owned());
    let rebooted = writer
        .saved(&other_boot, instant("2026-11-22T10:01:01Z"), &[])
        .expect("a state");
    assert_eq!(rebooted.sessions.last(), Some(&far));
    assert_eq!(rebooted.sessions.len(), 2, "of that boot nothing is heard");
}

#[test]
fn whatever_is_new_of_a_session_is_saved() {
    let folder = SampleFolder::new();
    let mut writer = folder.writer("UTC");
    let mut one = session(1, "198.51.100.7", "2026-11-22T10:00:00.123Z");
    one.login = Some(login("alice", "publickey", Some("SHA256:a")));
    let news: [fn(&mut SessionRecord); 11] = [
        |_| {},
        |one| one.pid = Some(Pid(77)),
        |one| one.pid = None,
        |one| one.peer = Endpoint::new([198, 51, 100, 8].into(), one.peer.port()),
        |one| one.peer = Endpoint::new(one.peer.ip(), 7),
        |one| one.local = Endpoint::new([192, 0, 2, 99].into(), 2222),
        |one| one.opened = instant("2026-11-22T10:00:00.124Z"),
        |one| one.login = Some(login("alice", "password", Some("SHA256:a"))),
        |one| one.login = Some(login("alice", "password", None)),
        |one| one.login = Some(login("bob", "password", None)),
        |one| one.login = None,
    ];
    for (place, change) in news.into_iter().enumerate() {
        change(&mut one);
        let entry = moved(&mut one, "2026-11-22T10:05:00Z", traffic(10, 20));
        one.counters = Some(Counters {
            socket: flow(place as u64, 2),
            rule: flow(3, 4),
        });
        let batch = Batch {
            sessions: vec![one.clone()],
            entries: vec![entry],
            checkpoint: None,
        };
        writer.commit(&batch).expect("a commit");
        let saved = writer.saved(&one.id.boot, instant("2026-11-23T10:00:00Z"), &[]);
        assert_eq!(saved.expect("a state").sessions, [one.clone()], "{place}");
    }
    assert_eq!(check(&folder.reader()).expect("a check").faults, []);

    // It closes, and a late word opens it again.
    closed(&mut one, "2026-11-22T10:06:00Z", "unseen");
    let open = SessionRecord {
        closed: None,
        ..one.clone()
    };
    for one in [one, open] {
        let batch = Batch {
            sessions: vec![one.clone()],
            ..Batch::default()
        };
        writer.commit(&batch).expect("a commit");
        let saved = writer.saved(&one.id.boot, instant("2026-11-23T10:00:00Z"), &[]);
        assert_eq!(saved.expect("a state").sessions, [one]);
    }
    assert_eq!(check(&folder.reader()).expect("a check").faults, []);
}

#[test]
fn bytes_move_to_a_name_that_comes_late_and_back_where_it_is_taken_back() {
    let folder = SampleFolder::new();
    let mut writer = folder.writer("Asia/Kathmandu");
    let mut named = session(1, "198.51.100.7", "2026-11-22T10:00:00Z");
    let mut nameless = session(2, "198.51.100.8", "2026-11-22T10:00:00Z");
    let entries = vec![
        moved(&mut named, "2026-11-22T10:00:00Z", traffic(100, 200)),
        moved(&mut named, "2026-11-22T11:00:00Z", traffic(1, 2)),
        moved(&mut nameless, "2026-11-22T10:00:00Z", traffic(1_000, 0)),
    ];
    let sessions = vec![named.clone(), nameless];
    writer
        .commit(&Batch {
            sessions,
            entries,
            checkpoint: None,
        })
        .expect("a commit");
    assert_eq!(
        rows(&report(&folder, By::User, Per::Bucket(Unit::Hour))),
        [
            "22T10:00 (unauthenticated): Some(1300)",
            "22T11:00 (unauthenticated): Some(3)"
        ]
    );

    named.login = Some(login("alice", "publickey", None));
    let entry = moved(&mut named, "2026-11-22T11:00:00Z", traffic(5, 0));
    writer
        .commit(&Batch {
            sessions: vec![named.clone()],
            entries: vec![entry],
            checkpoint: None,
        })
        .expect("a commit");
    assert_eq!(
        rows(&report(&folder, By::User, Per::Bucket(Unit::Hour))),
        [
            "22T10:00 (unauthenticated): Some(1000)",
            "22T10:00 alice: Some(300)",
            "22T11:00 alice: Some(8)"
        ]
    );

    // A record without a login takes the name back, and the bytes with it.
    named.login = None;
    writer
        .commit(&Batch {
            sessions: vec![named],
            ..Batch::default()
        })
        .expect("a commit");
    assert_eq!(
        rows(&report(&folder, By::User, Per::Bucket(Unit::Hour))),
        [
            "22T10:00 (unauthenticated): Some(1300)",
            "22T11:00 (unauthenticated): Some(8)"
        ]
    );
}

#[test]
fn an_unknown_figure_stays_unknown() {
    let folder = SampleFolder::new();
    let mut writer = folder.writer("UTC");
    let payload_only = Traffic {
        wire: None,
        payload: flow(3, 4),
    };
    let mut old_kernel = session(1, "198.51.100.7", "2026-11-22T10:00:00Z");
    old_kernel.total = Traffic::default();
    let mut other = session(2, "198.51.100.8", "2026-11-22T10:00:00Z");
    let entries = vec![
        moved(&mut old_kernel, "2026-11-22T10:00:00Z", payload_only),
        moved(&mut other, "2026-11-22T10:00:00Z", traffic(80, 0)),
    ];
    writer
        .commit(&Batch {
            sessions: vec![old_kernel, other.clone()],
            entries,
            checkpoint: None,
        })
        .expect("a commit");
    assert_eq!(
        report(&folder, By::User, Per::Total).total.traffic.wire,
        flow(80, 0)
    );

    // With the one that had a figure gone elsewhere, none is left behind.
    other.login = Some(login("alice", "password", None));
    writer
        .commit(&Batch {
            sessions: vec![other],
            ..Batch::default()
        })
        .expect("a commit");
    let report = report(&folder, By::User, Per::Total);
    assert_eq!(report.rows[0].sum.traffic.wire, flow(80, 0));
    assert_eq!(report.rows[1].sum.traffic, payload_only);
}

#[test]
fn users_and_credentials_of_odd_names_are_kept_apart() {
    let folder = SampleFolder::new();
    let mut batch = Batch::default();
    let names = [
        ("", None),
        ("", Some("")),
        ("(unauthenticated)", None),
        ("a", None),
        ("a", Some("")),
        ("A", None),
        ("a\0b", None),
    ];
    for (cookie, (user, credential)) in (1..).zip(names) {
        let mut session = session(cookie, "198.51.100.7", "2026-11-22T10:00:00Z");
        session.login = Some(login(user, "publickey", credential));
        batch
            .entries
            .push(moved(&mut session, "2026-11-22T10:00:00Z", traffic(1, 0)));
        batch.sessions.push(session);
    }
    let mut nameless = session(99, "198.51.100.7", "2026-11-22T10:00:00Z");
    batch
        .entries
        .push(moved(&mut nameless, "2026-11-22T10:00:00Z", traffic(1, 0)));
    batch.sessions.push(nameless);
    folder.writer("UTC").commit(&batch).expect("a commit");
    assert_eq!(report(&folder, By::User, Per::Total).rows.len(), 6);
    let mut reader = folder.reader();
    let mut both = request(By::User, Per::Total, everyone());
    both.by.push(By::Credential);
    assert_eq!(reader.report(&both).expect("a report").rows.len(), 8);
}

#[test]
fn a_ledger_keeps_its_zone() {
    let folder = SampleFolder::new();
    assert_eq!(folder.writer("Europe/Berlin").zone(), "Europe/Berlin");
    let mut again = folder.writer("Asia/Tokyo");
    assert_eq!(again.zone(), "Europe/Berlin");
    assert!(again.take_notices()[0].contains("not of Asia/Tokyo"));
    drop(again);
    let error = Writer::open(&folder.ledger(), Some("Mars/Olympus")).expect_err("refused");
    assert!(matches!(error, StoreError::UnknownZone(_)));
}

#[test]
fn an_entry_of_an_unknown_session_commits_nothing() {
    let folder = SampleFolder::new();
    let mut writer = folder.writer("UTC");
    let mut known = session(1, "198.51.100.7", "2026-11-22T10:00:00Z");
    let mut unknown = session(2, "198.51.100.7", "2026-11-22T10:00:00Z");
    let entries = vec![
        moved(&mut known, "2026-11-22T10:00:00Z", traffic(1, 1)),
        moved(&mut unknown, "2026-11-22T10:00:00Z", traffic(1, 1)),
    ];
    let error = writer
        .commit(&Batch {
            sessions: vec![known],
            entries,
            checkpoint: None,
        })
        .expect_err("refused");
    assert!(matches!(error, StoreError::UnknownSession { cookie: 2 }));
    assert!(folder.reader().is_empty().expect("readable"));
}

#[test]
fn figures_beyond_sqlite_are_refused_and_never_rounded() {
    let folder = SampleFolder::new();
    let mut writer = folder.writer("UTC");
    let mut huge = session(1, "198.51.100.7", "2026-11-22T10:00:00Z");
    let entry = moved(&mut huge, "2026-11-22T10:00:00Z", traffic(u64::MAX, 0));
    let batch = Batch {
        sessions: vec![huge],
        entries: vec![entry],
        checkpoint: None,
    };
    assert!(matches!(
        writer.commit(&batch),
        Err(StoreError::TooLarge(u64::MAX))
    ));

    // Two that fit, whose sum does not.
    let mut half = session(1, "198.51.100.7", "2026-11-22T10:00:00Z");
    let largest = u64::try_from(i64::MAX).expect("positive");
    let entry = moved(&mut half, "2026-11-22T10:00:00Z", traffic(largest, 0));
    let batch = Batch {
        sessions: vec![half],
        entries: vec![entry],
        checkpoint: None,
    };
    writer.commit(&batch).expect("a commit");
    writer.commit(&batch).expect_err("a sum beyond 64 bits");
    let report = report_of(&folder);
    assert_eq!(report.total.traffic.wire, flow(largest, 0));
}

fn report_of(folder: &SampleFolder) -> Report {
    let mut reader = folder.reader();
    reader
        .report(&request(By::User, Per::Total, everyone()))
        .expect("a report")
}

#[test]
fn retention_deletes_minutes_and_keeps_sums() {
    let folder = SampleFolder::new();
    sample_month(&folder);
    let mut writer = folder.writer("Europe/Berlin");
    let retention = crate::config::Retention {
        minute: Some(std::time::Duration::from_secs(24 * 3600)),
        hour: Some(std::time::Duration::from_secs(10 * 24 * 3600)),
        day: None,
    };
    let before = report_of(&folder);
    let now = instant("2026-11-22T17:05:30Z");
    let retained = writer.retain(now, &retention).expect("retention");
    assert!(retained.rows > 0 && !retained.more);
    assert_eq!(writer.retain(now, &retention).expect("retention").rows, 0);

    let after = report_of(&folder);
    assert_eq!(after.total.traffic, before.total.traffic);
    assert_eq!(after.total.sessions, None, "the first session has expired");
    let mut reader = folder.reader();
    let list = reader.sessions(&SessionQuery {
        selection: everyone(),
        ..SessionQuery::default()
    });
    assert_eq!(list.expect("a list").sessions.len(), 6);

    // Minutes of a day that is over are answered by its hours, and that is said.
    let mut cut = request(By::User, Per::Total, everyone());
    cut.period = Period::new(
        minute("2026-11-21T10:00:00Z"),
        minute("2026-11-21T10:30:00Z"),
    );
    let report = reader.report(&cut).expect("a report");
    assert_eq!(rows(&report), ["21T10:00 bob: Some(942516)"]);
    assert_eq!(report.notes.len(), 1);
}

#[test]
fn a_connection_that_may_still_be_named_keeps_its_minutes() {
    let folder = SampleFolder::new();
    let mut writer = folder.writer("UTC");
    let mut old = session(1, "198.51.100.7", "2026-09-01T10:00:00Z");
    let entry = moved(&mut old, "2026-11-01T10:00:00Z", traffic(80, 8));
    writer
        .commit(&Batch {
            sessions: vec![old.clone()],
            entries: vec![entry],
            checkpoint: None,
        })
        .expect("a commit");
    let retention = crate::config::Config::default().ledger.retention;
    writer
        .retain(instant("2026-12-20T00:00:00Z"), &retention)
        .expect("retention");
    old.login = Some(login("alice", "publickey", None));
    writer
        .commit(&Batch {
            sessions: vec![old],
            ..Batch::default()
        })
        .expect("a commit");
    assert_eq!(
        rows(&report(&folder, By::User, Per::Total)),
        ["01T00:00 alice: Some(88)"]
    );
}

#[test]
fn a_stepped_clock_loses_nothing() {
    let folder = SampleFolder::new();
    let mut writer = folder.writer("UTC");
    let mut odd = session(1, "198.51.100.7", "2026-11-22T10:00:00Z");
    let entries = vec![
        moved(&mut odd, "2026-11-20T09:00:00Z", traffic(8, 0)),
        moved(&mut odd, "2026-11-24T09:00:00Z", traffic(16, 0)),
    ];
    closed(&mut odd, "2026-11-21T10:00:00Z", "closed");
    writer
        .commit(&Batch {
            sessions: vec![odd],
            entries,
            checkpoint: None,
        })
        .expect("a commit");
    let mut reader = folder.reader();
    for (day, bytes) in [(20, 8), (24, 16)] {
        let period = Period::new(
            minute(&format!("2026-11-{day}T00:00:00Z")),
            minute(&format!("2026-11-{day}T23:00:00Z")),
        );
        let query = SessionQuery {
            period: Some(period),
            open_only: false,
            selection: everyone(),
        };
        let list = reader.sessions(&query).expect("a list");
        assert_eq!(list.total.traffic.wire, flow(bytes, 0));
        let mut asked = request(By::User, Per::Total, everyone());
        asked.period = period;
        let report = reader.report(&asked).expect("a report");
        assert_eq!(report.total, list.total);
    }
}

#[test]
fn a_session_spans_what_it_moved_before_the_clock_was_put_back() {
    let folder = SampleFolder::new();
    let mut writer = folder.writer("UTC");
    let mut odd = session(1, "198.51.100.7", "2026-11-22T10:00:00Z");
    let mut other = session(2, "198.51.100.8", "2026-11-22T10:00:00Z");
    let entries = vec![
        moved(&mut odd, "2026-11-22T10:00:00Z", traffic(8, 0)),
        moved(&mut odd, "2026-11-22T12:30:00Z", traffic(16, 0)),
        moved(&mut other, "2026-11-22T12:31:00Z", traffic(32, 0)),
    ];
    let both = |sessions: [&SessionRecord; 2]| sessions.map(Clone::clone).to_vec();
    writer
        .commit(&Batch {
            sessions: both([&odd, &other]),
            entries,
            checkpoint: None,
        })
        .expect("a commit");
    for session in [&mut odd, &mut other] {
        closed(session, "2026-11-22T11:00:00Z", "closed");
    }
    writer
        .commit(&Batch {
            sessions: both([&odd, &other]),
            ..Batch::default()
        })
        .expect("a commit");
    let reader = folder.reader();
    assert_eq!(verify(&reader, Depth::Full, 9).expect("a check").faults, []);
}

#[test]
fn a_period_of_all_time_is_answered_at_once() {
    let folder = SampleFolder::new();
    sample_month(&folder);
    let mut reader = folder.reader();
    for per in [Unit::Minute, Unit::Hour, Unit::Day, Unit::Month] {
        let mut asked = request(By::User, Per::Bucket(per), everyone());
        asked.period = Period::new(
            Minute::of(jiff::Timestamp::MIN),
            Minute::of(jiff::Timestamp::MAX),
        );
        let report = reader.report(&asked).expect("a report");
        assert_eq!(report.total.traffic, report_of(&folder).total.traffic);
    }
}
