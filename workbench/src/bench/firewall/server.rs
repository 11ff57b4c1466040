//! A server with so many sessions under a meter, and their client.
//!
//! Sessions are plain TCP connections to ports that the config calls sshd's; the
//! log says who they are. A real sshd for each would take memory and tell nothing
//! of rules, and its ciphers would hide what a packet costs.

use std::{
    fmt::Write as _,
    fs::File,
    io::Write as _,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, bail, ensure};
use system_tests::{Machine, Process};

use super::{
    Programs,
    ground::{self, CLIENT, CROWD_PORT, OTHER_PORT, STREAM_PORT},
    metering::{LOG, Metering},
    rules::{self, Counting},
    stream::{Kind, Stream, Turns},
};

/// The user whose stream is measured.
const STREAMER: &str = "streamer";
/// No process of a server gets so far.
const FIRST_PID: u32 = 3_000_000;

/// How long thousands of rules may take to stand, or counters to be read.
const PATIENCE: Duration = Duration::from_secs(60);

/// A session, as sshd would log it.
#[derive(Clone, Debug)]
pub(super) struct Login {
    /// Who.
    pub(super) user: String,
    /// From which port of the client.
    pub(super) port: u16,
    /// Who of sshd says so.
    pub(super) pid: u32,
}

/// A server and its client.
#[derive(Debug)]
pub(super) struct Server {
    counting: Counting,
    sessions: usize,
    // Dropped in this order: processes before the machine that holds them.
    daemon: Option<Metering>,
    session: Stream,
    other: Stream,
    processes: Vec<Process>,
    machine: Machine,
    /// What the session's counter stood at when nothing had been drawn.
    counted_before: u64,
}

impl Server {
    /// A server whose sessions are all counted, the stream's too; with none, it
    /// is not.
    pub(super) fn start(counting: Counting, sessions: usize, programs: &Programs) -> Result<Self> {
        let machine = ground::machine(programs)?;
        if let Some(variant) = counting.iptables() {
            rules::choose(variant, machine.server())?;
        }
        let ports = [STREAM_PORT, OTHER_PORT];
        let served = ports.map(|port| ground::serve(&machine, port));
        let mut server = Self {
            counting,
            sessions,
            daemon: Metering::start(&machine, counting),
            session: ground::draw(&machine, STREAM_PORT)?,
            other: ground::draw(&machine, OTHER_PORT)?,
            processes: served.into_iter().collect::<Result<_>>()?,
            machine,
            counted_before: 0,
        };
        if let Some(idle) = sessions.checked_sub(1) {
            server
                .processes
                .extend(ground::crowd(&server.machine, idle)?);
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
        let stream = match kind {
            Kind::Session => &mut self.session,
            Kind::Other => &mut self.other,
        };
        let turns = stream.measure_beside(&mut one.session);
        if let Some(daemon) = &self.daemon {
            daemon.rest();
        }
        turns
    }

    /// The daemon, where there is one.
    pub(super) fn daemon(&self) -> Option<&Metering> {
        self.daemon.as_ref()
    }

    /// Makes sure that all sessions still are counted, and the one that was
    /// measured to the byte or more, as there are headers too.
    pub(super) fn check_counters(&self) -> Result<()> {
        if self.sessions == 0 || self.counting == Counting::Nobody {
            return Ok(());
        }
        if let Some(daemon) = &self.daemon {
            daemon.wake();
        }
        self.wait_until_counted(self.sessions)?;
        let drawn = self.session.drawn();
        let is_counted = holds_soon(|| Ok(self.counted()? >= self.counted_before + drawn))?;
        ensure!(
            is_counted,
            "{drawn} bytes of the session were drawn, and not counted"
        );
        Ok(())
    }

    /// Makes sure that the session that is measured is at the chain's end.
    fn check_order(&self) -> Result<()> {
        if self.sessions == 0 || !self.counting.has_a_chain() {
            return Ok(());
        }
        let listing = self.counting.listing(self.machine.server());
        let is_last = listing.is_some_and(|listing| rules::is_last(STREAMER, &listing));
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
                let text = rules::script(CLIENT, &logins);
                self.machine.server().write("/run/rules", &text);
                self.machine
                    .server()
                    .shell("iptables-restore --noflush </run/rules");
                self.wait_until_counted(logins.len())
            }
            Counting::Sshmeter { .. } => {
                let (first, others) = logins.split_at(logins.len().min(1));
                self.write_log(first)?;
                self.wait_until_counted(first.len())?;
                self.write_log(others)?;
                self.wait_until_counted(logins.len())
            }
        }
    }

    /// The stream's login, if it is to be counted, then the others'.
    fn logins(&self) -> Result<Vec<Login>> {
        let mut ports = ground::peers(&self.machine, CROWD_PORT)?;
        if self.sessions > 0 {
            ports.insert(0, self.session.port());
        }
        ensure!(
            ports.len() == self.sessions,
            "{} are connected",
            ports.len()
        );
        let logins = ports.into_iter().zip(0..).map(|(port, number)| Login {
            user: match number {
                0 => STREAMER.to_owned(),
                _ => format!("u{number}"),
            },
            port,
            pid: FIRST_PID + number,
        });
        Ok(logins.collect())
    }

    fn write_log(&self, logins: &[Login]) -> Result<()> {
        let server = self.machine.server();
        let now = server.run("date", &["+%Y-%m-%dT%H:%M:%S.%6N%:z"]);
        let now = now.trim();
        let mut text = String::new();
        for Login { user, port, pid } in logins {
            writeln!(
                text,
                "{now} meter sshd[{pid}]: Accepted password for {user} from {CLIENT} port {port} ssh2"
            )?;
        }
        let mut log = File::options().append(true).open(server.path(LOG))?;
        Ok(log.write_all(text.as_bytes())?)
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
        let named = |user: &str| user.starts_with('u') || user == STREAMER;
        sessions.iter().filter(|one| named(&one.user)).count()
    }

    /// How many bytes of the stream's session are counted, both ways.
    fn counted(&self) -> Result<u64> {
        if let Some(listing) = self.counting.listing(self.machine.server()) {
            return Ok(rules::bytes_of(STREAMER, &listing));
        }
        let Some(daemon) = &self.daemon else {
            return Ok(0);
        };
        let sessions = daemon.daemon().ask().sessions();
        let his = sessions.iter().filter(|one| one.user == STREAMER);
        Ok(his
            .filter_map(|one| Some(one.wire_in? + one.wire_out?))
            .sum())
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
