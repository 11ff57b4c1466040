//! What the scripts have counted comes into the ledger, and each byte once:
//! while they fold, around a change of the clocks, after a kill, by any way to
//! their server.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::process::ExitStatusExt as _,
    path::{Path, PathBuf},
    process::{Command, Output},
    thread,
    time::Duration,
};

use jiff::{Timestamp, tz::TimeZone};
use serde_json::Value;
use system_tests::{Auth, Backend, Database, binary};

/// The scripts' own tables.
const MYSQL_TABLES: &str = "
    CREATE TABLE `minute` (
        `time` timestamp NOT NULL DEFAULT current_timestamp,
        `user` varchar(32) NOT NULL,
        `pid` int(11) DEFAULT NULL,
        `in` bigint(20) NOT NULL DEFAULT 0,
        `out` bigint(20) NOT NULL DEFAULT 0,
        KEY `user` (`user`)
    ) DEFAULT CHARSET=latin1;
    CREATE TABLE `hour` (
        `time` timestamp NOT NULL DEFAULT current_timestamp,
        `user` varchar(32) NOT NULL,
        `in` bigint(20) NOT NULL DEFAULT 0,
        `out` bigint(20) NOT NULL DEFAULT 0,
        UNIQUE KEY `user_time` (`user`,`time`),
        KEY `user` (`user`),
        KEY `time` (`time`)
    ) DEFAULT CHARSET=latin1";
const POSTGRES_TABLES: &str = r#"
    CREATE TABLE "minute" ("time" timestamptz NOT NULL DEFAULT now(), "user" varchar(32) NOT NULL,
        pid integer, "in" bigint NOT NULL DEFAULT 0, "out" bigint NOT NULL DEFAULT 0);
    CREATE TABLE "hour" ("time" timestamptz NOT NULL DEFAULT now(), "user" varchar(32) NOT NULL,
        "in" bigint NOT NULL DEFAULT 0, "out" bigint NOT NULL DEFAULT 0, UNIQUE ("user", "time"))"#;

const DATABASE: &str = "sshaccount";
const USERS: [&str; 6] = ["alice", "bob", "Bob", "DOM\\carol", "two words", "ünï'\"%"];

/// A day before clocks in Germany are set back.
const BEGIN: &str = "2026-10-24T01:00:00Z";

type Flow = (u64, u64);

/// A database of the scripts, and a ledger.
struct Story {
    server: Database,
    zone: TimeZone,
    folder: tempfile::TempDir,
}

impl Story {
    fn new(backend: Backend, zone: &str) -> Self {
        let server = backend.builder().tcp().start();
        server.create_database(DATABASE);
        if backend == Backend::Postgres {
            server.query(&format!(
                "ALTER DATABASE {DATABASE} SET timezone TO '{zone}'"
            ));
            server.query_in(DATABASE, POSTGRES_TABLES);
        } else {
            set_zone(&server, zone);
            server.query_in(DATABASE, MYSQL_TABLES);
        }
        server.create_user("reader", &Auth::Password("right horse".to_owned()));
        readable(&server, DATABASE);
        Self {
            server,
            zone: TimeZone::get(zone).expect("a zone"),
            folder: tempfile::tempdir().expect("a folder"),
        }
    }

    fn is_mysql(&self) -> bool {
        self.server.backend() != Backend::Postgres
    }

    fn ledger(&self) -> PathBuf {
        self.folder.path().join("ledger.db")
    }

    fn sql(&self, sql: &str) -> system_tests::Rows {
        // What quotes names in PostgreSQL does so here, too.
        let begin = if self.is_mysql() {
            "SET sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES';"
        } else {
            ""
        };
        self.server.query_in(DATABASE, &format!("{begin}{sql}"))
    }

    /// The first second of the first hour, by the server's clock.
    fn begin(&self) -> i64 {
        start_of(&self.zone, second(BEGIN), "hour")
    }

    /// Each user moves something in some minutes of these hours.
    fn minutes(&self, hours: std::ops::Range<i64>) {
        let begin = self.begin();
        let mut rows = Vec::new();
        for minute in hours.start * 60..hours.end * 60 {
            for (number, user) in USERS.iter().enumerate() {
                let number = i64::try_from(number).expect("few");
                if (minute + number) % 7 != 0 {
                    continue;
                }
                let at = begin + minute * 60 + number;
                let (user, pid) = (user.replace('\'', "''"), 100 + minute / 90);
                let (inbound, outbound) = (minute * 1_000 + number, (number + 1) * 77_777);
                let time = if self.is_mysql() {
                    format!("FROM_UNIXTIME({at})")
                } else {
                    format!("to_timestamp({at})")
                };
                rows.push(format!("({time}, '{user}', {pid}, {inbound}, {outbound})"));
            }
        }
        // Any instant can be said in UTC only.
        let utc = if self.is_mysql() {
            "SET time_zone = '+00:00', NAMES utf8mb4;"
        } else {
            ""
        };
        self.sql(&format!(
            r#"{utc} INSERT INTO "minute" ("time", "user", pid, "in", "out") VALUES {}"#,
            rows.join(",")
        ));
    }

    /// The first step of the scripts' fold, of what is before an hour.
    fn add_to_hours(&self, before: i64) {
        let at = self.begin() + before * 3_600;
        let (hour, before, added) = if self.is_mysql() {
            (
                r#"DATE_FORMAT("time", '%Y-%m-%d %H:00:00')"#,
                format!("FROM_UNIXTIME({at})"),
                r#"ON DUPLICATE KEY UPDATE "in" = "in" + VALUES("in"), "out" = "out" + VALUES("out")"#,
            )
        } else {
            (
                r#"date_trunc('hour', "time")"#,
                format!("to_timestamp({at})"),
                r#"ON CONFLICT ("user", "time") DO UPDATE SET
                   "in" = "hour"."in" + excluded."in", "out" = "hour"."out" + excluded."out""#,
            )
        };
        self.sql(&format!(
            r#"INSERT INTO "hour" ("time", "user", "in", "out")
               SELECT {hour} AS h, "user", SUM("in"), SUM("out") FROM "minute"
               WHERE "time" < {before} GROUP BY "user", h {added}"#
        ));
    }

    /// The second one.
    fn delete_minutes(&self, before: i64) {
        let at = self.begin() + before * 3_600;
        let from = if self.is_mysql() {
            "FROM_UNIXTIME"
        } else {
            "to_timestamp"
        };
        self.sql(&format!(
            r#"DELETE FROM "minute" WHERE "time" < {from}({at})"#
        ));
    }

    fn sshmeter(&self, arguments: &[&str]) -> Command {
        let config = self.folder.path().join("config.toml");
        let zone = self.zone.iana_name().expect("a name");
        let ledger = self.ledger();
        let text = format!(
            "[ledger]\npath = \"{}\"\ntimezone = \"{zone}\"\n",
            ledger.display()
        );
        fs::write(&config, text).expect("a config");
        let mut command = Command::new(binary());
        command.arg("--config").arg(config).args(arguments);
        command
    }

    fn ask(&self, arguments: &[&str]) -> Output {
        self.sshmeter(arguments).output().expect("sshmeter starts")
    }

    fn url(&self) -> String {
        self.server.socket_url("reader", DATABASE)
    }

    /// Imports, and gives what was said.
    fn import(&self, more: &[&str]) -> String {
        self.import_from(&self.url(), more)
    }

    fn import_from(&self, url: &str, more: &[&str]) -> String {
        let output = self.ask(&[&["import", url], more].concat());
        let said = words(&output);
        assert!(output.status.success(), "{said}");
        assert!(!said.contains("horse"), "{said}");
        said
    }

    /// The source's own sums, by user and hour.
    fn source(&self) -> BTreeMap<(String, i64), Flow> {
        let at = if self.is_mysql() {
            r#"UNIX_TIMESTAMP("time")"#
        } else {
            r#"CAST(FLOOR(EXTRACT(EPOCH FROM "time")) AS bigint)"#
        };
        let rows = self.sql(&format!(
            r#"SELECT {at}, "user", "in", "out" FROM "hour"
               UNION ALL SELECT {at}, "user", "in", "out" FROM "minute""#
        ));
        let mut sums: BTreeMap<_, Flow> = BTreeMap::new();
        for row in rows {
            let [at, user, inbound, outbound] = [0, 1, 2, 3].map(|n| row[n].clone().expect("text"));
            let hour = start_of(&self.zone, at.parse().expect("a second"), "hour");
            let user = if self.is_mysql() {
                user.to_lowercase()
            } else {
                user
            };
            add(
                &mut sums,
                (user, hour),
                (number(&inbound), number(&outbound)),
            );
        }
        sums
    }

    fn report(&self, per: &str) -> BTreeMap<(String, i64), Flow> {
        let since = ["--since", "2026-10-01", "--until", "2026-12-01"];
        let arguments = ["report", "--by", "user", "--per", per, "--format", "json"];
        let output = self.ask(&[&arguments[..], &since].concat());
        let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let mut sums = BTreeMap::new();
        for row in report["rows"].as_array().expect("rows") {
            let user = row["user"].as_str().expect("a user").to_owned();
            let user = if self.is_mysql() {
                user.to_lowercase()
            } else {
                user
            };
            let start = second(row["start"].as_str().expect("a start"));
            let flow = [&row["in"], &row["out"]].map(|figure| figure.as_u64().expect("bytes"));
            add(&mut sums, (user, start), (flow[0], flow[1]));
        }
        sums
    }

    /// The ledger says what the source says, at every resolution, and is sound.
    fn agrees(&self) {
        let hours = self.source();
        assert!(!hours.is_empty());
        for per in ["hour", "day", "month"] {
            let mut expected = BTreeMap::new();
            for ((user, hour), flow) in &hours {
                let start = start_of(&self.zone, *hour, per);
                add(&mut expected, (user.clone(), start), *flow);
            }
            assert_eq!(self.report(per), expected, "by {per}");
        }
        self.is_sound();
    }

    fn is_sound(&self) {
        let output = self.ask(&["verify"]);
        assert!(output.status.success(), "{}", words(&output));
    }

    fn total(&self) -> Flow {
        let output = self.ask(&["report", "--since", "2000-01-01", "--format", "json"]);
        let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let figure = |name: &str| report["total"][name].as_u64().unwrap_or(0);
        (figure("in"), figure("out"))
    }
}

/// Lets the user read what is there by now.
fn readable(server: &Database, database: &str) {
    let sql = match server.backend() {
        Backend::Postgres => "GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader".to_owned(),
        Backend::MariaDb | Backend::MySql => format!("GRANT SELECT ON `{database}`.* TO reader"),
    };
    server.query_in(database, &sql);
}

/// The server's own time zone, which knows when clocks change.
fn set_zone(server: &Database, zone: &str) {
    let tables = Command::new("mariadb-tzinfo-to-sql")
        .args([&format!("/usr/share/zoneinfo/{zone}"), zone])
        .output()
        .expect("a program of MariaDB's");
    server.query(&String::from_utf8(tables.stdout).expect("SQL"));
    server.query(&format!("SET GLOBAL time_zone = '{zone}'"));
}

fn second(time: &str) -> i64 {
    time.parse::<Timestamp>().expect("a time").as_second()
}

fn number(text: &str) -> u64 {
    text.parse().expect("a number")
}

fn words(output: &Output) -> String {
    let [said, told] = [&output.stdout, &output.stderr].map(|it| String::from_utf8_lossy(it));
    format!("{said}{told}")
}

fn add(sums: &mut BTreeMap<(String, i64), Flow>, key: (String, i64), flow: Flow) {
    let sum = sums.entry(key).or_default();
    *sum = (sum.0 + flow.0, sum.1 + flow.1);
}

/// The first second of the hour, day or month that a second lies in.
fn start_of(zone: &TimeZone, at: i64, per: &str) -> i64 {
    let at = Timestamp::from_second(at).expect("a second");
    let local = at.to_zoned(zone.clone());
    let start = match per {
        // A clock's second hour of the same name is another one.
        "hour" => {
            let past = i64::from(local.minute()) * 60 + i64::from(local.second());
            return at.as_second() - past;
        }
        "day" => local.start_of_day(),
        _ => local.first_of_month().and_then(|day| day.start_of_day()),
    };
    start.expect("a day").timestamp().as_second()
}

fn told(backend: Backend, zone: &str) {
    let story = Story::new(backend, zone);
    story.minutes(0..40);
    for before in [10, 25, 38] {
        story.add_to_hours(before);
        story.delete_minutes(before);
    }
    let said = story.import(&["--dry-run"]);
    assert!(
        said.contains("would take") && !story.ledger().exists(),
        "{said}"
    );
    let said = story.import(&[]);
    assert!(said.contains("read ") && said.contains("took "), "{said}");
    assert!(!said.contains("note:"), "{said}");
    story.agrees();

    // By another way it is the same database.
    let url = story.server.tcp_url("127.0.0.1", "reader", DATABASE);
    for again in [story.url(), url] {
        let said = story.import_from(&again, &[]);
        assert!(said.contains("took nothing new"), "{said}");
    }
    // It goes on while they fold.
    story.minutes(40..42);
    let said = story.import(&["--dry-run"]);
    assert!(said.contains("would take "), "{said}");
    story.import(&[]);
    story.agrees();
    story.minutes(42..43);
    story.add_to_hours(42);
    // Between the two steps there is nothing that could be told apart.
    let said = story.import(&[]);
    assert!(said.contains("the scripts were folding"), "{said}");
    story.delete_minutes(42);
    story.agrees();
    let said = story.import(&[]);
    assert!(said.contains("took nothing new"), "{said}");
    story.agrees();
    shown(&story);
}

/// Nobody takes what was imported for a client.
fn shown(story: &Story) {
    let since = ["--since", "2026-10-01", "--until", "2026-12-01"];
    let ask = |arguments: &[&str]| words(&story.ask(&[arguments, &since].concat()));
    let sessions = ask(&["sessions", "--format", "json"]);
    let sessions: Value = serde_json::from_str(&sessions).expect("JSON");
    for session in sessions.as_array().expect("a list") {
        assert_eq!(session["method"], "import", "{session}");
        assert_eq!(session["peer"], Value::Null, "{session}");
        assert_eq!(session["local"], Value::Null, "{session}");
    }
    for arguments in [
        &["sessions"][..],
        &["sessions", "--format", "csv"],
        &["report", "--by", "peer"],
        &["report", "--by", "peer", "--format", "csv"],
        &["report", "--by", "session", "--format", "json"],
    ] {
        let said = ask(arguments);
        assert!(!said.contains("0.0.0.0") && !said.is_empty(), "{said}");
    }
}

#[test]
fn what_the_scripts_have_counted_is_taken_once() {
    let name = "import::what_the_scripts_have_counted_is_taken_once";
    thread::scope(|scope| {
        for backend in [Backend::MariaDb, Backend::Postgres] {
            for zone in ["Europe/Berlin", "Asia/Kolkata"] {
                if backend.stands(name) {
                    scope.spawn(move || told(backend, zone));
                }
            }
        }
    });
}

/// Where clocks are set back the scripts fold two hours into one.
#[test]
fn an_hour_that_comes_twice_is_taken_once() {
    if !Backend::MariaDb.stands("import::an_hour_that_comes_twice_is_taken_once") {
        return;
    }
    let story = Story::new(Backend::MariaDb, "Europe/Berlin");
    story.minutes(22..27);
    story.import(&[]);
    story.agrees();
    let total = story.total();
    story.add_to_hours(26);
    story.delete_minutes(26);
    let said = story.import(&[]);
    assert!(said.contains("took nothing new"), "{said}");
    assert_eq!(story.total(), total);
    story.is_sound();
}

#[test]
fn an_import_that_was_killed_is_repeated() {
    if !Backend::MariaDb.stands("import::an_import_that_was_killed_is_repeated") {
        return;
    }
    let story = Story::new(Backend::MariaDb, "Asia/Kolkata");
    story.sql(
        r#"SET time_zone = '+00:00';
           INSERT INTO "hour" SELECT FROM_UNIXTIME(1577856600 + seq * 3600), 'alice', seq, seq * 3
           FROM seq_0_to_50000;
           INSERT INTO "hour" SELECT FROM_UNIXTIME(1577856600 + seq * 3600), 'bob', 7, seq
           FROM seq_0_to_9999"#,
    );
    let mut cut_short = 0;
    for pause in [150, 250, 350, 500, 800] {
        let mut import = story
            .sshmeter(&["import", &story.url()])
            .spawn()
            .expect("sshmeter starts");
        thread::sleep(Duration::from_millis(pause));
        import.kill().expect("a signal");
        let end = import.wait().expect("an end");
        assert!(end.success() || end.signal() == Some(9), "{end:?}");
        cut_short += u32::from(!end.success());
    }
    assert!(cut_short > 0);
    story.is_sound();
    story.import(&[]);
    let alice = 50_000 * 50_001 / 2;
    let bob = 9_999 * 10_000 / 2;
    assert_eq!(story.total(), (alice + 70_000, alice * 3 + bob));
    story.is_sound();
    let said = story.import(&[]);
    assert!(said.contains("took nothing new"), "{said}");
}

#[test]
fn what_cannot_be_imported_is_told() {
    for backend in [Backend::MariaDb, Backend::Postgres] {
        if !backend.stands("import::what_cannot_be_imported_is_told") {
            continue;
        }
        let mut story = Story::new(backend, "Europe/Berlin");
        story.minutes(0..2);
        let refused = |story: &Story, url: &str, more: &[&str], code: i32, sentence: &str| {
            let output = story.ask(&[&["import", url], more].concat());
            let said = words(&output);
            assert_eq!(output.status.code(), Some(code), "{said}");
            assert!(said.contains(sentence) && said.contains("hint: "), "{said}");
            assert!(!said.contains("horse"), "{said}");
        };
        let url = story.url();
        refused(&story, "/var/lib/mysql", &[], 2, "no address of a database");
        // Tables of nobody, and those of a mirror.
        story.server.create_database("empty");
        story.server.grant("reader", "empty");
        let empty = story.server.socket_url("reader", "empty");
        refused(&story, &empty, &[], 1, "has no table `minute`");
        let quote = if story.is_mysql() { '`' } else { '"' };
        let view = |name: &str| {
            let columns = ["time", "user", "pid", "in", "out"];
            let columns = columns.map(|column| format!("1 AS {quote}{column}{quote}"));
            format!(
                "CREATE VIEW {quote}{name}{quote} AS SELECT {}",
                columns.join(", ")
            )
        };
        let views = [view("minute"), view("hour")].join("; ");
        story.server.query_in("empty", &views);
        readable(&story.server, "empty");
        refused(&story, &empty, &[], 1, "is a view");
        assert!(!story.ledger().exists());

        story.import(&[]);
        story.import(&["--source", "elsewhere", "--dry-run"]);
        story.import(&["--source", "elsewhere"]);
        let twice = story.total();
        // The server was renamed, or is another.
        let ledger = rusqlite::Connection::open(story.ledger()).expect("a ledger");
        ledger
            .execute("DELETE FROM import WHERE source <> 'elsewhere'", [])
            .expect("rows");
        drop(ledger);
        refused(
            &story,
            &url,
            &[],
            1,
            "figures of another database, `elsewhere`",
        );
        assert_eq!(story.total(), twice);
        let said = story.import(&["--source", "elsewhere"]);
        assert!(said.contains("took nothing new"), "{said}");

        let lock = fs::File::open(lock(&story.ledger())).expect("a lock");
        lock.lock().expect("nobody has it");
        refused(&story, &url, &[], 1, "already counts into");
        story.import(&["--source", "elsewhere", "--dry-run"]);
        drop(lock);

        let password = story.server.password_file("reader");
        fs::write(&password, "wrong\n").expect("a password");
        refused(&story, &url, &[], 1, "refuses the login");
        story.server.kill();
        refused(&story, &url, &[], 1, "cannot be reached");
    }
}

fn lock(ledger: &Path) -> PathBuf {
    let mut name = ledger.as_os_str().to_owned();
    name.push(".lock");
    name.into()
}
