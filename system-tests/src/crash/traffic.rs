//! People at work while the daemon dies: several at once, without a pause.
//!
//! Each kind of work is a thread that goes on until it is told to stop, and
//! then gives the list of its visits, all of them ended.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use super::chance::Chance;
use crate::{
    client::{Client, Family, OpenVisit, Visit, VisitBuilder},
    machine::Machine,
    wait_for,
};

/// What the server's little service on this port sends to whoever connects.
const SERVICE: u16 = 8000;
const SERVED: &str = "60000";

/// What is on its way to a client that has gone is met with a reset, and after
/// one the kernel's figures do not say whether a FIN was among them.
const SILENCE: Duration = Duration::from_millis(700);

const USERS: [&str; 6] = [
    "alice",
    "bob",
    "carol",
    "root",
    r"DOM\carol",
    "from 10.78.0.1 port 22 ssh2",
];

/// Somebody at work.
pub(crate) struct Worker<'a> {
    client: &'a Client,
    chance: Chance,
    go_on: &'a AtomicBool,
    /// A number that no other worker has.
    number: u16,
    visits: Vec<Visit>,
}

/// A service for tunnels to lead to.
pub(crate) fn serve(machine: &mut Machine) {
    let listen = format!("--listen=127.0.0.1:{SERVICE}");
    let arguments = [
        &listen,
        "--accept",
        "--inetd",
        "head",
        "-c",
        SERVED,
        "/dev/zero",
    ];
    machine.start_service("service", "systemd-socket-activate", &arguments);
    machine.wait_for_port(SERVICE);
}

/// Sets people to work while `meanwhile` runs, and gives all their visits.
pub(crate) fn during(client: &Client, chance: &mut Chance, meanwhile: impl FnOnce()) -> Vec<Visit> {
    let go_on = AtomicBool::new(true);
    thread::scope(|scope| {
        let works = [short_commands, copies, tunnels, shared, trickles, strangers];
        let workers: Vec<_> = works
            .into_iter()
            .zip(0..)
            .map(|(work, number)| {
                let worker = Worker {
                    client,
                    chance: chance.branch(),
                    go_on: &go_on,
                    number,
                    visits: Vec::new(),
                };
                scope.spawn(move || worker.go(work))
            })
            .collect();
        // Should `meanwhile` panic, the workers end before the panic goes on.
        let ending = Ending(&go_on);
        meanwhile();
        drop(ending);
        workers
            .into_iter()
            .flat_map(|worker| worker.join().expect("the work went well"))
            .collect()
    })
}

struct Ending<'a>(&'a AtomicBool);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

impl<'a> Worker<'a> {
    fn go(mut self, work: fn(&mut Self)) -> Vec<Visit> {
        while self.goes_on() {
            work(&mut self);
        }
        self.visits
    }

    fn goes_on(&self) -> bool {
        self.go_on.load(Ordering::Relaxed)
    }

    /// Repeats something for so long, or until all work ends.
    fn for_a_while(&mut self, seconds: u64, mut act: impl FnMut(&mut Self)) {
        let end = Instant::now() + Duration::from_secs(seconds);
        while self.goes_on() && Instant::now() < end {
            act(self);
        }
    }

    fn rest(&mut self) {
        let pause = self.chance.millis(0..600);
        thread::sleep(pause);
    }

    fn visit(&mut self) -> VisitBuilder<'a> {
        let user = self.chance.one(&USERS);
        let family = *self.chance.one(&[Family::V4, Family::V4, Family::V6]);
        self.client.visit(user).over(family)
    }

    /// Ends a visit as it comes: politely, or by the loss of the client.
    fn end(&mut self, open: OpenVisit) {
        thread::sleep(SILENCE);
        let visit = if self.chance.percent(70) {
            open.close()
        } else {
            open.kill()
        };
        self.visits.push(visit);
    }
}

/// Commands that are over at once, with little and much to say.
fn short_commands(worker: &mut Worker<'_>) {
    let bytes = *worker.chance.one(&[0, 1, 500, 20_000, 300_000, 900_000]);
    let visit = worker.visit();
    worker
        .visits
        .push(visit.run(&format!("head -c {bytes} /dev/zero")));
    worker.rest();
}

/// Files up and down.
fn copies(worker: &mut Worker<'_>) {
    let bytes = *worker.chance.one(&[10_000, 200_000, 1_500_000]);
    let builder = worker.visit();
    let visit = if worker.chance.percent(50) {
        builder.scp_up(bytes)
    } else {
        builder.scp_down("/usr/bin/bash")
    };
    worker.visits.push(visit);
    worker.rest();
}

/// A connection that outlives many daemons, with bytes in its tunnel all the time.
fn tunnels(worker: &mut Worker<'_>) {
    let port = 9000 + worker.number;
    let forward = format!("{port}:127.0.0.1:{SERVICE}");
    let open = worker.visit().open(&["-N", "-L", &forward], None);
    let keeper = worker.client.keeper();
    let seconds = worker.chance.number(4..30);
    worker.for_a_while(seconds, |worker| {
        keeper.shell(&format!(
            "until exec 3<>/dev/tcp/127.0.0.1/{port}; do sleep 0.1; done 2>/dev/null
            [ $(cat <&3 | wc -c) = {SERVED} ]"
        ));
        worker.rest();
    });
    worker.end(open);
}

/// One connection, many sessions.
fn shared(worker: &mut Worker<'_>) {
    let builder = worker.visit();
    let socket = format!("/mnt/control-{}", builder.visit().address);
    let path = format!("ControlPath={socket}");
    let master = builder.clone().option(&path).option("ControlMaster=yes");
    let master = master.open(&["-N"], None);
    let inside = worker.client.keeper().path(&socket);
    wait_for("the shared connection", Duration::from_secs(20), || {
        inside.exists().then_some(())
    });
    let seconds = worker.chance.number(2..12);
    worker.for_a_while(seconds, |worker| {
        let bytes = worker.chance.number(0..100_000);
        let through = builder.clone().option(&path);
        // The visit is the master's, which ends later.
        let _part = through.run(&format!("head -c {bytes} /dev/zero"));
        worker.rest();
    });
    thread::sleep(SILENCE);
    let visit = master.close();
    worker.visits.push(visit);
}

/// A command that says a little now and then and ends by itself.
fn trickles(worker: &mut Worker<'_>) {
    let times = worker.chance.number(3..30);
    let bytes = worker.chance.number(1..30_000);
    let command = format!("for n in $(seq {times}); do head -c {bytes} /dev/zero; sleep 0.2; done");
    let visit = worker.visit().run(&command);
    worker.visits.push(visit);
}

/// People who do not get in.
fn strangers(worker: &mut Worker<'_>) {
    let visit = worker.visit().fail();
    worker.visits.push(visit);
    worker.rest();
}
