//! Chosen things that break between hosts and their database server, each at the
//! moment when it hurts most: afterwards the server has what the ledgers have, row
//! by row.

use std::{
    io::Write as _,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use system_tests::{
    Backend, Database, Mirror, PASSWORD, Postgres,
    outage::{self, AWAY, Cut, Site},
    wait_for,
};

/// How long all of an ordinary delay may take.
const SOON: Duration = Duration::from_secs(60);

/// How long a connection that died may hold the next one up: a minute until the
/// server ends it, and the lock's own patience.
const HELD_UP: Duration = Duration::from_secs(120);

/// Tells a story over each server at the same time.
fn over_each(name: &str, story: impl Fn(Backend) + Sync) {
    thread::scope(|scope| {
        for backend in Backend::ALL {
            if backend.stands(name) {
                let story = &story;
                scope.spawn(move || story(backend));
            }
        }
    });
}

fn site(backend: Backend, hosts: usize) -> Site {
    let mut site = Site::new(backend, hosts, Duration::from_millis(30));
    site.start_hosts();
    site.wait_until_caught_up(SOON);
    site
}

/// A client of the administrator's that holds something until it is let go.
struct Holder(Child);

impl Holder {
    fn of(server: &Database, sql: &str) -> Self {
        let mut client: Command = server.client("sshmeter");
        let mut client = client
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("a client");
        let input = client.stdin.as_mut().expect("a pipe");
        input
            .write_all(format!("{sql}\n").as_bytes())
            .expect("the client reads");
        Self(client)
    }

    fn let_go(mut self) {
        drop(self.0.stdin.take());
        self.0.wait().expect("the client ends");
    }
}

/// Holds what every transaction of a host comes to in its midst.
fn minutes_held(server: &Database) -> Holder {
    Holder::of(
        server,
        match server.backend() {
            Backend::Postgres => "BEGIN; LOCK TABLE sshmeter_minute IN EXCLUSIVE MODE;",
            _ => "LOCK TABLES sshmeter_minute WRITE;",
        },
    )
}

/// Waits until a host's connection waits for such a thing.
fn wait_until_one_waits(server: &Database, postgres: &str, mysql: &str) {
    let question = match server.backend() {
        Backend::Postgres => format!(
            "SELECT count(*) FROM pg_stat_activity WHERE usename = 'sshmeter' AND {postgres}"
        ),
        _ => format!(
            "SELECT count(*) FROM information_schema.processlist \
             WHERE user = 'sshmeter' AND state LIKE '{mysql}'"
        ),
    };
    wait_for("a host's connection to wait", SOON, || {
        (number(server, &question) > 0).then_some(())
    });
}

fn wait_until_one_waits_for_minutes(server: &Database) {
    wait_until_one_waits(
        server,
        "wait_event_type = 'Lock'",
        "Waiting for table metadata lock",
    );
}

fn number(server: &Database, question: &str) -> i64 {
    let rows = server.query_in("sshmeter", question);
    let value = rows.first().and_then(|row| row[0].as_deref());
    value
        .and_then(|value| value.parse().ok())
        .expect("a number")
}

#[test]
fn the_judge_sees_what_differs() {
    over_each("the_judge_sees_what_differs", |backend| {
        let mut site = site(backend, 2);
        site.must_be_equal();
        let host = number(site.server(), "SELECT min(host) FROM sshmeter_host");
        let first = format!("SELECT min(start) FROM sshmeter_month WHERE host = {host}");
        let first = number(site.server(), &first);
        let of_host = |sql: &str| format!("{sql} WHERE host = {host} AND start = {first}");
        let row = of_host(&format!(
            "INSERT INTO sshmeter_month (host, start, account) \
             SELECT host, {first} - 1, account FROM sshmeter_month"
        ));
        for sql in [
            of_host("UPDATE sshmeter_month SET wire_in = wire_in + 1"),
            row,
            "UPDATE sshmeter_host SET revision = revision - 1".to_owned(),
            "DELETE FROM sshmeter_host".to_owned(),
        ] {
            let before = site.compare().faults;
            site.server().query_in("sshmeter", &sql);
            let after = site.compare().faults;
            assert_ne!(before, after, "{backend:?}: {sql}");
        }
        let faults = site.compare().faults.join("\n");
        assert!(
            faults.contains("0 hosts on the server, 2 ledgers"),
            "{faults}"
        );
        assert!(faults.contains("rows of no host"), "{faults}");
    });
}

#[test]
fn a_server_that_was_away_gets_all_and_the_log_says_it_once() {
    over_each("a_server_that_was_away", |backend| {
        let mut site = site(backend, 1);
        site.server_mut().stop();
        let away = Duration::from_secs(outage::number(AWAY).unwrap_or(6));
        thread::sleep(away);
        site.server_mut().start_again();
        // Pauses between two tries come to be as long as what they wait for.
        site.wait_until_caught_up(SOON + away);
        site.must_be_equal();
        let words = site.all_words();
        let told = |what: &str| words.matches(what).count();
        // The end of the connection, if one was open, and then the lack of another.
        assert!((1..=3).contains(&told("lags behind")), "{words}");
        assert_eq!(told("is up to date again"), 1, "{words}");
    });
}

#[test]
fn a_connection_that_died_holds_others_up_for_two_minutes_at_most() {
    // At the same time, since all they do is wait.
    thread::scope(|scope| {
        scope.spawn(|| over_each("died in a transaction", died_in_a_transaction));
        scope.spawn(|| over_each("died within a statement", died_within_a_statement));
        if Backend::Postgres.stands("died making tables") {
            scope.spawn(died_making_tables);
        }
    });
}

fn died_in_a_transaction(backend: Backend) {
    let mut site = site(backend, 1);
    let holder = minutes_held(site.server());
    wait_until_one_waits_for_minutes(site.server());
    site.cut(Cut::Silent);
    die(&mut site, Some(holder), "in a transaction");
}

fn died_within_a_statement(backend: Backend) {
    let mut site = site(backend, 1);
    site.server_mut().stop();
    let before = text(&site);
    let more = || (text(&site) > before + (200 << 10)).then_some(());
    wait_for("text for a large statement", SOON, more);
    site.cut_after(30 << 10);
    site.server_mut().start_again();
    // What has come of the statement is not all, and the host's row is taken.
    let take = "BEGIN; SELECT host FROM sshmeter_host FOR UPDATE NOWAIT; ROLLBACK";
    wait_for("a lock", SOON, || {
        let server = site.server();
        let taken = server.query_as("sshmeter", PASSWORD, "sshmeter", take);
        taken.is_err().then_some(())
    });
    thread::sleep(Duration::from_secs(1));
    die(&mut site, None, "within a statement");
}

/// PostgreSQL makes all tables in one transaction.
fn died_making_tables() {
    let mut site = Site::new(Backend::Postgres, 1, Duration::from_millis(30));
    let holder = Holder::of(
        site.server(),
        "BEGIN; CREATE TABLE sshmeter_month (host BIGINT);",
    );
    site.start_hosts();
    wait_until_one_waits(site.server(), "wait_event_type = 'Lock'", "");
    site.cut(Cut::Silent);
    die(&mut site, Some(holder), "making tables");
}

/// Kills the hosts, of which the server hears nothing more, and starts them again.
fn die(site: &mut Site, holder: Option<Holder>, moment: &str) {
    assert_eq!(site.kill_hosts(), None);
    if let Some(holder) = holder {
        holder.let_go();
    }
    site.mend_for_new_connections();
    site.start_hosts();
    let time = site.wait_until_caught_up(HELD_UP).as_secs();
    let backend = site.server().backend();
    println!("{backend:?}: died {moment}, caught up after {time} s");
    site.must_be_equal();
}

/// Bytes of text in the first host's sessions.
fn text(site: &Site) -> i64 {
    let ledger = site.ledgers().join("host-0000.db");
    let ledger = rusqlite::Connection::open(ledger).expect("a ledger");
    let question = "SELECT ifnull(sum(length(reason)), 0) FROM session";
    let bytes = ledger.query_row(question, [], |row| row.get(0));
    bytes.expect("a sum")
}

#[test]
fn a_connection_that_is_reset_in_a_transaction_leaves_nothing_half_done() {
    over_each("a_connection_that_is_reset", |backend| {
        let mut site = site(backend, 1);
        for _ in 0..3 {
            let holder = minutes_held(site.server());
            wait_until_one_waits_for_minutes(site.server());
            site.cut(Cut::Reset);
            holder.let_go();
            thread::sleep(Duration::from_millis(200));
            site.mend();
            site.wait_until_caught_up(HELD_UP);
        }
        site.must_be_equal();
    });
}

#[test]
fn a_commit_whose_answer_is_lost_is_found_done() {
    over_each("a_commit_whose_answer_is_lost", |backend| {
        if backend == Backend::MySql {
            // It holds up whatever writes together with commits, or neither.
            return;
        }
        let mut site = site(backend, 1);
        for _ in 0..3 {
            let server = site.server();
            let turn = || number(server, "SELECT turn FROM sshmeter_host");
            let holder = commits_held(server);
            wait_until_one_waits(server, "wait_event = 'SyncRep'", "Waiting for backup lock%");
            let before = turn();
            site.cut(Cut::Reset);
            let_commits_go(server, holder);
            // The server commits, and nobody hears of it.
            wait_for("the commit", SOON, || (turn() > before).then_some(()));
            site.mend();
            site.wait_until_caught_up(HELD_UP);
        }
        site.must_be_equal();
    });
}

/// Makes commits wait: for a standby that there is not, or for a backup.
fn commits_held(server: &Database) -> Option<Holder> {
    if server.backend() == Backend::Postgres {
        server.query("ALTER SYSTEM SET synchronous_standby_names = 'nobody'");
        server.query("SELECT pg_reload_conf()");
        return None;
    }
    let sql = "BACKUP STAGE START; BACKUP STAGE BLOCK_COMMIT;";
    Some(Holder::of(server, sql))
}

fn let_commits_go(server: &Database, holder: Option<Holder>) {
    match holder {
        Some(holder) => holder.let_go(),
        None => {
            server.query("ALTER SYSTEM RESET synchronous_standby_names");
            server.query("SELECT pg_reload_conf()");
        }
    }
}

#[test]
fn locks_of_others_only_delay() {
    over_each("locks_of_others_only_delay", |backend| {
        let mut site = site(backend, 3);
        let minutes = minutes_held(site.server());
        wait_until_one_waits_for_minutes(site.server());
        thread::sleep(Duration::from_secs(4));
        minutes.let_go();
        site.wait_until_caught_up(SOON);
        // Longer than a host waits for it at a time.
        let rows = Holder::of(
            site.server(),
            "BEGIN; SELECT host FROM sshmeter_host FOR UPDATE;",
        );
        thread::sleep(Duration::from_secs(22));
        rows.let_go();
        site.wait_until_caught_up(SOON);
        site.must_be_equal();
    });
}

#[test]
fn a_server_that_takes_little_at_once_gets_all() {
    if !Backend::MariaDb.stands("a_server_that_takes_little_at_once_gets_all") {
        return;
    }
    let builder = Backend::MariaDb.builder().option("max_allowed_packet=1M");
    let mut site = Site::with(1, Duration::from_millis(1), &builder);
    site.server_mut().stop();
    site.start_hosts();
    site.wait_for_ledgers();
    let more = || (text(&site) > 1_400 << 10).then_some(());
    wait_for("more than a packet of text", SOON * 2, more);
    site.server_mut().start_again();
    site.must_be_equal();
}

#[test]
fn a_server_put_back_from_an_older_copy_catches_up() {
    over_each("a_server_put_back_from_an_older_copy", |backend| {
        let mut site = site(backend, 3);
        let data = site.server().folder().join("data");
        let copy = tempfile::tempdir().expect("a folder");
        let kept = copy.path().join("data");
        site.server_mut().stop();
        copied(&data, &kept);
        site.server_mut().start_again();
        site.wait_until_caught_up(SOON);
        site.server_mut().kill();
        std::fs::remove_dir_all(&data).expect("the data folder goes");
        copied(&kept, &data);
        site.server_mut().start_again();
        site.wait_until_caught_up(SOON);
        site.must_be_equal();
        assert!(!site.all_words().contains("copied anew"));
    });
}

fn copied(from: &std::path::Path, to: &std::path::Path) {
    let mut cp = Command::new("cp");
    let status = cp.arg("--archive").args([from, to]).status();
    assert!(status.is_ok_and(|status| status.success()));
}

#[test]
fn the_server_that_takes_writes_gets_the_rows() {
    if !Backend::MariaDb.stands("the_server_that_takes_writes_gets_the_rows") {
        return;
    }
    let mut site = Site::new(Backend::MariaDb, 2, Duration::from_millis(30));
    let other = Backend::MariaDb
        .builder()
        .tcp_in(site.server_network(), "10.66.0.1", 4_307)
        .start();
    other.ready_for_sshmeter();
    let url = site.server().url("sshmeter", "sshmeter");
    site.set_url(url.replace(":4306/", ":4306,10.66.0.1:4307/"));
    let only_reads = |server: &Database, value: bool| {
        server.query(&format!("SET GLOBAL read_only = {value}"));
    };
    only_reads(site.server(), true);
    site.start_hosts();
    wait_for("rows at the second server", SOON, || {
        let count = other.try_query("SELECT count(*) FROM sshmeter.sshmeter_minute");
        count.ok().filter(|rows| rows[0][0].as_deref() != Some("0"))
    });
    assert_eq!(site.finish_hosts(), None);
    let found = Mirror::of(&other, "sshmeter").compare(site.ledgers());
    assert!(found.faults.is_empty(), "{:?}", found.faults);
    // They change places while hosts write.
    site.start_hosts();
    thread::sleep(Duration::from_secs(2));
    only_reads(&other, true);
    only_reads(site.server(), false);
    site.wait_until_caught_up(SOON);
    site.must_be_equal();
}

#[test]
fn a_standby_that_takes_over_catches_up() {
    if !Backend::Postgres.stands("a_standby_that_takes_over_catches_up") {
        return;
    }
    let mut site = Site::new(Backend::Postgres, 2, Duration::from_millis(30));
    let builder = Postgres::builder().tcp_in(site.server_network(), "10.66.0.1", 4_307);
    let standby = Postgres::follow(site.server(), builder);
    let url = site.server().url("sshmeter", "sshmeter");
    site.set_url(url.replace(":4306/", ":4307,10.66.0.1:4306/"));
    site.start_hosts();
    site.wait_until_caught_up(SOON);
    // It lacks the last seconds of the one that dies.
    standby.pause();
    thread::sleep(Duration::from_secs(3));
    site.server_mut().kill();
    standby.resume();
    Postgres::promote(&standby);
    assert_eq!(site.finish_hosts(), None);
    let found = Mirror::of(&standby, "sshmeter").compare(site.ledgers());
    assert!(found.faults.is_empty(), "{:?}", found.faults);
    assert!(!site.all_words().contains("copied anew"));
}

#[test]
fn newer_tables_are_left_alone_until_they_are_as_they_were() {
    over_each("newer_tables_are_left_alone", |backend| {
        let mut site = site(backend, 2);
        let server = site.server();
        server.query_in("sshmeter", "UPDATE sshmeter_schema SET version = 99");
        wait_for("the hosts to say so", SOON, || {
            site.words().contains("of version 99").then_some(())
        });
        let turns = || number(server, "SELECT sum(turn) FROM sshmeter_host");
        thread::sleep(Duration::from_secs(1));
        let before = turns();
        thread::sleep(Duration::from_secs(3));
        assert_eq!(turns(), before);
        server.query_in("sshmeter", "UPDATE sshmeter_schema SET version = 1");
        site.wait_until_caught_up(SOON);
        site.must_be_equal();
    });
}

#[test]
fn a_copy_of_a_ledger_on_another_machine_is_refused_while_the_first_one_writes() {
    over_each("a_copy_of_a_ledger_on_another_machine", |backend| {
        let mut site = site(backend, 1);
        assert_eq!(site.finish_hosts(), None);
        say_another_wrote(site.server(), 1);
        let before = number(site.server(), "SELECT turn FROM sshmeter_host");
        site.start_hosts();
        wait_for("the host to say so", SOON, || {
            let words = site.words();
            words
                .contains("mirrors a copy of this ledger")
                .then_some(())
        });
        let turn = number(site.server(), "SELECT turn FROM sshmeter_host");
        assert_eq!(turn, before);
        // What the copy has written goes again, also where nothing changes here.
        let wrong = "UPDATE sshmeter_month SET wire_in = wire_in + 1; DELETE FROM sshmeter_day";
        site.server().query_in("sshmeter", wrong);
        say_another_wrote(site.server(), 301);
        site.wait_until_caught_up(SOON);
        site.must_be_equal();
    });
}

/// Makes the server believe that another machine wrote as the host so long ago.
fn say_another_wrote(server: &Database, seconds: u32) {
    let ago = match server.backend() {
        Backend::Postgres => format!("INTERVAL '{seconds} seconds'"),
        _ => format!("INTERVAL {seconds} SECOND"),
    };
    server.query_in(
        "sshmeter",
        &format!("UPDATE sshmeter_host SET machine = 'another', seen = CURRENT_TIMESTAMP - {ago}"),
    );
}
