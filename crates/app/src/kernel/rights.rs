//! Which of the kernel's rights sshmeter has, and what is lost without the rest.
//!
//! Counting itself needs none. Seeing which sockets sshd's processes hold needs
//! two at once: /proc/PID/fd of another user opens only to CAP_DAC_READ_SEARCH,
//! and its links are read only with CAP_SYS_PTRACE (proc(5), ptrace(2)).

use rustix::thread::{CapabilitySet, capabilities};

/// How all of them are given to a daemon that is not root.
pub const HINT: &str = "run as root, or in sshmeter's systemd unit: \
    AmbientCapabilities=CAP_SYS_PTRACE CAP_DAC_READ_SEARCH CAP_NET_ADMIN";

/// What is missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Missing {
    /// CAP_SYS_PTRACE.
    pub ptrace: bool,
    /// CAP_DAC_READ_SEARCH.
    pub read: bool,
    /// CAP_NET_ADMIN.
    pub network: bool,
}

impl Missing {
    /// What this process lacks now. Where the kernel does not say, all.
    #[must_use]
    pub fn here() -> Self {
        let held = capabilities(None).map_or(CapabilitySet::empty(), |sets| sets.effective);
        Self {
            ptrace: !held.contains(CapabilitySet::SYS_PTRACE),
            read: !held.contains(CapabilitySet::DAC_READ_SEARCH),
            network: !held.contains(CapabilitySet::NET_ADMIN),
        }
    }

    /// The rights and what is lost without them, for people; nothing where
    /// none is missing.
    #[must_use]
    pub fn words(self) -> Option<String> {
        let sight = match (self.ptrace, self.read) {
            (true, true) => Some("CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH"),
            (true, false) => Some("CAP_SYS_PTRACE"),
            (false, true) => Some("CAP_DAC_READ_SEARCH"),
            (false, false) => None,
        };
        let sight = sight.map(|rights| {
            format!("without {rights} sshd's ports cannot be seen, and names rest on the log alone")
        });
        let queue = self.network.then(|| {
            "without CAP_NET_ADMIN the kernel's queue of ended connections is small".to_owned()
        });
        match (sight, queue) {
            (Some(sight), Some(queue)) => Some(format!("{sight}; {queue}")),
            (one, other) => one.or(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named_with_its_price() {
        assert_eq!(Missing::default().words(), None);
        let all = Missing {
            ptrace: true,
            read: true,
            network: true,
        };
        assert_eq!(
            all.words().unwrap(),
            "without CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH sshd's ports cannot be seen, and names \
             rest on the log alone; without CAP_NET_ADMIN the kernel's queue of ended connections \
             is small"
        );
        let only_network = Missing {
            network: true,
            ..Missing::default()
        };
        assert!(
            only_network
                .words()
                .unwrap()
                .starts_with("without CAP_NET_ADMIN")
        );
    }
}
