//! A server of any kind, from its start to its end.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::process::Signal;
use tempfile::TempDir;

use super::{
    Backend,
    kind::Kind,
    text::encoded,
    usage::{self, Usage},
};
use crate::{
    Network,
    keeper::{HOLD, Keeper},
    process::{children_of, kill},
    users::quoted,
    wait_for,
};

/// How long a server may take to start or to end.
const PATIENCE: Duration = Duration::from_secs(90);

/// The password of the user of [`Database::ready_for_sshmeter`].
pub const PASSWORD: &str = "right horse";

/// Where a server listens besides its Unix socket.
#[derive(Clone, Debug)]
pub(super) struct Listener {
    pub(super) address: String,
    pub(super) port: u16,
}

/// Where a server's files are.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    pub(super) folder: PathBuf,
    pub(super) listener: Option<Listener>,
    pub(super) options: Vec<String>,
    pub(super) authority: Option<PathBuf>,
}

impl Layout {
    pub(super) fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    pub(super) fn certificate(&self) -> PathBuf {
        self.folder.join("certificate.pem")
    }

    pub(super) fn key(&self) -> PathBuf {
        self.folder.join("key.pem")
    }

    fn log(&self) -> PathBuf {
        self.folder.join("log")
    }

    pub(super) fn password(&self, user: &str) -> PathBuf {
        self.folder.join(format!("password-{}", encoded(user)))
    }
}

/// A database server. It is killed when this is dropped, and its files go too.
#[derive(Debug)]
pub struct Database {
    // Dropped in this order: the server before the folder that it writes to.
    running: Option<Running>,
    backend: Backend,
    layout: Layout,
    network: Network,
    at_the_next_start: Vec<String>,
    _folder: TempDir,
}

/// A server's process, which a keeper's script has started.
#[derive(Debug)]
struct Running {
    process: u32,
    keeper: Keeper,
}

impl Running {
    /// The process that the script knows by this number.
    fn behind(keeper: Keeper, inside: &str) -> Self {
        let known = |process: &u32| {
            let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
            let numbers = status.lines().find(|line| line.starts_with("NSpid:"));
            numbers.and_then(|line| line.split_whitespace().last()) == Some(inside)
        };
        // One that has ended at once has no number any more, and does not run.
        let process = children_of(keeper.leader()).into_iter().find(known);
        Self {
            process: process.unwrap_or_default(),
            keeper,
        }
    }

    fn runs(&self) -> bool {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.process));
        // `PID (NAME) STATE …`; Z is what is left of one until somebody asks.
        let ended = |stat: String| {
            stat.rsplit(") ")
                .next()
                .is_some_and(|rest| rest.starts_with('Z'))
        };
        children_of(self.keeper.leader()).contains(&self.process)
            && stat.is_ok_and(|stat| !ended(stat))
    }

    /// Signals the process, and then all that it has started.
    fn signal_all(&self, signal: Signal) {
        // The first one first: stopped, it makes no further ones.
        let mut processes = vec![self.process];
        while let Some(process) = processes.pop() {
            kill(process, signal);
            processes.extend(children_of(process));
        }
    }
}

impl Database {
    pub(super) fn new(
        backend: Backend,
        folder: TempDir,
        layout: Layout,
        network: Network,
        at_the_next_start: Vec<String>,
    ) -> Self {
        Self {
            running: None,
            backend,
            layout,
            network,
            at_the_next_start,
            _folder: folder,
        }
    }

    pub(super) fn kind(&self) -> &'static dyn Kind {
        self.backend.kind()
    }

    /// Which kind of server this is.
    #[must_use]
    pub fn backend(&self) -> Backend {
        self.backend
    }

    pub(super) fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Starts the server, which need not answer yet.
    pub(super) fn launch(&mut self) {
        assert!(self.running.is_none(), "{:?} runs already", self.backend);
        for lock in self.kind().locks(&self.layout) {
            // Its owner's number means another process in a new namespace.
            let _ = fs::remove_file(lock);
        }
        let words = [
            self.kind()
                .account()
                .iter()
                .map(ToString::to_string)
                .collect(),
            self.kind().server(&self.layout),
            std::mem::take(&mut self.at_the_next_start),
        ]
        .concat();
        let command: Vec<String> = words.iter().map(|word| quoted(word)).collect();
        let (log, number) = (self.layout.log(), self.layout.folder.join("number"));
        // Galera's scripts look for processes by the numbers that they know. The
        // keeper itself starts the server, for `nsenter` would not end with a
        // server that is paused.
        let keeper = Keeper::start_on(
            self.network,
            &format!(
                "mount -t proc proc /proc; cd /\n{} </dev/null >>{} 2>&1 &\necho $! >{}; exec 2>/dev/null; {HOLD}",
                command.join(" "),
                quoted(&log.to_string_lossy()),
                quoted(&number.to_string_lossy())
            ),
        );
        let number = fs::read_to_string(number).expect("the script has written it");
        self.running = Some(Running::behind(keeper, number.trim()));
    }

    /// Waits until the server answers.
    pub(super) fn wait_until_it_answers(&mut self) {
        let what = format!("{:?} to answer", self.backend);
        wait_for(&what, PATIENCE, || {
            assert!(self.runs(), "{:?} has ended:\n{}", self.backend, self.log());
            self.try_query("SELECT 1").is_ok().then_some(())
        });
    }

    /// Whether the server's process is there.
    #[must_use]
    pub fn runs(&self) -> bool {
        self.running.as_ref().is_some_and(Running::runs)
    }

    /// Ends the server in order, waiting for no client.
    ///
    /// # Panics
    /// When it does not end.
    pub fn stop(&mut self) {
        if let Some(running) = self.running.take() {
            kill(running.process, self.kind().stop());
            let what = format!("the end of {:?}", self.backend);
            wait_for(&what, PATIENCE, || (!running.runs()).then_some(()));
        }
    }

    /// Kills the server by SIGKILL, and whatever it has started a moment later.
    pub fn kill(&mut self) {
        if let Some(running) = self.running.take() {
            kill(running.process, Signal::KILL);
            // The keeper's end, now, takes all others along and waits for them.
        }
    }

    /// Starts the server again, after its end, on what it has stored.
    ///
    /// # Panics
    /// With the server's log, when it does not answer then.
    pub fn start_again(&mut self) {
        self.launch();
        self.wait_until_it_answers();
    }

    /// What it has cost the machine since its start.
    ///
    /// # Panics
    /// When it does not run.
    #[must_use]
    pub fn usage(&self) -> Usage {
        let running = self.running.as_ref().expect("the server runs");
        usage::of(running.process)
    }

    /// Stops all its processes where they are; their connections stay.
    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets them go on.
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let running = self.running.as_ref().expect("the server runs");
        running.signal_all(signal);
    }

    /// What the server has said so far.
    #[must_use]
    pub fn log(&self) -> String {
        let bytes = fs::read(self.layout.log()).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The folder with all of its files.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.layout.folder
    }
}
