//! What is asked of the tables of the scripts, word by word, and what `report`
//! says to the same.

use std::{collections::BTreeMap, time::Duration};

use system_tests::{Answer, Backend, Daemon};

use crate::stage::{EVER, Mirror, ODD, Sums, number, of_user, rows, users};

/// All that both views have.
const BOTH: &str = "SELECT `user`, SUM(`in`), SUM(`out`) FROM \
    (SELECT `user`, `in`, `out` FROM `hour` UNION ALL SELECT `user`, `in`, `out` FROM `minute`) t \
    GROUP BY `user`";

/// How long this hour still is.
pub(crate) fn seconds_to_the_hour_s_end() -> i64 {
    3600 - jiff::Timestamp::now().as_second().rem_euclid(3600)
}

/// A sum over both views counts each byte once: it lies between what a report
/// says before and what it says afterwards.
pub(crate) fn sums_hold(answer: &Answer, mirrors: &[Mirror]) {
    for mirror in mirrors {
        let before = users(answer, Some(&mirror.url), &[]);
        let sums = mirror.sums(BOTH);
        let after = users(answer, Some(&mirror.url), &[]);
        let lies = |user: &String, (inbound, outbound): (u64, u64)| {
            let least = before.get(user).copied().unwrap_or_default();
            let most = after.get(user).copied().unwrap_or_default();
            (least.0..=most.0).contains(&inbound) && (least.1..=most.1).contains(&outbound)
        };
        assert!(
            sums.keys().eq(after.keys()) && sums.iter().all(|(user, sum)| lies(user, *sum)),
            "{}: {sums:?} is not between {before:?} and {after:?}",
            mirror.url
        );
    }
}

/// The same again and again, until the minutes have gone over to an hour.
pub(crate) fn sums_hold_over_an_hour_s_end(daemon: &Daemon, mirrors: &[Mirror]) {
    let begin = std::time::Instant::now();
    let mut over = Vec::new();
    while over.len() < mirrors.len() || over.contains(&false) {
        assert!(
            begin.elapsed() < Duration::from_secs(40),
            "{over:?}\n{}",
            daemon.words()
        );
        sums_hold(daemon.ask(), mirrors);
        over = mirrors
            .iter()
            .map(|mirror| {
                let hours =
                    mirror.sums("SELECT `user`, SUM(`in`), SUM(`out`) FROM `hour` GROUP BY `user`");
                hours.contains_key("alice")
            })
            .collect();
    }
}

/// Everything that people ask, of a ledger that stands still.
pub(crate) fn classic_queries_agree(answer: &Answer, mirror: &Mirror) {
    assert_eq!(mirror.sums(BOTH), users(answer, None, &[]));
    let running = &mirror.ask("SELECT current_hour * 60 FROM sshmeter_host")[0][0];
    let running = jiff::Timestamp::from_second(running.parse().expect("a time")).expect("a time");
    let until = running.strftime("%Y-%m-%d %H:%M").to_string();
    since_a_day(answer, mirror, &until);
    days(answer, mirror, &until);
    hours_of_one(answer, mirror, &until);
    minutes_of_one(answer, mirror, &until);
    top(answer, mirror);
}

fn since_a_day(answer: &Answer, mirror: &Mirror, until: &str) {
    let today = &until[..10];
    for since in ["2020-01-01", today] {
        let sums = mirror.sums(&format!(
            "SELECT `user`, SUM(`in`), SUM(`out`) FROM `hour` WHERE `time` >= '{since}' GROUP BY `user`"
        ));
        assert_eq!(
            sums,
            reported(answer, &["--since", since, "--until", until])
        );
    }
}

fn reported(answer: &Answer, flags: &[&str]) -> Sums {
    let rows = rows(answer, None, flags);
    // Who moved nothing has no row in a view.
    let moved = rows.iter().map(of_user).filter(|(_, sum)| *sum != (0, 0));
    moved.collect()
}

fn days(answer: &Answer, mirror: &Mirror, until: &str) {
    let mut days: BTreeMap<(String, String), (u64, u64)> = BTreeMap::new();
    for row in mirror.ask(
        "SELECT DATE(`time`), `user`, SUM(`in`), SUM(`out`) FROM `hour` GROUP BY DATE(`time`), `user`",
    ) {
        days.insert((row[0].clone(), row[1].clone()), (number(&row[2]), number(&row[3])));
    }
    let period = ["--since", "2020-01-01", "--until", until, "--per", "day"];
    let reported = rows(answer, None, &period);
    let reported = reported.iter().map(|row| {
        let start = row["start"].as_str().expect("a day");
        let (user, figures) = of_user(row);
        ((start[..10].to_owned(), user), figures)
    });
    assert_eq!(days, reported.collect());
    assert!(days.len() > 5, "{days:?}");
}

fn hours_of_one(answer: &Answer, mirror: &Mirror, until: &str) {
    // A backslash means something in MySQL's texts, and nothing in PostgreSQL's.
    let odd = ODD.replace('\'', "''");
    let odd = match mirror.server.backend() {
        Backend::Postgres => odd,
        Backend::MariaDb | Backend::MySql => odd.replace('\\', r"\\"),
    };
    let found = mirror.ask(&format!(
        "SELECT * FROM `hour` WHERE `user` = '{odd}' AND `time` BETWEEN '2020-01-01' AND '{until}' \
         ORDER BY `time`"
    ));
    let found: Vec<_> = found
        .iter()
        .map(|row| {
            assert_eq!(row[1], ODD);
            (row[0][..16].to_owned(), number(&row[2]), number(&row[3]))
        })
        .collect();
    let period = [
        "--since",
        "2020-01-01",
        "--until",
        until,
        "--per",
        "hour",
        "--user",
        ODD,
    ];
    let reported: Vec<_> = rows(answer, None, &period)
        .iter()
        .map(|row| {
            let (_, (inbound, outbound)) = of_user(row);
            let start = row["start"].as_str().expect("an hour").replace('T', " ");
            (start[..16].to_owned(), inbound, outbound)
        })
        .collect();
    assert_eq!(found, reported);
}

/// The hour that runs, by sshd's processes.
fn minutes_of_one(answer: &Answer, mirror: &Mirror, running: &str) {
    let mut found: BTreeMap<u64, (u64, u64)> = BTreeMap::new();
    for row in mirror.ask("SELECT `time`, `pid`, `in`, `out` FROM `minute` WHERE `user` = 'alice'")
    {
        assert!(row[0][..16] >= *running, "{} is before {running}", row[0]);
        let sum = found.entry(number(&row[1])).or_default();
        *sum = (sum.0 + number(&row[2]), sum.1 + number(&row[3]));
    }
    let sessions = answer.sessions_ever();
    let running: jiff::civil::DateTime = running.parse().expect("a time");
    let running = running.in_tz("UTC").expect("UTC").timestamp();
    let expected = sessions
        .iter()
        .filter(|session| session.user == "alice" && session.opened >= running)
        .map(|session| {
            let pid = session.pid.expect("sshd's log tells it");
            let figures = (
                session.wire_in.expect("known"),
                session.wire_out.expect("known"),
            );
            (u64::from(pid), figures)
        });
    assert_eq!(found, expected.collect());
    assert!(!found.is_empty());
}

fn top(answer: &Answer, mirror: &Mirror) {
    let found: Vec<String> = mirror
        .ask(&format!(
            "{BOTH} ORDER BY SUM(`in`) + SUM(`out`) DESC LIMIT 3"
        ))
        .iter()
        .map(|row| row[0].clone())
        .collect();
    let reported: Vec<String> = rows(answer, None, &[&EVER[..], &["--top", "3"]].concat())
        .iter()
        .map(|row| of_user(row).0)
        .collect();
    assert_eq!(found, reported);
}
