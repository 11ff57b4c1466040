//! A TCP stream from a server to its client, drawn for a moment whenever asked.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::{ChildStdout, Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use system_tests::{Keeper, Process};

use crate::table::Spread;

/// A connection that was idle begins slowly.
const WARM_UP: Duration = Duration::from_millis(40);
const MEASURED: Duration = Duration::from_millis(100);
/// How often two streams take turns.
const TURNS: usize = 6;

/// Whose traffic a stream is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A session's, on a port of sshd's.
    Session,
    /// Somebody else's, on another port.
    Other,
}

/// What a stream and another did in their turns.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Turns {
    ratios: Vec<f64>,
    others: Vec<f64>,
}

impl Turns {
    /// How much of the other's throughput this one had, in the middle turn: single
    /// ones are disturbed.
    pub(super) fn ratio(&self) -> Option<f64> {
        Spread::of(&self.ratios).map(Spread::middle)
    }

    /// The other's Gbit/s.
    pub(super) fn other(&self) -> Option<f64> {
        Spread::of(&self.others).map(Spread::middle)
    }

    fn add(&mut self, this: f64, other: f64) {
        self.ratios.push(this / other);
        self.others.push(other);
    }
}

/// The client's end of a stream.
#[derive(Debug)]
pub(super) struct Stream {
    process: Process,
    words: BufReader<ChildStdout>,
    port: u16,
    drawn: u64,
}

impl Stream {
    /// Connects, by a command that runs `stream draw` on the client.
    pub(super) fn start(client: &Keeper, command: &mut Command) -> Result<Self> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = client.spawn(command, "stream draw");
        let output = process.child().stdout.take();
        let mut stream = Self {
            process,
            words: BufReader::new(output.context("the output is a pipe")?),
            port: 0,
            drawn: 0,
        };
        let line = stream.line()?;
        let port = line.strip_prefix("port ").context("no port was told")?;
        stream.port = port.parse()?;
        Ok(stream)
    }

    /// The client's port.
    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// How many bytes have come since it was connected.
    pub(super) fn drawn(&self) -> u64 {
        self.drawn
    }

    /// How fast this stream is beside another. They take turns that are short
    /// beside what else comes and goes on the machine, and so meet the same of it;
    /// neither is always the first, nor the one that was idle for long.
    pub(super) fn measure_beside(&mut self, other: &mut Self) -> Result<Turns> {
        self.draw()?;
        other.draw()?;
        let mut turns = Turns::default();
        for turn in 0..TURNS {
            if turn % 2 == 0 {
                let this = self.draw()?;
                turns.add(this, other.draw()?);
            } else {
                let other = other.draw()?;
                turns.add(self.draw()?, other);
            }
        }
        Ok(turns)
    }

    /// Gbit/s for a moment.
    fn draw(&mut self) -> Result<f64> {
        let input = self.process.child().stdin.as_mut();
        let input = input.context("the input is a pipe")?;
        writeln!(input, "{} {}", WARM_UP.as_millis(), MEASURED.as_millis())?;
        let line = self.line()?;
        let words: Vec<&str> = line.split(' ').collect();
        let [bytes, nanoseconds, all] = words[..] else {
            bail!("the stream said {line:?}");
        };
        self.drawn = all.parse()?;
        Ok(bytes.parse::<f64>()? * 8.0 / nanoseconds.parse::<f64>()?)
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        let bytes = self.words.read_line(&mut line)?;
        if bytes == 0 {
            bail!("the stream has ended");
        }
        Ok(line.trim_end().to_owned())
    }
}
