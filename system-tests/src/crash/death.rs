//! The ways in which a daemon ends here.
//!
//! Some are a matter of time, some of place: `strace` kills the unchanged
//! program as it enters a system call for the so-many-th time, which is how it
//! dies between reading, noting, committing and acknowledging without a hook in
//! it. The call itself is not done any more.

use std::time::Duration;

use super::chance::Chance;
use crate::machine::Log;

/// How one daemon ends.
#[derive(Clone, Debug)]
pub(crate) enum Death {
    /// SIGKILL so long after its start, ready or not.
    Early(Duration),
    /// SIGKILL so long after it was ready.
    Counting(Duration),
    /// SIGKILL as it enters a call of its start.
    Starting(Call),
    /// SIGKILL as it enters a call, counted from when it was ready.
    At(Call),
    /// SIGTERM, and SIGKILL as it enters a call on its way out.
    Stopping(Call),
    /// SIGTERM, which has to end well.
    Terminated(Duration),
    /// SIGABRT, as after a failed assertion of a library.
    Aborted(Duration),
    /// SIGTERM and at once SIGKILL.
    Hurried(Duration),
    /// SIGKILL to its children alone; itself only when it has had time to get
    /// over that.
    Bereft(Duration),
    /// SIGSTOP, SIGCONT so long after, then SIGKILL.
    Frozen(Duration),
    /// SIGKILL, and the next daemon is of another file.
    Replaced(Duration),
}

/// A system call of the daemon's.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    /// Its name, or several with commas: whichever comes first.
    name: &'static str,
    /// Only calls on this file count.
    on: Option<&'static str>,
    /// The call of that name, on each thread, that is not survived.
    number: u64,
}

/// Calls, what they are on, and how many of them a start is sure to make.
const STARTING: &[Place] = &[
    ("recvfrom", None, 16),
    ("sendto", None, 8),
    ("pwrite64", Some(WRITE_AHEAD), 12),
    ("fsync,fdatasync", Some(WRITE_AHEAD), 1),
    ("fcntl", Some(INDEX), 8),
    ("openat", None, 90),
    ("read", None, 120),
    ("readlink", None, 20),
    ("mmap", None, 16),
    ("socket", None, 4),
    ("setsockopt", None, 3),
    ("clone3", None, 1),
    ("write", None, 1),
];

/// The same for a daemon that counts, while people work, in some seconds:
/// between reading, committing and acknowledging.
const COUNTING: &[Place] = &[
    // An end is looked at, its stand-in asked for, the end noted and let go.
    ("recvfrom", None, 12),
    ("sendto", None, 4),
    ("pwrite64", Some(NOTES), 3),
    // The commit: its locks, pages of the write-ahead log, the disk's word.
    ("fcntl", Some(INDEX), 8),
    ("pwrite64", Some(WRITE_AHEAD), 40),
    ("fsync,fdatasync", Some(WRITE_AHEAD), 2),
    // The notes of what was committed are cleared.
    ("ftruncate", Some(NOTES), 1),
    // The ledger's thread tells the loop.
    ("write", None, 8),
    ("futex", None, 2),
    ("epoll_wait", None, 20),
    // Whose connection a line speaks of.
    ("read", None, 20),
];

/// Calls that only a daemon makes which follows a log file: of a journal's it
/// is journalctl that reads, a child of the daemon's.
const COUNTING_WITH_A_FILE: &[Place] = &[
    ("pread64", Some("/var/log/auth.log"), 20),
    ("statx", Some("/var/log/auth.log"), 20),
];

/// Calls of a daemon that has been told to stop.
const STOPPING: &[Place] = &[
    ("recvfrom", None, 4),
    ("pwrite64", Some(WRITE_AHEAD), 6),
    ("pwrite64", Some(LEDGER), 6),
    ("fsync,fdatasync", Some(LEDGER), 1),
    ("unlink", Some(WRITE_AHEAD), 1),
];

/// A call, what it is on, and up to which number it may be the last.
type Place = (&'static str, Option<&'static str>, u64);

const NOTES: &str = "/memfd:sshmeter-end-notes";
const LEDGER: &str = "/var/lib/sshmeter/ledger.db";
const WRITE_AHEAD: &str = "/var/lib/sshmeter/ledger.db-wal";
const INDEX: &str = "/var/lib/sshmeter/ledger.db-shm";

impl Death {
    /// SIGKILL at any moment, also before the daemon is ready.
    pub(crate) fn at_random(chance: &mut Chance) -> Self {
        if chance.percent(30) {
            return Self::Early(chance.millis(0..500));
        }
        // Commits come a second after news: some lives are long enough.
        let longest = *chance.one(&[1500, 1500, 1500, 3500]);
        Self::Counting(chance.millis(0..longest))
    }

    /// Every chosen way once, the calls at numbers of chance.
    pub(crate) fn chosen(log: Log, freeze: Duration, chance: &mut Chance) -> Vec<Self> {
        let with_a_file = log != Log::Journald;
        let counting = [
            COUNTING,
            if with_a_file {
                COUNTING_WITH_A_FILE
            } else {
                &[]
            },
        ];
        let mut deaths = Vec::new();
        let mut at = |places: &[Place], death: fn(Call) -> Self| {
            for &(name, on, most) in places {
                let number = chance.number(1..most + 1);
                deaths.push(death(Call { name, on, number }));
            }
        };
        at(STARTING, Self::Starting);
        at(&counting.concat(), Self::At);
        at(STOPPING, Self::Stopping);
        let soon = chance.millis(0..1500);
        deaths.extend([
            Self::Terminated(soon),
            Self::Aborted(soon),
            Self::Hurried(soon),
            Self::Frozen(freeze),
            Self::Replaced(soon),
        ]);
        if !with_a_file {
            deaths.push(Self::Bereft(Duration::from_secs(7)));
        }
        deaths
    }

    /// In few words, without the numbers.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Early(_) => "SIGKILL while starting".to_owned(),
            Self::Counting(_) => "SIGKILL while counting".to_owned(),
            Self::Starting(call) => format!("SIGKILL at the start's {}", call.place()),
            Self::At(call) => format!("SIGKILL at {}", call.place()),
            Self::Stopping(call) => format!("SIGTERM, SIGKILL at {}", call.place()),
            Self::Terminated(_) => "SIGTERM".to_owned(),
            Self::Aborted(_) => "SIGABRT".to_owned(),
            Self::Hurried(_) => "SIGTERM and SIGKILL".to_owned(),
            Self::Bereft(_) => "SIGKILL of its children".to_owned(),
            Self::Frozen(_) => "SIGSTOP, SIGCONT, SIGKILL".to_owned(),
            Self::Replaced(_) => "SIGKILL and another build".to_owned(),
        }
    }
}

impl Call {
    fn place(&self) -> String {
        let file = self.on.and_then(|path| path.rsplit('/').next());
        let file = file.map(|file| format!(" on {file}"));
        format!("{}{}", self.name, file.unwrap_or_default())
    }

    /// The tracer's command, up to the program or process to trace.
    pub(crate) fn strace(&self) -> Vec<String> {
        let Self { name, on, number } = self;
        let mut words = vec!["strace", "-f", "-qq", "-o", "/dev/null"];
        words.extend(on.iter().flat_map(|path| ["-P", path]));
        let trace = format!("trace={name}");
        let inject = format!("inject={name}:signal=SIGKILL:when={number}");
        words.extend(["-e", &trace, "-e", &inject]);
        words.into_iter().map(str::to_owned).collect()
    }
}
