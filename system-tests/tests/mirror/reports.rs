//! `report` of the ledger and `report --ledger URL` are one report, and both say
//! what crossed the wire; while the clock goes on to other hours, days and months.

use std::{collections::BTreeMap, time::Duration};

use system_tests::{Answer, Machine, Tolerance, Visit, judge, stands_with};

use crate::{
    stage::{EVER, Mirror, ODD, Sums, configure, machine, mirrors, users, wait_until_up_to_date},
    views,
};

/// What is asked of both, of all time where it does not say.
const ASKED: [&[&str]; 18] = [
    &["--by", "user"],
    &["--by", "credential"],
    &["--by", "peer", "--top", "3"],
    &["--by", "host"],
    &["--by", "host,session", "--payload"],
    &["--by", "host,session", "--per", "minute", "--all"],
    &["--by", "user,peer", "--per", "hour"],
    &["--by", "user,credential", "--per", "day", "--payload"],
    &["--by", "host,user", "--per", "month", "--all"],
    &["--per", "minute", "--user", "bob"],
    &["--per", "hour", "--tz", "Asia/Kathmandu"],
    &["--per", "day", "--tz", "America/St_Johns", "--all"],
    &[
        "--per",
        "day",
        "--tz",
        "Europe/Berlin",
        "--user",
        ODD,
        "--user",
        "zoë",
    ],
    &["--per", "month", "--tz", "Pacific/Kiritimati"],
    &["--per", "total", "--top", "1", "--payload"],
    &["--since", "today", "--until", "2100-01-01", "--per", "hour"],
    &[
        "--since",
        "last month",
        "--until",
        "this month",
        "--per",
        "day",
    ],
    &[
        "--since",
        "2020-01-01",
        "--until",
        "this month",
        "--by",
        "user,peer",
    ],
];

/// Seconds; the last is another month wherever one begins.
const LATER: [i64; 3] = [3_700, 90_000, 3_000_000];

#[test]
fn a_mirror_and_the_scripts_queries_say_what_the_ledger_says() {
    let name = "a_mirror_and_the_scripts_queries_say_what_the_ledger_says";
    if !stands_with(&format!("mirror::{name}"), &["faketime", "dbclient"]) {
        return;
    }
    let mirrors = mirrors(name);
    let mut machine = machine(&mirrors).start();
    machine.live_by_its_own_clock();
    configure(&machine, &mirrors, "");
    let capture = machine.capture();
    let daemon = machine.daemon();
    let moving = "until [ -e /tmp/over ]; do head -c 3000 /dev/zero; sleep 0.2; done";
    let stayer = machine.client().visit("bob").open(&[], Some(moving));
    let mut visits = people(&machine);
    daemon.settle(&visits);
    let end = views::seconds_to_the_hour_s_end() - 4;
    machine.step(&format!("+{end}"));
    views::sums_hold_over_an_hour_s_end(&daemon, &mirrors);
    for later in LATER {
        machine.step(&format!("+{}", end + later));
        // A connection seen first after a step may have begun before it.
        std::thread::sleep(Duration::from_millis(2500));
        visits.extend(people(&machine));
        daemon.settle(&visits);
        views::sums_hold(daemon.ask(), &mirrors);
    }
    machine.server().shell("touch /tmp/over");
    visits.push(stayer.finish());
    machine.wait_until_quiet();
    let truth = capture.finish();
    daemon.settle(&visits);
    wait_until_up_to_date(&daemon);
    let words = daemon.words();
    let answer = daemon.stop();
    judge(&visits, &truth, &answer.sessions_ever(), Tolerance::Exact).must_hold(&words);
    let mut crossed: Sums = BTreeMap::new();
    for visit in &visits {
        let user = visit.user.as_deref().unwrap_or("(unauthenticated)");
        let sum = crossed.entry(user.to_owned()).or_default();
        let wire = truth.from(visit.address).wire;
        *sum = (sum.0 + wire.inbound, sum.1 + wire.outbound);
    }
    for mirror in &mirrors {
        assert_eq!(users(&answer, Some(&mirror.url), &["--all"]), crossed);
        reports_are_the_same(&answer, mirror);
        views::classic_queries_agree(&answer, mirror);
    }
    assert!(!words.contains("lags behind"), "{words}");
}

/// Some who log in by all kinds of names, and one who does not.
fn people(machine: &Machine) -> Vec<Visit> {
    let client = machine.client();
    let visit = |user| client.visit(user);
    vec![
        visit("alice").run("head -c 40000 /dev/zero"),
        visit("zoë").send(30_000, "cat >/dev/null"),
        visit(r"DOM\carol")
            .by_password()
            .run("head -c 9000 /dev/zero"),
        visit(ODD)
            .open_by_dropbear("head -c 7000 /dev/zero")
            .finish(),
        visit("alice").fail(),
    ]
}

fn reports_are_the_same(answer: &Answer, mirror: &Mirror) {
    for asked in ASKED {
        let ever = if asked.contains(&"--since") {
            &[][..]
        } else {
            &EVER
        };
        for format in ["table", "json", "csv"] {
            let flags = [&["report", "--format", format], ever, asked].concat();
            let of_ledger = answer.output(&flags);
            let of_mirror = answer.output(&[&flags[..], &["--ledger", &mirror.url]].concat());
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            assert!(of_ledger.status.success(), "{flags:?}");
            assert_eq!(
                (text(&of_mirror.stdout), text(&of_mirror.stderr)),
                (text(&of_ledger.stdout), text(&of_ledger.stderr)),
                "{flags:?} at {}",
                mirror.url
            );
        }
    }
}
