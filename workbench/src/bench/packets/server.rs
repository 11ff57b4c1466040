//! A server with so many sessions under a meter, and their client.
//!
//! Sessions are plain TCP connections to ports that the config calls sshd's; the
//! log says who they are. A real sshd for each would take memory and tell nothing
//! of rules, and its ciphers would hide what a packet costs.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, bail, ensure};
use system_tests::{Machine, NOBODY, Process};

use super::{
    ground::{self, CROWD_PORT, OTHER_PORT, STREAM_PORT},
    rules::{self, Counting},
    stream::{Kind, Streams, Turns},
};
use crate::bench::{
    crowd::Crowd,
    ground::{CLIENT, machine, peers},
    iptables,
    login::{self, Login, write_log},
    metering::Metering,
    programs::Programs,
};

/// The sessions that are measured, and their users.
const MEASURED: [(Kind, &str); 2] = [(Kind::One, "streamer"), (Kind::Many, "together")];
/// How long thousands of rules may take to stand, or counters to be read.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server and its client.
#[derive(Debug)]
pub(super) struct Server {
    counting: Counting,
    sessions: usize,
    // Dropped in this order: processes before the machine that holds them.
    daemon: Option<Metering>,
    one: Streams,
    many: Streams,
    other: Streams,
    crowd: Crowd,
    #[expect(dead_code, reason = "they end when this is dropped")]
    processes: Vec<Process>,
    machine: Machine,
    /// What the counters of those that are measured stood at when nothing had been
    /// drawn.
    counted_before: [u64; 2],
}

impl Server {
    /// A server whose sessions are all counted, the stream's too; with none, it
    /// is not.
    pub(super) fn start(counting: Counting, sessions: usize, programs: &Programs) -> Result<Self> {
        let machine = machine(programs)?;
        if let Some(variant) = counting.iptables() {
            iptables::choose(variant, machine.server())?;
        }
        let ports = [STREAM_PORT, OTHER_PORT];
        let served = ports.map(|port| ground::serve(&machine, port));
        let mut server = Self {
            counting,
            sessions,
            daemon: ground::meter(&machine, counting),
            one: ground::draw(&machine, Kind::One)?,
            many: ground::draw(&machine, Kind::Many)?,
            other: ground::draw(&machine, Kind::Other)?,
            crowd: Crowd::new(CROWD_PORT),
            processes: served.into_iter().collect::<Result<_>>()?,
            machine,
            counted_before: [0; 2],
        };
        let measured = MEASURED.iter().map(|(kind, _)| kind.connections()).sum();
        if let Some(idle) = sessions.checked_sub(measured) {
            server.crowd.come(&server.machine, idle)?;
        }
        server.log_in()?;
        server.check_order()?;
        server.counted_before = server.counted()?;
        if let Some(daemon) = &server.daemon {
            daemon.rest();
        }
        Ok(server)
    }

    /// How fast a stream of this server is beside one of a server without meter.
    pub(super) fn measure(&mut self, kind: Kind, one: &mut Self) -> Result<Turns> {
        if let Some(daemon) = &self.daemon {
            daemon.wake();
            daemon.wait_until_idle()?;
        }
        let turns = self.streams(kind).measure_beside(one.streams(kind));
        if let Some(daemon) = &self.daemon {
            daemon.rest();
        }
        turns
    }

    fn streams(&mut self, kind: Kind) -> &mut Streams {
        match kind {
            Kind::One => &mut self.one,
            Kind::Many => &mut self.many,
            Kind::Other => &mut self.other,
        }
    }

    /// The daemon, where there is one.
    pub(super) fn daemon(&self) -> Option<&Metering> {
        self.daemon.as_ref()
    }

    /// Makes sure that all sessions still are counted, and those that were measured
    /// to the byte or more, as there are headers too.
    pub(super) fn check_counters(&self) -> Result<()> {
        if self.sessions == 0 || self.counting == Counting::Nobody {
            return Ok(());
        }
        if let Some(daemon) = &self.daemon {
            daemon.wake();
        }
        self.wait_until_counted(self.sessions)?;
        let drawn = [self.one.drawn(), self.many.drawn()];
        let is_counted = holds_soon(|| {
            let counted = self.counted()?;
            Ok((0..drawn.len())
                .all(|which| counted[which] >= self.counted_before[which] + drawn[which]))
        })?;
        ensure!(
            is_counted,
            "{drawn:?} bytes of the sessions were drawn, and not counted"
        );
        Ok(())
    }

    /// Makes sure that the one session that is measured is at the chain's end.
    fn check_order(&self) -> Result<()> {
        if self.sessions == 0 || !self.counting.has_a_chain() {
            return Ok(());
        }
        let listing = self.counting.listing(self.machine.server());
        let (_, user) = MEASURED[0];
        let is_last = listing.is_some_and(|listing| rules::is_last(user, &listing));
        ensure!(is_last, "the stream's rules are not the last");
        Ok(())
    }

    /// Tells the log, and waits until every session is counted. The stream's rules
    /// come first, so that in a chain that grows at its head they are last.
    fn log_in(&self) -> Result<()> {
        let logins = self.logins()?;
        match self.counting {
            Counting::Nobody => Ok(()),
            Counting::Script(_) => {
                let text = login::rules(&logins);
                self.machine.server().write("/run/rules", &text);
                self.machine
                    .server()
                    .shell("iptables-restore --noflush </run/rules");
                self.wait_until_counted(logins.len())
            }
            Counting::Sshmeter { .. } => {
                let (first, others) = logins.split_at(logins.len().min(1));
                write_log(self.machine.server(), first)?;
                self.wait_until_counted(first.len())?;
                write_log(self.machine.server(), others)?;
                self.wait_until_counted(logins.len())
            }
        }
    }

    /// The logins of those that are measured, if they are to be counted, the one
    /// session's first; then the others'.
    fn logins(&self) -> Result<Vec<Login>> {
        let mut clients = Vec::new();
        if self.sessions > 0 {
            for ((_, user), streams) in MEASURED.iter().zip([&self.one, &self.many]) {
                let ports = streams.ports().iter();
                clients.extend(ports.map(|port| ((*user).to_owned(), (CLIENT, *port).into())));
            }
        }
        let crowd = peers(&self.machine, CROWD_PORT)?.into_iter().zip(1..);
        clients.extend(crowd.map(|(peer, number)| (format!("u{number}"), peer)));
        ensure!(
            clients.len() == self.sessions,
            "{} are connected",
            clients.len()
        );
        let logins = clients.into_iter().enumerate();
        let logins = logins.map(|(number, (user, peer))| Login::new(number, user, peer));
        Ok(logins.collect())
    }

    fn wait_until_counted(&self, sessions: usize) -> Result<()> {
        let mut counted = 0;
        let all_are = holds_soon(|| {
            counted = self.counted_sessions();
            Ok(counted == sessions)
        })?;
        if !all_are {
            let words = self.daemon.as_ref().map(|daemon| daemon.daemon().words());
            let words = words.unwrap_or_default();
            let last = words.lines().last().unwrap_or("nothing");
            bail!("{counted} of {sessions} sessions are counted; it said: {last}");
        }
        Ok(())
    }

    fn counted_sessions(&self) -> usize {
        if let Some(listing) = self.counting.listing(self.machine.server()) {
            return rules::count(&listing) / 2;
        }
        let Some(daemon) = &self.daemon else {
            return 0;
        };
        let sessions = daemon.daemon().ask().sessions();
        let sessions = sessions.iter();
        sessions.filter(|one| one.user != NOBODY).count()
    }

    /// How many bytes of the sessions that are measured are counted, both ways.
    fn counted(&self) -> Result<[u64; 2]> {
        let users = MEASURED.map(|(_, user)| user);
        if let Some(listing) = self.counting.listing(self.machine.server()) {
            return Ok(users.map(|user| rules::bytes_of(user, &listing)));
        }
        let Some(daemon) = &self.daemon else {
            return Ok([0; 2]);
        };
        let sessions = daemon.daemon().ask().sessions();
        Ok(users.map(|user| {
            let theirs = sessions.iter().filter(|one| one.user == user);
            theirs
                .filter_map(|one| Some(one.wire_in? + one.wire_out?))
                .sum()
        }))
    }
}

/// Whether something holds before long.
fn holds_soon(mut holds: impl FnMut() -> Result<bool>) -> Result<bool> {
    let begin = Instant::now();
    while begin.elapsed() < PATIENCE {
        if holds()? {
            return Ok(true);
        }
        thread::sleep(Duration::from_millis(500));
    }
    Ok(false)
}
