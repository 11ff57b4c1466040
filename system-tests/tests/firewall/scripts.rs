//! The chain of the scripts that sshmeter comes after: left with hooks that take
//! all TCP and rules of live sessions, it is taken over.

use std::time::Duration;

use system_tests::{
    Family, Log, Machine, Meter, Tolerance, Visit, counts_with, must_agree, wait_for,
};

use crate::talk::Talk;

#[test]
fn of_iptables_is_taken_over() {
    is_taken_over("of_iptables_is_taken_over", Meter::IptablesNft);
}

#[test]
fn of_legacy_iptables_is_taken_over() {
    is_taken_over("of_legacy_iptables_is_taken_over", Meter::IptablesLegacy);
}

fn is_taken_over(name: &str, meter: Meter) {
    if !counts_with(&format!("firewall::scripts::{name}"), meter) {
        return;
    }
    let log = Log::RsyslogTraditional;
    let machine = Machine::builder().log(log).meter(meter).start();
    let capture = machine.capture();
    make_the_scripts_chain(&machine);
    let mut talks = ["alice", "bob"].map(|user| Talk::begin(&machine, user, Family::V4));
    for talk in &mut talks {
        count_by_the_scripts(&machine, talk.visit());
        talk.say(50_000, 200_000);
        talk.wait(&machine);
    }
    let daemon = machine.daemon();
    for talk in &mut talks {
        machine.wait_for_rules(talk.visit());
        talk.say(50_000, 200_000);
        talk.wait(&machine);
    }
    let visits = talks.map(Talk::end);
    must_agree(&machine, capture, daemon, &visits, Tolerance::Exact);
    let left = machine.server().shell("iptables -S useraccount");
    assert!(!left.contains("pid:"), "{left}");
}

fn make_the_scripts_chain(machine: &Machine) {
    machine.server().shell(
        "iptables -N useraccount
        iptables -I INPUT -p tcp -j useraccount
        iptables -I OUTPUT -p tcp -j useraccount",
    );
}

/// As the script does when it reads `Accepted … for USER from IP port PORT`.
fn count_by_the_scripts(machine: &Machine, visit: &Visit) {
    let user = visit.user.as_deref().expect("a user logged in");
    let address = visit.address;
    let line = wait_for("the login's line", Duration::from_secs(10), || {
        let log = machine.server().run("cat", &["/var/log/auth.log"]);
        let wanted = format!("for {user} from {address} port ");
        log.lines()
            .find(|line| line.contains(&wanted))
            .map(str::to_owned)
    });
    let between = |begin: &str, end: &str| {
        let rest = line.split(begin).nth(1).expect("a line of sshd's");
        rest.split(end).next().unwrap_or_default().to_owned()
    };
    let pid = between("sshd[", "]");
    let port = between(" port ", " ");
    machine.server().shell(&format!(
        "comment='-m comment --comment'
        iptables -I useraccount -s {address} -p tcp --sport {port} $comment 'pid:{pid} user:{user}'
        iptables -I useraccount -d {address} -p tcp --dport {port} $comment 'pid:{pid} user:{user}'"
    ));
}
