//! The one process that a set of namespaces hangs on.
//!
//! It is the first process of its pid namespace, so the kernel kills all others
//! with it, and mounts and networks go when nobody is left in them. It ends when
//! the pipe from the test closes: at a drop, a panic, Ctrl-C or SIGKILL alike.
//! What a script made that no namespace takes along, it removes by then.

use std::{
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use crate::{
    process::{Process, children_of, quietly},
    wait_for,
};

/// What the script's last lines are: say that all stands, then wait for the
/// pipe's end, reaping orphans meanwhile as a first process must.
pub(crate) const HOLD: &str = "exec 3<&0 </dev/null; echo ready; cat <&3 >/dev/null 2>&1 & wait $!";

/// How long a script may take to end once the pipe is closed.
const PATIENCE: Duration = Duration::from_secs(10);

/// Which network a set of namespaces has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// One of its own, with nothing in it yet.
    Own,
    /// This machine's.
    ThisMachine,
    /// That of a [`Keeper`], given by its [`Keeper::leader`].
    Of(u32),
}

/// A set of namespaces.
#[derive(Debug)]
pub struct Keeper {
    child: Child,
    /// The first process of the namespaces that the script was run in.
    outer: u32,
    leader: u32,
}

impl Keeper {
    /// Makes new mount, network, pid, host name and IPC namespaces and runs a
    /// bash script in them that ends with [`HOLD`].
    ///
    /// # Panics
    /// With the script's words, when it fails.
    #[must_use]
    pub fn start(script: &str) -> Self {
        Self::start_on(Network::Own, script)
    }

    /// The same on a network that may be another's.
    ///
    /// # Panics
    /// With the script's words, when it fails.
    #[must_use]
    pub fn start_on(network: Network, script: &str) -> Self {
        let mut child = unshare(network)
            .args(["--mount", "--pid", "--uts", "--ipc"])
            .args(["--fork", "--kill-child", "--", "/bin/bash", "-c", script])
            .env_clear()
            .envs(environment())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("unshare (util-linux) can be started");
        let output = child.stdout.take().expect("the output is a pipe");
        let mut said = String::new();
        let ready = BufReader::new(output)
            .lines()
            .map_while(Result::ok)
            .any(|line| {
                said.push_str(&line);
                said.push('\n');
                line == "ready"
            });
        assert!(ready, "the namespaces could not be made:\n{said}");
        let outer = *children_of(child.id()).first().expect("unshare has forked");
        Self {
            child,
            outer,
            leader: outer,
        }
    }

    /// The same, entered one level deeper: at the first process of a pid
    /// namespace that the script has made below its own.
    ///
    /// # Panics
    /// When the script has not.
    #[must_use]
    pub(crate) fn stepped_inside(mut self) -> Self {
        self.step_inside();
        self
    }

    /// Tells a script that waits for lines to make what is inside anew, and
    /// enters that.
    ///
    /// # Panics
    /// When there is nothing inside, or the script has ended.
    pub(crate) fn make_anew(&mut self) {
        let pipe = self.child.stdin.as_mut().expect("the pipe is open");
        pipe.write_all(b"\n").expect("the script reads");
        self.step_inside();
    }

    fn step_inside(&mut self) {
        let before = self.leader;
        self.leader = wait_for("a first process inside", Duration::from_secs(10), || {
            let unshare = *children_of(self.outer).first()?;
            let inside = *children_of(unshare).first()?;
            (inside != before).then_some(inside)
        });
    }

    /// The first process, as seen from outside.
    #[must_use]
    pub fn leader(&self) -> u32 {
        self.leader
    }

    /// A path inside, as it is reached from outside.
    ///
    /// # Panics
    /// When the path is relative.
    #[must_use]
    pub fn path(&self, inside: impl AsRef<Path>) -> PathBuf {
        let inside = inside
            .as_ref()
            .strip_prefix("/")
            .expect("paths in a namespace are absolute");
        PathBuf::from(format!("/proc/{}/root", self.leader)).join(inside)
    }

    /// A command that will run inside.
    #[must_use]
    pub fn command(&self, program: &str) -> Command {
        entering(self.leader, program)
    }

    /// Runs a command inside and gives all it said.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn output(&self, program: &str, arguments: &[&str]) -> Output {
        quietly(self.command(program).args(arguments))
            .output()
            .unwrap_or_else(|error| panic!("{program} cannot be started: {error}"))
    }

    /// Runs a command inside that has to succeed, and gives its output.
    ///
    /// # Panics
    /// With its words, when it fails.
    pub fn run(&self, program: &str, arguments: &[&str]) -> String {
        let output = self.output(program, arguments);
        assert!(
            output.status.success(),
            "{program} {} failed ({}):\n{}{}",
            arguments.join(" "),
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Runs a shell script inside that has to succeed.
    pub fn shell(&self, script: &str) -> String {
        self.run("/bin/bash", &["-euc", script])
    }

    /// Starts a command inside and leaves it running.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn spawn(&self, command: &mut Command, name: &str) -> Process {
        let child = command
            .spawn()
            .unwrap_or_else(|error| panic!("{name} cannot be started: {error}"));
        Process::behind(child, name)
    }

    /// Puts a copy of a program inside. Another process writes it: a file that
    /// this one holds open for writing could not be executed, nor while a child
    /// of another thread still holds it.
    ///
    /// # Panics
    /// When it cannot be copied.
    pub fn install(&self, program: impl AsRef<Path>, inside: &str) {
        let copied = Command::new("cp")
            .arg(program.as_ref())
            .arg(self.path(inside))
            .status();
        assert!(
            copied.is_ok_and(|status| status.success()),
            "{inside} cannot be written"
        );
    }

    /// Writes a file inside.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn write(&self, inside: &str, content: &str) {
        std::fs::write(self.path(inside), content)
            .unwrap_or_else(|error| panic!("{inside} cannot be written: {error}"));
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        if let Some(mut pipe) = self.child.stdin.take() {
            let _ = pipe.flush();
        }
        let begin = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) && begin.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(5));
        }
        // `--kill-child` makes the kernel end the first process with unshare.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn unshare(network: Network) -> Command {
    match network {
        Network::ThisMachine => Command::new("unshare"),
        Network::Own => {
            let mut command = Command::new("unshare");
            command.arg("--net");
            command
        }
        Network::Of(leader) => {
            // It becomes unshare, since it enters no pid namespace.
            let mut command = Command::new("nsenter");
            let target = leader.to_string();
            command.args(["--target", &target, "--net", "--", "unshare"]);
            command
        }
    }
}

/// A command that will run in the namespaces of a process.
pub(crate) fn entering(leader: u32, program: &str) -> Command {
    let mut command = Command::new("nsenter");
    command
        .args(["--target", &leader.to_string()])
        .args(["--mount", "--net", "--pid", "--uts", "--ipc", "--"])
        .arg(program)
        .env_clear()
        .envs(environment());
    command
}

fn environment() -> [(&'static str, &'static str); 4] {
    [
        (
            "PATH",
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        ),
        ("HOME", "/root"),
        ("LANG", "C.UTF-8"),
        ("TERM", "dumb"),
    ]
}
