//! iptables by hand: a rule for each user's packets, by the owner of their socket.

use std::collections::BTreeMap;

use system_tests::Machine;

use super::{USERS, told::Told};

/// Puts the rules.
pub(super) fn start(machine: &Machine) {
    let mut script = "iptables -N owners; iptables -A OUTPUT -j owners\n".to_owned();
    for user in USERS {
        let rule = format!("-m owner --uid-owner {user} -m comment --comment user:{user}");
        script.push_str(&format!("iptables -A owners {rule}\n"));
    }
    machine.server().shell(&script);
}

/// What they have counted.
pub(super) fn told(machine: &Machine) -> Told {
    let listing = machine.server().run("iptables-save", &["-c"]);
    let users = USERS.map(|user| (user.to_owned(), bytes_of(user, &listing)));
    Told::by_user("iptables, a rule a user", BTreeMap::from(users))
}

/// The bytes of a user's rule, `[PACKETS:BYTES] -A owners … --comment "user:USER"`.
fn bytes_of(user: &str, listing: &str) -> u64 {
    let comment = format!("user:{user}");
    let of_user = |line: &&str| {
        let words = line.split([' ', '"']);
        line.contains("-A owners ") && words.into_iter().any(|word| word == comment)
    };
    let lines = listing.lines().filter(of_user);
    lines
        .filter_map(|line| line.split([':', ']']).nth(1)?.parse::<u64>().ok())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_has_the_bytes_of_his_own_rule() {
        let listing = "[9:90] -A OUTPUT -j owners\n\
            [3:180] -A owners -m owner --uid-owner 2001 -m comment --comment \"user:al\"\n\
            [4:250] -A owners -m owner --uid-owner 2002 -m comment --comment user:alice\n";
        assert_eq!(bytes_of("alice", listing), 250);
        assert_eq!(bytes_of("al", listing), 180);
        assert_eq!(bytes_of("bob", listing), 0);
    }
}
