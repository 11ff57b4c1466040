//! The outage harness: a database server, the hosts that mirror into it and the
//! cable between them, broken at random, over and over.
//!
//! A [`Plan`] says how often and with which seed; [`run`] does it and holds the
//! server against the ledgers, row by row, now and then and at the end.

mod site;

use std::{collections::BTreeMap, fmt, ops::AddAssign, thread, time::Duration};

pub use self::site::{Cut, Site};
use crate::{Backend, crash::chance::Chance};

/// Sets the seed, so that a run's decisions can be had again.
pub const SEED: &str = "SSHMETER_OUTAGE_SEED";
/// Sets how many kills the ordinary test has.
pub const KILLS: &str = "SSHMETER_OUTAGE_KILLS";

/// Sets for how many seconds the server of an ordinary outage is away.
pub const AWAY: &str = "SSHMETER_OUTAGE_SECONDS";

/// Kills between two comparisons.
const STRETCH: u64 = 25;

/// How a run shall go.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// The server.
    pub backend: Backend,
    /// How many hosts share it.
    pub hosts: usize,
    /// How many times something is killed.
    pub kills: u64,
    /// Where decisions come from.
    pub seed: u64,
}

/// What happens to a site.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    KillServer,
    KillHosts,
    KillBoth,
    KillHostsBehindTheCut,
    StopServer,
    FreezeServer,
    CutSilently,
    CutWithResets,
}

/// As often as they shall be: kills are two of three.
const EVENTS: [Event; 12] = [
    Event::KillServer,
    Event::KillServer,
    Event::KillServer,
    Event::KillHosts,
    Event::KillHosts,
    Event::KillHosts,
    Event::KillBoth,
    Event::KillHostsBehindTheCut,
    Event::StopServer,
    Event::FreezeServer,
    Event::CutSilently,
    Event::CutWithResets,
];

impl Event {
    fn words(self) -> &'static str {
        match self {
            Self::KillServer => "server killed by SIGKILL",
            Self::KillHosts => "hosts killed by SIGKILL",
            Self::KillBoth => "server and hosts killed by SIGKILL",
            Self::KillHostsBehindTheCut => "hosts killed by SIGKILL behind a cut cable",
            Self::StopServer => "server stopped in order",
            Self::FreezeServer => "server frozen by SIGSTOP",
            Self::CutSilently => "cable cut, packets lost",
            Self::CutWithResets => "cable cut, connections reset",
        }
    }

    fn is_kill(self) -> bool {
        matches!(
            self,
            Self::KillServer | Self::KillHosts | Self::KillBoth | Self::KillHostsBehindTheCut
        )
    }
}

/// What came of one run or several.
#[derive(Clone, Debug, Default)]
pub struct Score {
    /// How often what happened.
    pub events: BTreeMap<&'static str, u64>,
    /// Of these, how often something was killed.
    pub kills: u64,
    /// How often server and ledgers were compared.
    pub comparisons: u64,
    /// Rows in the last comparison.
    pub rows: usize,
    /// Whatever is wrong, one line each.
    pub faults: Vec<String>,
}

/// The seed of [`SEED`], or a random one.
///
/// # Panics
/// When the variable holds no number.
#[must_use]
pub fn seed() -> u64 {
    number(SEED).unwrap_or_else(|| u64::from(rand::random::<u32>()))
}

/// The number in an environment variable.
///
/// # Panics
/// When it holds something else.
#[must_use]
pub fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().expect("the variable holds a number"))
}

/// Breaks things by a plan, and holds the server against the ledgers.
#[must_use]
pub fn run(plan: Plan) -> Score {
    // Together some thirty commits a second, whose rows mend and vanish again.
    let pause = Duration::from_millis(30 * u64::try_from(plan.hosts).unwrap_or(u64::MAX));
    let mut site = Site::new(plan.backend, plan.hosts, pause);
    let mut chance = Chance::of(plan.seed);
    let mut score = Score::default();
    while score.kills < plan.kills {
        site.start_hosts();
        let stretch = STRETCH.min(plan.kills - score.kills);
        score += stretch_of(&mut site, stretch, &mut chance);
        score.faults.extend(site.finish_hosts());
        if !score.holds() {
            break;
        }
        let found = site.compare();
        score.comparisons += 1;
        score.rows = found.rows;
        score.faults.extend(found.faults);
        score.faults.extend(panics(&site.all_words()));
        if !score.holds() {
            break;
        }
    }
    score
}

fn stretch_of(site: &mut Site, kills: u64, chance: &mut Chance) -> Score {
    let mut score = Score::default();
    while score.kills < kills {
        thread::sleep(moment(chance));
        let event = *chance.one(&EVENTS);
        score.faults.extend(happen(site, event, chance));
        *score.events.entry(event.words()).or_default() += 1;
        score.kills += u64::from(event.is_kill());
    }
    score
}

/// A time that is mostly shorter than a round of the mirrors', and sometimes long
/// enough for all to be sent.
fn moment(chance: &mut Chance) -> Duration {
    let longest = *chance.one(&[300, 1_500, 1_500, 4_000]);
    chance.millis(1..longest)
}

/// Breaks something and mends it. Gives what hosts did that they may not do.
fn happen(site: &mut Site, event: Event, chance: &mut Chance) -> Option<String> {
    let time = moment(chance);
    match event {
        Event::KillServer => {
            site.server_mut().kill();
            thread::sleep(time);
            site.server_mut().start_again();
            None
        }
        Event::StopServer => {
            site.server_mut().stop();
            thread::sleep(time);
            site.server_mut().start_again();
            None
        }
        Event::FreezeServer => {
            site.server().pause();
            thread::sleep(time);
            site.server().resume();
            None
        }
        Event::KillHosts => {
            let fault = site.kill_hosts();
            site.start_hosts();
            fault
        }
        Event::KillBoth => {
            site.server_mut().kill();
            let fault = site.kill_hosts();
            site.start_hosts();
            thread::sleep(time);
            site.server_mut().start_again();
            fault
        }
        Event::KillHostsBehindTheCut => {
            site.cut(Cut::Silent);
            let fault = site.kill_hosts();
            site.start_hosts();
            thread::sleep(time);
            site.mend();
            fault
        }
        Event::CutSilently => cut_for(site, Cut::Silent, time),
        Event::CutWithResets => cut_for(site, Cut::Reset, time),
    }
}

fn cut_for(site: &Site, cut: Cut, time: Duration) -> Option<String> {
    site.cut(cut);
    thread::sleep(time);
    site.mend();
    None
}

/// What no host may say.
fn panics(words: &str) -> Option<String> {
    let line = words.lines().find(|line| line.contains("panicked"))?;
    Some(format!("a host panicked: {line}"))
}

impl Score {
    /// Whether the server had all, and nothing else.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.faults.is_empty()
    }
}

impl AddAssign for Score {
    fn add_assign(&mut self, other: Self) {
        for (event, count) in other.events {
            *self.events.entry(event).or_default() += count;
        }
        self.kills += other.kills;
        self.comparisons += other.comparisons;
        self.rows += other.rows;
        self.faults.extend(other.faults);
    }
}

impl fmt::Display for Score {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let others = self.events.values().sum::<u64>() - self.kills;
        write!(
            formatter,
            "{} kills, {others} other outages, {} rows at last, compared {} times, {} faults",
            self.kills,
            self.rows,
            self.comparisons,
            self.faults.len()
        )
    }
}
