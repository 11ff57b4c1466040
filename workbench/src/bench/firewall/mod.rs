//! `cargo xtask bench firewall`: how fast one TCP stream of a server is under each
//! meter, with more and more sessions that are counted beside it.
//!
//! Every meter has a server for every number of sessions, and all of them stand at
//! once. In each round each of them takes turns with a server without any meter: so
//! what slows down the machine slows down both, and only the ratio is kept. Server
//! and client share one processor, which the stream keeps busy: half the throughput
//! is twice the processor time for a byte.
//!
//! The stream is a counted session itself, the one whose rules are walked last: of a
//! chain that grows at its head, the oldest. (Rules without a target are walked by
//! all; with one, this would be the worst place.) With no sessions it is not
//! counted. Daemons that are not being measured stand still. Turns begin when
//! the measured one has caught up, so that it shows what packets cost; what
//! readings cost is measured apart.

mod ground;
mod metering;
mod rules;
mod server;
mod stream;

use std::{iter, path::PathBuf, thread, time::Duration};

use anyhow::{Context as _, Result, ensure};
use xtask::build;

use self::{
    metering::Metering,
    rules::{Counting, Variant},
    server::Server,
    stream::{Kind, Turns},
};
use crate::table::{Spread, Table, grouped};

const SESSIONS: [usize; 4] = [0, 100, 1_000, FULL];

/// Where other traffic is measured too.
const FULL: usize = 5_000;

/// How long readings are watched; whole minutes, since each ends with a reading.
const WATCHED: Duration = Duration::from_secs(60);

/// A meter by its name in the tables.
#[derive(Clone, Copy, Debug)]
struct Meter(&'static str, Counting);

const METERS: [Meter; 7] = [
    Meter("no meter", Counting::Nobody),
    Meter("sockdiag", sshmeter("sockdiag", None)),
    Meter("nftables", sshmeter("nftables", None)),
    Meter("iptables (nft)", sshmeter("iptables", Some(Variant::Nft))),
    Meter(
        "iptables (legacy)",
        sshmeter("iptables", Some(Variant::Legacy)),
    ),
    Meter("script (nft)", Counting::Script(Variant::Nft)),
    Meter("script (legacy)", Counting::Script(Variant::Legacy)),
];

const fn sshmeter(kind: &'static str, iptables: Option<Variant>) -> Counting {
    Counting::Sshmeter { kind, iptables }
}

/// The programs that take part.
#[derive(Clone, Debug)]
struct Programs {
    sshmeter: PathBuf,
    crowd: PathBuf,
    stream: PathBuf,
}

/// Measures, and prints the tables.
pub(super) fn run(rounds: usize) -> Result<()> {
    ensure!(rounds > 0, "nothing is measured in no rounds");
    let mut bench = Bench::start(&Programs::build()?)?;
    for round in 1..=rounds {
        eprintln!("round {round} of {rounds}");
        bench.measure_all()?;
    }
    bench.check_counters()?;
    bench.print_throughput();
    bench.print_readings()
}

impl Programs {
    fn build() -> Result<Self> {
        let sshmeter = build::sshmeter()?;
        let mut helpers = build::cargo();
        helpers.args(["build", "--release", "--package", "system-tests", "--bins"]);
        build::succeed(&mut helpers, "the programs of the bench did not build")?;
        let built = |name: &str| build::target().join("release").join(name);
        Ok(Self {
            sshmeter,
            crowd: built("crowd"),
            stream: built("stream"),
        })
    }
}

/// One meter's servers, by [`SESSIONS`].
struct Row {
    meter: Meter,
    servers: Vec<Server>,
    /// For each server, and for other traffic on the last.
    ratios: Vec<Vec<f64>>,
}

impl Row {
    /// `None` of a meter that does not come to count here, which is said.
    fn start(meter: Meter, programs: &Programs) -> Option<Self> {
        let Meter(name, counting) = meter;
        eprintln!("servers: {name}");
        let servers = SESSIONS.into_iter().map(|sessions| {
            Server::start(counting, sessions, programs)
                .with_context(|| format!("with {} sessions", grouped(sessions)))
        });
        match servers.collect::<Result<Vec<Server>>>() {
            Ok(servers) => Some(Self {
                meter,
                ratios: vec![Vec::new(); servers.len() + 1],
                servers,
            }),
            Err(error) => {
                println!("left out: {name} ({error:#})");
                None
            }
        }
    }

    /// Gives what the server without a meter did meanwhile.
    fn measure(&mut self, one: &mut Server) -> Result<Vec<f64>> {
        let sessions = self.servers.iter_mut();
        let mut all = sessions
            .map(|server| server.measure(Kind::Session, one))
            .collect::<Result<Vec<Turns>>>()?;
        let fullest = self.servers.last_mut().context("there are servers")?;
        all.push(fullest.measure(Kind::Other, one)?);
        for (turns, ratios) in all.iter().zip(&mut self.ratios) {
            ratios.extend(turns.ratio());
        }
        Ok(all.iter().filter_map(Turns::other).collect())
    }
}

/// All servers, and what was measured.
struct Bench {
    /// Without a meter: the ratios' 1.
    one: Server,
    ones: Vec<f64>,
    rows: Vec<Row>,
}

impl Bench {
    fn start(programs: &Programs) -> Result<Self> {
        let rows = METERS
            .iter()
            .filter_map(|meter| Row::start(*meter, programs));
        Ok(Self {
            one: Server::start(Counting::Nobody, 0, programs)?,
            ones: Vec::new(),
            rows: rows.collect(),
        })
    }

    fn measure_all(&mut self) -> Result<()> {
        for row in &mut self.rows {
            self.ones.extend(row.measure(&mut self.one)?);
        }
        Ok(())
    }

    /// Whether the streams that were to be counted were.
    fn check_counters(&self) -> Result<()> {
        for Row { meter, servers, .. } in &self.rows {
            for server in servers {
                server.check_counters().context(meter.0)?;
            }
        }
        eprintln!("every counter has counted all of its stream");
        Ok(())
    }

    fn print_throughput(&self) {
        let mut table = Table::new(head().chain([format!("other traffic, {}", grouped(FULL))]));
        for Row { meter, ratios, .. } in &self.rows {
            let spreads = ratios.iter().filter_map(|ratios| Spread::of(ratios));
            table.row(meter.0, spreads.map(|spread| spread.to_string()));
        }
        println!(
            "\nthroughput of one stream, by sessions: median (least–most) of its ratio to no meter\n"
        );
        print!("{table}");
        if let Some(one) = Spread::of(&self.ones) {
            println!("\n1 was {one} Gbit/s in this run");
        }
    }

    fn print_readings(&self) -> Result<()> {
        eprintln!("watching the daemons for {} s", WATCHED.as_secs());
        let daemons = || {
            self.rows
                .iter()
                .flat_map(|row| &row.servers)
                .filter_map(Server::daemon)
        };
        daemons().for_each(Metering::wake);
        daemons().try_for_each(Metering::wait_until_idle)?;
        let before: Vec<f64> = daemons().map(Metering::seconds).collect::<Result<_>>()?;
        thread::sleep(WATCHED);
        let after: Vec<f64> = daemons().map(Metering::seconds).collect::<Result<_>>()?;
        let used = before
            .iter()
            .zip(after)
            .map(|(before, after)| after - before);
        let mut cells = used.map(|used| format!("{:.2} %", used / WATCHED.as_secs_f64() * 100.0));
        let mut table = Table::new(head());
        for Row { meter, servers, .. } in &self.rows {
            let metering = servers
                .iter()
                .filter(|server| server.daemon().is_some())
                .count();
            if metering > 0 {
                table.row(meter.0, cells.by_ref().take(metering));
            }
        }
        println!("\nreadings, by idle sessions: part of one processor's time\n");
        print!("{table}");
        Ok(())
    }
}

fn head() -> impl Iterator<Item = String> {
    iter::once("meter".to_owned()).chain(SESSIONS.map(grouped))
}
