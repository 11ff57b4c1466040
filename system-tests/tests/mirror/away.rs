//! Servers that do not answer: counting goes on as if there were none, and so
//! does a stop.

use std::time::{Duration, Instant};

use system_tests::{Tolerance, must_agree, stands};

use crate::stage::{configure, machine, mirrors, rows, users, wait_until_up_to_date};

#[test]
fn servers_that_stand_still_do_not_slow_the_counting() {
    let name = "servers_that_stand_still_do_not_slow_the_counting";
    if !stands(&format!("mirror::{name}")) {
        return;
    }
    let mirrors = mirrors(name);
    let machine = machine(&mirrors).start();
    configure(&machine, &mirrors, "");
    let capture = machine.capture();
    let daemon = machine.daemon();
    let command = "until [ -e /tmp/over ]; do head -c 5000 /dev/zero; sleep 0.1; done";
    let stayer = machine.client().visit("bob").open(&[], Some(command));
    let mut visits = vec![machine.client().visit("alice").run("true")];
    daemon.settle(&visits);
    wait_until_up_to_date(&daemon);
    for mirror in &mirrors {
        mirror.server.pause();
    }
    let booked = || {
        let rows = rows(daemon.ask(), None, &["--user", "bob"]);
        rows.first().and_then(|row| row["out"].as_u64())
    };
    let mut last = booked();
    for _ in 0..4 {
        // An interval of a second, and some for a busy machine.
        std::thread::sleep(Duration::from_secs(2));
        let now = booked();
        assert!(now > last, "{now:?} after {last:?}");
        last = now;
    }
    visits.push(machine.client().visit("zoë").run("head -c 50000 /dev/zero"));
    machine.server().shell("touch /tmp/over");
    visits.push(stayer.finish());
    daemon.settle(&visits);
    for mirror in &mirrors {
        mirror.server.resume();
    }
    wait_until_up_to_date(&daemon);
    let (answer, _) = must_agree(&machine, capture, daemon, &visits, Tolerance::Exact);
    for mirror in &mirrors {
        let url = Some(mirror.url.as_str());
        assert_eq!(
            users(&answer, url, &["--all"]),
            users(&answer, None, &["--all"])
        );
    }
}

#[test]
fn an_orderly_stop_sends_the_last_and_waits_for_no_dead_server() {
    let name = "an_orderly_stop_sends_the_last_and_waits_for_no_dead_server";
    if !stands(&format!("mirror::{name}")) {
        return;
    }
    let mut mirrors = mirrors(name);
    let machine = machine(&mirrors).start();
    let visit = |user| machine.client().visit(user).run("head -c 50000 /dev/zero");
    configure(&machine, &mirrors, "");
    // Then the first round is the only one before the stop.
    let hourly = machine
        .server()
        .shell("sed '/^url = /,$ s/^interval = .*/interval = \"1h\"/' /etc/sshmeter/config.toml");
    machine.server().write("/etc/sshmeter/config.toml", &hourly);
    let daemon = machine.daemon();
    std::thread::sleep(Duration::from_secs(4));
    daemon.settle(&[visit("alice")]);
    let answer = daemon.stop();
    for mirror in &mirrors {
        let found = users(&answer, Some(&mirror.url), &["--all"]);
        assert_eq!(found, users(&answer, None, &["--all"]));
        assert!(found.contains_key("alice"), "{found:?}");
    }
    configure(&machine, &mirrors, "");
    let daemon = machine.daemon();
    wait_until_up_to_date(&daemon);
    for mirror in &mirrors {
        mirror.server.pause();
    }
    daemon.settle(&[visit("alice"), visit("bob")]);
    let begin = Instant::now();
    let _answer = daemon.stop();
    assert!(
        begin.elapsed() < Duration::from_secs(8),
        "{:?}",
        begin.elapsed()
    );
    for mirror in &mut mirrors {
        mirror.server.kill();
    }
    let daemon = machine.daemon();
    daemon.settle(&[visit("alice"), visit("bob"), visit("carol")]);
    let begin = Instant::now();
    let answer = daemon.stop();
    assert!(
        begin.elapsed() < Duration::from_secs(4),
        "{:?}",
        begin.elapsed()
    );
    for mirror in &mut mirrors {
        mirror.server.start_again();
    }
    let daemon = machine.daemon();
    wait_until_up_to_date(&daemon);
    let _answer = daemon.stop();
    for mirror in &mirrors {
        let found = users(&answer, Some(&mirror.url), &["--all"]);
        assert_eq!(found, users(&answer, None, &["--all"]));
    }
}
