//! `cargo xtask bench mirror`: what many hosts cost a server that they share, and
//! what the server costs a host.
//!
//! Hosts are ledgers in memory, with every user moving bytes in every minute; they
//! are filled by the ledger's own writer and sent by the mirror's own rounds, each
//! over a TLS connection of its own, as by daemons. The server has its files on the
//! disk, and settings as people give it that have read its manual's first page.
//! All share one machine, so what counts is processor time a million rows, and not
//! how long it took. In the end one month of all hosts is put there, and asked for.

mod history;
mod server;

use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use system_tests::{Backend, told::Part};
use xtask::build;

use self::server::Server;
use super::{Found, programs::Programs};
use crate::table::{Table, grouped};

/// How much is simulated.
#[derive(Clone, Copy, Debug)]
pub(super) struct Size {
    pub(super) hosts: usize,
    pub(super) users: usize,
    pub(super) minutes: usize,
}

/// What a run of some minutes takes, which can be done often.
const REDUCED: Size = Size {
    hosts: 100,
    users: 50,
    minutes: 10,
};

impl Size {
    /// From the words of the command line: all three, or none for the reduced size.
    pub(super) fn from_words(words: &[usize]) -> Result<Self> {
        match *words {
            [] => Ok(REDUCED),
            [hosts, users, minutes] => {
                let all_are_some = hosts * users * minutes > 0;
                ensure!(all_are_some, "nothing is measured with none of something");
                Ok(Self {
                    hosts,
                    users,
                    minutes,
                })
            }
            _ => anyhow::bail!("it is `cargo xtask bench mirror [HOSTS USERS MINUTES]`"),
        }
    }
}

/// Hosts that read the system's authorities.
const FEW: usize = 20;

/// Whom a host trusts. To read the hundred and more of a system takes longer than
/// all else in a round, and would hide it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Authorities {
    OfTheServer,
    OfTheSystem,
}

/// The parts of `load`, in its order.
const PARTS: [&str; 5] = [
    "first minute",
    "minutes",
    "nothing new",
    "copied anew",
    "list of changes",
];

/// Measures, and prints the tables.
pub(super) fn run(size: Size) -> Result<Found> {
    Programs::build(&["load"])?;
    println!(
        "{} hosts with {} users each, {} minutes",
        grouped(size.hosts),
        size.users,
        size.minutes
    );
    for backend in [Backend::MariaDb, Backend::Postgres] {
        if backend.stands("the bench") {
            measure(backend, size).with_context(|| format!("{backend:?}"))?;
        }
    }
    // Its figures are the fleet's, whose page says what they mean.
    Ok(Found::default())
}

fn measure(backend: Backend, size: Size) -> Result<()> {
    let server = Server::start(backend);
    println!("\n## {}\n", server.version());
    println!("### {size:?}, live\n");
    load(&server, size, Authorities::OfTheServer)?;
    println!("\nA few of them, with the system's authorities:\n");
    let few = Size {
        hosts: FEW,
        minutes: 1,
        ..size
    };
    load(&server, few, Authorities::OfTheSystem)?;
    println!();
    print!("{}", server.sizes());
    println!("\n### A month of them, and reports over it\n");
    history::put(&server, size)?;
    print!("{}", server.sizes());
    println!();
    print!("{}", history::asked(&server)?);
    Ok(())
}

/// Runs the hosts part by part.
fn load(server: &Server, size: Size, authorities: Authorities) -> Result<()> {
    // Ledgers in memory: a thousand of them would measure the disk's syncs.
    let folder = tempfile::tempdir_in("/dev/shm")?;
    let counts = [size.hosts, size.users, size.minutes].map(|count| count.to_string());
    let mut command = server.command(&build::target().join("release/load"));
    if authorities == Authorities::OfTheServer {
        // OpenSSL's own variables (X509_STORE_set_default_paths(3)).
        command.env("SSL_CERT_FILE", server.authority());
        command.env("SSL_CERT_DIR", "/nowhere");
    }
    let mut child = command
        .arg(server.url())
        .arg(folder.path())
        .args(counts)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("the hosts cannot be started")?;
    let table = parts(server, &mut child);
    let ended = child.wait()?;
    print!("{}", table?);
    ensure!(ended.success(), "the hosts failed: {ended}");
    Ok(())
}

fn parts(server: &Server, child: &mut Child) -> Result<Table> {
    let mut input = child.stdin.take().context("the input is a pipe")?;
    let output = child.stdout.take().context("the output is a pipe")?;
    let mut lines = BufReader::new(output).lines();
    let mut table = Table::new(
        [
            "part",
            "rounds",
            "rows",
            "seconds",
            "rows a second",
            "server: CPU s a million rows",
            "server: CPU ms a round",
            "server: bytes written a row",
            "host: CPU ms a round",
            "host: CPU ms of commits a minute",
            "wire: bytes a round",
            "wire: packets a round",
        ]
        .map(str::to_owned),
    );
    for name in PARTS {
        eprintln!("{name}");
        server.settle();
        let before = server.usage();
        writeln!(input)?;
        let line = lines.next().context("the hosts ended")??;
        let took: Part = serde_json::from_str(&line)?;
        server.settle();
        let after = server.usage();
        if let Some(ratio) = took.list_ratio {
            println!("commits that note changes, to those that do not: {ratio:.2}\n");
            continue;
        }
        let processor = (after.processor - before.processor).as_secs_f64();
        table.row(
            name,
            cells(&took, processor, after.written - before.written),
        );
    }
    Ok(table)
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn cells(took: &Part, processor: f64, written: u64) -> Vec<String> {
    let (rounds, rows) = (took.rounds as f64, took.rows as f64);
    let per_row = |figure: f64| {
        if took.rows == 0 {
            String::new()
        } else {
            format!("{:.1}", figure / rows)
        }
    };
    let whole = |figure: f64| format!("{figure:.0}");
    vec![
        grouped(took.rounds),
        grouped(took.rows),
        format!("{:.1}", took.seconds),
        whole(rows / took.seconds),
        per_row(processor * 1e6),
        format!("{:.2}", processor * 1e3 / rounds),
        per_row(written as f64),
        format!("{:.2}", took.round_seconds * 1e3 / rounds),
        format!("{:.2}", took.commit_seconds * 1e3 / rounds),
        whole(took.bytes as f64 / rounds),
        whole(took.packets as f64 / rounds),
    ]
}
