//! What the stories stand on: servers of each kind, a machine that mirrors to
//! them, and questions to both.

use std::{collections::BTreeMap, fmt::Write as _, time::Duration};

use serde_json::Value;
use system_tests::{Answer, Backend, Daemon, Database, Machine, MachineBuilder, wait_for};

/// A name with what SQL, shells and terminals take for something else.
pub(crate) const ODD: &str = "o'br\"ien\\ 🐎";

/// A server with its address, as the user `sshmeter`.
pub(crate) struct Mirror {
    pub(crate) server: Database,
    pub(crate) url: String,
}

/// What somebody moved, in and out.
pub(crate) type Sums = BTreeMap<String, (u64, u64)>;

/// A server of each kind that there is here.
pub(crate) fn mirrors(name: &str) -> Vec<Mirror> {
    let standing = Backend::ALL
        .into_iter()
        .filter(|backend| backend.stands(&format!("mirror::{name}")));
    standing.map(mirror).collect()
}

/// A server of this kind.
pub(crate) fn mirror(backend: Backend) -> Mirror {
    let server = backend.start();
    let url = server.ready_for_sshmeter();
    Mirror { server, url }
}

impl Mirror {
    /// What the scripts' users would ask, in UTC.
    pub(crate) fn ask(&self, sql: &str) -> Vec<Vec<String>> {
        let (zone, sql) = match self.server.backend() {
            Backend::Postgres => ("SET TIME ZONE 'UTC'", sql.replace('`', "\"")),
            Backend::MariaDb | Backend::MySql => ("SET time_zone = '+00:00'", sql.to_owned()),
        };
        let rows = self.server.query_in("sshmeter", &format!("{zone};\n{sql}"));
        rows.into_iter()
            .map(|row| row.into_iter().map(Option::unwrap_or_default).collect())
            .collect()
    }

    /// The same where a row is a user, and what came in and went out.
    pub(crate) fn sums(&self, sql: &str) -> Sums {
        let rows = self.ask(sql).into_iter();
        rows.map(|row| (row[0].clone(), (number(&row[1]), number(&row[2]))))
            .collect()
    }
}

pub(crate) fn number(text: &str) -> u64 {
    text.parse()
        .unwrap_or_else(|_| panic!("{text:?} is no whole number"))
}

/// A machine that reaches the servers by their sockets.
pub(crate) fn machine(mirrors: &[Mirror]) -> MachineBuilder {
    let servers = mirrors.iter().map(|mirror| &mirror.server);
    servers.fold(Machine::builder().user(ODD), MachineBuilder::database)
}

/// Gives the machine a config with these mirrors, each with further lines.
pub(crate) fn configure(machine: &Machine, mirrors: &[Mirror], lines: &str) {
    configure_with(machine, "", mirrors, lines);
}

/// The same with further tables before.
pub(crate) fn configure_with(machine: &Machine, tables: &str, mirrors: &[Mirror], lines: &str) {
    let mut config =
        format!("{tables}\n[meter]\ninterval = \"1s\"\n[ledger]\ntimezone = \"UTC\"\n");
    for mirror in mirrors {
        // Writing to a String cannot fail.
        let _infallible = writeln!(
            config,
            "[[mirror]]\nurl = \"{}\"\ninterval = \"1s\"\n{lines}",
            mirror.url
        );
    }
    machine.server().shell("mkdir -p /etc/sshmeter");
    machine.server().write("/etc/sshmeter/config.toml", &config);
}

/// The doctor's lines on mirrors, each with its hint behind it.
pub(crate) fn health(answer: &Answer) -> Vec<String> {
    let output = answer.output(&["doctor"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut found: Vec<String> = Vec::new();
    let mut is_of_mirror = false;
    for line in text.lines() {
        match line.trim_start().strip_prefix("hint: ") {
            Some(hint) if is_of_mirror => {
                let last = found.last_mut().expect("a line before");
                let _infallible = write!(last, " | {hint}");
            }
            Some(_) => {}
            None => {
                is_of_mirror = line.split_whitespace().nth(1) == Some("mirror");
                if is_of_mirror {
                    found.push(line.to_owned());
                }
            }
        }
    }
    found
}

/// Waits until all mirrors have what the ledger has.
pub(crate) fn wait_until_up_to_date(daemon: &Daemon) {
    let mut last = Vec::new();
    let begin = std::time::Instant::now();
    while begin.elapsed() < Duration::from_secs(30) {
        last = health(daemon.ask());
        if last.iter().all(|line| line.contains("is up to date")) && !last.is_empty() {
            return;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("not up to date: {last:?}\n{}", daemon.words());
}

/// Waits until the daemon has said this of a mirror.
pub(crate) fn wait_for_words(daemon: &Daemon, mirror: &Mirror, words: &str) {
    let folder = mirror.server.folder().to_str().expect("a path in UTF-8");
    wait_for(words, Duration::from_secs(30), || {
        let said = daemon.words();
        let mut lines = said.lines();
        lines
            .any(|line| line.contains(folder) && line.contains(words))
            .then_some(())
    });
}

/// All time.
pub(crate) const EVER: [&str; 4] = ["--since", "2020-01-01", "--until", "2100-01-01"];

/// The rows of a report as JSON; of a mirror with an address.
pub(crate) fn rows(answer: &Answer, url: Option<&str>, flags: &[&str]) -> Vec<Value> {
    let mut arguments = vec!["report", "--format", "json"];
    arguments.extend(flags);
    if let Some(url) = url {
        arguments.extend(["--ledger", url]);
    }
    let text = answer.text(&arguments);
    let report: Value = serde_json::from_str(&text).expect("a report is JSON");
    report["rows"].as_array().expect("it has rows").clone()
}

/// What each user moved, ever, in a ledger or a mirror.
pub(crate) fn users(answer: &Answer, url: Option<&str>, flags: &[&str]) -> Sums {
    let rows = rows(answer, url, &[&EVER[..], flags].concat());
    rows.iter().map(of_user).collect()
}

/// A row's user and figures.
pub(crate) fn of_user(row: &Value) -> (String, (u64, u64)) {
    let figure = |name: &str| match &row[name] {
        // Who was there and moved nothing.
        Value::Null => 0,
        figure => figure.as_u64().unwrap_or_else(|| panic!("{row}")),
    };
    let user = row["user"].as_str().unwrap_or_else(|| panic!("{row}"));
    (user.to_owned(), (figure("in"), figure("out")))
}
