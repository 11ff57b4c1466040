//! TCP streams from a server to its client, drawn for a moment whenever asked.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    ops::AddAssign,
    process::{ChildStdout, Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use system_tests::{Keeper, Process};

use super::ground::{OTHER_PORT, STREAM_PORT};
use crate::{
    bench::{ground::SERVER, processor},
    table::Spread,
};

/// A connection that was idle begins slowly.
const WARM_UP: Duration = Duration::from_millis(40);
const MEASURED: Duration = Duration::from_millis(100);
/// How often two servers take turns.
const TURNS: usize = 6;

/// What streams of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// One session.
    One,
    /// Many sessions at once.
    Many,
    /// Somebody else, on a port that is not sshd's.
    Other,
}

impl Kind {
    /// How many connections that is.
    pub(super) const fn connections(self) -> usize {
        match self {
            Self::One | Self::Other => 1,
            Self::Many => 16,
        }
    }

    fn port(self) -> u16 {
        match self {
            Self::One | Self::Many => STREAM_PORT,
            Self::Other => OTHER_PORT,
        }
    }
}

/// What was moved, and how long the processor was busy with it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Cost {
    bytes: u64,
    busy: Duration,
}

impl Cost {
    /// How much of the processor's time a byte took, as a ratio to another's.
    #[expect(clippy::cast_precision_loss, reason = "a ratio for people")]
    pub(super) fn ratio_to(self, other: Self) -> f64 {
        let of_a_byte = |cost: Self| cost.busy.as_secs_f64() / cost.bytes as f64;
        of_a_byte(self) / of_a_byte(other)
    }
}

impl AddAssign for Cost {
    fn add_assign(&mut self, other: Self) {
        self.bytes += other.bytes;
        self.busy += other.busy;
    }
}

/// What streams of a server and of another did in their turns.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Turns {
    ratios: Vec<f64>,
    others: Vec<f64>,
    /// What it took here, and there.
    pub(super) costs: [Cost; 2],
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

    fn add(&mut self, this: &Drawn, other: &Drawn) {
        self.ratios.push(this.speed / other.speed);
        self.others.push(other.speed);
        self.costs[0] += this.cost;
        self.costs[1] += other.cost;
    }
}

/// A moment's worth.
#[derive(Debug)]
struct Drawn {
    /// Gbit/s.
    speed: f64,
    /// The warm-up's too.
    cost: Cost,
}

/// The client's ends of a kind's streams.
#[derive(Debug)]
pub(super) struct Streams {
    process: Process,
    words: BufReader<ChildStdout>,
    ports: Vec<u16>,
    drawn: u64,
}

impl Streams {
    /// Connects, by a command that runs `stream` on the client.
    pub(super) fn start(client: &Keeper, mut command: Command, kind: Kind) -> Result<Self> {
        let server = format!("{SERVER}:{}", kind.port());
        command.args(["draw", &server, &kind.connections().to_string()]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = client.spawn(&mut command, "stream draw");
        let output = process.child().stdout.take();
        let mut streams = Self {
            process,
            words: BufReader::new(output.context("the output is a pipe")?),
            ports: Vec::new(),
            drawn: 0,
        };
        let ports = streams.line()?;
        let ports = ports.split(' ').map(str::parse);
        streams.ports = ports.collect::<Result<_, _>>()?;
        Ok(streams)
    }

    /// The client's ports.
    pub(super) fn ports(&self) -> &[u16] {
        &self.ports
    }

    /// How many bytes have come since they were connected.
    pub(super) fn drawn(&self) -> u64 {
        self.drawn
    }

    /// How fast these are beside another server's. They take turns that are short
    /// beside what else comes and goes on the machine, and so meet the same of it;
    /// neither is always the first, nor the one that was idle for long.
    pub(super) fn measure_beside(&mut self, other: &mut Self) -> Result<Turns> {
        self.draw()?;
        other.draw()?;
        let mut turns = Turns::default();
        for turn in 0..TURNS {
            if turn % 2 == 0 {
                let this = self.draw()?;
                turns.add(&this, &other.draw()?);
            } else {
                let other = other.draw()?;
                turns.add(&self.draw()?, &other);
            }
        }
        Ok(turns)
    }

    fn draw(&mut self) -> Result<Drawn> {
        let processor = processor::last()?;
        let (drawn_before, busy_before) = (self.drawn, processor::busy(processor)?);
        let input = self.process.child().stdin.as_mut();
        let input = input.context("the input is a pipe")?;
        writeln!(input, "{} {}", WARM_UP.as_millis(), MEASURED.as_millis())?;
        let line = self.line()?;
        let words: Vec<&str> = line.split(' ').collect();
        let [bytes, nanoseconds, all] = words[..] else {
            bail!("the stream said {line:?}");
        };
        self.drawn = all.parse()?;
        Ok(Drawn {
            speed: bytes.parse::<f64>()? * 8.0 / nanoseconds.parse::<f64>()?,
            cost: Cost {
                bytes: self.drawn - drawn_before,
                busy: processor::busy(processor)? - busy_before,
            },
        })
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
