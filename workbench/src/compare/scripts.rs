//! The way of the older scripts: two counting rules for each session, put when
//! sshd's log says that it was accepted and deleted when it says that it is over,
//! and read once a minute.
//!
//! As their authors meant it: iptables' listing is read in the form that it has
//! today, and nothing is restarted, so that no fault of a program is measured.

use std::{collections::BTreeMap, time::Duration};

use system_tests::{Machine, wait_for};

use super::told::Told;

/// Where each minute's listing goes, with a line `polled` behind it.
const POLLS: &str = "/run/useraccount.polls";

/// What reads the log and puts the rules.
const FOLLOW: &str = r#"
iptables -N useraccount
iptables -I INPUT -p tcp -j useraccount
iptables -I OUTPUT -p tcp -j useraccount
touch /run/useraccount.follows
journalctl --follow --lines=0 --output=short --identifier=sshd | while read -r line; do
    accepted='sshd\[([0-9]+)\]: Accepted [a-z]+ for ([^ ]+) from ([0-9.]+) port ([0-9]+)'
    closed='sshd\[([0-9]+)\]: pam_unix\(sshd:session\): session closed'
    if [[ $line =~ $accepted ]]; then
        pid=${BASH_REMATCH[1]} user=${BASH_REMATCH[2]}
        rules[pid]="${BASH_REMATCH[3]} ${BASH_REMATCH[4]} pid:$pid user:$user"
        change=-I
    elif [[ $line =~ $closed ]] && [[ ${rules[BASH_REMATCH[1]]} ]]; then
        pid=${BASH_REMATCH[1]} change=-D
    else
        continue
    fi
    read -r ip port comment <<<"${rules[pid]}"
    iptables $change useraccount -s $ip -p tcp --sport $port -m comment --comment "$comment"
    iptables $change useraccount -d $ip -p tcp --dport $port -m comment --comment "$comment"
done
"#;

/// What reads the counters in the first seconds of each minute.
const POLL: &str = "while true; do
    sleep $((61 - $(date +%-S)))
    iptables-save -c -t filter
    echo polled
done";

/// Starts both.
pub(super) fn start(machine: &mut Machine) {
    machine.start_service("useraccount", "/bin/bash", &["-c", FOLLOW]);
    let poll = format!("exec >{POLLS}; {POLL}");
    machine.start_service("useraccount-poll", "/bin/bash", &["-c", &poll]);
    wait_for("the scripts' chain", Duration::from_secs(10), || {
        let there = ["-e", "/run/useraccount.follows"];
        let found = machine.server().output("test", &there);
        found.status.success().then_some(())
    });
}

/// Waits for the next minute's reading, and gives what all have come to.
pub(super) fn told(machine: &Machine) -> Told {
    let polls = || machine.server().run("cat", &[POLLS]);
    let before = polls().matches("polled\n").count();
    wait_for("the scripts' last reading", Duration::from_secs(90), || {
        (polls().matches("polled\n").count() > before).then_some(())
    });
    Told::by_user("the older scripts' way", by_user(&polls()))
}

/// Increments from reading to reading, by user.
fn by_user(polls: &str) -> BTreeMap<String, u64> {
    let mut users: BTreeMap<String, u64> = BTreeMap::new();
    let mut before: BTreeMap<Rule, u64> = BTreeMap::new();
    for listing in polls.split_terminator("polled\n") {
        let now: BTreeMap<Rule, u64> = listing.lines().filter_map(rule).collect();
        for (rule, bytes) in &now {
            let last = before.get(rule).copied().unwrap_or_default();
            *users.entry(rule.user.clone()).or_default() += bytes.saturating_sub(last);
        }
        before = now;
    }
    users
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Rule {
    pid: u32,
    user: String,
    inwards: bool,
}

/// A rule and its bytes, from
/// `[PACKETS:BYTES] -A useraccount … --comment "pid:PID user:USER"`.
fn rule(line: &str) -> Option<(Rule, u64)> {
    let bytes = line.split([':', ']']).nth(1)?.parse().ok()?;
    let (_, comment) = line.split_once("pid:")?;
    let (pid, user) = comment.trim_end_matches('"').split_once(" user:")?;
    let rule = Rule {
        pid: pid.parse().ok()?,
        user: user.to_owned(),
        inwards: line.contains("--sport"),
    };
    Some((rule, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_between_two_readings_is_added_up() {
        let line = |bytes: u64, end: &str, pid: u32, user: &str| {
            format!(
                "[1:{bytes}] -A useraccount -d 10.78.0.1/32 -p tcp -m tcp {end} 7 \
                 -m comment --comment \"pid:{pid} user:{user}\"\n"
            )
        };
        let polls = [
            "*filter\n[9:99] -A INPUT -p tcp -j useraccount\n".to_owned(),
            line(100, "--dport", 1, "a"),
            line(10, "--sport", 1, "a"),
            "polled\n".to_owned(),
            line(150, "--dport", 1, "a"),
            line(10, "--sport", 1, "a"),
            line(7, "--dport", 2, "b"),
            "polled\n".to_owned(),
            line(3, "--dport", 2, "b"),
        ];
        let users = by_user(&polls.concat());
        assert_eq!((users["a"], users["b"], users.len()), (160, 7, 2));
    }
}
