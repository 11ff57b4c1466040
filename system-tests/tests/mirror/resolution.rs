//! Mirrors that do not get everything: what is not on their servers, and what
//! reports say of it.

use system_tests::{Answer, Machine, stands};

use crate::stage::{
    EVER, Mirror, configure, machine, mirrors, number, rows, users, wait_until_up_to_date,
};

#[test]
fn a_server_has_no_finer_rows_than_it_shall_have() {
    let name = "a_server_has_no_finer_rows_than_it_shall_have";
    if !stands(&format!("mirror::{name}")) {
        return;
    }
    let mirrors = mirrors(name);
    let machine = machine(&mirrors).start();
    let visit = |user| machine.client().visit(user).run("head -c 50000 /dev/zero");
    let mut visits = Vec::new();
    // Coarser, finer, and coarser in steps.
    for (resolution, there) in [
        ("hour", ["hour", "day", "month"].as_slice()),
        ("minute", &["session", "minute", "hour", "day", "month"]),
        ("month", &["month"]),
        ("day", &["day", "month"]),
    ] {
        configure(
            &machine,
            &mirrors,
            &format!("resolution = \"{resolution}\""),
        );
        let daemon = machine.daemon();
        visits.push(visit("alice"));
        daemon.settle(&visits);
        wait_until_up_to_date(&daemon);
        let answer = daemon.stop();
        for mirror in &mirrors {
            for table in ["session", "minute", "hour", "day", "month"] {
                let count = mirror.ask(&format!("SELECT COUNT(*) FROM sshmeter_{table}"));
                assert_eq!(
                    number(&count[0][0]) > 0,
                    there.contains(&table),
                    "{table} at {resolution} in {}",
                    mirror.url
                );
            }
            reports(&answer, mirror, resolution);
            views(&machine, &answer, mirror, resolution);
        }
    }
}

/// What each user moved this month is known everywhere; whence only by sessions.
fn reports(answer: &Answer, mirror: &Mirror, resolution: &str) {
    let this_month = ["--since", "this month", "--until", "2100-01-01"];
    let moved = |url| {
        let rows = rows(answer, url, &this_month);
        rows.iter().map(crate::stage::of_user).collect::<Vec<_>>()
    };
    assert_eq!(moved(Some(&mirror.url)), moved(None), "{resolution}");
    let flags = [&this_month[..], &["--by", "user"]].concat();
    let sessions = rows(answer, Some(&mirror.url), &flags)[0]["sessions"].clone();
    let has_sessions = resolution == "minute";
    assert_eq!(sessions.is_u64(), has_sessions, "{sessions}");
    let flags = ["report", "--by", "peer", "--ledger", &mirror.url];
    let output = answer.output(&[&flags[..], &EVER].concat());
    let notes = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{notes}");
    assert_eq!(
        notes.contains("meter"),
        !has_sessions,
        "{resolution}: {notes}"
    );
}

/// Where there are no minutes, `hour` has the hour that runs too.
fn views(machine: &Machine, answer: &Answer, mirror: &Mirror, resolution: &str) {
    let minutes = mirror.ask("SELECT * FROM `minute`");
    let hours = mirror.sums("SELECT `user`, SUM(`in`), SUM(`out`) FROM `hour` GROUP BY `user`");
    match resolution {
        "minute" => assert!(!minutes.is_empty(), "{}", machine.server().leader()),
        "hour" => {
            assert!(minutes.is_empty());
            assert_eq!(hours, users(answer, None, &[]));
        }
        _ => assert!(minutes.is_empty() && hours.is_empty()),
    }
}
