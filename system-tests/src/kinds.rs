//! What people do over SSH, each kind once: the visits of a machine that has
//! [`Machine::serve`] and was told nothing else.

use std::time::Duration;

use crate::{
    client::{Family, OpenVisit, Visit},
    machine::{Machine, SERVED},
    wait_for,
};

/// All of them.
#[must_use]
pub fn every_kind(machine: &Machine, family: Family) -> Vec<Visit> {
    let mut visits = commands_and_copies(machine, family);
    visits.extend(tunnels(machine, family));
    visits.push(shared_connection(machine, family));
    visits
}

fn commands_and_copies(machine: &Machine, family: Family) -> Vec<Visit> {
    let visit = |user| machine.client().visit(user).over(family);
    vec![
        visit("alice").run("true"),
        visit("alice").run("head -c 3000000 /dev/zero"),
        visit("bob").send(3_000_000, "cat >/dev/null"),
        visit("carol").scp_up(2_000_000),
        visit("carol").scp_down("/tmp/up-2003"),
        visit("carol").sftp("get /tmp/up-2003 /dev/null\nls /tmp\n"),
        visit("bob").by_password().run("echo by password"),
    ]
}

/// `-L`, `-D`, `-R` and a bare `-N`: bytes of a tunnel belong to who dug it.
fn tunnels(machine: &Machine, family: Family) -> Vec<Visit> {
    let client = machine.client();
    let visit = |user| client.visit(user).over(family);

    let local = visit("alice").open(&["-N", "-L", "9001:127.0.0.1:8000"], None);
    assert_eq!(client.fetch(9001, "cat <&3"), SERVED);

    let dynamic = visit("bob").open(&["-N", "-D", "9002"], None);
    // SOCKS 5 by hand: no authentication, then CONNECT to 127.0.0.1 port 8000.
    let socks = r"printf '\5\1\0' >&3; head -c 2 <&3 >/dev/null
        printf '\5\1\0\1\177\0\0\1\37\100' >&3; head -c 10 <&3 >/dev/null; cat <&3";
    assert_eq!(client.fetch(9002, socks), SERVED);

    let remote = visit("carol").open(&["-N", "-R", "9003:127.0.0.1:9001"], None);
    machine.wait_for_port(9003);
    let moved = machine
        .server()
        .shell("cat </dev/tcp/127.0.0.1/9003 | wc -c");
    assert_eq!(moved.trim(), SERVED);

    let bare = visit("alice").open(&["-N"], None);
    let open = [remote, local, dynamic, bare];
    for tunnel in &open {
        machine.wait_until_still(tunnel);
        machine.wait_for_rules(&tunnel.visit);
    }
    open.map(OpenVisit::close).into()
}

/// One connection, many sessions: it is one line of the bill.
fn shared_connection(machine: &Machine, family: Family) -> Visit {
    let builder = machine.client().visit("bob").over(family);
    let socket = format!("/mnt/control-{}", builder.visit().address);
    let path = format!("ControlPath={socket}");
    let master = builder
        .clone()
        .option(&path)
        .option("ControlMaster=yes")
        .open(&["-N"], None);
    let inside = machine.client().keeper().path(&socket);
    wait_for("the shared connection", Duration::from_secs(10), || {
        inside.exists().then_some(())
    });
    for _ in 0..3 {
        builder
            .clone()
            .option(&path)
            .run("head -c 100000 /dev/zero");
    }
    machine.wait_until_still(&master);
    machine.wait_for_rules(&master.visit);
    master.close()
}
