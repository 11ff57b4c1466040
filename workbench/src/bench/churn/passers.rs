//! Connections that sshd has nothing to do with, with sshmeter and without.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::SocketAddr,
    process::{ChildStdout, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use system_tests::{Caller, Machine, Process, Session};

use super::{config, logins};
use crate::{
    bench::{
        goal::Goal,
        ground::machine,
        metering::Metering,
        processor::{self, KernelWorkers},
        programs::Programs,
    },
    table::{Spread, grouped},
};

/// Ends a second that are aimed at: over loopback both ends of a connection end here.
const ENDS: usize = 20_000;
const CONNECTIONS_A_SECOND: usize = ENDS / 2;
/// Connections of one turn.
const A_TURN: usize = CONNECTIONS_A_SECOND;
/// Short ones and many, since what is looked for is little beside what comes and goes.
const TURNS: usize = 25;
/// Not sshd's.
const PORT: u16 = 8000;
/// How long the kernel may go on telling of ends.
const REST: Duration = Duration::from_millis(250);
/// How long an end may take to be in the ledger: less than lies between two readings.
const PATIENCE: Duration = Duration::from_secs(5);

/// What was measured.
#[derive(Clone, Copy, Debug)]
pub(super) struct Passers {
    /// What an end costs the host, as a ratio to the same without sshmeter.
    pub(super) ratio: Spread,
    /// The daemon's part of one core.
    pub(super) cores: f64,
    /// Microseconds that an end costs the host more.
    more: f64,
    /// Ends a second that were reached.
    reached: f64,
}

/// Somebody who makes connections, on a machine of his own.
struct Passing {
    // Dropped in this order: processes before the machine that holds them.
    daemon: Option<Metering>,
    process: Process,
    words: BufReader<ChildStdout>,
    machine: Machine,
}

/// What a turn took.
struct Turn {
    /// Processor seconds of the host, for one end: of who makes the connections, and
    /// of the kernel's workers.
    an_end: f64,
    /// How long it took.
    took: Duration,
    /// Processor time of the daemon.
    daemon: Duration,
}

/// What was used until now.
struct Used {
    /// By who makes the connections.
    process: Duration,
    workers: KernelWorkers,
    daemon: Duration,
}

impl Used {
    /// The host's work since then.
    fn host_since(&self, before: &Self) -> Duration {
        self.process.saturating_sub(before.process) + self.workers.since(&before.workers)
    }
}

pub(super) fn measure(programs: &Programs) -> Result<Passers> {
    eprintln!("{} other connections end in a second", grouped(ENDS));
    let mut with = Passing::start(programs, true)?;
    let mut without = Passing::start(programs, false)?;
    // The first turn of each is unlike the others.
    for passing in [&mut with, &mut without] {
        passing.turn()?;
    }
    let (mut ratios, mut more, mut turns) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..TURNS {
        let other = without.turn()?;
        let turn = with.turn()?;
        ratios.push(turn.an_end / other.an_end);
        more.push((turn.an_end - other.an_end) * 1e6);
        turns.push(turn);
    }
    with.ends_are_heard()?;
    let took: f64 = turns.iter().map(|turn| turn.took.as_secs_f64()).sum();
    let daemon: f64 = turns.iter().map(|turn| turn.daemon.as_secs_f64()).sum();
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    let ends = (2 * A_TURN * TURNS) as f64;
    Ok(Passers {
        ratio: Spread::of(&ratios).context("there were turns")?,
        cores: daemon / took,
        more: Spread::of(&more).context("there were turns")?.middle(),
        reached: ends / took,
    })
}

impl Passers {
    /// Ends a second that were reached, rounded.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a positive figure for people"
    )]
    pub(super) fn in_hundreds(&self) -> usize {
        (self.reached / 100.0).round() as usize * 100
    }

    pub(super) fn goals(self) -> [Goal; 3] {
        #[expect(clippy::cast_precision_loss, reason = "figures for people")]
        let aimed_at = ENDS as f64;
        [
            Goal::at_least(0.9 * aimed_at, "other ends a second", self.reached),
            Goal::at_most(0.01, "of a core, with so many other ends", self.cores),
            Goal::at_most(
                5.0,
                "µs more of the host's processor time for such an end",
                self.more,
            ),
        ]
    }
}

impl Passing {
    fn start(programs: &Programs, is_metered: bool) -> Result<Self> {
        let machine = machine(programs)?;
        let server = machine.server();
        // Clients' ends that wait would be more than there are ports.
        server.shell("echo 1 >/proc/sys/net/ipv4/tcp_max_tw_buckets");
        let daemon = is_metered.then(|| Metering::start(&machine, &config()));
        let mut command = server.command("churn");
        command.args(["pass", &PORT.to_string()]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = server.spawn(&mut command, "churn pass");
        let output = process.child().stdout.take();
        let mut passing = Self {
            daemon,
            process,
            words: BufReader::new(output.context("the output is a pipe")?),
            machine,
        };
        passing.line()?;
        Ok(passing)
    }

    fn turn(&mut self) -> Result<Turn> {
        thread::sleep(REST);
        let before = self.used()?;
        let input = self.process.child().stdin.as_mut();
        let input = input.context("the input is a pipe")?;
        writeln!(input, "{A_TURN} {CONNECTIONS_A_SECOND}")?;
        let line = self.line()?;
        let nanoseconds = line.trim_end().strip_prefix("done ");
        let nanoseconds = nanoseconds.context("the connections failed")?.parse()?;
        thread::sleep(REST);
        let after = self.used()?;
        #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
        let ends = (2 * A_TURN) as f64;
        Ok(Turn {
            an_end: after.host_since(&before).as_secs_f64() / ends,
            took: Duration::from_nanos(nanoseconds),
            daemon: after.daemon.saturating_sub(before.daemon),
        })
    }

    fn used(&self) -> Result<Used> {
        let sum = |process| anyhow::Ok(processor::by_threads(process)?.values().sum::<Duration>());
        let daemon = self.daemon.as_ref().map(|daemon| sum(daemon.daemon().id()));
        Ok(Used {
            process: sum(self.process.id())?,
            workers: KernelWorkers::read()?,
            daemon: daemon.transpose()?.unwrap_or_default(),
        })
    }

    /// Fails where the daemon does not hear of ends: of a session too short for a
    /// reading nothing else tells the bytes.
    fn ends_are_heard(&self) -> Result<()> {
        let daemon = self.daemon.as_ref().context("a daemon runs")?;
        let _server = logins::serve(&self.machine);
        let (_caller, mut words) = logins::call(&self.machine, 1)?;
        let mut line = String::new();
        words.read_line(&mut line)?;
        ensure!(line.starts_with("done "), "the caller failed");
        let begin = Instant::now();
        while begin.elapsed() < PATIENCE {
            let sessions = daemon.daemon().ask().sessions();
            if sessions.iter().any(|one| is_of(Caller(0), one)) {
                return Ok(());
            }
            thread::sleep(REST);
        }
        bail!("the end of a session was not heard, so that other ends show nothing")
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        self.words.read_line(&mut line)?;
        Ok(line)
    }
}

/// Whether this is the caller's session, ended and with all of its bytes.
fn is_of(caller: Caller, session: &Session) -> bool {
    let peer = SocketAddr::new(session.peer.ip, session.peer.port);
    let counted = [session.payload_in, session.payload_out];
    let expected = [caller.sends(), caller.gets()].map(|bytes| Some(bytes as u64));
    peer == caller.end().into() && session.closed.is_some() && counted == expected
}
