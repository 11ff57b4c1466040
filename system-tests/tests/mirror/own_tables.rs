//! A database in which the scripts' own tables are.

use system_tests::{Backend, stands};

use crate::stage::{configure, machine, mirrors, users, wait_until_up_to_date};

#[test]
fn tables_of_the_scripts_stay_as_they_are() {
    let name = "tables_of_the_scripts_stay_as_they_are";
    if !stands(&format!("mirror::{name}")) {
        return;
    }
    let mirrors = mirrors(name);
    for mirror in &mirrors {
        let quote = if mirror.server.backend() == Backend::Postgres {
            '"'
        } else {
            '`'
        };
        let columns =
            "`user` VARCHAR(32), `in` BIGINT, `out` BIGINT".replace('`', &quote.to_string());
        mirror.server.query_in(
            "sshmeter",
            &format!(
                "CREATE TABLE minute (time TIMESTAMP, pid INT, {columns});
                CREATE TABLE hour (time TIMESTAMP, {columns});
                INSERT INTO hour VALUES ('2026-01-01 00:00:00', 'alice', 1, 2)"
            ),
        );
    }
    let machine = machine(&mirrors).start();
    configure(&machine, &mirrors, "");
    let mut told = String::new();
    for _ in 0..2 {
        let daemon = machine.daemon();
        let visit = machine
            .client()
            .visit("alice")
            .run("head -c 50000 /dev/zero");
        daemon.settle(&[visit]);
        wait_until_up_to_date(&daemon);
        told = daemon.words();
        let answer = daemon.stop();
        for mirror in &mirrors {
            let url = Some(mirror.url.as_str());
            assert_eq!(users(&answer, url, &[]), users(&answer, None, &[]));
        }
    }
    for mirror in &mirrors {
        let hours = mirror.ask("SELECT `user`, `in`, `out` FROM `hour`");
        assert_eq!(hours, [["alice", "1", "2"]]);
        assert!(mirror.ask("SELECT * FROM `minute`").is_empty());
    }
    let words = "the views `minute` and `hour` were not made";
    assert_eq!(told.matches(words).count(), mirrors.len(), "{told}");
    assert!(!told.contains("lags behind"), "{told}");
}
