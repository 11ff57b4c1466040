//! What a server of the benches stands on: a machine, and a link between server and
//! client that offloads as cards do.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};
use system_tests::{Log, Machine};

use super::programs::Programs;

/// The server's address.
pub(super) const SERVER: &str = "10.76.0.1";
/// The client's first address.
pub(super) const CLIENT: Ipv4Addr = client(0);
/// How many the client has: each reaches a port of the server from some 28,000 of
/// its own.
const CLIENTS: u8 = 16;

/// One of the client's addresses.
pub(super) const fn client(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 76, 0, 2 + number % CLIENTS)
}

/// A machine with the link and the programs.
pub(super) fn machine(programs: &Programs) -> Result<Machine> {
    let machine = Machine::builder()
        .log(Log::Nobody)
        .without_sshd()
        .sshmeter(programs.sshmeter.clone())
        .start();
    lay_the_link(&machine)?;
    let client = machine.client().keeper();
    for (keeper, folder) in [(machine.server(), "/usr/bin"), (client, "/mnt")] {
        for helper in &programs.helpers {
            let name = helper.file_name().context("a program has a name")?;
            keeper.install(helper, &format!("{folder}/{}", name.display()));
        }
    }
    Ok(machine)
}

/// A veth pair as it comes, beside the machine's own wire, whose packets are
/// small; and windows of any size, as on this machine.
fn lay_the_link(machine: &Machine) -> Result<()> {
    let (server, other) = (machine.server(), machine.client().keeper());
    let laid = Command::new("nsenter")
        .args(["--target", &server.leader().to_string(), "--net", "--"])
        .args(["ip", "link", "add", "fast", "type", "veth"])
        .args(["peer", "name", "fast", "netns", &other.leader().to_string()])
        .status()?;
    ensure!(laid.success(), "the veth pair could not be made");
    let mut addresses = vec![(server, SERVER.to_owned())];
    addresses.extend((0..CLIENTS).map(|number| (other, client(number).to_string())));
    for (keeper, address) in addresses {
        keeper.shell(&format!("ip address add {address}/24 dev fast"));
    }
    let settings = ["tcp_rmem", "tcp_wmem", "tcp_early_retrans"];
    for keeper in [server, other] {
        keeper.shell("ip link set fast up");
        for setting in settings {
            let path = format!("/proc/sys/net/ipv4/{setting}");
            let ours = fs::read_to_string(&path)?;
            keeper.shell(&format!("echo '{}' >{path}", ours.trim()));
        }
    }
    Ok(())
}

/// The clients' ends of the connections to a port.
pub(super) fn peers(machine: &Machine, port: u16) -> Result<Vec<SocketAddr>> {
    let filter = ["-Htn", "state", "established", &format!("sport = :{port}")];
    let listed = machine.server().run("ss", &filter);
    let peers = listed.lines().map(|line| {
        let peer = line.split_whitespace().nth(3);
        let peer = peer.with_context(|| format!("ss said {line:?}"))?;
        Ok(peer.parse()?)
    });
    peers.collect()
}
