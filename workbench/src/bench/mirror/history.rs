//! A month of all hosts, put there by the server itself, and what reports over it
//! take. Every user has one session a day of four hours, and moves something in two of them.

use std::{
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use system_tests::Backend;
use xtask::build;

use super::{Size, server::Server};
use crate::table::Table;

/// The months' first minutes: October 2026 and the one after.
const BEGIN: i64 = 29_846_880;
const END: i64 = 29_891_520;

/// Asked by the program, and asked by who knows SQL.
const REPORTS: [&str; 5] = [
    "--by host",
    "--by user",
    "--by user --per day",
    "--by host,user --per day",
    "--by user --per hour --user user-7",
];
const QUESTIONS: [(&str, &str); 3] = [
    (
        "view hour, all users, a day",
        "SELECT {user}, SUM({in}), SUM({out}) FROM hour
         WHERE time >= '2026-10-13' AND time < '2026-10-14' GROUP BY {user}",
    ),
    (
        "view hour, one user, a month",
        "SELECT SUM({in}), SUM({out}) FROM hour WHERE {user} = 'user-7'
         AND time >= '2026-10-01' AND time < '2026-11-01'",
    ),
    (
        "view minute, all users, five minutes",
        "SELECT {user}, SUM({in}), SUM({out}) FROM minute
         WHERE time >= '2026-10-31 23:10:00' AND time < '2026-10-31 23:15:00' GROUP BY {user}",
    ),
];

/// Puts the month there instead of what was.
pub(super) fn put(server: &Server, size: Size) -> Result<()> {
    let begin = Instant::now();
    for sql in statements(server.backend(), size) {
        server.ask(&sql);
    }
    eprintln!("a month is there after {} s", begin.elapsed().as_secs());
    Ok(())
}

fn statements(backend: Backend, Size { hosts, users, .. }: Size) -> Vec<String> {
    let is_postgres = backend == Backend::Postgres;
    let run = |name: &str, first: usize, last: usize| {
        if is_postgres {
            format!("generate_series({first}::bigint, {last}) AS {name}(seq)")
        } else {
            format!("seq_{first}_to_{last} AS {name}")
        }
    };
    let host = run("h", 1, hosts);
    let user = run("u", 1, users);
    let day = run("d", 0, 30);
    // Keys in order, as they come from the ledgers.
    let hour = run("o", 6, 7);
    let mut all: Vec<String> = [
        "host", "account", "session", "minute", "hour", "day", "month",
    ]
    .map(|table| match backend {
        Backend::Postgres => format!("TRUNCATE sshmeter_{table}"),
        // What it deletes it gives back at once.
        Backend::MariaDb | Backend::MySql => format!("TRUNCATE TABLE sshmeter_{table}"),
    })
    .to_vec();
    let time = |minutes: &str| {
        if is_postgres {
            String::new()
        } else {
            format!(", FROM_UNIXTIME(({minutes}) * 60)")
        }
    };
    let last_hour = END - 60;
    let (hour_start, minute_start) = (
        format!("{BEGIN} + d.seq * 1440 + o.seq * 60"),
        format!("{last_hour} + m.seq"),
    );
    let (hour_time, minute_time) = (time(&hour_start), time(&minute_start));
    let timed = if is_postgres { "" } else { ", time" };
    let figures = "wire_in, wire_out, payload_in, payload_out";
    let name = if is_postgres { "\"user\"" } else { "`user`" };
    all.extend([
        format!(
            "INSERT INTO sshmeter_host (host, ledger, name, zone, machine, resolution, pause, turn,
                 journal, revision, current_hour)
             SELECT seq, concat('ledger-', seq), concat('host-', seq), 'UTC', '', 'minute', 60, 1,
                 '', 1, {last_hour} FROM {host}"
        ),
        format!(
            "INSERT INTO sshmeter_account (host, id, {name})
             SELECT h.seq, u.seq, concat('user-', u.seq) FROM {host} CROSS JOIN {user}"
        ),
        format!(
            "INSERT INTO sshmeter_session (host, id, boot, cookie, account, peer_ip, peer_port,
                 local_ip, local_port, pid, opened_ms, closed_ms, reason, begin_minute,
                 end_minute, total_wire_in, total_wire_out, total_payload_in, total_payload_out)
             SELECT h.seq, d.seq * {users} + u.seq, '0123456789abcdef0123456789abcdef',
                 d.seq * {users} + u.seq, u.seq, '203.0.113.7', 40000, '192.0.2.1', 22, 4711,
                 ({BEGIN} + d.seq * 1440 + 360) * 60000, ({BEGIN} + d.seq * 1440 + 599) * 60000,
                 'disconnected by user', {BEGIN} + d.seq * 1440 + 360,
                 {BEGIN} + d.seq * 1440 + 599, 4000, 8000000, 3000, 7000000
             FROM {host} CROSS JOIN {day} CROSS JOIN {user}"
        ),
        format!(
            "INSERT INTO sshmeter_hour (host, start, account, {figures}{timed})
             SELECT h.seq, {hour_start}, u.seq, 1000, 2000000, 750, 1750000{hour_time}
             FROM {host} CROSS JOIN {day} CROSS JOIN {hour} CROSS JOIN {user}"
        ),
        format!(
            "INSERT INTO sshmeter_day (host, start, account, {figures})
             SELECT h.seq, {BEGIN} + d.seq * 1440, u.seq, 2000, 4000000, 1500, 3500000
             FROM {host} CROSS JOIN {day} CROSS JOIN {user}"
        ),
        format!(
            "INSERT INTO sshmeter_month (host, start, account, {figures})
             SELECT h.seq, {BEGIN}, u.seq, 62000, 124000000, 46500, 108500000
             FROM {host} CROSS JOIN {user}"
        ),
        format!(
            "INSERT INTO sshmeter_minute (host, minute, session, {figures}{timed})
             SELECT h.seq, {minute_start}, 30 * {users} + u.seq, 20, 30000, 15, 29000{minute_time}
             FROM {host} CROSS JOIN {} CROSS JOIN {user}",
            run("m", 10, 19)
        ),
        if is_postgres {
            "VACUUM ANALYZE".to_owned()
        } else {
            "ANALYZE TABLE sshmeter_session, sshmeter_minute, sshmeter_hour, sshmeter_day,
             sshmeter_month, sshmeter_account, sshmeter_host"
                .to_owned()
        },
    ]);
    all
}

/// Asks all of it twice: the second time it comes from memory.
pub(super) fn asked(server: &Server) -> Result<Table> {
    let heads = [
        "question",
        "seconds",
        "again",
        "server: CPU s, again",
        "rows",
    ];
    let mut table = Table::new(heads.map(str::to_owned));
    for report in REPORTS {
        let name = format!("report {report}");
        asked_twice(server, &mut table, &name, &|| reported(server, report))?;
    }
    for (name, sql) in QUESTIONS {
        let sql = words_of(server.backend(), sql);
        asked_twice(server, &mut table, name, &|| Ok(server.ask(&sql).len()))?;
    }
    Ok(table)
}

fn asked_twice(
    server: &Server,
    table: &mut Table,
    name: &str,
    ask: &dyn Fn() -> Result<usize>,
) -> Result<()> {
    let (_, first, _) = measured(server, ask)?;
    let (rows, again, processor) = measured(server, ask)?;
    let seconds = |time: Duration| format!("{:.2}", time.as_secs_f64());
    let cells = [first, again, processor].map(seconds);
    eprintln!("{name}: {}", cells.join(", "));
    table.row(name, cells.into_iter().chain([rows.to_string()]));
    Ok(())
}

fn measured(
    server: &Server,
    ask: &dyn Fn() -> Result<usize>,
) -> Result<(usize, Duration, Duration)> {
    server.settle();
    let (before, begin) = (server.usage(), Instant::now());
    let rows = ask()?;
    let took = begin.elapsed();
    server.settle();
    Ok((rows, took, server.usage().processor - before.processor))
}

/// How many lines a report has.
fn reported(server: &Server, arguments: &str) -> Result<usize> {
    let output = server
        .command(&build::target().join("release/sshmeter"))
        .args(["report", "--ledger", server.url(), "--format", "csv"])
        .args(["--since", "2026-10-01", "--until", "2026-11-01"])
        .args(arguments.split(' '))
        .env("TZ", "UTC")
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()?;
    ensure!(output.status.success(), "the report failed");
    Ok(output.stdout.split(|byte| *byte == b'\n').count())
}

fn words_of(backend: Backend, sql: &str) -> String {
    let quote = match backend {
        Backend::Postgres => '"',
        Backend::MariaDb | Backend::MySql => '`',
    };
    ["user", "in", "out"]
        .iter()
        .fold(sql.to_owned(), |sql, word| {
            sql.replace(&format!("{{{word}}}"), &format!("{quote}{word}{quote}"))
        })
}
