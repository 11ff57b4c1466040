//! The other end of the wire: OpenSSH's own client programs.
//!
//! Every visit comes from an address of its own, so it can be told from all
//! others in the capture and in what sshmeter says, without trusting a log.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    process::{ChildStdin, Command, Stdio},
    sync::atomic::{AtomicU16, Ordering},
    time::Duration,
};

use rustix::process::Signal;

use crate::{
    keeper::{HOLD, Keeper},
    process::{Process, quietly},
    users::{PASSWORD, User},
    wait_for,
    wire::SERVER,
};

const CONFIG: &str = "IdentitiesOnly yes
StrictHostKeyChecking no
UserKnownHostsFile /dev/null
GlobalKnownHostsFile /dev/null
LogLevel ERROR
BatchMode yes
ControlPath none
";

/// The client's namespaces, keys and addresses.
#[derive(Debug)]
pub struct Client {
    keeper: Keeper,
    users: Vec<User>,
    next: AtomicU16,
}

/// A connection that the client made: who, and from where.
#[derive(Clone, Debug)]
pub struct Visit {
    /// Who logged in; `None` where nobody did.
    pub user: Option<String>,
    /// The address it came from, and no other visit.
    pub address: IpAddr,
    /// What it did, for people who read a failure.
    pub what: String,
}

/// A visit that goes on.
#[derive(Debug)]
pub struct OpenVisit {
    /// The visit.
    pub visit: Visit,
    process: Process,
}

/// IPv4 or IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// A visit to be described.
#[derive(Clone, Debug)]
pub struct VisitBuilder<'a> {
    client: &'a Client,
    user: User,
    address: IpAddr,
    port: u16,
    options: Vec<String>,
    what: String,
}

impl Client {
    pub(crate) fn start(users: &[User]) -> Self {
        let keys: String = users
            .iter()
            .map(|user| format!("ssh-keygen -q -t ed25519 -N '' -f {}\n", user.key()))
            .collect();
        let keeper = Keeper::start(&format!(
            "set -eu; exec 2>&1
            mount --make-rprivate /
            hostname visitor
            mount -t proc proc /proc
            mount -t sysfs sysfs /sys
            mount -t tmpfs -o mode=755,size=4g scratch /mnt
            mount -t tmpfs -o mode=755 run /run
            mkdir -p /run/netns /mnt/keys
            ip netns add router
            ip link set lo up
            {keys}printf '#!/bin/sh\\necho \"{PASSWORD}\"\\n' >/mnt/right
            printf '#!/bin/sh\\necho wrong\\n' >/mnt/wrong
            chmod +x /mnt/right /mnt/wrong
            printf %s '{CONFIG}' >/mnt/ssh_config
            {HOLD}"
        ));
        Self {
            keeper,
            users: users.to_vec(),
            next: AtomicU16::new(1),
        }
    }

    /// The client's namespaces.
    #[must_use]
    pub fn keeper(&self) -> &Keeper {
        &self.keeper
    }

    /// The machine's users.
    pub(crate) fn users(&self) -> &[User] {
        &self.users
    }

    /// The public halves of the users' keys, in the users' order.
    pub(crate) fn public_keys(&self) -> Vec<String> {
        self.users
            .iter()
            .map(|user| {
                let path = self.keeper.path(format!("{}.pub", user.key()));
                let key = std::fs::read_to_string(path).expect("a key was made");
                key.trim().to_owned()
            })
            .collect()
    }

    /// Describes a visit of a user, by default over IPv4 to port 22.
    ///
    /// # Panics
    /// When the machine has no such user.
    #[must_use]
    pub fn visit(&self, user: &str) -> VisitBuilder<'_> {
        let user = self
            .users
            .iter()
            .find(|known| known.name == user)
            .unwrap_or_else(|| panic!("the machine has no user {user:?}"));
        VisitBuilder {
            client: self,
            user: user.clone(),
            address: self.next_address(Family::V4),
            port: 22,
            options: Vec::new(),
            what: String::new(),
        }
    }

    /// An address that no visit has come from.
    #[must_use]
    pub fn next_address(&self, family: Family) -> IpAddr {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let [high, low] = number.to_be_bytes();
        match family {
            Family::V4 => Ipv4Addr::new(10, 78, high, low).into(),
            Family::V6 => Ipv6Addr::new(0xfd00, 0x78, 0, 0, 0, 0, 1, number).into(),
        }
    }

    /// Connects to a port on the client's side, once it listens, runs a script on
    /// the connection (3), and gives the number of bytes that came.
    #[must_use]
    pub fn fetch(&self, port: u16, script: &str) -> String {
        self.keeper
            .shell(&format!(
                "until exec 3<>/dev/tcp/127.0.0.1/{port}; do sleep 0.1; done 2>/dev/null
                {{ {script}; }} | wc -c"
            ))
            .trim()
            .to_owned()
    }

    /// Makes a file of random bytes on the client's side and gives its path.
    #[must_use]
    pub fn file(&self, bytes: u64) -> String {
        let path = format!("/mnt/random-{bytes}");
        self.keeper.shell(&format!(
            "[ -s {path} ] || head -c {bytes} /dev/urandom >{path}"
        ));
        path
    }
}

impl VisitBuilder<'_> {
    /// Over this family.
    #[must_use]
    pub fn over(mut self, family: Family) -> Self {
        if family == Family::V6 {
            self.address = self.client.next_address(family);
        }
        self
    }

    /// From this address, which other visits may share.
    #[must_use]
    pub fn from(mut self, address: IpAddr) -> Self {
        self.address = address;
        self
    }

    /// To this port.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// With an option of `ssh_config`, as `Name=value`.
    #[must_use]
    pub fn option(mut self, option: &str) -> Self {
        self.options.push(option.to_owned());
        self
    }

    /// By password instead of a key.
    #[must_use]
    pub fn by_password(self) -> Self {
        self.option("PreferredAuthentications=password")
            .option("BatchMode=no")
    }

    /// Runs a command on the server; its output is thrown away.
    ///
    /// # Panics
    /// When ssh fails.
    pub fn run(self, command: &str) -> Visit {
        self.told(command).0
    }

    /// Runs a command on the server and gives its output.
    ///
    /// # Panics
    /// When ssh fails.
    pub fn told(mut self, command: &str) -> (Visit, String) {
        self.what = format!("ssh {command}");
        let mut ssh = self.ssh();
        ssh.arg(command);
        let output = succeed(&mut ssh, &self.what);
        (self.visit(), output)
    }

    /// Sends bytes to a command's input on the server.
    ///
    /// # Panics
    /// When ssh fails.
    pub fn send(mut self, bytes: u64, command: &str) -> Visit {
        self.what = format!("ssh {command} <{bytes} bytes");
        let file = self.client.keeper.path(self.client.file(bytes));
        let mut ssh = self.ssh();
        quietly(ssh.arg(command));
        ssh.stdin(std::fs::File::open(file).expect("the file was just made"));
        check(&ssh.output().expect("ssh can be started"), &self.what);
        self.visit()
    }

    /// Uploads a file of random bytes by scp.
    ///
    /// # Panics
    /// When scp fails.
    pub fn scp_up(mut self, bytes: u64) -> Visit {
        self.what = format!("scp up {bytes}");
        let file = self.client.file(bytes);
        let target = format!("{}:/tmp/up-{}", self.host(true), self.user.uid);
        let mut scp = self.program("scp", "-P");
        succeed(scp.args(["-q", &file, &target]), &self.what);
        self.visit()
    }

    /// Downloads a file of the server's by scp.
    ///
    /// # Panics
    /// When scp fails.
    pub fn scp_down(mut self, path: &str) -> Visit {
        self.what = format!("scp down {path}");
        let source = format!("{}:{path}", self.host(true));
        let mut scp = self.program("scp", "-P");
        succeed(scp.args(["-q", &source, "/dev/null"]), &self.what);
        self.visit()
    }

    /// Runs commands of sftp.
    ///
    /// # Panics
    /// When sftp fails.
    pub fn sftp(mut self, commands: &str) -> Visit {
        self.what = format!("sftp {commands}");
        let batch = format!("/mnt/batch-{}", self.address);
        self.client.keeper.write(&batch, commands);
        let host = self.host(true);
        let mut sftp = self.program("sftp", "-P");
        succeed(sftp.args(["-q", "-b", &batch, &host]), &self.what);
        self.visit()
    }

    /// Tries to log in with a wrong password, which must fail.
    ///
    /// # Panics
    /// When sshd lets it in.
    pub fn fail(mut self) -> Visit {
        self.what = "wrong password".to_owned();
        let builder = self
            .clone()
            .by_password()
            .option("NumberOfPasswordPrompts=1");
        let mut ssh = builder.ssh();
        ssh.env("SSH_ASKPASS", "/mnt/wrong").arg("true");
        let output = quietly(&mut ssh).output().expect("ssh can be started");
        assert!(!output.status.success(), "a wrong password was accepted");
        Visit {
            user: None,
            ..self.visit()
        }
    }

    /// Starts a command on the server, or with `-N` among the flags none, and
    /// leaves the connection open.
    #[must_use]
    pub fn open(mut self, flags: &[&str], command: Option<&str>) -> OpenVisit {
        self.what = format!("ssh {} {}", flags.join(" "), command.unwrap_or_default());
        let mut ssh = self.program("ssh", "-p");
        ssh.args(flags).arg(self.host(false)).args(command);
        ssh.stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::inherit());
        let process = self.client.keeper.spawn(&mut ssh, &self.what);
        OpenVisit {
            visit: self.visit(),
            process,
        }
    }

    /// Starts a command by dropbear's client, which takes any user's name, while
    /// OpenSSH's refuses those that a shell might stumble over.
    #[must_use]
    pub fn open_by_dropbear(mut self, command: &str) -> OpenVisit {
        self.what = format!("dbclient {command}");
        let keeper = &self.client.keeper;
        let key = format!("{}.dropbear", self.user.key());
        let converted = ["openssh", "dropbear", &self.user.key(), &key];
        keeper.run("dropbearconvert", &converted);
        let from = match self.address {
            IpAddr::V4(address) => address.to_string(),
            IpAddr::V6(address) => format!("[{address}]"),
        };
        let mut client = keeper.command("dbclient");
        client
            .args(["-y", "-y", "-T", "-p", &self.port.to_string()])
            .args(["-b", &from, "-i", &key, "-l", &self.user.name])
            .args([&self.host(false), command])
            .env("HOME", "/mnt")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let process = keeper.spawn(&mut client, &self.what);
        OpenVisit {
            visit: self.visit(),
            process,
        }
    }

    /// The `ssh` command up to and with the host.
    #[must_use]
    pub fn ssh(&self) -> Command {
        let mut command = self.program("ssh", "-p");
        command.arg(self.host(false));
        command
    }

    /// The visit as described so far.
    #[must_use]
    pub fn visit(&self) -> Visit {
        Visit {
            user: Some(self.user.name.clone()),
            address: self.address,
            what: self.what.clone(),
        }
    }

    fn program(&self, program: &str, port_flag: &str) -> Command {
        let mut command = self.client.keeper.command(program);
        command
            .env("SSH_ASKPASS", "/mnt/right")
            .env("SSH_ASKPASS_REQUIRE", "force")
            .args(["-F", "/mnt/ssh_config", "-i", &self.user.key()])
            .args([port_flag, &self.port.to_string()])
            .arg("-o")
            .arg(format!("BindAddress={}", self.address))
            .arg("-o")
            .arg(format!(
                "User=\"{}\"",
                self.user.name.replace('\\', r"\\").replace('"', "\\\"")
            ));
        // ssh takes the first value it sees, and the file's come last.
        for option in &self.options {
            command.args(["-o", option]);
        }
        command
    }

    fn host(&self, bracketed: bool) -> String {
        match self.address {
            IpAddr::V4(_) => SERVER[0].to_owned(),
            IpAddr::V6(_) if bracketed => format!("[{}]", SERVER[1]),
            IpAddr::V6(_) => SERVER[1].to_owned(),
        }
    }
}

impl OpenVisit {
    /// What ssh reads.
    ///
    /// # Panics
    /// When it was closed already.
    pub fn input(&mut self) -> &mut ChildStdin {
        let input = self.process.child().stdin.as_mut();
        input.expect("ssh still reads")
    }

    /// The process id of ssh, as this process sees it.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Whether ssh still runs.
    pub fn runs(&mut self) -> bool {
        self.process.runs()
    }

    /// Ends ssh as a user's Ctrl-C or a closed terminal would.
    ///
    /// ssh looks for a signal and then waits for packets; one that comes in
    /// between is not noticed before the next packet, so it is sent until heard.
    pub fn close(mut self) -> Visit {
        wait_for("ssh's end", Duration::from_secs(10), || {
            self.process.signal(Signal::TERM);
            std::thread::sleep(Duration::from_millis(100));
            (!self.process.runs()).then_some(())
        });
        self.visit.clone()
    }

    /// Ends ssh without a chance to say goodbye.
    pub fn kill(mut self) -> Visit {
        self.process.signal(Signal::KILL);
        self.process.wait(Duration::from_secs(10));
        self.visit.clone()
    }

    /// Waits until ssh ends by itself.
    pub fn finish(mut self) -> Visit {
        drop(self.process.child().stdin.take());
        self.process.wait(Duration::from_secs(120));
        self.visit.clone()
    }
}

fn succeed(command: &mut Command, what: &str) -> String {
    let output = quietly(command).output().expect("a client can be started");
    check(&output, what);
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn check(output: &std::process::Output, what: &str) {
    assert!(
        output.status.success(),
        "{what} failed ({}): {}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
}
