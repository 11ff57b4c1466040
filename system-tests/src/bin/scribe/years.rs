//! A ledger that was kept for years: each user has a session a day, and what is too
//! old by the default retention goes at the end of each.

use std::path::Path;

use anyhow::Result;
use sshmeter::{config::Config, store::Writer};
use sshmeter_core::{
    ledger::{Batch, Closing, Entry},
    units::Minute,
};

use super::{count, moved, session};

/// When the last day is over: the first of November 2026, in Berlin.
const END: Minute = Minute(29_891_460);
const DAY: i64 = 24 * 60;
/// When sessions begin, after midnight.
const MORNING: i64 = 7 * 60;
/// Minutes of days before these would be gone at the end.
const DAYS_WITH_MINUTES: i64 = 32;

/// How users work.
#[derive(Clone, Copy, Debug)]
pub(super) struct Usage {
    pub(super) users: u64,
    pub(super) days: i64,
    /// How long a session is open.
    pub(super) hours: i64,
    /// In how many of its minutes something moves.
    pub(super) minutes: i64,
}

/// Makes the ledger.
pub(super) fn run(ledger: &Path, usage: Usage) -> Result<()> {
    let mut writer = Writer::open(ledger, Some("Europe/Berlin"))?;
    let retention = Config::default().ledger.retention;
    for day in 0..usage.days {
        let begin = Minute(END.0 - (usage.days - day) * DAY);
        writer.commit(&usage.day(day, begin)?)?;
        let midnight = Minute(begin.0 + DAY).start();
        while writer.retain(midnight, &retention)?.more {}
    }
    Ok(())
}

impl Usage {
    /// Of a day whose minutes will be gone, each hour's come as one: what is left of
    /// them is the same.
    fn day(self, day: i64, begin: Minute) -> Result<Batch> {
        let is_kept = self.days - day <= DAYS_WITH_MINUTES;
        let minutes = if is_kept { self.minutes } else { self.hours };
        let mut batch = Batch::default();
        for user in 0..self.users {
            // People do not begin all at once, nor their minutes at the hour.
            let late = i64::try_from(user % 180)?;
            let opened = Minute(begin.0 + MORNING + late);
            let number = u64::try_from(day)? * self.users + user;
            let mut session = session(number, user, opened);
            for place in 0..minutes {
                let minute = Minute(opened.0 + place * self.hours * 60 / minutes);
                let traffic = moved(number, minute);
                count(&mut session, traffic);
                batch.entries.push(Entry {
                    session: session.id.clone(),
                    minute,
                    traffic,
                });
            }
            let last = Minute(opened.0 + self.hours * 60);
            session.closed = Some(Closing {
                at: last.start(),
                reason: "disconnected by user".to_owned(),
            });
            batch.sessions.push(session);
        }
        Ok(batch)
    }
}
