//! Time: what the clocks say, and when the next thing is due.
//!
//! Readings are due at every interval and at each minute's end, so that a
//! minute's bytes are that minute's.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use sshmeter_core::{session::Moment, units::Minute};

/// Both clocks, read together.
#[derive(Debug)]
pub(super) struct Clock {
    start: Instant,
}

impl Clock {
    pub(super) fn start() -> Self {
        Self {
            start: Instant::now(),
        }
    }

    pub(super) fn now(&self) -> Moment {
        read_together(|| self.start.elapsed(), Timestamp::now)
    }
}

/// How far apart the clocks are read at most: by a second they were stepped.
const TOGETHER: Duration = Duration::from_millis(100);

/// Reads the wall clock between two readings of the monotonic one that are close
/// together. Whoever stood still in between, as on a busy machine, reads anew: the
/// time that passed would look like a step of one of them.
fn read_together(
    mut monotonic: impl FnMut() -> Duration,
    mut wall: impl FnMut() -> Timestamp,
) -> Moment {
    let mut before = monotonic();
    loop {
        let wall = wall();
        let monotonic = monotonic();
        if monotonic.saturating_sub(before) < TOGETHER {
            return Moment { wall, monotonic };
        }
        before = monotonic;
    }
}

/// How often old rows are looked for.
const RETENTION_PERIOD: Duration = Duration::from_secs(3600);
/// A wall clock that was stepped forwards by more than this is doubted,
const DOUBTFUL_STEP: Duration = Duration::from_secs(3600);
/// and for so long no row is deleted for being old by it.
const DOUBT: Duration = Duration::from_secs(24 * 3600);

/// What can be due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// A reading.
    Sample,
    /// A commit.
    Commit,
    /// Another try to follow the log.
    Source,
    /// Another question to the kernel.
    Inquiry,
    /// Rules for the sessions there are by now.
    Rules,
    /// A sign of life.
    Watchdog,
}

/// What is due when.
#[derive(Debug)]
pub(super) struct Schedule {
    sample: Instant,
    minute: Minute,
    commit: Option<Instant>,
    commits_held_until: Option<Instant>,
    source: Option<Instant>,
    inquiry: Option<Instant>,
    rules: Option<Instant>,
    retention: Instant,
    /// What the wall clock and the time since boot said at the last sample.
    seen: (Timestamp, Duration),
    watchdog: Option<Watchdog>,
}

/// When the service manager next hears from us, and how often.
#[derive(Debug)]
struct Watchdog {
    next: Instant,
    period: Duration,
}

impl Schedule {
    /// The first sample is due an interval from now. A watchdog bites after the
    /// time given; it is fed three times as often.
    pub(super) fn new(interval: Duration, watchdog: Option<Duration>, now: Moment) -> Self {
        Self {
            sample: Instant::now() + until_sample(interval, now.wall),
            minute: Minute::of(now.wall),
            commit: None,
            commits_held_until: None,
            source: None,
            inquiry: None,
            rules: None,
            retention: Instant::now(),
            seen: (now.wall, since_boot()),
            watchdog: watchdog.map(|bite| Watchdog {
                next: Instant::now(),
                period: bite / 3,
            }),
        }
    }

    /// A sample failed: the next try is due after a while.
    pub(super) fn sample_failed(&mut self, delay: Duration) {
        self.sample = Instant::now() + delay;
    }

    /// A sample was taken; gives whether a minute ended with it.
    pub(super) fn sampled(&mut self, interval: Duration, now: Moment) -> bool {
        self.sample = Instant::now() + until_sample(interval, now.wall);
        self.notice_step(now.wall, since_boot());
        let minute = Minute::of(now.wall);
        std::mem::replace(&mut self.minute, minute) != minute
    }

    /// A suspended machine's clocks go on together; a stepped wall clock goes
    /// alone, and may be stepped back when somebody notices.
    fn notice_step(&mut self, wall: Timestamp, since_boot: Duration) {
        let (seen, seen_since_boot) = std::mem::replace(&mut self.seen, (wall, since_boot));
        let advanced = Duration::try_from(wall.duration_since(seen)).unwrap_or_default();
        let elapsed = since_boot.saturating_sub(seen_since_boot);
        if advanced > elapsed + DOUBTFUL_STEP {
            self.retention = Instant::now() + DOUBT;
        }
    }

    /// Whether a sample is due within this time anyway.
    pub(super) fn samples_within(&self, delay: Duration) -> bool {
        self.sample <= Instant::now() + delay
    }

    pub(super) fn sample_within(&mut self, delay: Duration) {
        self.sample = self.sample.min(Instant::now() + delay);
    }

    pub(super) fn commit_within(&mut self, delay: Duration) {
        let due = Instant::now() + delay;
        self.commit = Some(self.commit.map_or(due, |commit| commit.min(due)));
    }

    /// No commit is tried for a while.
    pub(super) fn hold_commits(&mut self, delay: Duration) {
        self.commits_held_until = Some(Instant::now() + delay);
        self.commit = self.commits_held_until;
    }

    pub(super) fn commits_are_held(&self) -> bool {
        self.commits_held_until
            .is_some_and(|until| Instant::now() < until)
    }

    /// The log is to be followed again.
    pub(super) fn follow_within(&mut self, delay: Duration) {
        self.source = Some(Instant::now() + delay);
    }

    /// Whether the kernel is to be asked again within this time anyway.
    pub(super) fn inquires_within(&self, delay: Duration) -> bool {
        self.inquiry
            .is_some_and(|inquiry| inquiry <= Instant::now() + delay)
    }

    /// The kernel is to be asked again.
    pub(super) fn inquire_within(&mut self, delay: Duration) {
        let due = Instant::now() + delay;
        self.inquiry = Some(self.inquiry.map_or(due, |inquiry| inquiry.min(due)));
    }

    /// A firewall is to be told of the sessions there are.
    pub(super) fn rules_within(&mut self, delay: Duration) {
        let due = Instant::now() + delay;
        self.rules = Some(self.rules.map_or(due, |rules| rules.min(due)));
    }

    /// Whether it is time to look for old rows; if so, the next time is set.
    pub(super) fn retention_is_due(&mut self) -> bool {
        let due = Instant::now() >= self.retention;
        if due {
            self.retention = Instant::now() + RETENTION_PERIOD;
        }
        due
    }

    /// Waits for whatever is due first.
    pub(super) async fn next(&mut self) -> Due {
        let first = [
            (Some(self.sample), Due::Sample),
            (self.commit, Due::Commit),
            (self.source, Due::Source),
            (self.inquiry, Due::Inquiry),
            (self.rules, Due::Rules),
            (self.watchdog.as_ref().map(|it| it.next), Due::Watchdog),
        ]
        .into_iter()
        .filter_map(|(at, due)| Some((at?, due)))
        .min_by_key(|(at, _)| *at);
        let (at, due) = first.unwrap_or((self.sample, Due::Sample));
        tokio::time::sleep_until(at.into()).await;
        match due {
            Due::Sample => {}
            Due::Commit => self.commit = None,
            Due::Source => self.source = None,
            Due::Inquiry => self.inquiry = None,
            Due::Rules => self.rules = None,
            Due::Watchdog => {
                if let Some(watchdog) = &mut self.watchdog {
                    watchdog.next = Instant::now() + watchdog.period;
                }
            }
        }
        due
    }
}

/// Time since boot, a suspend's included.
fn since_boot() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Duration::try_from(now).unwrap_or_default()
}

/// Until the interval is over or the minute ends, whichever comes first; a
/// millisecond more, since timers count in whole ones.
fn until_sample(interval: Duration, now: Timestamp) -> Duration {
    let minute_end = Minute::of(now).next().start();
    let left = Duration::try_from(minute_end.duration_since(now)).unwrap_or_default();
    interval.min(left + Duration::from_millis(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Time stands still but for a second that passes before one of the readings.
    #[test]
    fn who_stands_still_between_two_clocks_sees_no_step() {
        for stall in 0..4 {
            let readings = std::cell::Cell::new(0);
            let passed = || {
                let reading = readings.replace(readings.get() + 1);
                Duration::from_secs(u64::from(reading >= stall))
            };
            let moment = read_together(passed, || Timestamp::UNIX_EPOCH + passed());
            let wall = moment.wall.duration_since(Timestamp::UNIX_EPOCH);
            assert_eq!(wall.unsigned_abs(), moment.monotonic, "{stall}");
        }
    }

    #[tokio::test]
    async fn a_watchdog_is_fed_in_less_than_half_its_time() {
        let bite = Duration::from_millis(300);
        let now = Clock::start().now();
        let mut schedule = Schedule::new(Duration::from_secs(60), Some(bite), now);
        assert_eq!(schedule.next().await, Due::Watchdog);
        let fed = Instant::now();
        assert_eq!(schedule.next().await, Due::Watchdog);
        assert!(fed.elapsed() < bite / 2, "{:?}", fed.elapsed());
    }

    #[test]
    fn nothing_is_old_by_a_clock_that_was_just_stepped() {
        let hour = Duration::from_secs(3600);
        let now = Clock::start().now();
        let (wall, boot) = (now.wall, since_boot());
        for (wall_advance, boot_advance, is_due) in [
            (hour / 2, Duration::ZERO, true),
            (100 * hour, 100 * hour, true),
            (2 * hour, Duration::ZERO, false),
            (9000 * hour, hour, false),
        ] {
            let mut schedule = Schedule::new(hour, None, now);
            schedule.notice_step(wall + wall_advance, boot + boot_advance);
            assert_eq!(schedule.retention_is_due(), is_due, "{wall_advance:?}");
        }
    }

    #[test]
    fn samples_are_due_at_the_interval_and_at_the_minute_s_end() {
        let interval = Duration::from_secs(10);
        let early: Timestamp = "2026-11-22T17:00:30Z".parse().unwrap();
        let late: Timestamp = "2026-11-22T17:00:59.5Z".parse().unwrap();
        assert_eq!(until_sample(interval, early), interval);
        assert_eq!(until_sample(interval, late), Duration::from_millis(501));
    }
}
