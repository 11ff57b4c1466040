//! What the list of changes costs a ledger's writer: two ledgers get the same, and
//! one of them notes it.

use std::{path::Path, time::Duration};

use anyhow::Result;
use sshmeter::{
    config::{MirrorConfig, Resolution},
    mirror::address::Address,
};
use sshmeter_core::units::Minute;

use crate::fleet::{Host, timed};

/// Minutes counted into each.
const MINUTES: i64 = 60;

/// Processor time with the list, to that without.
pub(crate) fn ratio(folder: &Path, users: usize) -> Result<f64> {
    let nowhere = MirrorConfig {
        address: Address::parse("postgres://nobody@/nothing?socket=/nowhere")?,
        resolution: Resolution::Minute,
        interval: Duration::from_secs(60),
    };
    let begin = Minute(29_000_000);
    let mut with = Host::begin(folder, &nowhere, 9_998, users, begin)?;
    let mut without = Host::begin(folder, &nowhere, 9_999, users, begin)?;
    with.writer.record_changes(true)?;
    let (mut noted, mut plain) = (0.0, 0.0);
    for minute in 0..MINUTES {
        let minute = Minute(begin.0 + minute);
        for (host, sum) in [(&mut with, &mut noted), (&mut without, &mut plain)] {
            let (done, seconds) = timed(|| host.count(minute));
            done?;
            *sum += seconds;
        }
    }
    Ok(noted / plain)
}
