//! How much processor time was used, from the kernel's own accounts.

use std::{collections::BTreeMap, fs, path::Path, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::thread::CpuSet;

/// The last processor that we may use.
pub(super) fn last() -> Result<usize> {
    let allowed = rustix::thread::sched_getaffinity(None)?;
    let last = (0..CpuSet::MAX_CPU).rev().find(|one| allowed.is_set(*one));
    last.context("there is no processor")
}

/// What it and the children that it has waited for have used, by a clock that ticks
/// a hundred times a second (proc_pid_stat(5)).
pub(super) fn with_children(process: u32) -> Result<Duration> {
    ticks(process, 4)
}

/// What it has used, with the threads that have ended, by the same clock.
pub(super) fn of(process: u32) -> Result<Duration> {
    ticks(process, 2)
}

fn ticks(process: u32, columns: usize) -> Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    let (_, after_name) = stat.rsplit_once(')').context("a name in brackets")?;
    let ticks = after_name.split_whitespace().skip(11).take(columns);
    let ticks: Vec<u64> = ticks.map(str::parse).collect::<Result<_, _>>()?;
    Ok(in_ticks(ticks.iter().sum()))
}

/// How long a processor has not been idle, by the same clock (proc_stat(5)); time that
/// the machine below took from it is not counted.
pub(super) fn busy(processor: usize) -> Result<Duration> {
    let stat = fs::read_to_string("/proc/stat")?;
    let name = format!("cpu{processor} ");
    let line = stat.lines().find_map(|line| line.strip_prefix(&name));
    let line = line.with_context(|| format!("/proc/stat has no {name}"))?;
    let ticks: Vec<u64> = line
        .split_whitespace()
        .map(str::parse)
        .collect::<Result<_, _>>()?;
    let [user, nice, system, _idle, _waiting, interrupts, soft, ..] = ticks[..] else {
        bail!("/proc/stat says {line:?} of {name}");
    };
    Ok(in_ticks(user + nice + system + interrupts + soft))
}

fn in_ticks(ticks: u64) -> Duration {
    Duration::from_millis(ticks * 1000 / rustix::param::clock_ticks_per_second())
}

/// What a process of one thread has used, to the nanosecond. Where it has ended, it
/// must not have been waited for.
pub(super) fn of_one_thread(process: u32) -> Result<Duration> {
    exactly(Path::new(&format!("/proc/{process}")))
}

/// What each of its threads has used, to the nanosecond, by the threads' names.
pub(super) fn by_threads(process: u32) -> Result<BTreeMap<String, Duration>> {
    let mut used: BTreeMap<String, Duration> = BTreeMap::new();
    for thread in fs::read_dir(format!("/proc/{process}/task"))? {
        let folder = thread?.path();
        // A thread that has ended meanwhile is one that did little.
        if let Ok(name) = fs::read_to_string(folder.join("comm")) {
            *used.entry(name.trim_end().to_owned()).or_default() += exactly(&folder)?;
        }
    }
    Ok(used)
}

/// What each of the kernel's workers has used, by its pid: what the kernel does for
/// nobody's process.
#[derive(Clone, Debug)]
pub(super) struct KernelWorkers(BTreeMap<u32, Duration>);

impl KernelWorkers {
    /// As it is now.
    pub(super) fn read() -> Result<Self> {
        let mut used = BTreeMap::new();
        for process in fs::read_dir("/proc")? {
            let folder = process?.path();
            let name = fs::read_to_string(folder.join("comm"));
            if name.is_ok_and(|name| name.starts_with("kworker/")) {
                let pid = folder.file_name().and_then(|name| name.to_str());
                let pid = pid.context("a process has a number")?.parse()?;
                used.insert(pid, exactly(&folder)?);
            }
        }
        ensure!(
            !used.is_empty(),
            "the kernel's workers cannot be seen from here"
        );
        Ok(Self(used))
    }

    /// What was used since then. They come and go: all that a new one has used is of
    /// this time, and what one that is gone used last is not known.
    pub(super) fn since(&self, before: &Self) -> Duration {
        let used = self.0.iter().map(|(pid, now)| {
            let then = before.0.get(pid).copied().unwrap_or_default();
            now.saturating_sub(then)
        });
        used.sum()
    }
}

/// A process's or thread's own time (Documentation/scheduler/sched-stats.rst); none
/// where it has ended.
fn exactly(folder: &Path) -> Result<Duration> {
    let path = folder.join("schedstat");
    let Ok(text) = fs::read_to_string(&path) else {
        ensure!(
            !folder.exists() || Path::new("/proc/self/schedstat").exists(),
            "this kernel does not account for threads (CONFIG_SCHED_INFO)"
        );
        return Ok(Duration::ZERO);
    };
    let nanoseconds = text.split(' ').next().unwrap_or_default();
    Ok(Duration::from_nanos(nanoseconds.parse()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_that_come_and_go_count_for_what_they_are_seen_to_use() {
        let workers = |used: &[(u32, u64)]| {
            let used = used
                .iter()
                .map(|(pid, seconds)| (*pid, Duration::from_secs(*seconds)));
            KernelWorkers(used.collect())
        };
        let before = workers(&[(7, 100), (8, 5), (9, 50)]);
        // The seventh is gone, the ninth is another by now, and the tenth is new.
        let after = workers(&[(8, 6), (9, 1), (10, 3)]);
        assert_eq!(after.since(&before), Duration::from_secs(4));
    }
}
