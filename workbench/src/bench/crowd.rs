//! Very many connections to a port of a server, that do nothing or a little.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::{ChildStdout, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use system_tests::{Machine, Process};

use super::ground::{SERVER, client};

/// How many one process makes, below what it may have open.
const OF_ONE: usize = 12_500;
/// How many one process holds of those that come at once. Who comes later is spread over
/// all of them, so that the first hold more by then.
const HELD_BY_ONE: usize = 6_000;

/// The connections, which end when this is dropped.
#[derive(Debug)]
pub(super) struct Crowd {
    port: u16,
    holders: Vec<Process>,
    visitors: Vec<Visitors>,
}

/// Those of one process at the client.
#[derive(Debug)]
struct Visitors {
    process: Process,
    words: BufReader<ChildStdout>,
    count: usize,
}

impl Crowd {
    /// Nobody yet.
    pub(super) fn new(port: u16) -> Self {
        Self {
            port,
            holders: Vec::new(),
            visitors: Vec::new(),
        }
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.visitors.iter().map(|visitors| visitors.count).sum()
    }

    /// Lets so many more come and say hello.
    pub(super) fn come(&mut self, machine: &Machine, more: usize) -> Result<()> {
        // The kernel spreads them over the holders, and not quite evenly.
        while self.holders.len() * HELD_BY_ONE < self.count() + more {
            self.hold(machine)?;
        }
        let mut left = more;
        while left > 0 {
            let count = left.min(OF_ONE);
            self.visit(machine, count)?;
            left -= count;
        }
        Ok(())
    }

    /// Lets the first of them send some bytes.
    pub(super) fn send(&mut self, count: usize) -> Result<()> {
        let mut left = count;
        for visitors in &mut self.visitors {
            let of_these = left.min(visitors.count);
            visitors.say(&format!("move {of_these}"))?;
            left -= of_these;
        }
        ensure!(left == 0, "{left} are not there");
        self.visitors.iter_mut().try_for_each(Visitors::answer)
    }

    fn hold(&mut self, machine: &Machine) -> Result<()> {
        let mut command = machine.server().command("crowd");
        command.args(["hold", &self.port.to_string()]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut holder = machine.server().spawn(&mut command, "crowd hold");
        ready(&mut words(&mut holder)?)?;
        self.holders.push(holder);
        Ok(())
    }

    fn visit(&mut self, machine: &Machine, count: usize) -> Result<()> {
        let number = u8::try_from(self.visitors.len())?;
        let keeper = machine.client().keeper();
        let mut command = keeper.command("/mnt/crowd");
        command
            .args(["visit", SERVER, &self.port.to_string()])
            .args([client(number).to_string(), count.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut process = keeper.spawn(&mut command, "crowd visit");
        let mut visitors = Visitors {
            words: words(&mut process)?,
            process,
            count,
        };
        visitors.answer()?;
        self.visitors.push(visitors);
        Ok(())
    }
}

impl Visitors {
    fn say(&mut self, line: &str) -> Result<()> {
        let input = self.process.child().stdin.as_mut();
        Ok(writeln!(input.context("the input is a pipe")?, "{line}")?)
    }

    fn answer(&mut self) -> Result<()> {
        ready(&mut self.words)
    }
}

fn words(process: &mut Process) -> Result<BufReader<ChildStdout>> {
    let output = process.child().stdout.take();
    Ok(BufReader::new(output.context("the output is a pipe")?))
}

fn ready(words: &mut BufReader<ChildStdout>) -> Result<()> {
    let mut line = String::new();
    words.read_line(&mut line)?;
    ensure!(line == "ready\n", "the crowd did not come");
    Ok(())
}
