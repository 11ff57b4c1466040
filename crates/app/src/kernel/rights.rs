//! Which of the kernel's rights sshmeter has, what each is for, and what is
//! lost without it.
//!
//! Counting itself needs none. Seeing which sockets sshd's processes hold needs
//! two at once: /proc/PID/fd of another user opens only to CAP_DAC_READ_SEARCH,
//! and its links are read only with CAP_SYS_PTRACE (proc(5), ptrace(2)). The
//! third is used once. The daemon keeps no right that it is done with, and
//! hands none to the programs it starts.

use rustix::{
    process::Pid,
    thread::{
        CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set,
        configure_capability_in_ambient_set, set_capabilities,
    },
};

use crate::config::MeterKind;

/// How all of them are given to a daemon that is not root.
pub const HINT: &str = "run as root, or in sshmeter's systemd unit: \
    AmbientCapabilities=CAP_SYS_PTRACE CAP_DAC_READ_SEARCH CAP_NET_ADMIN";

/// How a daemon that is not root may change the firewall.
pub const FIREWALL_HINT: &str = "run as root, or give sshmeter's systemd unit the rights of \
    sshmeter-firewall.conf (AmbientCapabilities=CAP_NET_ADMIN CAP_NET_RAW)";

/// One right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    /// CAP_SYS_PTRACE.
    Trace,
    /// CAP_DAC_READ_SEARCH.
    Read,
    /// CAP_NET_ADMIN, given up once the queue of ends is made.
    Queue,
    /// CAP_NET_ADMIN, kept by a meter that counts at the firewall.
    Rules,
    /// CAP_NET_RAW, which the older kind of iptables asks for.
    Raw,
}

impl Right {
    /// What a kind of meter has a use for.
    #[must_use]
    pub fn of_meter(kind: MeterKind) -> &'static [Self] {
        match kind {
            MeterKind::Sockdiag => &[Self::Trace, Self::Read, Self::Queue],
            MeterKind::Nftables => &[Self::Trace, Self::Read, Self::Rules],
            MeterKind::Iptables => &[Self::Trace, Self::Read, Self::Rules, Self::Raw],
        }
    }

    /// What the kernel calls it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Trace => "CAP_SYS_PTRACE",
            Self::Read => "CAP_DAC_READ_SEARCH",
            Self::Queue | Self::Rules => "CAP_NET_ADMIN",
            Self::Raw => "CAP_NET_RAW",
        }
    }

    /// What it is for, for people.
    #[must_use]
    pub fn purpose(self) -> &'static str {
        match self {
            Self::Trace => {
                "to see which sockets sshd's processes hold: its ports, and whose a connection is"
            }
            Self::Read => "to open the lists of those sockets, which are root's",
            Self::Queue => {
                "to enlarge the queue of ended connections, at the start; then it is given up"
            }
            Self::Rules => {
                "to put, read and remove the firewall's counter rules, and to enlarge the queue \
                 of ended connections"
            }
            Self::Raw => "for iptables-legacy, which opens a raw socket to change rules",
        }
    }

    fn capability(self) -> CapabilitySet {
        match self {
            Self::Trace => CapabilitySet::SYS_PTRACE,
            Self::Read => CapabilitySet::DAC_READ_SEARCH,
            Self::Queue | Self::Rules => CapabilitySet::NET_ADMIN,
            Self::Raw => CapabilitySet::NET_RAW,
        }
    }
}

/// The rights of a process; by default none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rights(CapabilitySet);

impl Default for Rights {
    fn default() -> Self {
        Self(CapabilitySet::empty())
    }
}

impl Rights {
    /// What this process has now. Where the kernel does not say, none.
    #[must_use]
    pub fn here() -> Self {
        capabilities(None).map_or_else(|_| Self::default(), |sets| Self(sets.effective))
    }

    /// What a daemon has, or had at its start; `None` where it is gone.
    #[must_use]
    pub fn of_daemon(pid: u32) -> Option<Self> {
        let pid = Pid::from_raw(i32::try_from(pid).ok()?)?;
        let sets = capabilities(Some(pid)).ok()?;
        Some(Self(sets.effective | (sets.inheritable & USED_ONCE)))
    }

    /// Whether this right is among them.
    #[must_use]
    pub fn has(self, right: Right) -> bool {
        self.0.contains(right.capability())
    }

    /// The rights that are missing and what is lost without them, for people;
    /// nothing where none is missing.
    #[must_use]
    pub fn loss(self) -> Option<String> {
        let sight = match (self.has(Right::Trace), self.has(Right::Read)) {
            (false, false) => Some("CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH"),
            (false, true) => Some("CAP_SYS_PTRACE"),
            (true, false) => Some("CAP_DAC_READ_SEARCH"),
            (true, true) => None,
        };
        let sight = sight.map(|rights| {
            format!("without {rights} sshd's ports cannot be seen, and names rest on the log alone")
        });
        let queue = (!self.has(Right::Queue)).then(|| {
            "without CAP_NET_ADMIN the kernel's queue of ended connections is small".to_owned()
        });
        match (sight, queue) {
            (Some(sight), Some(queue)) => Some(format!("{sight}; {queue}")),
            (one, other) => one.or(other),
        }
    }
}

const USED_ONCE: CapabilitySet = CapabilitySet::NET_ADMIN;

/// From now on programs that this thread starts get no right that a service
/// manager gave to us; root's own programs keep root's.
pub fn keep_from_children() {
    // A kernel without ambient capabilities (before 4.3) has none to keep.
    let _unknown = clear_ambient_capability_set();
}

/// Starts a program of the firewall's with the rights that it needs, where this
/// thread has them; others that it starts get none of them.
pub fn lend_for_network<T>(start: impl FnOnce() -> T) -> T {
    const LENT: [CapabilitySet; 2] = [CapabilitySet::NET_ADMIN, CapabilitySet::NET_RAW];
    if let Ok(mut held) = capabilities(None) {
        let lent = held.permitted & (LENT[0] | LENT[1]);
        held.inheritable |= lent;
        let _refused = set_capabilities(None, held);
        for capability in LENT.into_iter().filter(|one| lent.contains(*one)) {
            // What is refused the program will miss, and say so.
            let _refused = configure_capability_in_ambient_set(capability, true);
        }
    }
    let started = start();
    keep_from_children();
    started
}

/// Gives up what is needed only to open the meter, for this thread and those it
/// starts from now on.
///
/// It stays inheritable, which lets nobody use it (a program whose file asks for
/// it would get it, and we start none) and lets others see that it was there.
pub fn give_up_used() {
    let Ok(held) = capabilities(None) else {
        return;
    };
    let kept = CapabilitySets {
        effective: held.effective - USED_ONCE,
        permitted: held.permitted - USED_ONCE,
        inheritable: held.inheritable | (held.permitted & USED_ONCE),
    };
    // Having less is always allowed; where it is not, nothing is worse than before.
    let _refused = set_capabilities(None, kept);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named_with_its_price() {
        assert_eq!(Rights(CapabilitySet::all()).loss(), None);
        let none = Rights::default();
        assert_eq!(
            none.loss().unwrap(),
            "without CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH sshd's ports cannot be seen, and names \
             rest on the log alone; without CAP_NET_ADMIN the kernel's queue of ended connections \
             is small"
        );
        let without_network = Rights(CapabilitySet::all() - CapabilitySet::NET_ADMIN);
        assert!(
            without_network
                .loss()
                .unwrap()
                .starts_with("without CAP_NET_ADMIN")
        );
    }

    #[test]
    fn what_is_used_up_is_gone_and_still_told() {
        // A thread's rights are its own, so this takes nothing from other tests.
        std::thread::spawn(|| {
            let before = Rights::here();
            give_up_used();
            assert!(!Rights::here().has(Right::Queue));
            let thread = rustix::thread::gettid().as_raw_nonzero().get();
            let told = Rights::of_daemon(thread.unsigned_abs()).unwrap();
            for right in Right::of_meter(MeterKind::Sockdiag) {
                let right = *right;
                assert_eq!(told.has(right), before.has(right), "{right:?}");
            }
        })
        .join()
        .unwrap();
        assert_eq!(Rights::of_daemon(u32::MAX), None);
    }
}
