//! A server that fills up with sessions, and what readings of them cost.

use std::{
    collections::HashSet,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use system_tests::Machine;

use super::{
    PORT, config,
    reading::{Cost, Tools},
    tools,
};
use crate::bench::{
    crowd::Crowd,
    ground::{machine, peers},
    login::{Login, write_log},
    metering::Metering,
    programs::Programs,
};

/// How many users the sessions are of.
const USERS: usize = 1000;
/// How many bytes each sends at a time.
const MESSAGE: u64 = 100;
const PATIENCE: Duration = Duration::from_secs(120);

/// What was measured at some number of sessions.
#[derive(Clone, Debug)]
pub(super) struct Figures {
    none: Cost,
    some: Cost,
    all: Cost,
    pub(super) tools: Tools,
}

impl Figures {
    /// Readings where none, some and all of the sessions moved something.
    pub(super) fn readings(&self) -> [Cost; 3] {
        [self.none, self.some, self.all]
    }
}

/// The server.
pub(super) struct Stage {
    // Dropped in this order: processes before the machine that holds them.
    pub(super) daemon: Metering,
    crowd: Crowd,
    pub(super) machine: Machine,
    logins: Vec<Login>,
    /// Bytes that all sessions together have sent.
    sent: u64,
}

impl Stage {
    pub(super) fn start(programs: &Programs) -> Result<Self> {
        let machine = machine(programs)?;
        Ok(Self {
            daemon: Metering::start(&machine, &config(1)),
            crowd: Crowd::new(PORT),
            machine,
            logins: Vec::new(),
            sent: 0,
        })
    }

    pub(super) fn megabytes(&self) -> Result<f64> {
        self.daemon.wait_until_idle()?;
        #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
        let bytes = self.daemon.daemon().resident_bytes() as f64;
        Ok(bytes / 1e6)
    }

    pub(super) fn reading_of_nothing(&mut self, rounds: usize) -> Result<Cost> {
        self.readings(rounds, 0)
    }

    /// Fills up to so many sessions, and measures.
    pub(super) fn measure(
        &mut self,
        sessions: usize,
        interval: u64,
        rounds: usize,
    ) -> Result<Figures> {
        self.fill(sessions)?;
        let tools = self.tools()?;
        self.daemon.configure(&self.machine, &config(interval));
        Ok(Figures {
            none: self.readings(rounds, 0)?,
            some: self.readings(rounds, sessions / 20)?,
            all: self.readings(rounds, sessions)?,
            tools,
        })
    }

    /// Lets sessions come until there are so many, and waits until all have names.
    pub(super) fn fill(&mut self, sessions: usize) -> Result<()> {
        let more = sessions - self.logins.len();
        self.crowd.come(&self.machine, more)?;
        self.sent += more as u64 * MESSAGE;
        let known: HashSet<_> = self.logins.iter().map(|login| login.peer).collect();
        let mut new = peers(&self.machine, PORT)?;
        new.retain(|peer| !known.contains(peer));
        ensure!(new.len() == more, "{} of {more} have come", new.len());
        let first = self.logins.len();
        let logins = new.into_iter().enumerate().map(|(place, peer)| {
            let number = first + place;
            Login::new(number, format!("u{}", number % USERS), peer)
        });
        self.logins.extend(logins);
        write_log(self.machine.server(), &self.logins[first..])?;
        self.wait_until("named", |stage, named, _| named == stage.logins.len())
    }

    fn tools(&self) -> Result<Tools> {
        let mut tools = tools(&self.machine, self.logins.len(), self.logins.len())?;
        tools.measure_rules(self.machine.server(), &self.logins)?;
        Ok(tools)
    }

    /// What a reading costs, when as many sessions as said have moved a few bytes
    /// since the one before.
    pub(super) fn readings(&mut self, rounds: usize, moving: usize) -> Result<Cost> {
        let mut costs = Vec::new();
        // The first reading is of what was before.
        self.wait_for_a_reading()?;
        self.send(moving)?;
        self.wait_for_a_reading()?;
        let mut before = self.used()?;
        for _ in 0..rounds {
            self.send(moving)?;
            self.wait_for_a_reading()?;
            let used = self.used()?;
            costs.push(Cost {
                counting: used.counting - before.counting,
                ledger: used.ledger - before.ledger,
            });
            before = used;
        }
        Cost::middle(&costs)
    }

    fn send(&mut self, moving: usize) -> Result<()> {
        if moving > 0 {
            self.crowd.send(moving)?;
            self.sent += moving as u64 * MESSAGE;
        }
        Ok(())
    }

    fn used(&self) -> Result<Cost> {
        let [counting, ledger] = self.daemon.counting_and_ledger()?;
        Ok(Cost {
            counting: counting.as_secs_f64(),
            ledger: ledger.as_secs_f64(),
        })
    }

    fn wait_for_a_reading(&self) -> Result<()> {
        let begin = Instant::now();
        let taken = self.daemon.readings();
        while self.daemon.readings() == taken {
            ensure!(begin.elapsed() < PATIENCE, "no reading is taken");
            thread::sleep(Duration::from_millis(5));
        }
        // What was read is looked through.
        thread::sleep(Duration::from_millis(300));
        Ok(())
    }

    /// Makes sure that the ledger has all that was sent, byte by byte.
    pub(super) fn check(&self) -> Result<()> {
        self.wait_until("counted to the byte", |stage, named, bytes| {
            named == stage.logins.len() && bytes == stage.sent
        })
    }

    fn wait_until(&self, what: &str, holds: impl Fn(&Self, usize, u64) -> bool) -> Result<()> {
        let begin = Instant::now();
        loop {
            let sessions = self.daemon.daemon().ask().sessions();
            let named = sessions.iter().filter(|one| one.user.starts_with('u'));
            let bytes = sessions.iter().filter_map(|one| one.payload_in).sum();
            let named = named.count();
            if holds(self, named, bytes) {
                return Ok(());
            }
            ensure!(
                begin.elapsed() < PATIENCE,
                "{named} of {} sessions have names, and {bytes} of {} bytes are counted: not all \
                 is {what}",
                self.logins.len(),
                self.sent
            );
            thread::sleep(Duration::from_secs(1));
        }
    }
}
