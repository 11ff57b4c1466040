//! A connection on which nothing is on its way, and on which nobody is about to
//! say anything.
//!
//! What reaches a client that has gone is met with a reset, and after one no
//! figure of the kernel's says whether a FIN was among what came. So where
//! figures have to agree to the byte, a visit is closed when all is said. How long
//! that takes is the machine's matter: on a busy one ssh may work at its keys for
//! longer than any pause, and who is interrupted there has not even logged in.

use std::{collections::BTreeSet, fs, net::IpAddr, path::Path, time::Duration};

use crate::{client::OpenVisit, machine::Machine, wait_for};

/// What has been silent for so long waits for nothing but its user.
const SILENCE: u64 = 700;

/// A connection as the server's kernel shows it.
#[derive(Debug, PartialEq, Eq)]
struct Look {
    /// Nothing has been said for a while, and all that was said has arrived.
    is_silent: bool,
    /// The processes that hold it.
    holders: BTreeSet<u32>,
}

impl Machine {
    /// Waits until a visit that goes on is logged in and still. Whose a connection
    /// is can be told by its processes for every user but root.
    ///
    /// # Panics
    /// When that takes too long.
    pub fn wait_until_still(&self, open: &OpenVisit) {
        let what = format!("{} to be still", open.visit.what);
        wait_for(&what, Duration::from_secs(30), || {
            let look = self.look_at(open)?;
            let is_still = self.is_logged_in(open, &look) && self.all_sleep(open, &look);
            // Who sleeps wakes nobody: what was silent until after that stays so.
            (is_still && self.look_at(open)? == look && look.is_silent).then_some(())
        });
    }

    /// `None` while there is no such connection.
    fn look_at(&self, open: &OpenVisit) -> Option<Look> {
        let client = match open.visit.address {
            IpAddr::V4(address) => address.to_string(),
            IpAddr::V6(address) => format!("[{address}]"),
        };
        let seen = self
            .server()
            .run("ss", &["-Htnpi", "state", "established", "dst", &client]);
        (!seen.trim().is_empty()).then(|| Look::read(&seen))
    }

    fn is_logged_in(&self, open: &OpenVisit, look: &Look) -> bool {
        let user = open.visit.user.as_deref();
        let users = self.client().users();
        let uid = users.iter().find(|it| Some(it.name.as_str()) == user);
        let is_theirs = |status: &String| {
            let uids = status.lines().find_map(|line| line.strip_prefix("Uid:"));
            let uids = uids.unwrap_or_default().split_whitespace();
            uids.map(str::parse)
                .all(|it| it.ok() == uid.map(|it| it.uid))
        };
        let statuses = look.holders.iter().filter_map(|it| self.status_of(*it));
        statuses.into_iter().any(|status| is_theirs(&status))
    }

    fn all_sleep(&self, open: &OpenVisit, look: &Look) -> bool {
        let ssh = fs::read_to_string(format!("/proc/{}/status", open.id())).ok();
        let sshd = look.holders.iter().map(|it| self.status_of(*it));
        sshd.chain([ssh])
            .all(|status| status.is_some_and(|it| it.contains("\nState:\tS")))
    }

    fn status_of(&self, inside: u32) -> Option<String> {
        let path = Path::new("/proc").join(inside.to_string()).join("status");
        fs::read_to_string(self.server().path(path)).ok()
    }
}

impl Look {
    /// Reads what `ss -Htnpi` says of one connection of a given state: first come
    /// the bytes that nobody has read, and those that have not arrived.
    fn read(seen: &str) -> Self {
        let words: Vec<&str> = seen.split_whitespace().collect();
        let is_long = |name: &str| {
            let since = words.iter().find_map(|word| word.strip_prefix(name));
            since.and_then(|it| it.parse().ok()) >= Some(SILENCE)
        };
        let has_arrived = words.starts_with(&["0", "0"]);
        let holders = seen.split("pid=").skip(1).filter_map(|rest| {
            let digits = rest.split(|it: char| !it.is_ascii_digit()).next();
            digits?.parse().ok()
        });
        Self {
            is_silent: has_arrived
                && ["lastsnd:", "lastrcv:", "lastack:"]
                    .iter()
                    .all(|it| is_long(it)),
            holders: holders.collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_or_has_just_come_is_not_silent() {
        let look = |queues: &str, heard: &str| {
            Look::read(&format!(
                "{queues} 10.77.0.1:22 10.78.0.11:58881 \
                 users:((\"sshd\",pid=206,fd=4),(\"sshd\",pid=212,fd=4))\n\
                 \t cubic wscale:1,1 bytes_sent:3329 lastsnd:900 {heard} lastack:860 rtt:1/2"
            ))
        };
        let still = look("0 0", "lastrcv:700");
        assert!(still.is_silent);
        assert_eq!(still.holders, BTreeSet::from([206, 212]));
        assert!(!look("0 148", "lastrcv:700").is_silent);
        assert!(!look("60 0", "lastrcv:700").is_silent);
        assert!(!look("0 0", "lastrcv:699").is_silent);
        assert!(!look("0 0", "").is_silent, "ss says nothing of no time");
    }
}
