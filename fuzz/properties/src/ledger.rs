//! Any bytes as the ledger's file, read by every question there is and then
//! taken up by a daemon.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use jiff::{Timestamp, tz::TimeZone};
use sshmeter::{
    config::Config,
    render::{
        SessionsHeading, View, note_sentence, report_csv, report_json, report_table, sessions_csv,
        sessions_json, sessions_table,
    },
    store::{Depth, Imported, Reader, SessionQuery, StoreError, Table as Kind, Writer, verify},
};
use sshmeter_core::{
    identity::{BootId, UserName},
    report::{By, Per, Report, Request, Selection},
    session::{Moment, Table},
    time::{Calendar, Period, Unit},
    units::{Flow, Minute, Traffic},
};
use tempfile::TempDir;

/// A small ledger with every table filled, as a daemon wrote it.
const SAMPLE: &[u8] = include_bytes!("../../seeds/ledger/whole");

/// The boot of the sample's sessions.
const BOOT: &str = "3b1f7c1e-5a3d-4c7e-9d53-0d9f6a1c2e44";

/// The small ledger.
#[must_use]
pub fn sample_ledger() -> &'static [u8] {
    SAMPLE
}

/// Reads a file as a ledger.
pub fn ledger(bytes: &[u8]) {
    let file = LedgerFile::of(bytes);
    let _ = read_and_resume(&file.path);
}

/// A file in a folder of its own: SQLite makes others beside it.
pub(crate) struct LedgerFile {
    _folder: TempDir,
    pub(crate) path: PathBuf,
}

impl LedgerFile {
    pub(crate) fn of(bytes: &[u8]) -> Self {
        let folder = TempDir::new().expect("a folder");
        let path = folder.path().join("ledger.db");
        fs::write(&path, bytes).expect("a file");
        Self {
            _folder: folder,
            path,
        }
    }
}

/// Does with a ledger all that sshmeter does. Gives the first error, which has
/// words for people.
pub(crate) fn read_and_resume(path: &Path) -> Result<(), StoreError> {
    let done = read(path).and_then(|()| resume(path));
    if let Err(error) = &done {
        assert!(!error.to_string().is_empty() && error.hint() != Some(""));
    }
    done
}

/// Asks every question, and shows every answer in every form.
fn read(path: &Path) -> Result<(), StoreError> {
    let mut reader = Reader::open(path)?;
    let _ = verify(&reader, Depth::Full, 100)?;
    let _ = reader.is_empty()?;
    let month = Period::new(minute(1_793_487_600), minute(1_796_079_600));
    let day = Period::new(minute(1_795_302_000), minute(1_795_388_400));
    let always = Period::new(Minute::of(Timestamp::MIN), Minute::of(Timestamp::MAX));
    let asked = Calendar::new(TimeZone::get("Asia/Kathmandu").expect("tzdata"));
    let own = reader.calendar().clone();
    for (by, per, period, calendar) in [
        (By::User, Per::Total, month, &own),
        (By::User, Per::Bucket(Unit::Month), always, &own),
        (By::Credential, Per::Bucket(Unit::Day), day, &asked),
        (By::Host, Per::Bucket(Unit::Hour), day, &own),
        (By::Peer, Per::Total, always, &own),
        (By::Session, Per::Bucket(Unit::Minute), month, &asked),
        (By::User, Per::Bucket(Unit::Minute), always, &asked),
    ] {
        let request = Request {
            period,
            calendar: calendar.clone(),
            by: vec![by],
            per,
            selection: everyone(),
        };
        show_report(&reader.report(&request)?);
    }
    for period in [None, Some(month), Some(always)] {
        show_sessions(&mut reader, period)?;
    }
    follow(&mut reader)
}

/// Reads it as a mirror does.
fn follow(reader: &mut Reader) -> Result<(), StoreError> {
    let _ = reader.facts()?;
    let _ = reader.journal()?;
    let mut after = 0;
    for _ in 0..3 {
        let changes = reader.changes(after, 10, &Kind::ALL)?;
        assert!(changes.rows.len() <= 10 && changes.up_to >= after);
        after = changes.up_to;
    }
    for table in Kind::ALL {
        let mut after = None;
        for _ in 0..3 {
            let rows = reader.rows_after(table, after, 2)?;
            let last = rows.last().map(|row| row.key);
            assert!(last.is_none() || last > after, "in the order of keys");
            after = last.or(after);
        }
    }
    Ok(())
}

fn everyone() -> Selection {
    Selection {
        users: Vec::new(),
        nameless: true,
    }
}

fn show_report(report: &Report) {
    let keys = BTreeMap::new();
    let view = view(&keys);
    let sum = report.rows.iter().map(|row| row.sum.traffic);
    assert_eq!(
        sum.fold(Traffic::default(), Traffic::plus),
        report.total.traffic
    );
    assert_eq!(
        report.left_out.traffic,
        Traffic::default(),
        "all were asked for"
    );
    let text = report_table(report, &view);
    assert!(!text.contains(is_obeyed));
    for note in &report.notes {
        assert!(!note_sentence(note, report.calendar.zone()).is_empty());
    }
    let json = report_json(report, &view).expect("a report is JSON");
    assert!(!json.contains(is_obeyed));
    serde_json::from_str::<serde_json::Value>(&json).expect("what we wrote");
    assert!(report_csv(report, &view).ends_with('\n'));
}

fn show_sessions(reader: &mut Reader, period: Option<Period>) -> Result<(), StoreError> {
    let zone = TimeZone::UTC;
    let now = minute(1_795_368_000).start();
    let keys = BTreeMap::new();
    let view = view(&keys);
    for open_only in [false, true] {
        let list = reader.sessions(&SessionQuery {
            period,
            open_only,
            selection: everyone(),
        })?;
        assert_eq!(u64::try_from(list.sessions.len()).ok(), list.total.sessions);
        let heading = SessionsHeading {
            period,
            open_only,
            zone: &zone,
            now,
        };
        let text = sessions_table(&list, &heading, &view);
        assert!(!text.contains(is_obeyed));
        let json = sessions_json(&list, &zone, &view).expect("sessions are JSON");
        assert!(!json.contains(is_obeyed));
        serde_json::from_str::<serde_json::Value>(&json).expect("what we wrote");
        assert!(sessions_csv(&list, &zone, &view).ends_with('\n'));
    }
    Ok(())
}

/// Takes the ledger up as a daemon does when it starts, and ends all it finds.
fn resume(path: &Path) -> Result<(), StoreError> {
    let mut writer = Writer::open(path, Some("Europe/Berlin"))?;
    let now = Moment {
        wall: minute(1_795_368_000).start(),
        monotonic: std::time::Duration::from_secs(100),
    };
    let boot = BootId(BOOT.to_owned());
    let saved = writer.saved(&boot, now.wall, &[])?;
    let (mut table, outlived) = Table::resume(
        boot,
        Timestamp::UNIX_EPOCH,
        saved.sessions,
        saved.checkpoint,
        now,
    );
    writer.commit(&outlived)?;
    for seconds in [1, 2, 400] {
        let later = std::time::Duration::from_secs(seconds);
        table.dump(
            &[],
            Moment {
                monotonic: now.monotonic + later,
                ..now
            },
        );
    }
    if let Some(batch) = table.take_batch() {
        writer.commit(&batch)?;
    }
    let _ = writer.import("scripts", &imported())?;
    let _ = writer.forget_changes(i64::MAX)?;
    writer.record_changes(false)?;
    let _ = writer.retain(now.wall, &Config::default().ledger.retention)?;
    Ok(())
}

/// What another program has by now, of an hour that was imported before.
fn imported() -> [Imported; 1] {
    [Imported {
        user: UserName::new("carol"),
        counted_as: UserName::new("carol"),
        pid: None,
        minute: minute(1_795_341_600),
        hour: minute(1_795_341_600),
        wire: Flow {
            inbound: 900,
            outbound: 90,
        },
    }]
}

/// What a terminal would do something about.
fn is_obeyed(letter: char) -> bool {
    letter.is_control() && letter != '\n'
}

fn minute(second: i64) -> Minute {
    Minute(second / 60)
}

fn view(keys: &BTreeMap<String, String>) -> View<'_> {
    View {
        width: 100,
        unicode: true,
        styled: false,
        payload: false,
        top: Some(5),
        keys,
    }
}
