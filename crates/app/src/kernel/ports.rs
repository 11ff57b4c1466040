//! The ports sshd serves, found by themselves: the listening sockets of sshd's
//! processes, and those systemd holds for ssh.socket.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Read as _},
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::Result;

use sshmeter_core::identity::Endpoint;

use super::{process, sockdiag};

/// A systemd that does not answer must not hold up counting.
const SYSTEMCTL_PATIENCE: Duration = Duration::from_secs(5);

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Ports sshd's processes listen on.
    pub by_sshd: BTreeSet<u16>,
    /// Ports systemd's ssh.socket listens on.
    pub by_systemd: BTreeSet<u16>,
    /// Ports that only users' own processes listen on, though they go by
    /// sshd's name, and the uid of one.
    pub by_users: BTreeMap<u16, u32>,
    /// An sshd runs that we may not look into (its rights are missing).
    pub hidden: bool,
}

impl Found {
    /// All that are counted: a user's own process is no ssh server of this
    /// machine's, whatever it is called.
    #[must_use]
    pub fn all(&self) -> BTreeSet<u16> {
        &self.by_sshd | &self.by_systemd
    }
}

/// Looks for the ports now.
///
/// # Errors
/// Where the kernel does not tell its listening sockets.
pub fn find() -> Result<Found> {
    let mut found = Found {
        by_systemd: systemd_ports(),
        ..Found::default()
    };
    let listening = sockdiag::listening()?;
    for process in process::sshd_processes()? {
        match process::socket_inodes(process.pid) {
            Ok(inodes) => {
                let held = |inode: Option<u32>| inode.is_some_and(|it| inodes.contains(&it));
                let ports = listening
                    .iter()
                    .filter(|it| held(it.inode))
                    .map(|it| it.local.port());
                if process.uid == 0 {
                    found.by_sshd.extend(ports);
                } else {
                    found.by_users.extend(ports.map(|port| (port, process.uid)));
                }
            }
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => found.hidden = true,
            Err(_) => {}
        }
    }
    let counted = found.all();
    found.by_users.retain(|port, _| !counted.contains(port));
    Ok(found)
}

/// Looks for the ports, those of these clients' connections among them: a port
/// counts where the connection's socket is held by a process of root's ssh server.
///
/// # Errors
/// Where the kernel does not tell its sockets.
pub fn find_with(clients: &[Endpoint]) -> Result<Found> {
    let mut found = find()?;
    if clients.is_empty() {
        return Ok(found);
    }
    let held: BTreeSet<u32> = process::sshd_processes()?
        .iter()
        .filter(|process| process.uid == 0)
        .flat_map(|process| process::socket_inodes(process.pid).unwrap_or_default())
        .collect();
    if held.is_empty() {
        return Ok(found);
    }
    let clients: BTreeSet<&Endpoint> = clients.iter().collect();
    let client_ports: BTreeSet<u16> = clients.iter().map(|client| client.port()).collect();
    let client_ports: Vec<u16> = client_ports.into_iter().collect();
    let sockets = sockdiag::connections_from_ports(&client_ports)?;
    let of_sshd = sockets.iter().filter(|socket| {
        clients.contains(&socket.peer) && socket.inode.is_some_and(|inode| held.contains(&inode))
    });
    found
        .by_sshd
        .extend(of_sshd.map(|socket| socket.local.port()));
    Ok(found)
}

/// The ports of systemd's socket units for ssh servers; none without systemd.
fn systemd_ports() -> BTreeSet<u16> {
    if !Path::new("/run/systemd/system").exists() {
        return BTreeSet::new();
    }
    let units = ["ssh.socket", "sshd.socket", "dropbear.socket"];
    let mut systemctl = Command::new("systemctl");
    systemctl
        .args(["show", "--property=ActiveState,Listen"])
        .args(units);
    output_within(&mut systemctl, SYSTEMCTL_PATIENCE)
        .map(|output| listen_ports(&String::from_utf8_lossy(&output)))
        .unwrap_or_default()
}

/// What a program wrote; one that is not done in time is ended. What it writes
/// has to fit into a pipe.
fn output_within(command: &mut Command, limit: Duration) -> io::Result<Vec<u8>> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let begin = Instant::now();
    while child.try_wait()?.is_none() {
        if begin.elapsed() >= limit {
            child.kill()?;
            child.wait()?;
            return Err(io::ErrorKind::TimedOut.into());
        }
        thread::sleep(Duration::from_millis(10));
    }
    let mut output = Vec::new();
    if let Some(mut stdout) = child.stdout.take() {
        stdout.read_to_end(&mut output)?;
    }
    Ok(output)
}

/// The stream ports of active units in `systemctl show`'s output, where units
/// are parted by empty lines: `Listen=[::]:22 (Stream)`.
fn listen_ports(output: &str) -> BTreeSet<u16> {
    output
        .split("\n\n")
        .filter(|unit| unit.lines().any(|line| line == "ActiveState=active"))
        .flat_map(str::lines)
        .filter_map(|line| {
            let address = line.strip_prefix("Listen=")?.strip_suffix(" (Stream)")?;
            address
                .rsplit_once(':')
                .map_or(address, |(_, port)| port)
                .parse()
                .ok()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_hangs_is_ended() {
        let limit = Duration::from_millis(50);
        let hung = output_within(Command::new("sleep").arg("60"), limit);
        assert_eq!(hung.unwrap_err().kind(), io::ErrorKind::TimedOut);
        let done = output_within(Command::new("echo").arg("done"), Duration::from_secs(20));
        assert_eq!(done.unwrap(), b"done\n");
    }

    #[test]
    fn ports_of_active_socket_units_are_read() {
        let output = "Listen=[::]:22 (Stream)\nListen=0.0.0.0:2222 (Stream)\nActiveState=active\n\n\
                      Listen=[::]:23 (Stream)\nActiveState=inactive\n";
        assert_eq!(listen_ports(output), BTreeSet::from([22, 2222]));
    }
}
