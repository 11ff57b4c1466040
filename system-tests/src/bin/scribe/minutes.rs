//! Open sessions that all move something in every minute.

use std::{
    io::Write as _,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::Result;
use rustix::time::{ClockId, clock_gettime};
use sshmeter::store::Writer;
use sshmeter_core::{
    ledger::{Batch, Entry, SessionRecord},
    units::{Minute, Traffic},
};
use system_tests::told::{Commit, Seconds};

use super::{count, moved, plain::Plain, session};

/// 2026-11-01, in the morning.
const BEGIN: Minute = Minute(29_892_000);

/// Tells of each minute in a line, and in the last what all together moved.
pub(super) fn run(
    ledger: &Path,
    sessions: u64,
    users: u64,
    past: i64,
    measured: i64,
) -> Result<()> {
    let mut writer = Writer::open(ledger, Some("Europe/Berlin"))?;
    let mut crowd = Crowd::open(sessions, users);
    let mut plain = Plain::begin(&ledger.with_extension("plain"))?;
    writer.commit(&Batch {
        sessions: crowd.sessions.clone(),
        ..Batch::default()
    })?;
    let mut minute = BEGIN;
    for _ in 0..past {
        writer.commit(&crowd.minute(minute))?;
        minute = minute.next();
    }
    let mut out = std::io::stdout().lock();
    let accounts = usize::try_from(users)?;
    for _ in 0..measured {
        let batch = crowd.minute(minute);
        let rows = batch.sessions.len() + batch.entries.len() + 3 * accounts;
        let (committed, commit) = timed(|| writer.commit(&batch));
        committed?;
        let (written, plain) = timed(|| plain.write(minute, rows));
        written?;
        let took = Commit {
            rows,
            commit,
            plain,
        };
        serde_json::to_writer(&mut out, &took)?;
        writeln!(out)?;
        minute = minute.next();
    }
    let total = crowd.total();
    let figures = [total.wire, total.payload].map(|flow| {
        let flow = flow.unwrap_or_default();
        [flow.inbound, flow.outbound]
    });
    serde_json::to_writer(&mut out, &figures)?;
    Ok(writeln!(out)?)
}

struct Crowd {
    sessions: Vec<SessionRecord>,
}

impl Crowd {
    fn open(sessions: u64, users: u64) -> Self {
        let sessions = (0..sessions).map(|number| session(number, number % users, BEGIN));
        Self {
            sessions: sessions.collect(),
        }
    }

    fn minute(&mut self, minute: Minute) -> Batch {
        let mut batch = Batch::default();
        for session in &mut self.sessions {
            let traffic = moved(session.id.cookie.0, minute);
            count(session, traffic);
            batch.sessions.push(session.clone());
            batch.entries.push(Entry {
                session: session.id.clone(),
                minute,
                traffic,
            });
        }
        batch
    }

    fn total(&self) -> Traffic {
        let all = self.sessions.iter().map(|session| session.total);
        all.fold(Traffic::default(), Traffic::plus)
    }
}

fn timed<T>(work: impl FnOnce() -> T) -> (T, Seconds) {
    let (begin, used) = (Instant::now(), processor());
    let done = work();
    let took = Seconds {
        wall: begin.elapsed().as_secs_f64(),
        processor: processor() - used,
    };
    (done, took)
}

/// This thread's processor time.
fn processor() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(time).map_or(0.0, |time| time.as_secs_f64())
}
