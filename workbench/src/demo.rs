//! `cargo xtask demo`: sshmeter at work on a throwaway server, and its report
//! beside the truth of a packet capture.
//!
//! All of it lives in namespaces that end with this process, by Ctrl-C too. No
//! packet leaves them, and no file is left.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use system_tests::{Answer, Daemon, Family, Flow, Log, Machine, Row, Truth, Visit};
use xtask::build;

use crate::prepare;

/// Shows it.
pub(crate) fn run() -> Result<()> {
    prepare("demo")?;
    let sshmeter = build::sshmeter()?;
    step("a throwaway server with sshd and rsyslogd, a client, a router between them");
    let mut machine = Machine::builder()
        .log(Log::RsyslogIso)
        .sshmeter(sshmeter)
        .start();
    serve(&mut machine);
    step("tcpdump listens on the server's wire; `sshmeter run` starts with no config");
    let capture = machine.capture();
    let daemon = machine.daemon();
    for line in daemon.words().lines() {
        println!("    {line}");
    }
    let visits = day_at_work(&machine);
    machine.wait_until_quiet();
    let truth = capture.finish();
    daemon.settle(&visits);
    show(daemon, &visits, &truth)
}

fn step(what: &str) {
    println!("• {what}");
}

fn day_at_work(machine: &Machine) -> Vec<Visit> {
    let visit = |user, family| machine.client().visit(user).over(family);
    let mut visits = Vec::new();
    step("alice uploads 8 MB by scp and downloads 3 MB by ssh");
    visits.push(visit("alice", Family::V4).scp_up(8_000_000));
    visits.push(visit("alice", Family::V6).run("head -c 3000000 /dev/zero"));
    step("bob downloads by sftp, over IPv6");
    visits.push(visit("bob", Family::V6).sftp("get /tmp/up-2001 /dev/null\n"));
    step("carol digs a tunnel and fetches 2 MB through it");
    visits.push(tunnel(machine));
    step("alice, bob and carol log in 20 times for a blink");
    for number in 0..20 {
        let user = ["alice", "bob", "carol"][number % 3];
        visits.push(visit(user, Family::V4).run("true"));
    }
    step("somebody tries a wrong password");
    visits.push(visit("alice", Family::V4).fail());
    visits
}

fn tunnel(machine: &Machine) -> Visit {
    let open = machine
        .client()
        .visit("carol")
        .open(&["-N", "-L", "9000:127.0.0.1:8000"], None);
    machine.client().keeper().shell(
        "until exec 3<>/dev/tcp/127.0.0.1/9000; do sleep 0.1; done 2>/dev/null
        cat <&3 >/dev/null",
    );
    open.close()
}

/// A service on the server's port 8000, for the tunnel to lead to.
fn serve(machine: &mut Machine) {
    let listen = ["--listen=127.0.0.1:8000", "--accept", "--inetd"];
    let send = ["head", "-c", "2000000", "/dev/zero"];
    machine.start_service(
        "service",
        "systemd-socket-activate",
        &[&listen[..], &send[..]].concat(),
    );
    machine.wait_for_port(8000);
}

/// sshmeter's own report, then its figures beside the capture's.
fn show(daemon: Daemon, visits: &[Visit], truth: &Truth) -> Result<()> {
    let answer: Answer = daemon.stop();
    println!("\n$ sshmeter report");
    print!("{}", answer.text(&["report", "--since", "-1d"]));
    println!("\nthe same beside the capture, wire bytes");
    println!(
        "{:<20}{:>14}{:>14}{:>14}{:>14}{:>12}",
        "user", "in", "captured", "out", "captured", "difference"
    );
    let report = answer.report(&["--since", "-1d", "--all"]);
    let mut difference = 0;
    for (user, captured) in by_user(visits, truth) {
        let row = report
            .rows
            .iter()
            .find(|row| row.user.as_deref() == Some(&user));
        let said = row.map(flow).unwrap_or_default();
        let off =
            said.inbound.abs_diff(captured.inbound) + said.outbound.abs_diff(captured.outbound);
        println!(
            "{user:<20}{:>14}{:>14}{:>14}{:>14}{off:>12}",
            said.inbound, captured.inbound, said.outbound, captured.outbound
        );
        difference += off;
    }
    println!(
        "{} connections, {difference} bytes of difference",
        truth.connections.len()
    );
    ensure!(
        answer.sessions().len() == truth.connections.len(),
        "sshmeter knows {} sessions",
        answer.sessions().len()
    );
    Ok(())
}

fn by_user(visits: &[Visit], truth: &Truth) -> BTreeMap<String, Flow> {
    let mut users: BTreeMap<String, Flow> = BTreeMap::new();
    for visit in visits {
        let user = visit.user.clone();
        let sum = users.entry(user.unwrap_or_else(|| system_tests::NOBODY.to_owned()));
        let sum = sum.or_default();
        for connection in truth.all_from(visit.address) {
            *sum += connection.wire;
        }
    }
    users
}

fn flow(row: &Row) -> Flow {
    Flow {
        inbound: row.wire_in.unwrap_or_default(),
        outbound: row.wire_out.unwrap_or_default(),
    }
}
