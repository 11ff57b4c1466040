//! What a server has cost the machine so far.

use std::{fs, iter, time::Duration};

use crate::process::children_of;

/// What a server has cost since its start.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// Processor time, its children's too.
    pub processor: Duration,
    /// Bytes that it had the disk write.
    pub written: u64,
}

/// What a process and its children have used, those that have ended too: both
/// counts of a process take over those of the children that it has waited for.
pub(super) fn of(process: u32) -> Usage {
    let all = iter::once(process).chain(children_of(process));
    all.fold(Usage::default(), |sum, one| Usage {
        processor: sum.processor + processor(one).unwrap_or_default(),
        written: sum.written + written(one).unwrap_or_default(),
    })
}

/// `/proc/PID/stat` (proc(5)): `utime`, `stime`, `cutime` and `cstime` are the 14th
/// to 17th, in ticks.
fn processor(process: u32) -> Option<Duration> {
    let text = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name before may hold anything.
    let (_, behind) = text.rsplit_once(") ")?;
    let words = behind.split(' ').skip(11).take(4);
    let ticks: u64 = words.filter_map(|word| word.parse::<u64>().ok()).sum();
    let millis = ticks * 1_000 / rustix::param::clock_ticks_per_second();
    Some(Duration::from_millis(millis))
}

fn written(process: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{process}/io")).ok()?;
    let mut lines = text.lines();
    lines.find_map(|line| line.strip_prefix("write_bytes: ")?.parse().ok())
}
