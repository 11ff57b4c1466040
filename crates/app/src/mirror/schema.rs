//! The tables on a server: made by the first host that comes, brought up to date
//! by the first newer one, never taken back to an older form.
//!
//! Many hosts may start at once. PostgreSQL makes all of a version in one
//! transaction behind a lock. MySQL and MariaDB commit after each statement, and
//! a Galera cluster has no lock for all its nodes: there every step can be taken
//! again, by several hosts at a time, and the version is written last.

use super::{
    address::Protocol,
    error::MirrorError,
    server::{Server, ServerError},
    statement::{self, Collation, table_options},
};
use crate::store::{Table, Value};

/// The newest version this program knows.
pub(super) const VERSION: i64 = 1;

/// PostgreSQL's number of the lock: the letters `sshmeter` as an integer.
const LOCK_NUMBER: i64 = 0x7373_686d_6574_6572;

/// Makes the tables, or brings them up to date. Gives what a person should know.
///
/// # Errors
/// A newer sshmeter made them, there are no rights to make them, or the server
/// went away.
pub(super) async fn ensure(server: &mut Server) -> Result<Option<String>, MirrorError> {
    match found(server).await? {
        Some(version) if version == VERSION => return Ok(None),
        Some(version) if version > VERSION => return Err(newer(server, version)),
        _ => {}
    }
    if server.protocol() == Protocol::Mysql {
        return make(server).await;
    }
    server.run("BEGIN").await?;
    server
        .run(&format!("SELECT pg_advisory_xact_lock({LOCK_NUMBER})"))
        .await?;
    let notice = make(server).await?;
    server.run("COMMIT").await?;
    Ok(notice)
}

/// The version that is there, if any.
///
/// # Errors
/// The server went away or does not let us look.
pub(super) async fn found(server: &mut Server) -> Result<Option<i64>, ServerError> {
    let mut version = None;
    let asked = server
        .query(
            "SELECT \"version\" FROM \"sshmeter_schema\" WHERE \"id\" = 1",
            &[],
            &mut |row| {
                if let Some(Value::Integer(number)) = row.first() {
                    version = Some(*number);
                }
            },
        )
        .await;
    match asked {
        Err(ServerError::NoTable { .. }) => Ok(None),
        Err(error) => Err(error),
        Ok(()) => Ok(version),
    }
}

pub(super) fn newer(server: &Server, found: i64) -> MirrorError {
    MirrorError::Newer {
        place: server.place().to_owned(),
        found,
        known: VERSION,
    }
}

async fn make(server: &mut Server) -> Result<Option<String>, MirrorError> {
    let mut tables = tables(server).into_iter();
    // A question for a table that is missing would end PostgreSQL's transaction.
    for first in tables.by_ref().take(2) {
        server.run(&first).await?;
    }
    // Asked before the version, which a host needs to be there: where there are
    // hosts and no version, somebody took it away to have all made anew.
    let has_hosts = has_hosts(server).await?;
    // Another host may have been faster.
    match found(server).await? {
        Some(version) if version == VERSION => return Ok(None),
        Some(version) if version > VERSION => return Err(newer(server, version)),
        _ => {}
    }
    for statement in tables {
        server.run(&statement).await?;
    }
    if has_hosts {
        // Some of the tables may have been empty just now.
        server
            .run("UPDATE \"sshmeter_host\" SET \"journal\" = ''")
            .await?;
    }
    let notice = make_views(server).await?;
    let version = match server.protocol() {
        Protocol::Mysql => {
            "INSERT INTO \"sshmeter_schema\" (\"id\", \"version\") VALUES (1, ?) \
             ON DUPLICATE KEY UPDATE \"version\" = VALUES(\"version\")"
        }
        Protocol::Postgres => {
            "INSERT INTO \"sshmeter_schema\" (\"id\", \"version\") VALUES (1, ?) \
             ON CONFLICT (\"id\") DO UPDATE SET \"version\" = EXCLUDED.\"version\""
        }
    };
    server.execute(version, &[Value::Integer(VERSION)]).await?;
    Ok(notice)
}

/// Makes the views, which nothing of ours needs, or says why not. A view that is
/// there is left as it is: it is ours already, or somebody's own; and to replace
/// one takes the right to drop tables.
async fn make_views(server: &mut Server) -> Result<Option<String>, ServerError> {
    const LATER: &str = "delete the row of the table sshmeter_schema to have them made then";
    const EXISTS: &str = "1050";
    let taken = taken_names(server).await?;
    let tables: Vec<String> = taken
        .iter()
        .filter(|taken| !taken.is_view)
        .map(|taken| format!("`{}`", taken.name))
        .collect();
    if !tables.is_empty() {
        return Ok(Some(format!(
            "the views `minute` and `hour` were not made, as the database has {} of its own: \
             take the figures over with `sshmeter import`, rename what is there, and {LATER}",
            tables.join(" and ")
        )));
    }
    for (name, statement) in views(server.protocol()) {
        if taken.iter().any(|taken| taken.name == name) {
            continue;
        }
        match server.run(&statement).await {
            Err(error @ ServerError::NoRights { .. }) if server.protocol() == Protocol::Mysql => {
                return Ok(Some(format!(
                    "the views `minute` and `hour` were not made ({error}): grant CREATE VIEW, \
                     and {LATER}"
                )));
            }
            // Another host was faster.
            Err(ServerError::Other { code, .. }) if code == EXISTS => {}
            other => other?,
        }
    }
    Ok(None)
}

async fn has_hosts(server: &mut Server) -> Result<bool, ServerError> {
    let mut found = false;
    server
        .query(
            "SELECT \"host\" FROM \"sshmeter_host\" LIMIT 1",
            &[],
            &mut |_| found = true,
        )
        .await?;
    Ok(found)
}

/// The tables, those with the version and the hosts first.
fn tables(server: &Server) -> Vec<String> {
    let protocol = server.protocol();
    let options = match protocol {
        Protocol::Mysql if server.is_mariadb() => table_options(Collation::NopadBin),
        Protocol::Mysql => table_options(Collation::Utf8mb4Bin0900),
        Protocol::Postgres => String::new(),
    };
    let number = match protocol {
        Protocol::Mysql => "BIGINT NOT NULL AUTO_INCREMENT",
        Protocol::Postgres => "BIGINT GENERATED BY DEFAULT AS IDENTITY",
    };
    let (ledger, seen) = match protocol {
        Protocol::Mysql => ("VARCHAR(32) NOT NULL", "TIMESTAMP"),
        Protocol::Postgres => ("TEXT NOT NULL", "TIMESTAMP WITH TIME ZONE"),
    };
    let mut statements = vec![
        format!(
            "CREATE TABLE IF NOT EXISTS \"sshmeter_schema\" (
    \"id\" BIGINT NOT NULL PRIMARY KEY,
    \"version\" BIGINT NOT NULL
){options}"
        ),
        format!(
            "CREATE TABLE IF NOT EXISTS \"sshmeter_host\" (
    \"host\" {number} PRIMARY KEY,
    \"ledger\" {ledger} UNIQUE,
    \"name\" TEXT NOT NULL,
    \"zone\" TEXT NOT NULL,
    \"machine\" TEXT NOT NULL,
    \"resolution\" TEXT NOT NULL,
    \"pause\" BIGINT NOT NULL,
    \"turn\" BIGINT NOT NULL,
    \"journal\" TEXT NOT NULL,
    \"revision\" BIGINT NOT NULL,
    \"copied_table\" BIGINT,
    \"copied_first\" BIGINT,
    \"copied_second\" BIGINT,
    \"current_hour\" BIGINT NOT NULL,
    \"minutes_since\" BIGINT,
    \"hours_since\" BIGINT,
    \"days_since\" BIGINT,
    \"seen\" {seen} NOT NULL DEFAULT CURRENT_TIMESTAMP
){options}"
        ),
    ];
    statements.extend(Table::ALL.map(|table| statement::create(protocol, table, &options)));
    if protocol == Protocol::Postgres {
        statements.push(format!(
            "CREATE INDEX IF NOT EXISTS \"sshmeter_session_by_end\" \
             ON \"sshmeter_session\" ({})",
            statement::SESSION_END
        ));
        for (table, minute) in [(Table::Minute, "minute"), (Table::Hour, "start")] {
            let name = statement::name(table);
            statements.push(format!(
                "CREATE INDEX IF NOT EXISTS \"{name}_by_time\" ON \"{name}\" \
                 (to_timestamp(\"{minute}\" * 60.0::double precision))"
            ));
        }
    }
    statements
}

/// What has a name that a view takes.
struct Taken {
    name: String,
    is_view: bool,
}

/// Of the names the views take, those that are taken.
async fn taken_names(server: &mut Server) -> Result<Vec<Taken>, ServerError> {
    let asked = match server.protocol() {
        Protocol::Mysql => {
            "SELECT table_name, CASE table_type WHEN 'VIEW' THEN 'view' ELSE 'table' END \
             FROM information_schema.tables WHERE table_schema = DATABASE() \
             AND table_name IN ('minute', 'hour') ORDER BY table_name"
        }
        // There, information_schema hides what this user may not use.
        Protocol::Postgres => {
            "SELECT CAST(c.relname AS TEXT), CASE c.relkind WHEN 'v' THEN 'view' ELSE 'table' END \
             FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
             WHERE n.nspname = CURRENT_SCHEMA() AND c.relname IN ('minute', 'hour') \
             ORDER BY c.relname"
        }
    };
    let mut taken = Vec::new();
    server
        .query(asked, &[], &mut |row| {
            if let [Value::Text(name), Value::Text(kind)] = row.as_slice() {
                taken.push(Taken {
                    name: name.clone(),
                    is_view: kind == "view",
                });
            }
        })
        .await?;
    Ok(taken)
}

/// What the scripts called `minute` and `hour`: minutes of the hour that runs,
/// by session, and the hours before, by user. Both end where the other begins,
/// at the start of the host's running hour, so that a sum over both counts each
/// byte once, as it did when minutes were folded into hours.
fn views(protocol: Protocol) -> [(&'static str, String); 2] {
    // Left to choose, MySQL and MariaDB read all rows of one host after the other,
    // whatever time is asked for.
    let (minute_time, hour_time, whole, by_time) = match protocol {
        Protocol::Mysql => (
            "m.\"time\"",
            "r.\"time\"",
            "SIGNED",
            " USE INDEX (\"by_time\")",
        ),
        Protocol::Postgres => (
            "to_timestamp(m.\"minute\" * 60.0::double precision)",
            "to_timestamp(r.\"start\" * 60.0::double precision)",
            "BIGINT",
            "",
        ),
    };
    [
        (
            "minute",
            format!(
                "CREATE VIEW \"minute\" AS
SELECT {minute_time} AS \"time\", a.\"user\" AS \"user\", s.\"pid\" AS \"pid\",
       COALESCE(m.\"wire_in\", 0) AS \"in\", COALESCE(m.\"wire_out\", 0) AS \"out\"
FROM \"sshmeter_minute\" m{by_time}
JOIN \"sshmeter_host\" h ON h.\"host\" = m.\"host\"
JOIN \"sshmeter_session\" s ON s.\"host\" = m.\"host\" AND s.\"id\" = m.\"session\"
JOIN \"sshmeter_account\" a ON a.\"host\" = s.\"host\" AND a.\"id\" = s.\"account\"
WHERE a.\"user\" IS NOT NULL AND m.\"minute\" >= h.\"current_hour\""
            ),
        ),
        (
            "hour",
            format!(
                "CREATE VIEW \"hour\" AS
SELECT {hour_time} AS \"time\", a.\"user\" AS \"user\",
       CAST(SUM(COALESCE(r.\"wire_in\", 0)) AS {whole}) AS \"in\",
       CAST(SUM(COALESCE(r.\"wire_out\", 0)) AS {whole}) AS \"out\"
FROM \"sshmeter_hour\" r{by_time}
JOIN \"sshmeter_host\" h ON h.\"host\" = r.\"host\"
JOIN \"sshmeter_account\" a ON a.\"host\" = r.\"host\" AND a.\"id\" = r.\"account\"
WHERE a.\"user\" IS NOT NULL AND r.\"start\" < h.\"current_hour\"
GROUP BY {hour_time}, a.\"user\""
            ),
        ),
    ]
}
