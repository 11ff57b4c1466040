//! What many hosts do to a server, for `cargo xtask bench mirror`: `load URL FOLDER
//! HOSTS USERS MINUTES` keeps a ledger for each host, counts into it minute by
//! minute, and sends each minute by the mirror's own rounds, over connections that
//! are made for it as a daemon makes them. It goes on with the next part at each
//! line of its input, and tells in a line of JSON what the part took here. It alone
//! is made of sshmeter's own code, and judges nothing.

mod fleet;
mod list;
mod wire;

use std::{
    io::{BufRead as _, Write as _},
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use sshmeter::{
    config::{MirrorConfig, Resolution},
    mirror::address::Address,
};
use system_tests::told::Part;

use self::{fleet::Fleet, wire::Wire};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let [url, folder, hosts, users, minutes] = words[..] else {
        bail!("load URL FOLDER HOSTS USERS MINUTES");
    };
    let mirror = MirrorConfig {
        address: Address::parse(url)?,
        resolution: Resolution::Minute,
        interval: Duration::from_secs(60),
    };
    let (hosts, users, minutes) = (hosts.parse()?, users.parse()?, minutes.parse()?);
    allow_many_files()?;
    let folder = Path::new(folder);
    let mut fleet = Fleet::begin(folder, &mirror, hosts, users, minutes)?;
    run_part(|| fleet.minutes(1))?;
    run_part(|| fleet.minutes(minutes))?;
    run_part(|| fleet.silence())?;
    run_part(|| fleet.copies())?;
    run_part(|| {
        Ok(Part {
            list_ratio: Some(list::ratio(folder, users)?),
            ..Part::default()
        })
    })
}

/// Waits for a line, and tells what the part took.
fn run_part(part: impl FnOnce() -> Result<Part>) -> Result<()> {
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line)?;
    let (begin, before) = (Instant::now(), Wire::read()?);
    let mut took = part()?;
    let after = Wire::read()?;
    took.seconds = begin.elapsed().as_secs_f64();
    took.bytes = after.bytes - before.bytes;
    took.packets = after.packets - before.packets;
    let mut out = std::io::stdout().lock();
    serde_json::to_writer(&mut out, &took)?;
    writeln!(out)?;
    Ok(out.flush()?)
}

/// Every ledger is some files.
fn allow_many_files() -> Result<()> {
    let most = getrlimit(Resource::Nofile).maximum;
    let all = Rlimit {
        current: most,
        maximum: most,
    };
    setrlimit(Resource::Nofile, all).context("no more files may be opened")
}
