//! A server and hosts that mirror into it, each side in a network of its own, and
//! the one cable between them, which can be cut.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::{
    Backend, Comparison, Database, DatabaseBuilder, Mirror, PASSWORD, ground,
    keeper::{HOLD, Keeper},
    process::Process,
    wait_for,
};

/// The server's address on the cable.
const SERVER: &str = "10.66.0.1";
const PORT: u16 = 4_306;

/// How long hosts may take to send all and end: a connection that died holds
/// locks for a minute, and then the longest pause between two tries is two.
const PATIENCE: Duration = Duration::from_secs(330);

/// How packets end where the cable is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// They vanish.
    Silent,
    /// Whoever sends one is told that there is no such connection.
    Reset,
}

/// A server and hosts.
#[derive(Debug)]
pub struct Site {
    // Dropped in this order: processes before the networks that they are in.
    hosts: Option<Process>,
    server: Option<Database>,
    hosts_network: Keeper,
    server_network: Keeper,
    url: String,
    count: usize,
    pause: Duration,
    folder: TempDir,
}

impl Site {
    /// Lays the cable, starts a server at its one end, and no host yet: so many
    /// are to be, each with a commit after each pause.
    ///
    /// # Panics
    /// When the server or the networks cannot be made.
    #[must_use]
    pub fn new(backend: Backend, count: usize, pause: Duration) -> Self {
        Self::with(count, pause, &backend.builder())
    }

    /// The same with a server that is described further.
    ///
    /// # Panics
    /// As [`Site::new`].
    #[must_use]
    pub fn with(count: usize, pause: Duration, builder: &DatabaseBuilder) -> Self {
        let (hosts_network, server_network) = cable();
        let server = builder
            .clone()
            .tcp_in(&server_network, SERVER, PORT)
            .start();
        let url = server.ready_for_sshmeter();
        Self {
            hosts: None,
            server: Some(server),
            hosts_network,
            server_network,
            url,
            count,
            pause,
            folder: tempfile::tempdir().expect("a folder for ledgers"),
        }
    }

    /// The address that hosts are given from the next start on.
    pub fn set_url(&mut self, url: String) {
        self.url = url;
    }

    /// The server.
    ///
    /// # Panics
    /// Never.
    #[must_use]
    pub fn server(&self) -> &Database {
        self.server.as_ref().expect("there is one")
    }

    /// The server, to be ended and started.
    ///
    /// # Panics
    /// Never.
    pub fn server_mut(&mut self) -> &mut Database {
        self.server.as_mut().expect("there is one")
    }

    /// The network that the server is in.
    #[must_use]
    pub fn server_network(&self) -> &Keeper {
        &self.server_network
    }

    /// Where the ledgers are.
    #[must_use]
    pub fn ledgers(&self) -> &Path {
        self.folder.path()
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    /// Starts the hosts.
    ///
    /// # Panics
    /// When they run, or cannot be started.
    pub fn start_hosts(&mut self) {
        assert!(self.hosts.is_none(), "the hosts run already");
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log())
            .expect("a file for the hosts' log");
        let program = ground::built().join("hosts");
        let mut command = self.hosts_network.command(&program.to_string_lossy());
        command
            .arg(&self.url)
            .arg(self.folder.path())
            .args([self.count.to_string(), self.pause.as_millis().to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        self.hosts = Some(self.hosts_network.spawn(&mut command, "hosts"));
    }

    /// Kills the hosts by SIGKILL. Gives what they said if they had ended before.
    pub fn kill_hosts(&mut self) -> Option<String> {
        let mut hosts = self.hosts.take()?;
        let fault = (!hosts.runs()).then(|| format!("hosts ended by themselves: {}", self.words()));
        hosts.signal(Signal::KILL);
        hosts.wait(Duration::from_secs(20));
        fault
    }

    /// Lets the hosts send what is left and end. Gives what is wrong if they do not.
    pub fn finish_hosts(&mut self) -> Option<String> {
        let mut hosts = self.hosts.take()?;
        // Before, it would end them as it ends any program.
        wait_for("hosts to heed SIGTERM", Duration::from_secs(60), || {
            (catches(hosts.id(), Signal::TERM) || !hosts.runs()).then_some(())
        });
        hosts.signal(Signal::TERM);
        let code = hosts.wait(PATIENCE);
        (code != Some(0)).then(|| format!("hosts ended with {code:?}: {}", self.words()))
    }

    /// The last that hosts have said.
    #[must_use]
    pub fn words(&self) -> String {
        let all = fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<&str> = all.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }

    /// All that hosts have said.
    #[must_use]
    pub fn all_words(&self) -> String {
        fs::read_to_string(self.log()).unwrap_or_default()
    }

    /// Cuts the cable, both ways and for the connections that there are.
    pub fn cut(&self, cut: Cut) {
        let end = match cut {
            Cut::Silent => "drop",
            Cut::Reset => "meta l4proto tcp reject with tcp reset",
        };
        for network in [&self.hosts_network, &self.server_network] {
            network.shell(&format!(
                "nft -f - <<'END'
table ip cut {{
    chain input {{
        type filter hook input priority 0
        {end}
    }}
    chain output {{
        type filter hook output priority 0
        {end}
    }}
}}
END"
            ));
        }
        if cut == Cut::Reset {
            // Who only listens sends nothing that could be refused. A kernel that
            // cannot do it leaves that connection to the host's own patience.
            let _unless_able = self.hosts_network.output("ss", &["-K", "dst", SERVER]);
        }
    }

    /// Cuts the cable when so many bytes more have gone from the hosts to the server.
    pub fn cut_after(&self, bytes: u32) {
        self.hosts_network.shell(&format!(
            "nft 'table ip cut {{ chain output {{ type filter hook output priority 0; \
             quota over {bytes} bytes drop; }}; }}'"
        ));
        self.server_network.shell("nft add table ip cut");
    }

    /// Mends it.
    pub fn mend(&self) {
        for network in [&self.hosts_network, &self.server_network] {
            network.shell("nft delete table ip cut");
        }
    }

    /// Mends it for new connections only: the server hears nothing more of those
    /// that there were, as if the hosts' machine had lost its power.
    ///
    /// # Panics
    /// When there were none.
    pub fn mend_for_new_connections(&self) {
        let sockets = self
            .hosts_network
            .run("ss", &["-Htan", "dst", &format!("{SERVER}:{PORT}")]);
        let ports: Vec<&str> = sockets
            .lines()
            .filter_map(|line| line.split_whitespace().nth(3)?.rsplit(':').next())
            .collect();
        let ports = ports.join(", ");
        self.hosts_network.shell(&format!(
            "nft 'flush table ip cut; table ip cut {{ chain output {{ tcp sport {{ {ports} }} drop; }}; }}'"
        ));
        self.server_network.shell("nft delete table ip cut");
    }

    /// Waits until each host has made its first commit.
    ///
    /// # Panics
    /// When one does not.
    pub fn wait_for_ledgers(&self) {
        let _they_are_there = self.newest_revisions();
    }

    /// Waits until the server has all that a ledger had at some moment from now on,
    /// and gives how long that took.
    ///
    /// # Panics
    /// When it takes longer than the limit.
    pub fn wait_until_caught_up(&self, limit: Duration) -> Duration {
        let begin = Instant::now();
        let newest = self.newest_revisions();
        wait_for("the mirror to catch up", limit, || {
            self.try_caught_up(&newest).then_some(())
        });
        begin.elapsed()
    }

    fn try_caught_up(&self, newest: &[(String, i64)]) -> bool {
        let question = "SELECT ledger, revision FROM sshmeter_host WHERE copied_table IS NULL";
        let Ok(rows) = self
            .server()
            .query_as("sshmeter", PASSWORD, "sshmeter", question)
        else {
            return false;
        };
        newest.iter().all(|(ledger, newest)| {
            rows.iter().any(|row| {
                let revision = row[1].as_deref().and_then(|number| number.parse().ok());
                row[0].as_deref() == Some(ledger) && revision >= Some(*newest)
            })
        })
    }

    fn newest_revisions(&self) -> Vec<(String, i64)> {
        let of_one = |number: usize| {
            let file = self.folder.path().join(format!("host-{number:04}.db"));
            let what = "the host's first commit";
            wait_for(what, Duration::from_secs(30), || newest_revision(&file))
        };
        (0..self.count).map(of_one).collect()
    }

    /// Compares what the server has with the ledgers, which nobody may write to.
    #[must_use]
    pub fn compare(&self) -> Comparison {
        Mirror::of(self.server(), "sshmeter").compare(self.folder.path())
    }

    /// Lets the hosts end and holds the server against their ledgers.
    ///
    /// # Panics
    /// With all that differs.
    pub fn must_be_equal(&mut self) {
        let fault = self.finish_hosts();
        assert_eq!(fault, None);
        let found = self.compare();
        assert!(found.rows > 0, "nothing was written");
        assert!(
            found.faults.is_empty(),
            "{}\n{}",
            found.faults.join("\n"),
            self.words()
        );
    }
}

/// A ledger's id, and the newest revision of its list of changes.
fn newest_revision(file: &Path) -> Option<(String, i64)> {
    let read_only = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
    let ledger = rusqlite::Connection::open_with_flags(file, read_only).ok()?;
    ledger
        .query_row(
            "SELECT value, seq FROM meta, sqlite_sequence
             WHERE key = 'ledger_id' AND name = 'change'",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .ok()
}

/// Whether a process has a handler for a signal (`SigCgt` in proc(5)).
fn catches(process: u32, signal: Signal) -> bool {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let caught = caught.and_then(|set| u64::from_str_radix(set.trim(), 16).ok());
    caught.is_some_and(|set| set >> (signal.as_raw() - 1) & 1 == 1)
}

/// Two networks and a cable between them.
fn cable() -> (Keeper, Keeper) {
    let up = format!("set -e; ip link set lo up; {HOLD}");
    let (hosts, server) = (Keeper::start(&up), Keeper::start(&up));
    // The other end's network is named by a process of this pid namespace.
    let laid = std::process::Command::new("nsenter")
        .args(["--target", &hosts.leader().to_string(), "--net", "--"])
        .args(["ip", "link", "add", "cable", "type", "veth"])
        .args(["peer", "name", "cable", "netns"])
        .arg(server.leader().to_string())
        .status();
    assert!(
        laid.is_ok_and(|status| status.success()),
        "the cable could not be laid"
    );
    server.shell(&format!(
        "ip address add {SERVER}/24 dev cable; ip link set cable up"
    ));
    hosts.shell("ip address add 10.66.0.2/24 dev cable; ip link set cable up");
    (hosts, server)
}
