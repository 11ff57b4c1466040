//! Lines of real logs, read one by one: sshd's from a capture that the parser is tested
//! on, other programs' as Debian's write them.

use std::hint::black_box;

use jiff::tz::TimeZone;
use sshmeter_core::sshd::{Clock, Parsed, What, parse_line};

use crate::{COUNT, Kinds, Work, begin};

const CAPTURE: &[u8] = include_bytes!("../../core/tests/corpus/openssh-9.2-info/auth.iso8601.log");

/// Most have nothing of sshd's in them; some have its name, and are looked at.
const OTHERS: [&[u8]; 8] = [
    b"2026-11-22T17:35:01.204118+00:00 lab CRON[4172]: (root) CMD (command -v debian-sa1 > /dev/null && debian-sa1 1 1)",
    b"2026-11-22T17:35:01.209934+00:00 lab CRON[4172]: pam_unix(cron:session): session closed for user root",
    b"2026-11-22T17:35:07.913502+00:00 lab sudo:    alice : TTY=pts/0 ; PWD=/home/alice ; USER=root ; COMMAND=/usr/sbin/sshd -t",
    b"2026-11-22T17:35:09.118273+00:00 lab systemd[1]: Started session-42.scope - Session 42 of User alice.",
    b"2026-11-22T17:35:11.650291+00:00 lab kernel: [UFW BLOCK] IN=eth0 OUT= SRC=192.0.2.66 DST=192.0.2.1 LEN=40 PROTO=TCP SPT=51312 DPT=23 WINDOW=1024 SYN URGP=0",
    b"2026-11-22T17:35:14.377105+00:00 lab systemd-logind[612]: New session 43 of user bob.",
    b"2026-11-22T17:35:20.004417+00:00 lab postfix/smtpd[4210]: disconnect from unknown[192.0.2.77] ehlo=1 auth=0/1 quit=1 commands=2/3",
    b"2026-11-22T17:35:22.730866+00:00 lab fail2ban.filter[733]: INFO [sshd] Found 192.0.2.66 - 2026-11-22 17:35:22",
];

/// Lines to be read.
#[derive(Debug)]
pub struct Lines {
    lines: Vec<&'static [u8]>,
    clock: Clock,
    /// Whether what they mean is what they should.
    is_right: fn(Meanings) -> bool,
    read: Meanings,
}

/// What lines turned out to be.
#[derive(Clone, Copy, Debug, Default)]
struct Meanings {
    events: usize,
    not_sshd: usize,
}

/// The kinds of lines.
pub const KINDS: Kinds<Lines, 5> = [
    ("accepted", Lines::accepted),
    ("closed", Lines::closed),
    ("disconnected", Lines::disconnected),
    ("of_others", Lines::of_others),
    ("mixed", Lines::mixed),
];

impl Lines {
    /// Logins.
    #[must_use]
    pub fn accepted() -> Self {
        Self::of_sshd(|what| matches!(what, What::Accepted { .. }))
    }

    /// Sessions' ends, by PAM.
    #[must_use]
    pub fn closed() -> Self {
        Self::of_sshd(|what| matches!(what, What::Closed { .. }))
    }

    /// Connections' ends.
    #[must_use]
    pub fn disconnected() -> Self {
        Self::of_sshd(|what| matches!(what, What::Disconnected { .. }))
    }

    /// Nothing of sshd's.
    #[must_use]
    pub fn of_others() -> Self {
        Self::repeated(OTHERS.to_vec(), |read| read.not_sshd == usize::from(COUNT))
    }

    /// All of sshd's, and one of another's behind each.
    #[must_use]
    pub fn mixed() -> Self {
        let others = OTHERS.iter().copied().cycle();
        let pairs = capture().zip(others).map(|(sshd, other)| [sshd, other]);
        Self::repeated(pairs.flatten().collect(), |read| {
            read.not_sshd == usize::from(COUNT / 2) && read.events > usize::from(COUNT / 4)
        })
    }

    fn of_sshd(is_wanted: impl Fn(&What) -> bool) -> Self {
        let clock = clock();
        let lines = capture().filter(|line| match parse_line(line, &clock) {
            Parsed::Event(event) => is_wanted(&event.what),
            _ => false,
        });
        Self::repeated(lines.collect(), |read| read.events == usize::from(COUNT))
    }

    fn repeated(lines: Vec<&'static [u8]>, is_right: fn(Meanings) -> bool) -> Self {
        Self {
            lines: lines.into_iter().cycle().take(COUNT.into()).collect(),
            clock: clock(),
            is_right,
            read: Meanings::default(),
        }
    }
}

impl Work for Lines {
    fn count(&self) -> u64 {
        COUNT.into()
    }

    fn prepare(&mut self) {
        self.read = Meanings::default();
    }

    fn run(&mut self) {
        for line in &self.lines {
            match black_box(parse_line(black_box(line), &self.clock)) {
                Parsed::Event(_) => self.read.events += 1,
                Parsed::NotSshd => self.read.not_sshd += 1,
                _ => {}
            }
        }
    }

    fn check(self) {
        assert!((self.is_right)(self.read), "{:?}", self.read);
    }
}

fn capture() -> impl Iterator<Item = &'static [u8]> {
    let lines = CAPTURE.split(|byte| *byte == b'\n');
    lines.filter(|line| !line.is_empty())
}

/// The capture is of this day.
fn clock() -> Clock {
    Clock::new(
        begin() + jiff::SignedDuration::from_hours(12),
        TimeZone::UTC,
    )
}
