//! Who talks over the link, and who counts.

use std::process::Stdio;

use anyhow::Result;
use system_tests::{Machine, Process};

use super::{
    rules::Counting,
    stream::{Kind, Streams},
};
use crate::bench::{
    metering::{LOG, Metering},
    processor,
};

/// Where the sessions are that do nothing.
pub(super) const CROWD_PORT: u16 = 7000;
/// Where the sessions are that are measured.
pub(super) const STREAM_PORT: u16 = 7001;
/// Not sshd's.
pub(super) const OTHER_PORT: u16 = 8000;

/// Starts sshmeter, where it is to count here.
pub(super) fn meter(machine: &Machine, counting: Counting) -> Option<Metering> {
    let Counting::Sshmeter { kind, .. } = counting else {
        return None;
    };
    let config = format!(
        "[source]\nkind = \"file\"\npath = \"{LOG}\"\n\
         [meter]\nkind = \"{kind}\"\nports = [{CROWD_PORT}, {STREAM_PORT}]\n"
    );
    Some(Metering::start(machine, &config))
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

/// Draws what streams.
pub(super) fn draw(machine: &Machine, kind: Kind) -> Result<Streams> {
    let client = machine.client().keeper();
    let mut command = client.command("nice");
    command.args(on_one_processor()?).arg("/mnt/stream");
    Streams::start(client, command, kind)
}

/// The arguments of nice that put a program on the last processor, before all that may be
/// interrupted.
fn on_one_processor() -> Result<Vec<String>> {
    let processor = processor::last()?.to_string();
    let words = ["-n", "-20", "taskset", "--cpu-list", &processor];
    Ok(words.map(str::to_owned).into())
}
