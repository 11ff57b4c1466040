//! The service manager's side of readiness and of kept descriptors, as systemd
//! does it (sd_notify(3), sd_listen_fds(3)).
//!
//! A machine has no systemd that could run a service, so this stands in for it.
//! Like systemd it keeps what it is sent under the name it is sent with, hands
//! copies to every start and looks at nothing in it. It does not start a daemon
//! again by itself: when that happens is the test's to say.

use std::{
    io::IoSliceMut,
    mem::MaybeUninit,
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixDatagram,
    },
    path::PathBuf,
    process::Command,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use command_fds::{CommandFdExt as _, FdMapping};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, recvmsg},
};

use crate::{daemon::Daemon, keeper::Keeper};

/// The first descriptor that a service is handed, by sd_listen_fds(3).
const FIRST_HANDED: i32 = 3;
/// More descriptors than one message may carry (`SCM_MAX_FD` is 253).
const DESCRIPTORS: usize = 256;

/// Hands a program the pid that it is known by in its own pid namespace.
/// Nor shall one that aborts leave its memory somewhere.
const AS_ITSELF: &str = r#"ulimit -c 0; LISTEN_PID=$$; export LISTEN_PID; exec "$@""#;

/// A service manager for one service of a machine.
///
/// All daemons that one manager starts are one service: what they leave with it
/// the next one gets.
#[derive(Clone, Debug)]
pub struct ServiceManager {
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    inside: String,
    socket: UnixDatagram,
    ready: bool,
    kept: Vec<Kept>,
}

#[derive(Debug)]
struct Kept {
    name: String,
    descriptor: OwnedFd,
}

impl ServiceManager {
    /// A manager that has nothing yet.
    pub(crate) fn new(server: &Keeper) -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let inside = format!("/run/notify-{number}");
        let path: PathBuf = server.path(&inside);
        let socket = UnixDatagram::bind(path).expect("a socket for the service's words");
        let state = State {
            inside,
            socket,
            ready: false,
            kept: Vec::new(),
        };
        let manager = Self {
            state: Arc::new(Mutex::new(state)),
        };
        // A service's words wait in a short queue, and it waits with them.
        let listener = Arc::downgrade(&manager.state);
        thread::spawn(move || listen(&listener));
        manager
    }

    /// Starts `sshmeter FLAGS run` and waits until it says that it is ready.
    #[must_use]
    pub fn start(&self, server: &Keeper, flags: &[&str]) -> Daemon {
        let mut daemon = self.launch(server, flags);
        daemon.wait_until_ready();
        daemon
    }

    /// Starts `sshmeter FLAGS run` and waits for nothing.
    #[must_use]
    pub fn launch(&self, server: &Keeper, flags: &[&str]) -> Daemon {
        self.launch_under(&[], server, flags)
    }

    /// Starts `BEFORE sshmeter FLAGS run`, where what stands before has to make
    /// itself sshmeter, as `exec` and `strace -D` do.
    #[must_use]
    pub fn launch_under(&self, before: &[&str], server: &Keeper, flags: &[&str]) -> Daemon {
        Daemon::launch(self, before, server, flags)
    }

    /// The names of what is kept, each as often as it is there.
    #[must_use]
    pub fn kept(&self) -> Vec<String> {
        let state = self.state();
        state.kept.iter().map(|kept| kept.name.clone()).collect()
    }

    /// Whether the daemon started last has said that it is ready.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.state().ready
    }

    /// Makes the program of a command, which `nsenter` runs in the machine, a
    /// service of this manager.
    pub(crate) fn equip(&self, command: &mut Command) {
        let mut state = self.state();
        state.ready = false;
        command.env("NOTIFY_SOCKET", &state.inside);
        if state.kept.is_empty() {
            return;
        }
        // The newest first, as systemd 252 has it: only names tell them apart.
        let names: Vec<&str> = state.kept.iter().rev().map(|it| it.name.as_str()).collect();
        command
            .env("LISTEN_FDS", names.len().to_string())
            .env("LISTEN_FDNAMES", names.join(":"));
        let copies = state
            .kept
            .iter()
            .rev()
            .map(|kept| kept.descriptor.try_clone());
        let mappings = copies
            .zip(FIRST_HANDED..)
            .map(|(copy, child_fd)| FdMapping {
                parent_fd: copy.expect("a descriptor can be copied"),
                child_fd,
            })
            .collect();
        command
            .fd_mappings(mappings)
            .expect("no number is given twice");
    }

    /// What has been said until now is acted on before this returns.
    fn state(&self) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.listen();
        state
    }
}

/// The words that run a program as a service: what stands before it.
pub(crate) fn service_words() -> [&'static str; 4] {
    ["/bin/sh", "-c", AS_ITSELF, "service"]
}

/// Listens for as long as there is a manager.
fn listen(state: &Weak<Mutex<State>>) {
    let Some(socket) = state.upgrade().and_then(|state| {
        let state = state.lock().unwrap_or_else(PoisonError::into_inner);
        state.socket.try_clone().ok()
    }) else {
        return;
    };
    let patience = Timespec::try_from(Duration::from_millis(100)).expect("a short time fits");
    loop {
        let _said = poll(&mut [PollFd::new(&socket, PollFlags::IN)], Some(&patience));
        let Some(state) = state.upgrade() else {
            return;
        };
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        state.listen();
    }
}

impl State {
    /// Acts on every message that waits.
    fn listen(&mut self) {
        while let Some((message, descriptors)) = receive(&self.socket) {
            self.hear(&message, descriptors);
        }
    }

    /// Descriptors that come with a message which does not want them stored are
    /// closed, which is what `BARRIER=1` waits for.
    fn hear(&mut self, message: &str, descriptors: Vec<OwnedFd>) {
        let value = |key: &str| {
            message
                .lines()
                .find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
        };
        let name = value("FDNAME");
        if value("READY") == Some("1") {
            self.ready = true;
        }
        if value("FDSTOREREMOVE") == Some("1") {
            self.kept.retain(|kept| Some(kept.name.as_str()) != name);
        } else if value("FDSTORE") == Some("1") {
            for descriptor in descriptors {
                self.keep(name.unwrap_or("stored"), descriptor);
            }
        }
    }

    /// What is kept already, by whatever name, is not kept twice.
    fn keep(&mut self, name: &str, descriptor: OwnedFd) {
        let identity = identity(&descriptor);
        if self
            .kept
            .iter()
            .all(|kept| self::identity(&kept.descriptor) != identity)
        {
            self.kept.push(Kept {
                name: name.to_owned(),
                descriptor,
            });
        }
    }
}

/// The file behind a descriptor.
fn identity(descriptor: &OwnedFd) -> (u64, u64) {
    let stat = rustix::fs::fstat(descriptor).expect("an open file can be asked");
    (stat.st_dev, stat.st_ino)
}

/// A message and its descriptors, if one waits.
fn receive(socket: impl AsFd) -> Option<(String, Vec<OwnedFd>)> {
    let mut bytes = [0; 4096];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let received = recvmsg(
        socket,
        &mut [IoSliceMut::new(&mut bytes)],
        &mut ancillary,
        RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC,
    )
    .ok()?;
    let cut = ReturnFlags::TRUNC | ReturnFlags::CTRUNC;
    assert!(
        !received.flags.intersects(cut),
        "a service's message is too long"
    );
    let mut descriptors = Vec::new();
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            descriptors.extend(rights);
        }
    }
    let message = String::from_utf8_lossy(&bytes[..received.bytes]).into_owned();
    Some((message, descriptors))
}

#[cfg(test)]
mod tests {
    use std::{
        fs::File,
        io::{IoSlice, Seek as _, Write as _},
    };

    use rustix::{
        fs::MemfdFlags,
        net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg},
    };

    use super::*;
    use crate::{keeper::HOLD, process::quietly, stands};

    /// Says this as a service would, with a descriptor.
    fn say(manager: &ServiceManager, server: &Keeper, message: &str, descriptor: impl AsFd) {
        let inside = manager.state().inside.clone();
        let socket = UnixDatagram::unbound().expect("a socket");
        socket.connect(server.path(inside)).expect("a manager");
        let descriptors = [descriptor.as_fd()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        ancillary.push(SendAncillaryMessage::ScmRights(&descriptors));
        let bytes = [IoSlice::new(message.as_bytes())];
        sendmsg(&socket, &bytes, &mut ancillary, SendFlags::empty()).expect("it is taken");
    }

    fn file_of(content: &str) -> File {
        let memory = rustix::fs::memfd_create("kept", MemfdFlags::CLOEXEC).expect("memory");
        let mut file = File::from(memory);
        file.write_all(content.as_bytes()).expect("room");
        file.rewind().expect("a place");
        file
    }

    #[test]
    fn what_one_service_leaves_the_next_one_gets() {
        if !stands("manager::what_one_service_leaves_the_next_one_gets") {
            return;
        }
        let server = Keeper::start(&format!(
            "mount -t proc proc /proc; mount -t tmpfs run /run; {HOLD}"
        ));
        let manager = ServiceManager::new(&server);
        say(&manager, &server, "FDSTORE=1\nFDNAME=gone", file_of("gone"));
        let first = file_of("first");
        say(&manager, &server, "FDSTORE=1\nFDNAME=one", &first);
        say(&manager, &server, "FDSTORE=1\nFDNAME=again", &first);
        say(
            &manager,
            &server,
            "FDSTORE=1\nFDNAME=two\nFDPOLL=0",
            file_of("second"),
        );
        say(
            &manager,
            &server,
            "FDSTOREREMOVE=1\nFDNAME=gone",
            file_of(""),
        );
        assert_eq!(manager.kept(), ["one", "two"]);
        for _ in 0..2 {
            let [program, rest @ ..] = service_words();
            let mut command = server.command(program);
            command.args(rest).args(["bash", "-c"]);
            command.arg(
                "[ $LISTEN_PID = $$ ] && echo $LISTEN_FDS $LISTEN_FDNAMES && \
                 cat /proc/self/fd/3 /proc/self/fd/4 && ! [ -e /proc/self/fd/5 ]",
            );
            manager.equip(&mut command);
            let output = quietly(&mut command).output().expect("bash can be started");
            let said = String::from_utf8_lossy(&output.stdout);
            assert_eq!(said, "2 two:one\nsecondfirst", "{output:?}");
            assert!(output.status.success(), "{output:?}");
        }
    }
}
