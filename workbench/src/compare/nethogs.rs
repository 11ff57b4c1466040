//! nethogs in trace mode, added up by user as panels do: sshd writes the user into
//! its process's name, and every other process has the user that owns it.
//!
//! It names a connection when it first sees it, and never again. Left running it
//! meets every connection before its login, when sshd has no name in its title yet;
//! so panels run it in rounds, and it is run here in both ways.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Result, ensure};
use system_tests::{Machine, wait_for};

use super::{USERS, told::Told};

/// What it is called in the table, its words, and how it is run on the server's
/// interface: bytes so far, of both ways.
const WAYS: [(&str, &str, &str); 2] = [
    (
        "nethogs, left running",
        "/run/nethogs.steady",
        "exec stdbuf -oL nethogs -t -v 2 -d 1 eth0",
    ),
    (
        "nethogs, rounds of 30 s",
        "/run/nethogs.rounds",
        "while echo round; do stdbuf -oL nethogs -t -v 2 -d 5 -c 6 eth0; done",
    ),
];

/// Starts both.
pub(super) fn start(machine: &mut Machine) {
    for (name, words, command) in WAYS {
        let script = format!("exec >{words}; {command}");
        machine.start_service(name, "/bin/sh", &["-c", &script]);
        wait_for(name, Duration::from_secs(20), || {
            let output = machine.server().output("cat", &[words]);
            let output = String::from_utf8_lossy(&output.stdout).into_owned();
            output.contains("Adding local address").then_some(())
        });
    }
}

/// Ends both, and gives what they said.
pub(super) fn told(machine: &mut Machine) -> Result<[Told; 2]> {
    let [steady, rounds] = WAYS.map(|(name, words, _)| {
        machine.stop_service(name);
        let output = machine.server().run("cat", &[words]);
        ensure!(output.contains('\t'), "nethogs saw nothing:\n{output}");
        Ok(Told::by_user(name, by_user(&output)))
    });
    Ok([steady?, rounds?])
}

/// Sums of the last figures of each process, by user.
fn by_user(output: &str) -> BTreeMap<String, u64> {
    let mut users: BTreeMap<String, u64> = BTreeMap::new();
    for round in output.split("round\n") {
        // What it knows of a process begins anew when it has forgotten it.
        let mut last: BTreeMap<&str, u64> = BTreeMap::new();
        for (process, bytes) in round.lines().filter_map(figures) {
            let before = last.insert(process, bytes).unwrap_or_default();
            let new = bytes.checked_sub(before).unwrap_or(bytes);
            *users.entry(user(process)).or_default() += new;
        }
    }
    users
}

/// A process, which is `NAME/PID/UID`, and its bytes, from a line
/// `NAME/PID/UID\tSENT\tRECEIVED`.
fn figures(line: &str) -> Option<(&str, u64)> {
    let mut columns = line.rsplitn(3, '\t');
    let received: f64 = columns.next()?.parse().ok()?;
    let sent: f64 = columns.next()?.parse().ok()?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a count of bytes, printed as a floating-point number"
    )]
    let bytes = (sent + received) as u64;
    Some((columns.next()?, bytes))
}

/// `sshd: alice [priv]/1234/0` is alice's.
fn user(process: &str) -> String {
    let titled = process
        .split_once("sshd: ")
        .and_then(|(_, rest)| rest.split(['@', ' ', '/', '[']).next());
    let user = titled.filter(|user| USERS.contains(user));
    user.unwrap_or("nobody that it names").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_figures_are_added_up_by_user() {
        let output = "Adding local address: 10.77.0.1\nRefreshing:\n\
            sshd: alice [priv]/12/0\t100\t50\nunknown TCP/0/0\t7\t0\n\nRefreshing:\n\
            sshd: alice [priv]/12/0\t1000\t50\nsshd: alice@notty/13/2001\t1\t0\n\nRefreshing:\n\
            sshd: alice [priv]/12/0\t30\t0\nround\n\
            sshd: alice [priv]/12/0\t40\t0\nsshd: [accepted]/14/0\t5\t5\n";
        let users = by_user(output);
        assert_eq!(users["alice"], 1_050 + 1 + 30 + 40);
        assert_eq!(users["nobody that it names"], 17);
        assert_eq!(users.len(), 2);
    }
}
