//! What the process table knows of sshd: its listeners, who holds which
//! socket, and whose a connection is.
//!
//! Everything here is a look at one instant of /proc. A process that vanished
//! in between, or that we may not look at, is left out and never guessed.

use std::{
    collections::{HashMap, hash_map::Entry},
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::Path,
};

use jiff::{SignedDuration, Timestamp};
use sshmeter_core::{
    identity::{Pid, UserName},
    session::{Owner, Witness},
};
use uzers::os::unix::UserExt as _;

/// The names sshd's processes go by: `sshd` listens and, up to 9.7, does all
/// else; `sshd-session` and `sshd-auth` serve one connection since 9.8.
const SSHD_NAMES: [&str; 4] = ["sshd", "sshd-session", "sshd-auth", "dropbear"];

/// One process of an ssh server.
#[derive(Clone, Debug)]
pub struct Process {
    /// Its pid.
    pub pid: Pid,
    /// Its effective uid.
    pub uid: u32,
    /// Its command line, which sshd rewrites to say what it does.
    pub title: String,
}

/// All processes of ssh servers in this pid namespace.
///
/// # Errors
/// Where /proc cannot be listed.
pub fn sshd_processes() -> io::Result<Vec<Process>> {
    let pids = fs::read_dir("/proc")?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok().map(Pid));
    Ok(pids.filter_map(sshd_process).collect())
}

/// The process, where it is an ssh server's and still there.
fn sshd_process(Pid(pid): Pid) -> Option<Process> {
    let folder = Path::new("/proc").join(pid.to_string());
    let name = fs::read_to_string(folder.join("comm")).ok()?;
    if !SSHD_NAMES.contains(&name.trim_end()) {
        return None;
    }
    let title = fs::read(folder.join("cmdline")).ok()?;
    let title = String::from_utf8_lossy(&title)
        .replace('\0', " ")
        .trim_end()
        .to_owned();
    Some(Process {
        pid: Pid(pid),
        uid: fs::metadata(&folder).ok()?.uid(),
        title,
    })
}

/// The inodes of the sockets a process holds.
///
/// # Errors
/// `PermissionDenied` where we may not look (another user's process, without
/// CAP_DAC_READ_SEARCH to list and CAP_SYS_PTRACE to read), `NotFound` where it
/// is gone.
pub fn socket_inodes(Pid(pid): Pid) -> io::Result<Vec<u32>> {
    let mut inodes = Vec::new();
    for entry in fs::read_dir(format!("/proc/{pid}/fd"))? {
        let target = match fs::read_link(entry?.path()) {
            Ok(target) => target,
            // A list without what may not be read would deny what is there.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Err(error),
            Err(_) => continue,
        };
        inodes.extend(target.to_str().and_then(socket_inode));
    }
    Ok(inodes)
}

fn socket_inode(link: &str) -> Option<u32> {
    link.strip_prefix("socket:[")?
        .strip_suffix(']')?
        .parse()
        .ok()
}

/// What the kernel says of the process that is said to have written a line at
/// `time`. A process younger than the line is another one with a used pid.
#[must_use]
pub fn witness(pid: Option<Pid>, time: Option<Timestamp>, now: Timestamp) -> Witness {
    let Some(pid) = pid else {
        return Witness::Silent;
    };
    let Some(started) = started(pid, now) else {
        return Witness::Silent;
    };
    let slack = SignedDuration::from_secs(2);
    if time.is_some_and(|time| started > time + slack) {
        return Witness::Silent;
    }
    if sshd_process(pid).is_none() {
        // Between the two looks it may have gone.
        return if alive(pid) {
            Witness::Stranger
        } else {
            Witness::Silent
        };
    }
    socket_inodes(pid).map_or(Witness::Silent, Witness::Holds)
}

fn alive(Pid(pid): Pid) -> bool {
    Path::new("/proc").join(pid.to_string()).exists()
}

/// When a process started (`starttime` of /proc/PID/stat, in clock ticks since
/// boot, proc(5)).
fn started(Pid(pid): Pid, now: Timestamp) -> Option<Timestamp> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything; field 3 follows the last one.
    let fields = stat.rsplit_once(')')?.1;
    let ticks: u64 = fields.split_ascii_whitespace().nth(19)?.parse().ok()?;
    let after_boot = ticks.saturating_mul(1000) / rustix::param::clock_ticks_per_second();
    let uptime = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let age = SignedDuration::new(uptime.tv_sec, i32::try_from(uptime.tv_nsec).ok()?)
        - SignedDuration::from_millis(i64::try_from(after_boot).ok()?);
    now.checked_sub(age).ok()
}

/// The owners of all connections that sshd's processes hold: one for each
/// socket, named where a login is certain.
///
/// # Errors
/// Where /proc cannot be listed.
pub fn owners(now: Timestamp) -> io::Result<Vec<Owner>> {
    let mut owners: HashMap<u32, Owner> = HashMap::new();
    for process in sshd_processes()? {
        let Some(started) = started(process.pid, now) else {
            continue;
        };
        let user = user_of(&process);
        for inode in socket_inodes(process.pid).unwrap_or_default() {
            match owners.entry(inode) {
                Entry::Vacant(vacant) => {
                    vacant.insert(Owner {
                        inode,
                        started,
                        pid: process.pid,
                        user: user.clone(),
                    });
                }
                Entry::Occupied(mut known) => {
                    join(known.get_mut(), started, process.pid, user.clone());
                }
            }
        }
    }
    Ok(owners.into_values().collect())
}

/// Another process of the same connection: the older one is the monitor that
/// logged the login, and whichever knows the user says so.
fn join(owner: &mut Owner, started: Timestamp, pid: Pid, user: Option<UserName>) {
    if started < owner.started || (started == owner.started && pid < owner.pid) {
        owner.started = started;
        owner.pid = pid;
    }
    if owner.user.is_none() {
        owner.user = user;
    }
}

/// Whose session a process serves. Its uid says so for everybody but root and
/// sshd's own unprivileged user; the title says which of several names with
/// that uid it is, and alone speaks for root.
fn user_of(process: &Process) -> Option<UserName> {
    let titled = title_user(&process.title);
    if process.uid == 0 {
        return titled.filter(|name| *name == "root").map(UserName::new);
    }
    let titled_user = titled.and_then(uzers::get_user_by_name);
    if let Some(user) = titled_user.filter(|user| user.uid() == process.uid) {
        return Some(UserName::new(user.name().to_string_lossy()));
    }
    let user = uzers::get_user_by_uid(process.uid)?;
    let is_sshds_own = user.home_dir() == Path::new("/run/sshd") || user.name() == "sshd";
    (!is_sshds_own).then(|| UserName::new(user.name().to_string_lossy()))
}

/// The user in the title of a process that serves a login: `sshd: alice@pts/0`,
/// `sshd-session: alice@notty` (`session_proctitle`, session.c). Titles before
/// the login (`alice [priv]`, `alice [net]`) name nobody for certain.
fn title_user(title: &str) -> Option<&str> {
    let text = title
        .strip_prefix("sshd: ")
        .or_else(|| title.strip_prefix("sshd-session: "))?;
    let (user, terminal) = text.rsplit_once('@')?;
    let is_terminal = terminal.split(',').all(|one| {
        one == "notty"
            || one == "internal-sftp"
            || one.starts_with("pts/")
            || one.starts_with("tty")
    });
    is_terminal.then_some(user)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_titles_of_logged_in_sessions_name_a_user() {
        for (title, user) in [
            ("sshd: alice@pts/0", Some("alice")),
            ("sshd: alice@pts/0,pts/1", Some("alice")),
            ("sshd-session: ali@ce@notty", Some("ali@ce")),
            ("sshd: root@internal-sftp", Some("root")),
            ("sshd: alice [priv]", None),
            ("sshd: unknown [net]", None),
            ("sshd: [accepted]", None),
            (
                "sshd: /usr/sbin/sshd -D [listener] 0 of 10-100 startups",
                None,
            ),
            ("vim alice@notty", None),
        ] {
            assert_eq!(title_user(title), user, "{title}");
        }
    }

    #[test]
    fn a_process_knows_when_it_started() {
        let now = Timestamp::now();
        let own = Pid(std::process::id());
        let started = started(own, now).expect("this process is alive");
        assert!(
            started <= now && started > now - SignedDuration::from_hours(2),
            "{started}"
        );
    }
}
