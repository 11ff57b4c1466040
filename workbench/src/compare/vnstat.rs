//! vnStat's daemon on the server's interface, as its package sets it up.

use std::{thread, time::Duration};

use anyhow::{Context as _, Result};
use serde::Deserialize;
use system_tests::{Machine, wait_for};

use super::told::Told;

/// A little more than its `UpdateInterval`.
const UPDATE: Duration = Duration::from_secs(21);

const CONFIG: &str = "/run/vnstat.conf";

#[derive(Deserialize)]
struct Json {
    interfaces: Vec<Interface>,
}

#[derive(Deserialize)]
struct Interface {
    traffic: Traffic,
}

#[derive(Deserialize)]
struct Traffic {
    total: Total,
}

#[derive(Deserialize)]
struct Total {
    rx: u64,
    tx: u64,
}

/// Starts it with a database of its own, and waits until it counts.
pub(super) fn start(machine: &mut Machine) -> Result<()> {
    machine.server().write(
        CONFIG,
        "DatabaseDir \"/run/vnstat\"\nUseLogging 0\nAlwaysAddNewInterfaces 1\nTimeSyncWait 0\n\
         BootVariation 0\nBandwidthDetection 0\n",
    );
    machine.server().shell("mkdir /run/vnstat");
    machine.start_service("vnstat", "vnstatd", &["--nodaemon", "--config", CONFIG]);
    wait_for("vnStat", Duration::from_secs(60), || total(machine).ok());
    Ok(())
}

/// Ends it after its next reading, which it writes then, and gives what it says.
pub(super) fn told(machine: &mut Machine) -> Result<Told> {
    thread::sleep(UPDATE);
    machine.stop_service("vnstat");
    let Total { rx, tx } = total(machine)?;
    Ok(Told::as_a_whole("vnStat, the interface", rx + tx))
}

fn total(machine: &Machine) -> Result<Total> {
    let asked = ["--config", CONFIG, "--json", "-i", "eth0"];
    let output = machine.server().output("vnstat", &asked);
    let mut json: Json = serde_json::from_slice(&output.stdout)?;
    let interface = json.interfaces.pop().context("vnStat has no interface")?;
    Ok(interface.traffic.total)
}
