//! A throwaway server: its own root file system, processes, users, sshd and log.
//!
//! The root file system is this machine's, seen through an overlay whose writes
//! go to memory. So every default path is tried as it is (`/var/log/auth.log`,
//! `/etc/ssh`, `/var/lib/sshmeter`) and this machine never notices.

use std::{
    cell::Cell,
    fs::File,
    path::{Path, PathBuf},
    process::{Output, Stdio},
    time::Duration,
};

use rustix::process::Signal;
use xtask::debian::{Release, system_image};

use crate::{
    boot::{self, Boot},
    capture::{Capture, Place},
    client::Client,
    counter::Counter,
    daemon::Daemon,
    database::Database,
    keeper::{HOLD, Keeper},
    manager::ServiceManager,
    meter::Meter,
    process::Process,
    root,
    service::Service,
    users::{User, standard_users},
    wait_for, wire,
    wire::Loss,
};

/// How many bytes the service of [`Machine::serve`] sends.
pub const SERVED: &str = "400000";

/// Who writes sshd's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Log {
    /// rsyslogd with `Nov  2 17:32:20` stamps.
    RsyslogTraditional,
    /// rsyslogd with RFC 3339 stamps, Debian's way since version 12.
    RsyslogIso,
    /// systemd-journald, and no log file at all.
    Journald,
    /// Nobody.
    Nobody,
}

/// What a machine shall be.
#[derive(Clone, Debug)]
pub struct MachineBuilder {
    log: Log,
    pub(crate) first: First,
    pub(crate) ports: Vec<u16>,
    sshd: bool,
    pub(crate) sshd_lines: String,
    pub(crate) users: Vec<User>,
    pub(crate) binary: Option<PathBuf>,
    pub(crate) ledger_folder: Option<PathBuf>,
    pub(crate) shared: Vec<(PathBuf, String)>,
    pub(crate) meter: Meter,
    pub(crate) meter_lines: String,
}

/// What a machine's first process is, on which root file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum First {
    /// The keeper, on this machine's.
    Keeper,
    /// systemd, on this machine's.
    Systemd,
    /// systemd, on that of a release of Debian, which lies there.
    Debian(PathBuf),
}

impl First {
    pub(crate) fn boot(&self) -> Option<Boot> {
        match self {
            Self::Keeper => None,
            Self::Systemd => Some(Boot::ThisMachine),
            Self::Debian(_) => Some(Boot::Debian),
        }
    }
}

/// How a system goes down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Down {
    /// As `systemctl reboot` does it.
    InOrder,
    /// At once: nobody says goodbye to anybody.
    PowerCut,
}

/// A throwaway server with its client.
#[derive(Debug)]
pub struct Machine {
    // Dropped in this order: processes before the namespaces that hold them.
    processes: Vec<(String, Process)>,
    client: Client,
    server: Keeper,
    log: Log,
    ports: Vec<u16>,
    meter: Meter,
    captures: Cell<usize>,
    boot: Option<Boot>,
}

impl MachineBuilder {
    /// Who writes the log; rsyslogd with RFC 3339 stamps if not said.
    #[must_use]
    pub fn log(mut self, log: Log) -> Self {
        self.log = log;
        self
    }

    /// A systemd that starts journald and `ssh.service`, instead of programs that
    /// the machine starts; sshmeter is not yet installed there, its source tree
    /// and a built program are (see [`Machine::install`]).
    #[must_use]
    pub fn booted(mut self) -> Self {
        self.first = First::Systemd;
        self.log = Log::Journald;
        self
    }

    /// A system of this release of Debian, booted as it comes, with its own sshd.
    /// sshmeter is not there (see [`Machine::installed`]).
    ///
    /// # Panics
    /// When the release's packages cannot be had (see [`crate::stands_on_debian`]).
    #[must_use]
    pub fn debian(mut self, release: Release) -> Self {
        let image = system_image(release).expect("an image of the release");
        self.first = First::Debian(image);
        self
    }

    /// sshd's ports; 22 if not said.
    #[must_use]
    pub fn ports(mut self, ports: &[u16]) -> Self {
        self.ports = ports.to_vec();
        self
    }

    /// Lines for sshd's config; sshd takes the first value it reads of each option.
    #[must_use]
    pub fn sshd_config(mut self, lines: &str) -> Self {
        self.sshd_lines = format!("{lines}\n");
        self
    }

    /// One user more, under any name that a line of /etc/passwd can hold.
    #[must_use]
    pub fn user(mut self, name: &str) -> Self {
        let uid = self.users.iter().map(|user| user.uid).max();
        self.users.push(User {
            name: name.to_owned(),
            uid: uid.map_or(2000, |uid| uid + 1),
        });
        self
    }

    /// No sshd: the test starts something else, or nothing.
    #[must_use]
    pub fn without_sshd(mut self) -> Self {
        self.sshd = false;
        self
    }

    /// This sshmeter instead of [`ground::binary`].
    #[must_use]
    pub fn sshmeter(mut self, binary: PathBuf) -> Self {
        self.binary = Some(binary);
        self
    }

    /// A folder of this machine as the server's /var/lib/sshmeter, so that a
    /// test can open the ledger too: SQLite follows no path into namespaces.
    #[must_use]
    pub fn ledger_folder(mut self, folder: PathBuf) -> Self {
        self.ledger_folder = Some(folder);
        self
    }

    /// A folder of this machine, seen at a place of the server's too.
    #[must_use]
    pub fn shared(mut self, folder: &Path, inside: &str) -> Self {
        self.shared.push((folder.to_owned(), inside.to_owned()));
        self
    }

    /// A database server of this machine: its socket and its users' passwords are
    /// there by the same paths, so that its addresses are the same.
    #[must_use]
    pub fn database(self, database: &Database) -> Self {
        let folder = database.folder().to_owned();
        self.shared(&folder, &folder.to_string_lossy())
    }

    /// What sshmeter counts by, as its config says; without this it has no
    /// config, and counts by sockets.
    #[must_use]
    pub fn meter(mut self, meter: Meter) -> Self {
        self.meter = meter;
        self
    }

    /// Further lines for the config's `[meter]`.
    #[must_use]
    pub fn meter_lines(mut self, lines: &str) -> Self {
        self.meter_lines = lines.to_owned();
        self
    }

    /// Makes the machine and waits until it can be logged in to.
    #[must_use]
    pub fn start(self) -> Machine {
        let client = Client::start(&self.users);
        let root_script = root::script(&self, &client.public_keys());
        let boot = self.first.boot();
        let server = match boot {
            Some(boot) => boot::boot(&root_script, boot),
            None => Keeper::start(&format!("{root_script}\n{HOLD}")),
        };
        wire::lay(&server, client.keeper());
        let mut machine = Machine {
            processes: Vec::new(),
            client,
            server,
            log: self.log,
            ports: self.ports.clone(),
            meter: self.meter,
            captures: Cell::new(0),
            boot,
        };
        if boot.is_some() {
            wire::wait_until_up(machine.client.keeper());
            return machine;
        }
        machine.start_log();
        if self.sshd {
            machine.start_sshd();
        }
        wire::wait_until_up(machine.client.keeper());
        machine
    }
}

impl Machine {
    /// A machine to be described.
    #[must_use]
    pub fn builder() -> MachineBuilder {
        MachineBuilder {
            log: Log::RsyslogIso,
            first: First::Keeper,
            ports: vec![22],
            sshd: true,
            sshd_lines: String::new(),
            users: standard_users(),
            binary: None,
            ledger_folder: None,
            shared: Vec::new(),
            meter: Meter::Sockdiag,
            meter_lines: String::new(),
        }
    }

    /// The machine's client.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The server's namespaces.
    #[must_use]
    pub fn server(&self) -> &Keeper {
        &self.server
    }

    /// What sshmeter counts by.
    #[must_use]
    pub fn meter(&self) -> Meter {
        self.meter
    }

    /// Who writes the log.
    #[must_use]
    pub fn log(&self) -> Log {
        self.log
    }

    /// Starts to capture what crosses the server's wire.
    #[must_use]
    pub fn capture(&self) -> Capture {
        self.capture_on(&self.ports)
    }

    /// The same for some of sshd's ports, so that one client's address and port
    /// may be connected to several of them.
    #[must_use]
    pub fn capture_on(&self, ports: &[u16]) -> Capture {
        Capture::start(
            self.client.keeper(),
            Place::Router,
            ports,
            self.next_capture(),
        )
    }

    /// The same at the server's own interface, for who sends more at once than
    /// fits into the wire.
    #[must_use]
    pub fn capture_at_the_server(&self) -> Capture {
        Capture::start(
            &self.server,
            Place::Server,
            &self.ports,
            self.next_capture(),
        )
    }

    fn next_capture(&self) -> usize {
        let number = self.captures.get();
        self.captures.set(number + 1);
        number
    }

    /// Starts to count at hooks of the server's packet filter.
    #[must_use]
    pub fn counter(&self) -> Counter {
        Counter::start(&self.server, &self.ports)
    }

    /// Makes the server hand large packets down, to be cut after the packet
    /// filter has seen them, as servers usually do; for connections from now on.
    pub fn send_large_packets(&self) {
        wire::send_large_packets(&self.server);
    }

    /// Starts sshmeter as it comes, and waits until it counts.
    #[must_use]
    pub fn daemon(&self) -> Daemon {
        self.daemon_with(&[])
    }

    /// Starts sshmeter where something keeps it from counting yet.
    #[must_use]
    pub fn daemon_at_its_start(&self) -> Daemon {
        self.service_manager().launch(&self.server, &[])
    }

    /// Starts sshmeter with global flags, and waits until it counts.
    #[must_use]
    pub fn daemon_with(&self, flags: &[&str]) -> Daemon {
        self.service_manager().start(&self.server, flags)
    }

    /// Starts sshmeter by a program that takes it as its arguments and becomes it,
    /// such as setpriv, and waits until it counts.
    #[must_use]
    pub fn daemon_under(&self, before: &[&str]) -> Daemon {
        let manager = self.service_manager();
        let mut daemon = manager.launch_under(before, &self.server, &[]);
        daemon.wait_until_ready();
        daemon
    }

    /// A service manager for sshmeter, whose daemons are one service: it keeps
    /// for the next one what one leaves with it. [`Self::daemon`] makes a new
    /// one each time, so that nothing is kept.
    #[must_use]
    pub fn service_manager(&self) -> ServiceManager {
        ServiceManager::new(&self.server)
    }

    /// Installs sshmeter on a booted machine as the book says, which starts it.
    #[must_use]
    pub fn install(&self) -> Service<'_> {
        Service::install(&self.server, self.meter)
    }

    /// The service that somebody else has installed and started.
    #[must_use]
    pub fn installed(&self) -> Service<'_> {
        Service::of(&self.server)
    }

    /// Takes a Debian system down and boots it again, and goes on with a capture
    /// from before its network was there. All that [`Self::start_service`] started
    /// is gone.
    ///
    /// # Panics
    /// When it is none, or does not come back.
    #[must_use]
    pub fn reboot(&mut self, down: Down, capture: Capture) -> Capture {
        assert_eq!(self.boot, Some(Boot::Debian), "only such a one boots again");
        // Otherwise the system's end would wait until we have heard of theirs.
        self.processes.clear();
        match down {
            Down::InOrder => self.go_down_in_order(),
            Down::PowerCut => drop(self.server.shell("ip link delete eth0")),
        }
        self.server.make_anew();
        wire::lay_anew(&self.server, self.client.keeper());
        let capture = capture.followed_by(self.capture());
        wire::connect(&self.server);
        wire::wait_until_up(self.client.keeper());
        Boot::Debian.wait_until_done(&self.server);
        capture
    }

    fn go_down_in_order(&self) {
        // Whoever asks for it may be gone before the answer.
        let _answer = self.server.output("systemctl", &["reboot"]);
        let first = format!("/proc/{}", self.server.leader());
        wait_for("the system's end", Duration::from_secs(60), || {
            (!Path::new(&first).exists()).then_some(())
        });
    }

    /// Starts the installed sshmeter again.
    #[must_use]
    pub fn start_installed(&self) -> Service<'_> {
        Service::start(&self.server)
    }

    /// Runs sshmeter on the server to its end.
    #[must_use]
    pub fn sshmeter(&self, arguments: &[&str]) -> Output {
        self.server.output("sshmeter", arguments)
    }

    /// Makes the server's interface anew after it was deleted; the server has to
    /// be connected to it then.
    pub fn lay_the_wire_anew(&self) {
        wire::lay_anew(&self.server, self.client.keeper());
    }

    /// Connects the server to a wire that was laid anew.
    pub fn connect_the_wire(&self) {
        wire::connect(&self.server);
    }

    /// Makes both ends send again what is not answered as soon as Linux does by
    /// itself; on a clean wire they give a busy machine more time.
    pub fn retry_as_usual(&self) {
        wire::retry_as_usual(&self.server, self.client.keeper());
    }

    /// Makes the router lose packets from now on.
    pub fn lose(&self, loss: Loss) {
        wire::lose(&self.server, self.client.keeper(), loss);
    }

    /// Waits until every connection to the server has ended.
    pub fn wait_until_quiet(&self) {
        wait_for("the connections' end", Duration::from_secs(30), || {
            let sockets = self.server.run(
                "ss",
                &["-Htn", "state", "connected", "exclude", "time-wait"],
            );
            sockets.trim().is_empty().then_some(())
        });
    }

    /// Starts the machine's sshd.
    pub fn start_sshd(&mut self) {
        self.start_service("sshd", "/usr/sbin/sshd", &["-D"]);
        for port in self.ports.clone() {
            self.wait_for_port(port);
        }
    }

    /// Starts a program of the machine that runs until the machine's end.
    pub fn start_service(&mut self, name: &str, program: &str, arguments: &[&str]) {
        let words = File::create(self.server.path(format!("/run/{name}.words")));
        let words = words.expect("a file for a service's words");
        let mut command = self.server.command(program);
        command.args(arguments).stdin(Stdio::null());
        command.stdout(Stdio::null()).stderr(words);
        let process = self.server.spawn(&mut command, name);
        self.processes.push((name.to_owned(), process));
    }

    /// Ends a program that [`Self::start_service`] started.
    pub fn stop_service(&mut self, name: &str) {
        for (_, process) in self.processes.iter_mut().filter(|(known, _)| known == name) {
            process.signal(Signal::TERM);
            process.wait(Duration::from_secs(10));
        }
        self.processes.retain(|(known, _)| known != name);
    }

    /// Starts a service on the server's port 8000, for tunnels to lead to: it
    /// sends [`SERVED`] bytes to whoever connects.
    pub fn serve(&mut self) {
        self.start_service(
            "service",
            "systemd-socket-activate",
            &[
                "--listen=127.0.0.1:8000",
                "--accept",
                "--inetd",
                "head",
                "-c",
                SERVED,
                "/dev/zero",
            ],
        );
        self.wait_for_port(8000);
    }

    /// Waits until something listens on a port.
    pub fn wait_for_port(&self, port: u16) {
        let what = format!("a listener on port {port}");
        wait_for(&what, Duration::from_secs(10), || {
            let filter = format!("sport = :{port}");
            let found = self.server.run("ss", &["-Hltn", &filter]);
            (!found.trim().is_empty()).then_some(())
        });
    }

    /// Starts whoever writes the log, also again after a stop.
    pub fn start_log(&mut self) {
        let template = match self.log {
            Log::RsyslogTraditional => "RSYSLOG_TraditionalFileFormat",
            Log::RsyslogIso => "RSYSLOG_FileFormat",
            Log::Journald => return self.start_journald(),
            Log::Nobody => return,
        };
        self.server.write(
            "/etc/rsyslog.conf",
            &format!(
                "module(load=\"imuxsock\" SysSock.RateLimit.Interval=\"0\")\n\
                 auth,authpriv.* action(type=\"omfile\" file=\"/var/log/auth.log\" \
                 template=\"{template}\")\n"
            ),
        );
        self.start_service("rsyslogd", "rsyslogd", &["-n", "-i", "/run/rsyslogd.pid"]);
        self.wait_for_file("/dev/log");
    }

    fn start_journald(&mut self) {
        self.server.shell(
            "mkdir -p /etc/systemd /var/log/journal
            rm -rf /etc/systemd/journald.conf.d /usr/lib/systemd/journald.conf.d
            printf '[Journal]\\nStorage=persistent\\nRateLimitBurst=0\\nReadKMsg=no\\nForwardToSyslog=no\\n' \
                >/etc/systemd/journald.conf
            ln -s /run/systemd/journal/dev-log /dev/log",
        );
        let journald = "/usr/lib/systemd/systemd-journald";
        self.start_service("systemd-journald", journald, &[]);
        self.wait_for_file("/run/systemd/journal/dev-log");
    }

    fn wait_for_file(&self, inside: &str) {
        wait_for(inside, Duration::from_secs(10), || {
            // Not `exists`, which would follow a link to a path of this machine.
            let listed = self.server.output("test", &["-e", inside]);
            listed.status.success().then_some(())
        });
    }
}
