//! Makes the ledger that the fuzz targets begin with: every table filled, by the
//! daemon's own writer, in pages so small that a byte of it means something.
//!
//! `cargo run -p fuzz-properties --example sample_ledger FILE`

use std::{env, error::Error, fs, path::Path};

use jiff::Timestamp;
use sshmeter::{
    config::Config,
    store::{Imported, Writer},
};
use sshmeter_core::{
    counter::Reading,
    identity::{BootId, Credential, Endpoint, Pid, SocketCookie, SocketId, UserName},
    ledger::{Batch, Checkpoint, Closing, Entry, Login, SessionRecord},
    rule::Counters,
    units::{Flow, Minute, Traffic},
};

const BOOT: &str = "3b1f7c1e-5a3d-4c7e-9d53-0d9f6a1c2e44";

fn main() -> Result<(), Box<dyn Error>> {
    let file = env::args().nth(1).ok_or("the file's name is missing")?;
    let folder = tempfile::TempDir::new()?;
    let ledger = folder.path().join("ledger.db");
    write(&ledger)?;
    let connection = rusqlite::Connection::open(&ledger)?;
    connection.execute_batch(
        "PRAGMA journal_mode = DELETE; PRAGMA page_size = 512; VACUUM; PRAGMA journal_mode = WAL;",
    )?;
    drop(connection);
    fs::copy(ledger, file)?;
    Ok(())
}

fn write(path: &Path) -> Result<(), Box<dyn Error>> {
    let mut writer = Writer::open(path, Some("Europe/Berlin"))?;
    writer.record_changes(true)?;
    let mut batch = Batch {
        checkpoint: Some(Checkpoint::File {
            path: "/var/log/auth.log".to_owned(),
            device: 1,
            inode: 2,
            offset: 3,
            first_line_crc: Some(4),
        }),
        ..Batch::default()
    };
    add(
        &mut batch,
        1,
        Some("alice"),
        "2026-10-20T10:00:00Z",
        Some("disconnected by user"),
    );
    add(
        &mut batch,
        2,
        Some("bob"),
        "2026-11-21T23:10:00Z",
        Some("unseen"),
    );
    add(&mut batch, 3, None, "2026-11-22T16:00:00Z", Some("closed"));
    add(&mut batch, 4, Some("alice"), "2026-11-22T17:00:00Z", None);
    writer.commit(&batch)?;
    let hour = Minute::of("2026-11-22T10:00:00Z".parse()?);
    let imported = Imported {
        user: UserName::new("carol"),
        counted_as: UserName::new("carol"),
        pid: Some(4712),
        minute: Minute(hour.0 + 5),
        hour,
        wire: Flow {
            inbound: 700,
            outbound: 70,
        },
    };
    writer.import("scripts", &[imported])?;
    // Some minutes have expired.
    writer.retain(
        "2026-11-22T17:20:00Z".parse()?,
        &Config::default().ledger.retention,
    )?;
    Ok(())
}

/// A session that moved bytes in its first minute and three hours later.
fn add(batch: &mut Batch, cookie: u64, user: Option<&str>, opened: &str, end: Option<&str>) {
    let opened: Timestamp = opened.parse().expect("an instant");
    let id = SocketId {
        boot: BootId(BOOT.to_owned()),
        cookie: SocketCookie(cookie),
    };
    let mut total = Traffic::default();
    for hours in [0, 3] {
        let flow = |inbound, outbound| Some(Flow { inbound, outbound });
        let traffic = Traffic {
            wire: flow(cookie * 1000, 5000),
            payload: flow(cookie * 900, 4500),
        };
        total = total.plus(traffic);
        batch.entries.push(Entry {
            session: id.clone(),
            minute: Minute(Minute::of(opened).0 + hours * 60),
            traffic,
        });
    }
    batch.sessions.push(SessionRecord {
        id,
        peer: Endpoint::new([192, 0, 2, 7].into(), 40_000),
        local: Endpoint::new([192, 0, 2, 1].into(), 22),
        pid: Some(Pid(4711)),
        login: user.map(|user| Login {
            user: UserName::new(user),
            method: Some("publickey".to_owned()),
            credential: (user == "alice").then(|| Credential::new("SHA256:alice")),
        }),
        opened,
        closed: end.map(|reason| Closing {
            at: opened + jiff::SignedDuration::from_hours(4),
            reason: reason.to_owned(),
        }),
        reading: Reading(total),
        counters: Some(Counters {
            socket: total.wire,
            rule: total.payload,
        }),
        total,
    });
}
