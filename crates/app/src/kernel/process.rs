//! What the process table knows of sshd: its listeners, who holds which
//! socket, and whose a connection is.
//!
//! Everything here is a look at one instant of /proc. A process that vanished
//! in between, or that we may not look at, is left out and never guessed.

use std::{
    collections::{HashMap, HashSet, hash_map::Entry},
    fs, io,
    path::Path,
};

use anyhow::Result;
use jiff::{SignedDuration, Timestamp};
use sshmeter_core::{
    identity::{Pid, UserName},
    session::{Owner, Witness},
    sshd,
};
use uzers::os::unix::UserExt as _;

use super::sockdiag;

/// The names sshd's processes go by: `sshd` listens and, up to 9.7, does all
/// else; `sshd-session` and `sshd-auth` serve one connection since 9.8.
const SSHD_NAMES: [&str; 4] = ["sshd", "sshd-session", "sshd-auth", "dropbear"];

/// One process of an ssh server.
#[derive(Clone, Debug)]
pub struct Process {
    /// Its pid.
    pub pid: Pid,
    /// Whose it is for good. While root's sshd borrows a user's uid, the effective
    /// one to read his keys and the real one in pam_keyinit, it is root's; so is a
    /// setuid program, which its executable tells from sshd.
    pub uid: u32,
    /// Whether it is dropbear's, which stays root after a login.
    pub is_dropbear: bool,
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

/// The process, where it is an ssh server's and still there. Anybody can name a
/// process `sshd`, but none of root's: its executable must be one as well, where
/// we may see it.
pub(super) fn sshd_process(Pid(pid): Pid) -> Option<Process> {
    let folder = Path::new("/proc").join(pid.to_string());
    let name = fs::read_to_string(folder.join("comm")).ok()?;
    let name = name.trim_end();
    if !SSHD_NAMES.contains(&name) {
        return None;
    }
    let uid = lasting_uid(&fs::read_to_string(folder.join("status")).ok()?)?;
    let executable = fs::read_link(folder.join("exe"));
    if uid == 0 && executable.is_ok_and(|path| !sshd::is_daemon(&path.to_string_lossy())) {
        return None;
    }
    let title = fs::read(folder.join("cmdline")).ok()?;
    let title = String::from_utf8_lossy(&title)
        .replace('\0', " ")
        .trim_end()
        .to_owned();
    Some(Process {
        pid: Pid(pid),
        uid,
        is_dropbear: name == "dropbear",
        title,
    })
}

/// Whose a process is for good, by the line `Uid:` of /proc/PID/status (real,
/// effective, saved and file system's, proc(5)): root's, while any of them is 0.
fn lasting_uid(status: &str) -> Option<u32> {
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    let uids = line.split_ascii_whitespace().map(str::parse);
    let uids: Vec<u32> = uids.collect::<Result<_, _>>().ok()?;
    let real = *uids.first()?;
    Some(if uids.contains(&0) { 0 } else { real })
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
/// `time`: logins are root's sshd's to tell. A process younger than the line is
/// another one with a used pid.
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
    if sshd_process(pid).is_none_or(|process| process.uid != 0) {
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
/// socket, named where a login is certain. `ports` are sshd's.
///
/// # Errors
/// Where /proc cannot be listed, or the kernel does not tell who listens.
pub fn owners(now: Timestamp, ports: &[u16]) -> Result<Vec<Owner>> {
    let listening = sockdiag::listening()?;
    let of_sshd = listening
        .iter()
        .filter(|it| ports.contains(&it.local.port()));
    let listening: HashSet<u32> = of_sshd.filter_map(|it| it.inode).collect();
    let looked_at = sshd_processes()?.into_iter().filter_map(|process| {
        let started = started(process.pid, now)?;
        let inodes = socket_inodes(process.pid).unwrap_or_default();
        Some((process, started, inodes))
    });
    Ok(owners_among(looked_at, &listening))
}

/// The owners, by processes with their start and the sockets they hold. Between
/// accepting a connection and handing it to a process of its own the listener holds
/// it too, and owns it no more than all others.
fn owners_among(
    processes: impl Iterator<Item = (Process, Timestamp, Vec<u32>)>,
    listening: &HashSet<u32>,
) -> Vec<Owner> {
    let mut owners: HashMap<u32, Owner> = HashMap::new();
    for (process, started, inodes) in processes {
        if is_listener(&process, &inodes, listening) {
            continue;
        }
        let user = user_of(&process);
        for inode in inodes {
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
    owners.into_values().collect()
}

/// Whether it waits for connections on sshd's ports. A process that serves root may
/// do so for a port that root has forwarded.
fn is_listener(process: &Process, inodes: &[u32], listening: &HashSet<u32>) -> bool {
    inodes.iter().any(|inode| listening.contains(inode)) && title_user(&process.title).is_none()
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
        let user = titled.and_then(uzers::get_user_by_name)?;
        return (user.uid() == 0).then(|| UserName::new(user.name().to_string_lossy()));
    }
    let titled_user = titled.and_then(uzers::get_user_by_name);
    if let Some(user) = titled_user.filter(|user| user.uid() == process.uid) {
        return Some(UserName::new(user.name().to_string_lossy()));
    }
    let user = uzers::get_user_by_uid(process.uid)?;
    (!is_sshds_own(&user)).then(|| UserName::new(user.name().to_string_lossy()))
}

/// Whether this is the user that sshd's processes run as before a login.
pub(super) fn is_sshds_own(user: &uzers::User) -> bool {
    user.home_dir() == Path::new("/run/sshd") || user.name() == "sshd"
}

/// The user in the title of a process that serves a login: `sshd: alice@pts/0`,
/// `sshd-session: alice@notty` (`session_proctitle`, session.c), and without a
/// session `sshd: alice` (`do_authenticated`). Titles before the login
/// (`alice [priv]`, `alice [net]`, `[accepted]`) name nobody for certain.
pub(super) fn title_user(title: &str) -> Option<&str> {
    let text = title
        .strip_prefix("sshd: ")
        .or_else(|| title.strip_prefix("sshd-session: "))?;
    if let Some((user, terminal)) = text.rsplit_once('@')
        && terminal.split(',').all(is_terminal)
    {
        return Some(user);
    }
    let is_plain = !text.is_empty() && !text.contains([' ', '[', '/', '@']);
    (is_plain && text != "unknown").then_some(text)
}

fn is_terminal(name: &str) -> bool {
    name == "notty"
        || name == "internal-sftp"
        || name.starts_with("pts/")
        || name.starts_with("tty")
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
            ("sshd: root", Some("root")),
            ("sshd: unknown", None),
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
    fn who_can_be_root_again_is_root() {
        for (uids, lasting) in [
            ("0\t0\t0\t0", 0),
            ("0\t2000\t0\t2000", 0),
            ("2000\t0\t0\t0", 0),
            ("2000\t2000\t2000\t2000", 2000),
        ] {
            let status = format!("Name:\tsshd\nUid:\t{uids}\nGid:\t7\t7\t7\t7\n");
            assert_eq!(lasting_uid(&status), Some(lasting), "{uids}");
        }
        assert_eq!(lasting_uid("Name:\tUid: 5\n"), None);
    }

    #[test]
    fn a_listener_owns_no_connection_that_it_has_just_accepted() {
        let process = |pid, title: &str, started, inodes: &[u32]| {
            let process = Process {
                pid: Pid(pid),
                uid: 0,
                is_dropbear: false,
                title: title.to_owned(),
            };
            let started = Timestamp::from_second(started).unwrap();
            (process, started, inodes.to_vec())
        };
        let processes = [
            process(
                1,
                "sshd: /usr/sbin/sshd [listener] 1 of 10-100 startups",
                10,
                &[3, 70, 71],
            ),
            process(8, "sshd: [accepted]", 900, &[70]),
            process(9, "sshd: root@pts/0", 500, &[72, 4]),
        ];
        let listening = HashSet::from([3, 4]);
        let owners = owners_among(processes.into_iter(), &listening);
        let mut told: Vec<_> = owners
            .iter()
            .filter(|owner| owner.inode >= 70)
            .map(|owner| (owner.inode, owner.pid.0, owner.started.as_second()))
            .collect();
        told.sort_unstable();
        assert_eq!(told, [(70, 8, 900), (72, 9, 500)]);
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
