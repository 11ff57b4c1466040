//! A thousand sessions a second for a minute.

use std::{
    collections::HashMap,
    io::{BufRead, BufReader},
    net::SocketAddr,
    process::Stdio,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use system_tests::{Caller, Machine, Process, Session};

use super::{PORT, config};
use crate::{
    bench::{
        ground::{SERVER, machine},
        metering::{LOG, Metering},
        processor,
        programs::Programs,
    },
    table::grouped,
};

/// Sessions a second.
pub(super) const RATE: usize = 1000;
/// What has to be reached of that: 95 %.
pub(super) const LEAST: f64 = 950.0;
const SECONDS: usize = 60;
const COUNT: usize = RATE * SECONDS;

/// How long the daemon may take to catch up.
const PATIENCE: Duration = Duration::from_secs(120);

/// What was measured.
#[derive(Clone, Copy, Debug)]
pub(super) struct Logins {
    /// Sessions a second that came.
    pub(super) rate_reached: f64,
    /// The daemon's part of one core, until all of them were in the ledger.
    pub(super) cores: f64,
    /// The ledger's part of that.
    pub(super) ledger_cores: f64,
    /// The most memory seen.
    pub(super) megabytes: f64,
}

pub(super) fn measure(programs: &Programs) -> Result<Logins> {
    eprintln!("{} sessions come and go", grouped(COUNT));
    let machine = machine(programs)?;
    let daemon = Metering::start(&machine, &config());
    let _server = serve(&machine);
    let id = daemon.daemon().id();
    let used = || {
        let [_, ledger] = daemon.counting_and_ledger()?;
        anyhow::Ok((processor::of(id)?, ledger))
    };
    let before = used()?;
    let (callers, mut words) = call(&machine, COUNT)?;
    let watch = thread::scope(|scope| {
        let answer = scope.spawn(|| {
            let mut line = String::new();
            words.read_line(&mut line).map(|_| line)
        });
        let mut megabytes = 0.0_f64;
        while !answer.is_finished() {
            thread::sleep(Duration::from_millis(500));
            #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
            let now = daemon.daemon().resident_bytes() as f64 / 1e6;
            megabytes = megabytes.max(now);
        }
        let line = answer.join().ok().context("a thread panicked")??;
        anyhow::Ok((line, megabytes))
    });
    let (line, megabytes) = watch?;
    let nanoseconds = line.trim_end().strip_prefix("done ");
    let took = Duration::from_nanos(nanoseconds.context("the callers failed")?.parse()?);
    daemon.wait_until_idle()?;
    wait_until_all_are_known(&daemon)?;
    let after = used()?;
    drop(callers);
    let sessions = daemon.stop().sessions();
    check(&sessions)?;
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    let rate_reached = COUNT as f64 / took.as_secs_f64();
    ensure!(
        rate_reached >= LEAST,
        "only {rate_reached:.0} sessions a second came, and {LEAST:.0} are the least that says \
         something"
    );
    let part = |used: Duration| used.as_secs_f64() / took.as_secs_f64();
    Ok(Logins {
        rate_reached,
        cores: part(after.0.saturating_sub(before.0)),
        ledger_cores: part(after.1.saturating_sub(before.1)),
        megabytes,
    })
}

/// Who takes callers, and logs them.
pub(super) fn serve(machine: &Machine) -> Process {
    let server = machine.server();
    let mut command = server.command("churn");
    command.args(["serve", &PORT.to_string(), LOG]);
    command.stdin(Stdio::piped());
    let process = server.spawn(&mut command, "churn serve");
    machine.wait_for_port(PORT);
    process
}

/// So many callers, who tell when all of them have left.
pub(super) fn call(machine: &Machine, count: usize) -> Result<(Process, impl BufRead + Send)> {
    let client = machine.client().keeper();
    let mut command = client.command("/mnt/churn");
    command
        .args(["call", SERVER, &PORT.to_string()])
        .args([count, RATE].map(|number| number.to_string()))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut process = client.spawn(&mut command, "churn call");
    let output = process.child().stdout.take();
    Ok((
        process,
        BufReader::new(output.context("the output is a pipe")?),
    ))
}

/// Waits until every session is in the ledger, ended and named; what is not there
/// after a fair time is told by [`check`].
fn wait_until_all_are_known(daemon: &Metering) -> Result<()> {
    let begin = Instant::now();
    while begin.elapsed() < PATIENCE {
        let sessions = daemon.daemon().ask().sessions();
        let known = sessions
            .iter()
            .filter(|one| one.closed.is_some() && one.user.starts_with('u'));
        if known.count() >= COUNT {
            return Ok(());
        }
        thread::sleep(Duration::from_secs(5));
    }
    Ok(())
}

/// Holds every session against the plan.
fn check(sessions: &[Session]) -> Result<()> {
    let mut planned: HashMap<SocketAddr, Caller> = (0..COUNT)
        .map(|number| (Caller(number).end().into(), Caller(number)))
        .collect();
    let mut wrong = Vec::new();
    for session in sessions {
        let peer = SocketAddr::new(session.peer.ip, session.peer.port);
        let caller = planned.remove(&peer);
        let caller = caller.with_context(|| format!("{peer} is there twice, or never called"))?;
        let counted = (session.payload_in, session.payload_out);
        let expected = (Some(caller.sends() as u64), Some(caller.gets() as u64));
        if session.user != caller.user() || session.closed.is_none() || counted != expected {
            wrong.push((caller, session));
        }
    }
    ensure!(
        wrong.is_empty(),
        "{} of {} sessions are in the ledger as they were not, such as {:?}",
        wrong.len(),
        grouped(COUNT),
        wrong.first()
    );
    ensure!(
        planned.is_empty(),
        "{} of {} sessions are missing, such as {:?}",
        planned.len(),
        grouped(COUNT),
        planned.keys().next()
    );
    Ok(())
}
