//! The crash harness: daemons that are killed and started again, without end,
//! while people work.
//!
//! A [`Plan`] says how often and with which seed; [`run`] kills a daemon at
//! random moments over live traffic, as many times, and then holds the ledger
//! against the capture. The service manager keeps descriptors throughout, as
//! systemd does over a restart.

pub(crate) mod chance;
mod death;
mod killer;
mod traffic;

use std::{
    collections::BTreeMap,
    fmt,
    ops::AddAssign,
    path::PathBuf,
    thread,
    time::{Duration, Instant, SystemTime},
};

use self::{chance::Chance, killer::Killer};
use crate::{
    capture::{Capture, Truth},
    client::Visit,
    daemon::Daemon,
    judge::{Tolerance, judge},
    ledger::ledger_faults,
    machine::{Log, Machine},
    meter::Meter,
};

/// Sets the seed, so that a run's decisions can be had again.
pub const SEED: &str = "SSHMETER_CRASH_SEED";

/// How a run shall go.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The sshmeter to kill.
    pub sshmeter: PathBuf,
    /// Who writes sshd's log.
    pub log: Log,
    /// What it counts by.
    pub meter: Meter,
    /// How the daemon ends.
    pub deaths: Deaths,
    /// Where decisions come from.
    pub seed: u64,
}

/// How daemons end.
#[derive(Clone, Copy, Debug)]
pub enum Deaths {
    /// By SIGKILL at any moment, so often.
    Random(u64),
    /// In every chosen way.
    Chosen {
        /// How often each.
        times: u64,
        /// How long a daemon that is stopped by SIGSTOP stays so.
        freeze: Duration,
    },
}

/// What came of one run or several.
#[derive(Clone, Debug, Default)]
pub struct Score {
    /// How often the daemon ended in which way.
    pub deaths: BTreeMap<String, u64>,
    /// Connections in the capture.
    pub connections: usize,
    /// Those that ended while no daemon ran.
    pub ended_unheard: usize,
    /// Wire bytes in the capture.
    pub captured: u64,
    /// Wire bytes that no session has.
    pub lost: u64,
    /// Wire bytes that sessions have and the capture has not.
    pub doubled: u64,
    /// Whatever is wrong, one line each.
    pub faults: Vec<String>,
}

/// The seed of [`SEED`], or one of the clock's.
///
/// # Panics
/// When the variable holds no number.
#[must_use]
pub fn seed() -> u64 {
    let chosen = std::env::var(SEED).ok();
    let chosen = chosen.map(|seed| seed.parse().expect("a seed is a number"));
    chosen.unwrap_or_else(|| u64::from(since_1970().subsec_nanos()))
}

/// Kills daemons by a plan, and holds what they wrote against the capture.
#[must_use]
pub fn run(plan: Plan) -> Score {
    let folder = tempfile::tempdir().expect("a folder for the ledger");
    let mut machine = Machine::builder()
        .sshmeter(plan.sshmeter)
        .log(plan.log)
        .meter(plan.meter)
        .ledger_folder(folder.path().to_owned())
        .start();
    traffic::serve(&mut machine);
    let mut chance = Chance::of(plan.seed);
    let capture = machine.capture();
    let manager = machine.service_manager();
    // From the moment the first daemon is ready nothing may be lost any more.
    manager.start(machine.server(), &[]).kill();
    let mut killer = Killer::new(&machine, &manager, chance.branch());
    let visits = traffic::during(machine.client(), &mut chance, || match plan.deaths {
        Deaths::Random(rounds) => killer.kill_at_random(rounds),
        Deaths::Chosen { times, freeze } => killer.kill_by_choice(times, freeze),
    });
    let last = manager.start(machine.server(), &[]);
    let mut score = Score::of(&machine, capture, last, &visits, &killer.gaps);
    score.faults.extend(killer.faults);
    let ledger = folder.path().join("ledger.db");
    score.faults.extend(ledger_faults(&ledger));
    score.deaths = killer.deaths;
    score
}

/// What no daemon may say, however it ends.
fn panics(words: &str) -> Option<String> {
    let panicked = words.contains("panicked");
    panicked.then(|| format!("a daemon panicked:\n{words}"))
}

/// Programs that daemons started and that outlived them.
fn left_behind(machine: &Machine) -> Option<String> {
    let runs = || {
        let arguments = ["-o", "pid=,args=", "-C", "journalctl,sshmeter,systemctl"];
        let listed = machine.server().output("ps", &arguments).stdout;
        String::from_utf8_lossy(&listed).trim().to_owned()
    };
    let begin = Instant::now();
    while !runs().is_empty() {
        if begin.elapsed() > Duration::from_secs(5) {
            return Some(format!("daemons left behind:\n{}", runs()));
        }
        thread::sleep(Duration::from_millis(200));
    }
    None
}

fn ended_within(truth: &Truth, gaps: &[(f64, f64)]) -> usize {
    let within = |end: f64| gaps.iter().any(|(from, to)| (*from..*to).contains(&end));
    let ends = truth.connections.values().map(|connection| connection.end);
    ends.filter(|end| within(*end)).count()
}

fn since_1970() -> Duration {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.expect("it is later than 1970")
}

impl Score {
    /// Waits for the end of all visits and stops the last daemon.
    fn of(
        machine: &Machine,
        capture: Capture,
        daemon: Daemon,
        visits: &[Visit],
        gaps: &[(f64, f64)],
    ) -> Self {
        machine.wait_until_quiet();
        let truth = capture.finish();
        daemon.settle(visits);
        let words = daemon.words();
        let answer = daemon.stop();
        let judgement = judge(visits, &truth, &answer.sessions(), Tolerance::Exact);
        let mut faults = judgement.faults;
        faults.extend(panics(&words));
        faults.extend(left_behind(machine));
        Self {
            deaths: BTreeMap::new(),
            connections: truth.connections.len(),
            ended_unheard: ended_within(&truth, gaps),
            captured: truth.connections.values().map(|it| it.wire.total()).sum(),
            lost: judgement.lost,
            doubled: judgement.doubled,
            faults,
        }
    }

    /// Whether nothing is wrong and nothing off.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.faults.is_empty() && self.lost == 0 && self.doubled == 0
    }
}

impl AddAssign for Score {
    fn add_assign(&mut self, other: Self) {
        for (death, count) in other.deaths {
            *self.deaths.entry(death).or_default() += count;
        }
        self.connections += other.connections;
        self.ended_unheard += other.ended_unheard;
        self.captured += other.captured;
        self.lost += other.lost;
        self.doubled += other.doubled;
        self.faults.extend(other.faults);
    }
}

impl fmt::Display for Score {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rounds: u64 = self.deaths.values().sum();
        write!(
            formatter,
            "{rounds} rounds, {} sessions, {} of them ended while no daemon ran, \
             {} bytes on the wire, {} lost, {} doubled, {} faults",
            self.connections,
            self.ended_unheard,
            self.captured,
            self.lost,
            self.doubled,
            self.faults.len()
        )
    }
}
