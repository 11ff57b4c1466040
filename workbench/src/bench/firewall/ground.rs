//! What a server of the bench stands on: a machine, a link between server and
//! client that offloads as cards do, and who talks over it.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use rustix::thread::CpuSet;
use system_tests::{Log, Machine, Process};

use super::{Programs, stream::Stream};

const SERVER: &str = "10.76.0.1";
pub(super) const CLIENT: &str = "10.76.0.2";

/// Where the sessions are that do nothing.
pub(super) const CROWD_PORT: u16 = 7000;
/// Where the session is that is measured.
pub(super) const STREAM_PORT: u16 = 7001;
/// Not sshd's.
pub(super) const OTHER_PORT: u16 = 8000;

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
        keeper.install(&programs.crowd, &format!("{folder}/crowd"));
        keeper.install(&programs.stream, &format!("{folder}/stream"));
    }
    Ok(machine)
}

/// A veth pair as it comes, beside the machine's own wire, whose packets are
/// small; and windows of any size, as on this machine.
fn lay_the_link(machine: &Machine) -> Result<()> {
    let (server, client) = (machine.server(), machine.client().keeper());
    let laid = Command::new("nsenter")
        .args(["--target", &server.leader().to_string(), "--net", "--"])
        .args(["ip", "link", "add", "fast", "type", "veth"])
        .args([
            "peer",
            "name",
            "fast",
            "netns",
            &client.leader().to_string(),
        ])
        .status()?;
    ensure!(laid.success(), "the veth pair could not be made");
    let settings = ["tcp_rmem", "tcp_wmem", "tcp_early_retrans"];
    for (keeper, address) in [(server, SERVER), (client, CLIENT)] {
        keeper.shell(&format!(
            "ip address add {address}/24 dev fast; ip link set fast up"
        ));
        for setting in settings {
            let path = format!("/proc/sys/net/ipv4/{setting}");
            let ours = fs::read_to_string(&path)?;
            keeper.shell(&format!("echo '{}' >{path}", ours.trim()));
        }
    }
    Ok(())
}

/// Sends to whoever asks.
pub(super) fn serve(machine: &Machine, port: u16) -> Result<Process> {
    let server = machine.server();
    let mut command = server.command("nice");
    command
        .args(on_one_processor()?)
        .args(["stream", "serve", &port.to_string()])
        .stdin(Stdio::piped());
    let process = server.spawn(&mut command, "stream serve");
    machine.wait_for_port(port);
    Ok(process)
}

pub(super) fn draw(machine: &Machine, port: u16) -> Result<Stream> {
    let client = machine.client().keeper();
    let mut command = client.command("nice");
    command
        .args(on_one_processor()?)
        .args(["/mnt/stream", "draw", &format!("{SERVER}:{port}")]);
    Stream::start(client, &mut command)
}

/// The arguments of nice that put a program on the last processor we may use,
/// before all that may be interrupted.
fn on_one_processor() -> Result<Vec<String>> {
    let allowed = rustix::thread::sched_getaffinity(None)?;
    let last = (0..CpuSet::MAX_CPU).rev().find(|one| allowed.is_set(*one));
    let last = last.context("there is no processor")?.to_string();
    let words = ["-n", "-20", "taskset", "--cpu-list", &last];
    Ok(words.map(str::to_owned).into())
}

/// Connections that were made, have said hello, and do nothing.
pub(super) fn crowd(machine: &Machine, connections: usize) -> Result<[Process; 2]> {
    let (server, client) = (machine.server(), machine.client().keeper());
    let mut command = server.command("crowd");
    command.args(["hold", &CROWD_PORT.to_string()]);
    command.stdin(Stdio::piped()).stdout(Stdio::null());
    let holder = server.spawn(&mut command, "crowd hold");
    machine.wait_for_port(CROWD_PORT);
    let mut command = client.command("/mnt/crowd");
    command
        .args(["visit", SERVER, &CROWD_PORT.to_string(), CLIENT])
        .arg(connections.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut visitor = client.spawn(&mut command, "crowd visit");
    let output = visitor.child().stdout.take();
    let mut line = String::new();
    BufReader::new(output.context("the output is a pipe")?).read_line(&mut line)?;
    ensure!(line == "ready\n", "the crowd did not come");
    Ok([holder, visitor])
}

/// The clients' ports of the connections to a port.
pub(super) fn peers(machine: &Machine, port: u16) -> Result<Vec<u16>> {
    let filter = ["-Htn", "state", "established", &format!("sport = :{port}")];
    let listed = machine.server().run("ss", &filter);
    let peers = listed.lines().map(|line| {
        let peer = line.split_whitespace().nth(3);
        let port = peer.and_then(|peer| peer.rsplit_once(':'));
        let (_, port) = port.with_context(|| format!("ss said {line:?}"))?;
        Ok(port.parse()?)
    });
    peers.collect()
}
