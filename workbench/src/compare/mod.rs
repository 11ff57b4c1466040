//! `cargo xtask compare`: what sshmeter and other meters make of the same traffic,
//! counted at the same time on the same machine, beside a packet capture.
//!
//! The others are the real programs, set up as an administrator would who wants to
//! know who used how much. Nothing of what is printed is written here but the words.

mod accounting;
mod nethogs;
mod owner;
mod scripts;
mod told;
mod traffic;
mod vnstat;

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use system_tests::{Answer, Machine, Truth, Visit, boots};
use xtask::{build, packages};

use self::told::{Told, table};
use crate::prepare;

/// The other meters, and the packages that they come in.
const NEEDED: &[(&str, &str)] = &[
    ("nethogs", "nethogs"),
    ("vnstatd", "vnstat"),
    ("iptables", "iptables"),
];

/// Whose traffic it is.
const USERS: [&str; 3] = ["alice", "bob", "carol"];

/// Compares them, which takes about four minutes.
pub(crate) fn run() -> Result<()> {
    prepare("compare")?;
    packages::install_for("the comparison", NEEDED)?;
    for (program, package) in NEEDED {
        if packages::find(program).is_none() {
            bail!("the comparison needs {program}\nhint: apt-get install {package}");
        }
    }
    if !boots("compare") {
        bail!("the comparison needs a machine that runs systemd, which cannot be made here");
    }
    let mut machine = Machine::builder()
        .booted()
        .sshmeter(build::sshmeter()?)
        .start();
    eprintln!("all meters start");
    traffic::serve(&mut machine);
    let service = machine.install();
    drop(service);
    scripts::start(&mut machine);
    owner::start(&machine);
    accounting::start(&machine);
    vnstat::start(&mut machine)?;
    nethogs::start(&mut machine);
    let capture = machine.capture();
    eprintln!("three users work for about three minutes");
    let mut work = traffic::Work::begin(&machine);
    work.go_on(&machine);
    eprintln!("the meters are asked");
    // What the slices of users count goes when the users do.
    let accounting = accounting::told(&machine)?;
    let visits = work.end();
    machine.wait_until_quiet();
    let truth = capture.finish();
    let sshmeter = sshmeter(&machine, &visits);
    let scripts = scripts::told(&machine);
    let [steady, rounds] = nethogs::told(&mut machine)?;
    let told = [
        captured(&visits, &truth),
        sshmeter,
        steady,
        rounds,
        accounting.0,
        accounting.1,
        vnstat::told(&mut machine)?,
        owner::told(&machine),
        scripts,
    ];
    println!("{}", table(&USERS, &told));
    println!(
        "{} connections of {} users, {} visits",
        truth.connections.len(),
        USERS.len(),
        visits.len()
    );
    Ok(())
}

/// What crossed the server's wire.
fn captured(visits: &[Visit], truth: &Truth) -> Told {
    let mut users: BTreeMap<String, u64> = BTreeMap::new();
    for visit in visits {
        let user = visit.user.clone().unwrap_or_default();
        let bytes: u64 = truth
            .all_from(visit.address)
            .map(|connection| connection.wire.total())
            .sum();
        *users.entry(user).or_default() += bytes;
    }
    Told::by_user("the wire (tcpdump)", users)
}

/// What sshmeter's own report says.
fn sshmeter(machine: &Machine, visits: &[Visit]) -> Told {
    let service = machine.start_installed();
    let answer: &Answer = service.ask();
    answer.settle(visits);
    let rows = answer.report(&["--since", "-1d"]).rows;
    let users = rows.into_iter().filter_map(|row| {
        let bytes = row.wire_in.unwrap_or_default() + row.wire_out.unwrap_or_default();
        Some((row.user?, bytes))
    });
    Told::by_user("sshmeter", users.collect())
}
