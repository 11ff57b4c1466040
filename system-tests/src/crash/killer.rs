//! Starts daemons and ends them, one after the other.

use std::{
    collections::BTreeMap,
    thread,
    time::{Duration, Instant},
};

use rustix::process::Signal;

use super::{
    chance::Chance,
    death::{Call, Death},
    since_1970,
};
use crate::{
    daemon::Daemon, machine::Machine, manager::ServiceManager, process::Process, wait_for,
};

/// How long a daemon may take to come to the call that it dies at.
const PATIENCE: Duration = Duration::from_secs(20);

/// How many stops are tried for one that comes to the call.
const STOPS: usize = 5;

/// Puts another file in the program's place, and the next time the first again.
const REPLACE: &str = "if rm /run/another 2>/dev/null; then umount /usr/bin/sshmeter; else
    cp /usr/bin/sshmeter /run/another; mount --bind /run/another /usr/bin/sshmeter; fi";

/// One service and its deaths.
pub(crate) struct Killer<'a> {
    machine: &'a Machine,
    manager: &'a ServiceManager,
    chance: Chance,
    /// When no daemon ran, in seconds since 1970.
    pub(crate) gaps: Vec<(f64, f64)>,
    /// How often a daemon ended in which way.
    pub(crate) deaths: BTreeMap<String, u64>,
    /// What a daemon did that it may not do.
    pub(crate) faults: Vec<String>,
}

impl<'a> Killer<'a> {
    pub(crate) fn new(machine: &'a Machine, manager: &'a ServiceManager, chance: Chance) -> Self {
        Self {
            machine,
            manager,
            chance,
            gaps: Vec::new(),
            deaths: BTreeMap::new(),
            faults: Vec::new(),
        }
    }

    /// So many random deaths.
    pub(crate) fn kill_at_random(&mut self, rounds: u64) {
        for _ in 0..rounds {
            let death = Death::at_random(&mut self.chance);
            self.round(&death);
        }
    }

    /// All chosen deaths, so many times; one of them freezes the daemon for so long.
    pub(crate) fn kill_by_choice(&mut self, times: u64, freeze: Duration) {
        for _ in 0..times {
            for death in Death::chosen(self.machine.log(), freeze, &mut self.chance) {
                self.round(&death);
            }
        }
    }

    /// One life of a daemon, its end, and a pause without one.
    fn round(&mut self, death: &Death) {
        self.live_and_die(death);
        *self.deaths.entry(death.name()).or_default() += 1;
        let begin = since_1970().as_secs_f64();
        let longest = *self.chance.one(&[1, 1, 1, 500, 500, 2500]);
        thread::sleep(self.chance.millis(0..longest));
        self.gaps.push((begin, since_1970().as_secs_f64()));
    }

    fn live_and_die(&mut self, death: &Death) {
        match death {
            Death::Early(time) => {
                let daemon = self.manager.launch(self.machine.server(), &[]);
                thread::sleep(*time);
                self.kill(daemon);
            }
            Death::Starting(call) => {
                // The tracer steps aside, so that the daemon keeps its parent and pid.
                let strace = [call.strace(), vec!["-D".to_owned()]].concat();
                let strace: Vec<&str> = strace.iter().map(String::as_str).collect();
                let manager = self.manager;
                let daemon = manager.launch_under(&strace, self.machine.server(), &[]);
                self.await_death(death, daemon);
            }
            Death::At(call) => {
                let daemon = self.start();
                let _tracer = self.trace(&daemon, call);
                self.await_death(death, daemon);
            }
            Death::Stopping(call) => self.die_while_stopping(death, call),
            Death::Counting(time) => {
                let daemon = self.start_and_wait(*time);
                self.kill(daemon);
            }
            Death::Terminated(time) => drop(self.start_and_wait(*time).stop()),
            Death::Aborted(time) => {
                let daemon = self.start_and_wait(*time);
                daemon.signal(Signal::ABORT);
                self.await_death(death, daemon);
            }
            Death::Hurried(time) => {
                let daemon = self.start_and_wait(*time);
                daemon.signal(Signal::TERM);
                daemon.kill();
            }
            Death::Bereft(time) => {
                let daemon = self.start();
                daemon.kill_children();
                thread::sleep(*time);
                self.kill(daemon);
            }
            Death::Frozen(time) => {
                let daemon = self.start();
                daemon.signal(Signal::STOP);
                thread::sleep(*time);
                daemon.signal(Signal::CONT);
                thread::sleep(self.chance.millis(0..1500));
                self.kill(daemon);
            }
            Death::Replaced(time) => {
                let daemon = self.start_and_wait(*time);
                self.kill(daemon);
                self.machine.server().shell(REPLACE);
            }
        }
    }

    /// A stop that has little left to write makes fewer calls than another: then
    /// the next daemon's is tried.
    fn die_while_stopping(&mut self, death: &Death, call: &Call) {
        for _ in 0..STOPS {
            let mut daemon = self.start();
            thread::sleep(self.chance.millis(0..1500));
            let _tracer = self.trace(&daemon, call);
            daemon.signal(Signal::TERM);
            match self.end(death, &mut daemon) {
                None => return,
                Some(0) => {}
                Some(_) => return self.ended_otherwise(death, &mut daemon),
            }
        }
        self.faults.push(format!("never reached: {death:?}"));
    }

    fn start(&self) -> Daemon {
        self.manager.start(self.machine.server(), &[])
    }

    fn start_and_wait(&self, time: Duration) -> Daemon {
        let daemon = self.start();
        thread::sleep(time);
        daemon
    }

    /// Has a running daemon traced, and waits until it is.
    fn trace(&self, daemon: &Daemon, call: &Call) -> Process {
        let strace = call.strace();
        let mut command = self.machine.server().command(&strace[0]);
        command.args(&strace[1..]);
        command.args(["-p", &daemon.id_inside().to_string()]);
        let tracer = self.machine.server().spawn(&mut command, "strace");
        wait_for("the tracer", Duration::from_secs(10), || {
            daemon.is_traced().then_some(())
        });
        tracer
    }

    /// Kills a daemon that has to be alive until then.
    fn kill(&mut self, mut daemon: Daemon) {
        if !daemon.runs() {
            let words = daemon.words();
            self.faults
                .push(format!("the daemon ended by itself:\n{words}"));
        }
        daemon.kill();
    }

    /// Waits for a death that is on its way.
    fn await_death(&mut self, death: &Death, mut daemon: Daemon) {
        if self.end(death, &mut daemon).is_some() {
            self.ended_otherwise(death, &mut daemon);
        }
    }

    fn ended_otherwise(&mut self, death: &Death, daemon: &mut Daemon) {
        let (code, words) = (daemon.exit_code(), daemon.words());
        self.faults
            .push(format!("exit code {code:?} instead of {death:?}:\n{words}"));
    }

    /// Waits for a daemon's end and gives its exit code; `None` for a signal.
    fn end(&mut self, death: &Death, daemon: &mut Daemon) -> Option<i32> {
        let begin = Instant::now();
        while daemon.runs() {
            if begin.elapsed() > PATIENCE {
                self.faults.push(format!("not reached: {death:?}"));
                daemon.signal(Signal::KILL);
                return None;
            }
            thread::sleep(Duration::from_millis(5));
        }
        daemon.exit_code()
    }
}
