//! Where forgings are played: a machine with its daemon, the hands of a forger
//! who is nobody special there, and the book of who was where.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    net::IpAddr,
    os::unix::net::UnixDatagram,
    process::Stdio,
    time::Duration,
};

use rustix::process::Signal;
use system_tests::{Daemon, Family, Machine, NOBODY, OpenVisit, Process, Session, Visit, wait_for};

/// The user whose name is used, the one who forges, and a third.
pub(crate) const VICTIM: &str = "alice";
pub(crate) const FORGER: &str = "bob";
pub(crate) const OTHER: &str = "carol";

const PATIENCE: Duration = Duration::from_secs(15);

/// How the daemon counts a refusal.
pub(crate) const DENIED: &str = "for another user's connection";
pub(crate) const NO_LOGIN: &str = "for a connection without a login";
pub(crate) const CONTRADICTION: &str = "against a name that stands";
pub(crate) const DISPUTED: &str = "against another line's name";
pub(crate) const ANOTHER_KEY: &str = "with another key";
pub(crate) const LOGGED_IN: &str = "denying a login";
pub(crate) const GOES_ON: &str = "of an end that was none";
pub(crate) const STRANGER: &str = "by a process that is not sshd's";
pub(crate) const ELSEWHERE: &str = "by the sshd of another connection";
pub(crate) const AMBIGUOUS: &str = "that may mean several connections";
pub(crate) const NO_CONNECTION: &str = "for a connection that never was";
pub(crate) const NOT_ROOTS: &str = "by a writer who is not root's sshd";

/// One kind of forging.
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    pub(crate) story: fn(&Stage<'_>),
}

/// What became of one kind.
#[derive(Default)]
struct Result {
    tries: usize,
    /// The refusals that have to come of it, each with the words it may have.
    refused: Vec<&'static [&'static str]>,
    visits: Vec<Guest>,
}

/// Somebody who was there, and the names he may end with.
struct Guest {
    visit: Visit,
    or_nobody: bool,
}

pub(crate) struct Stage<'a> {
    pub(crate) machine: &'a Machine,
    pub(crate) daemon: &'a Daemon,
    book: RefCell<Book>,
    playing: Cell<usize>,
    /// What is to end only with the play.
    pub(crate) curtain: RefCell<Vec<OpenVisit>>,
}

/// All that was tried, and who was there.
pub(crate) struct Book {
    kinds: &'static [Kind],
    results: BTreeMap<usize, Result>,
}

/// An ssh that stands at the password prompt.
pub(crate) struct Held {
    pub(crate) visit: Visit,
    pub(crate) port: u16,
    process: Process,
    gate: String,
}

impl<'a> Stage<'a> {
    pub(crate) fn new(machine: &'a Machine, daemon: &'a Daemon, kinds: &'static [Kind]) -> Self {
        let results = BTreeMap::new();
        Self {
            machine,
            daemon,
            book: RefCell::new(Book { kinds, results }),
            playing: Cell::new(0),
            curtain: RefCell::default(),
        }
    }

    pub(crate) fn play(&self) {
        let kinds = self.book.borrow().kinds;
        for (number, kind) in kinds.iter().enumerate() {
            self.playing.set(number);
            (kind.story)(self);
        }
    }

    /// The play is over.
    pub(crate) fn close(self) -> Book {
        self.book.into_inner()
    }

    fn note(&self, note: impl FnOnce(&mut Result)) {
        let mut book = self.book.borrow_mut();
        note(book.results.entry(self.playing.get()).or_default());
    }

    fn kind(&self) -> &'static str {
        let kinds = self.book.borrow().kinds;
        kinds.get(self.playing.get()).map_or("", |kind| kind.name)
    }

    /// All visits, with those that may be nobody's as they are.
    pub(crate) fn visits(&self, sessions: &[Session]) -> Vec<Visit> {
        self.book.borrow().visits(sessions)
    }

    /// A forging was tried, and has to be refused in one of these words; in
    /// none where it claims nothing that could be believed.
    pub(crate) fn tried(&self, refused: &'static [&'static str]) {
        self.note(|result| {
            result.tries += 1;
            if !refused.is_empty() {
                result.refused.push(refused);
            }
        });
    }

    /// The visit has to end with its own name.
    pub(crate) fn is_known(&self, visit: Visit) {
        let or_nobody = false;
        self.note(|result| result.visits.push(Guest { visit, or_nobody }));
    }

    /// The visit has to end with its own name or none.
    pub(crate) fn may_be_nobody(&self, visit: Visit) {
        let or_nobody = true;
        self.note(|result| result.visits.push(Guest { visit, or_nobody }));
    }

    /// The visit never logged in.
    pub(crate) fn is_nobody(&self, visit: Visit) {
        self.is_known(Visit {
            user: None,
            ..visit
        });
    }

    /// Writes a line in sshd's name, as the forger may.
    pub(crate) fn forge(&self, pid: u32, text: &str) {
        self.forge_as("sshd", pid, text);
    }

    /// The same in another program's name.
    pub(crate) fn forge_as(&self, program: &str, pid: u32, text: &str) {
        let tag = format!("{program}[{pid}]");
        let logger = [
            "-u",
            FORGER,
            "--",
            "logger",
            "-p",
            "auth.info",
            "-t",
            &tag,
            "--",
            text,
        ];
        self.machine.server().run("runuser", &logger);
    }

    /// Sends the logging socket any bytes at all.
    pub(crate) fn forge_raw(&self, bytes: &[u8]) {
        let socket = UnixDatagram::unbound().expect("a socket");
        let log = self.machine.server().path("/dev/log");
        socket.send_to(bytes, log).expect("the log listens");
    }

    /// A client stands at the password prompt: it is connected and not logged in.
    pub(crate) fn hold(&self, user: &str, options: &[&str]) -> Held {
        let client = self.machine.client();
        let mut builder = client
            .visit(user)
            .by_password()
            .option("NumberOfPasswordPrompts=1");
        for option in options {
            builder = builder.option(option);
        }
        let visit = builder.visit();
        let gate = format!("/mnt/gate-{}", visit.address);
        let ask = format!(
            "#!/bin/sh\ntouch {gate}.asked\nwhile [ ! -e {gate}.open ]; do sleep 0.05; done\n\
             echo 'right horse'\n"
        );
        client.keeper().write(&gate, &ask);
        client.keeper().run("chmod", &["+x", &gate]);
        let mut ssh = builder.ssh();
        ssh.env("SSH_ASKPASS", &gate)
            .arg("head -c 50000 /dev/zero; sleep 1.5")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let process = client.keeper().spawn(&mut ssh, "ssh at its prompt");
        let asked = client.keeper().path(format!("{gate}.asked"));
        wait_for("a prompt", PATIENCE, || asked.exists().then_some(()));
        let port = match options.is_empty() {
            true => self.port_of(visit.address),
            false => 0,
        };
        let visit = Visit {
            what: self.kind().to_owned(),
            ..visit
        };
        Held {
            visit,
            port,
            process,
            gate,
        }
    }

    /// A user who is logged in and stays a while.
    pub(crate) fn enter(&self, user: &str, seconds: u32) -> (Visit, u16) {
        let client = self.machine.client();
        let open = client.visit(user).open(
            &[],
            Some(&format!("head -c 50000 /dev/zero; sleep {seconds}")),
        );
        let visit = open.visit.clone();
        self.wait_until_named(&visit, user);
        let port = self.port_of(visit.address);
        self.curtain.borrow_mut().push(open);
        (visit, port)
    }

    /// Waits until the ledger has a visit under a name.
    pub(crate) fn wait_until_named(&self, visit: &Visit, name: &str) {
        wait_for(&format!("{name} at {}", visit.address), PATIENCE, || {
            let sessions = self.daemon.ask().sessions();
            let found = sessions.iter().find(|it| it.peer.ip == visit.address)?;
            (found.user == name).then_some(())
        });
    }

    /// The client's port, which anybody on the server can see.
    pub(crate) fn port_of(&self, address: IpAddr) -> u16 {
        wait_for("a connection", PATIENCE, || {
            let filter = format!("dst {address}");
            let sockets = self.machine.server().run("ss", &["-Htn", &filter]);
            let line = sockets.lines().next()?;
            let peer = line.split_whitespace().nth(4)?;
            peer.rsplit_once(':')?.1.parse().ok()
        })
    }

    /// Waits until the server has nothing of a client any more.
    pub(crate) fn wait_until_gone(&self, address: IpAddr) {
        wait_for("the connection's end", PATIENCE, || {
            let filter = format!("dst {address}");
            let sockets = self.machine.server().run("ss", &["-Htn", &filter]);
            sockets.is_empty().then_some(())
        });
    }

    /// The pid of sshd's monitor for a client.
    pub(crate) fn monitor_of(&self, address: IpAddr) -> u32 {
        let filter = format!("dst {address}");
        let sockets = self.machine.server().run("ss", &["-Htnp", &filter]);
        let pids = sockets.split("pid=").skip(1).filter_map(|rest| {
            let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
            digits.parse().ok()
        });
        pids.min().expect("sshd holds the connection")
    }

    /// An ssh option that makes a connection from this very address and port.
    pub(crate) fn relay_from(&self, address: IpAddr, port: u16, to: u16) -> String {
        // ssh hangs up on its relay when its last words may still be on their way.
        const RELAY: &str = "use IO::Socket::INET; my ($ip, $port, $to) = @ARGV;
            $SIG{HUP} = 'IGNORE';
            my $s = IO::Socket::INET->new(LocalAddr => $ip, LocalPort => $port, ReuseAddr => 1,
                PeerAddr => '10.77.0.1', PeerPort => $to) or die \"no connection: $!\";
            if (fork) { while (sysread STDIN, $_, 65536) { syswrite $s, $_ } shutdown $s, 1; wait }
            else { while (sysread $s, $_, 65536) { syswrite STDOUT, $_ } }";
        self.machine.client().keeper().write("/mnt/relay", RELAY);
        format!("ProxyCommand=perl /mnt/relay {address} {port} {to}")
    }

    /// An address for a visit that is no ssh.
    pub(crate) fn stranger(&self) -> Visit {
        Visit {
            user: None,
            address: self.machine.client().next_address(Family::V4),
            what: self.kind().to_owned(),
        }
    }

    /// Connects from an address, waits for sshd's first words, says something and
    /// hangs up, before sshd can do so; gives the client's port.
    pub(crate) fn call(&self, address: IpAddr, words: &str) -> u16 {
        const CALL: &str = "use IO::Socket::INET; my ($ip, $words) = @ARGV;
            my $s = IO::Socket::INET->new(LocalAddr => $ip, PeerAddr => '10.77.0.1',
                PeerPort => 22) or die \"no connection: $!\";
            sysread $s, my $answer, 100; syswrite $s, $words if $words ne '';
            my $port = $s->sockport; shutdown $s, 1;
            while (sysread $s, $answer, 65536) {} print $port";
        let keeper = self.machine.client().keeper();
        let address = address.to_string();
        let port = keeper.run("perl", &["-e", CALL, &address, words]);
        port.trim().parse().expect("a port")
    }

    /// Tries to log in under any name at all, which must fail.
    pub(crate) fn fail_as(&self, name: &str, visit: &Visit) {
        self.fail_at(22, name, visit);
    }

    /// The same at another port.
    pub(crate) fn fail_at(&self, port: u16, name: &str, visit: &Visit) {
        // OpenSSH's own client refuses such names nowadays; dropbear's does not.
        let mut client = self.machine.client().keeper().command("dbclient");
        client
            .args(["-y", "-y", "-T", "-p", &port.to_string()])
            .args(["-b", &visit.address.to_string(), "-l", name])
            .args(["10.77.0.1", "true"])
            .env("DROPBEAR_PASSWORD", "wrong")
            .env("HOME", "/mnt")
            .stdin(Stdio::null())
            .stderr(Stdio::null());
        // It ends well even where it was not let in; the ledger tells.
        let _ended = client.status().expect("dbclient can be started");
    }
}

impl Book {
    /// All visits, with those that may be nobody's as they are.
    pub(crate) fn visits(&self, sessions: &[Session]) -> Vec<Visit> {
        let guests = self.results.values().flat_map(|result| &result.visits);
        let visits = guests.map(|guest| {
            let is_nobody = guest.or_nobody && name_at(sessions, guest.visit.address) == NOBODY;
            Visit {
                user: guest.visit.user.clone().filter(|_| !is_nobody),
                ..guest.visit.clone()
            }
        });
        visits.collect()
    }

    /// The play's table, held against what the daemon has counted.
    pub(crate) fn sum_up(&self, sessions: &[Session], words: &str) {
        let mut expected: BTreeMap<&[&str], u64> = BTreeMap::new();
        let mut fooled = Vec::new();
        println!("| kind | tries | misattributed | refused as |\n|---|---|---|---|");
        for (number, result) in &self.results {
            let wrong = result
                .visits
                .iter()
                .filter(|guest| guest.is_misattributed(sessions));
            let wrong = wrong.count();
            for kinds in &result.refused {
                *expected.entry(kinds).or_default() += 1;
            }
            let mut refused = result.refused.clone();
            refused.dedup();
            let refused: Vec<String> = refused.iter().map(|it| it.join(" or ")).collect();
            let refused = match refused.is_empty() {
                true => "(claims nothing)".to_owned(),
                false => refused.join("; "),
            };
            let name = self.kinds[*number].name;
            println!("| {name} | {} | {wrong} | {refused} |", result.tries);
            if wrong > 0 {
                fooled.push(name);
            }
        }
        assert!(fooled.is_empty(), "{fooled:?}; the daemon said\n{words}");
        let counted = counted(words);
        println!("counted: {counted:?}");
        for (kinds, least) in expected {
            let found: u64 = kinds.iter().filter_map(|kind| counted.get(*kind)).sum();
            assert!(found >= least, "{kinds:?}: {found} of {least}, in\n{words}");
        }
    }
}

impl Guest {
    fn is_misattributed(&self, sessions: &[Session]) -> bool {
        let name = name_at(sessions, self.visit.address);
        name != NOBODY && self.visit.user.as_deref() != Some(name)
    }
}

fn name_at(sessions: &[Session], address: IpAddr) -> &str {
    let found = sessions.iter().find(|session| session.peer.ip == address);
    found.map_or(NOBODY, |session| &session.user)
}

/// The daemon's last word on how many lines it did not believe, by kind.
pub(crate) fn counted(words: &str) -> BTreeMap<String, u64> {
    let last = words
        .lines()
        .rfind(|line| line.contains("not believed since the start"))
        .unwrap_or_else(|| panic!("no refusal was counted in\n{words}"));
    let inside = last.split_once('(').expect("kinds").1;
    let kinds = inside.trim_end_matches(')').split(", ");
    kinds
        .map(|kind| {
            let (count, kind) = kind.split_once(' ').expect("a number and a kind");
            (kind.to_owned(), count.parse().expect("a number"))
        })
        .collect()
}

impl Held {
    /// Lets the password through.
    pub(crate) fn let_in(&self, stage: &Stage<'_>) {
        let gate = format!("{}.open", self.gate);
        stage.machine.client().keeper().write(&gate, "");
    }

    /// Lets it in and waits for its end.
    pub(crate) fn finish(mut self, stage: &Stage<'_>) -> Visit {
        self.let_in(stage);
        self.process.wait(Duration::from_secs(30));
        self.visit.clone()
    }

    /// Hangs up.
    pub(crate) fn give_up(mut self) -> Visit {
        self.process.signal(Signal::KILL);
        self.process.wait(PATIENCE);
        self.visit.clone()
    }
}

/// The line that the forger wants to be believed.
pub(crate) fn accepted(user: &str, address: IpAddr, port: u16) -> String {
    format!("Accepted password for {user} from {address} port {port} ssh2")
}

/// The same in dropbear's words.
pub(crate) fn accepted_by_dropbear(user: &str, address: IpAddr, port: u16) -> String {
    format!("Password auth succeeded for '{user}' from {address}:{port}")
}
