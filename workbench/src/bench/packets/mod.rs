//! `cargo xtask bench packets`: how fast TCP streams of a server are under each meter,
//! and what a byte costs, with more and more sessions that are counted beside them.
//!
//! Every meter has a server for every number of sessions, and all of them stand at
//! once. In each round each of them takes turns with a server without any meter: so
//! what slows down the machine slows down both, and only the ratio is kept. Server
//! and client share one processor, which the streams keep busy.
//!
//! The one stream is a counted session itself, the one whose rules are walked last: of
//! a chain that grows at its head, the oldest. (Rules without a target are walked by
//! all; with one, this would be the worst place.) The many are sessions too. With no
//! sessions they are not counted. Daemons that are not being measured stand still.
//! Turns begin when the measured one has caught up, so that it shows what packets
//! cost; what readings cost is measured apart.

mod ground;
mod rules;
mod server;
mod stream;

use std::{thread, time::Duration};

use anyhow::{Context as _, Result};

use self::{
    rules::Counting,
    server::Server,
    stream::{Cost, Kind, Turns},
};
use super::{
    Found,
    iptables::{Missing, Variant},
    metering::Metering,
    page::{Figures, Place},
    programs::Programs,
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

/// Measures, and prints the tables.
pub(super) fn run(rounds: usize) -> Result<Found> {
    let mut bench = Bench::start(&Programs::build(&["crowd", "stream"])?)?;
    for round in 1..=rounds {
        eprintln!("round {round} of {rounds}");
        bench.measure_all()?;
    }
    bench.check_counters()?;
    if let Some(one) = Spread::of(&bench.ones) {
        eprintln!("one stream without a meter: {one} Gbit/s in this run");
    }
    let tables = [
        (Place::Streams, bench.throughput(&[Kind::One, Kind::Other])),
        (Place::ManyStreams, bench.throughput(&[Kind::Many])),
        (Place::Bytes, bench.costs()),
        (Place::Readings, bench.readings()?),
    ];
    let figures = tables.map(|(place, table)| Figures { place, table });
    Ok(Found {
        figures: figures.into(),
        goals: Vec::new(),
    })
}

/// What was measured of a kind of streams on a server.
#[derive(Debug, Default)]
struct Cell {
    ratios: Vec<f64>,
    /// Of this server, and of that without a meter meanwhile.
    costs: [Cost; 2],
}

impl Cell {
    fn take(&mut self, turns: &Turns) {
        self.ratios.extend(turns.ratio());
        for (all, cost) in self.costs.iter_mut().zip(turns.costs) {
            *all += cost;
        }
    }
}

/// What is measured on which servers of a meter, in the order of the tables' columns.
fn measured() -> impl Iterator<Item = (Kind, usize)> {
    let on_all = |kind| (0..SESSIONS.len()).map(move |server| (kind, server));
    let last = SESSIONS.len() - 1;
    on_all(Kind::One)
        .chain(on_all(Kind::Many))
        .chain([(Kind::Other, last)])
}

/// One meter's servers, by [`SESSIONS`].
struct Row {
    meter: Meter,
    servers: Vec<Server>,
    /// By [`measured`].
    cells: Vec<Cell>,
}

impl Row {
    /// `None` of a meter whose program is not there, which is said.
    fn start(meter: Meter, programs: &Programs) -> Result<Option<Self>> {
        let Meter(name, counting) = meter;
        eprintln!("servers: {name}");
        let servers = SESSIONS.into_iter().map(|sessions| {
            Server::start(counting, sessions, programs)
                .with_context(|| format!("with {} sessions", grouped(sessions)))
        });
        match servers.collect::<Result<Vec<Server>>>() {
            Ok(servers) => Ok(Some(Self {
                meter,
                servers,
                cells: measured().map(|_| Cell::default()).collect(),
            })),
            Err(error) if error.is::<Missing>() => {
                println!("left out: {name} ({error:#})");
                Ok(None)
            }
            Err(error) => Err(error.context(name)),
        }
    }

    /// Gives what one stream of the server without a meter did meanwhile.
    fn measure(&mut self, one: &mut Server) -> Result<Vec<f64>> {
        let mut ones = Vec::new();
        for ((kind, server), cell) in measured().zip(&mut self.cells) {
            let turns = self.servers[server].measure(kind, one)?;
            cell.take(&turns);
            ones.extend(turns.other().filter(|_| kind == Kind::One));
        }
        Ok(ones)
    }

    /// The cells of a kind of streams.
    fn of(&self, kind: Kind) -> impl Iterator<Item = &Cell> {
        let cells = measured().zip(&self.cells);
        cells
            .filter(move |((this, _), _)| *this == kind)
            .map(|(_, cell)| cell)
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
            .filter_map(|meter| Row::start(*meter, programs).transpose());
        Ok(Self {
            one: Server::start(Counting::Nobody, 0, programs)?,
            ones: Vec::new(),
            rows: rows.collect::<Result<_>>()?,
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

    /// The median, least and most of the ratio to no meter, by sessions.
    fn throughput(&self, kinds: &[Kind]) -> Table {
        let mut table = Table::new(head(kinds));
        for row in &self.rows {
            let cells = kinds.iter().flat_map(|kind| row.of(*kind));
            let spreads = cells.filter_map(|cell| Spread::of(&cell.ratios));
            table.row(row.meter.0, spreads.map(|spread| spread.to_string()));
        }
        table
    }

    /// The processor time of a byte as a ratio to no meter's, by sessions, over the
    /// whole run.
    fn costs(&self) -> Table {
        let kinds = [Kind::One, Kind::Many];
        let mut table = Table::new(head(&kinds));
        for row in &self.rows {
            let cells = kinds.iter().flat_map(|kind| row.of(*kind));
            let ratios = cells.map(
                |Cell {
                     costs: [this, none],
                     ..
                 }| this.ratio_to(*none),
            );
            table.row(row.meter.0, ratios.map(|ratio| format!("{ratio:.2}")));
        }
        table
    }

    /// The part of one processor's time that readings take, by idle sessions.
    fn readings(&self) -> Result<Table> {
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
        let mut table = Table::new(head(&[Kind::One]));
        for Row { meter, servers, .. } in &self.rows {
            let metering = servers
                .iter()
                .filter(|server| server.daemon().is_some())
                .count();
            if metering > 0 {
                table.row(meter.0, cells.by_ref().take(metering));
            }
        }
        Ok(table)
    }
}

/// The meter, and the numbers of sessions for each of these.
fn head(kinds: &[Kind]) -> Vec<String> {
    let mut head = vec!["meter".to_owned()];
    for kind in kinds {
        let streams = match kind {
            Kind::One => "",
            Kind::Many => "many: ",
            Kind::Other => "other traffic, ",
        };
        let columns = measured().filter(|(this, _)| this == kind);
        head.extend(columns.map(|(_, server)| format!("{streams}{}", grouped(SESSIONS[server]))));
    }
    head
}
