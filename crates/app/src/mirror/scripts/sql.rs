//! What the scripts' database is asked, in the words of both protocols.
//!
//! The scripts' hours begin where the server's clock shows a full hour, which is
//! no full hour of UTC everywhere, and two hours become one where clocks are set
//! back. So the server says itself to which hour a minute belongs, by the words
//! that put it there.

use super::super::address::Protocol;

/// Begins to read what is there now, by the server's own clock.
pub(super) fn begin(protocol: Protocol) -> &'static [&'static str] {
    match protocol {
        Protocol::Mysql => &[
            "SET SESSION time_zone = @@GLOBAL.time_zone",
            "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ",
            "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY",
        ],
        Protocol::Postgres => &[
            "RESET timezone",
            "BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY",
        ],
    }
}

/// What tells one database from all others, whoever asks and by whatever way.
pub(super) fn identity(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Mysql => "SELECT @@hostname, @@port, DATABASE()",
        Protocol::Postgres => {
            "SELECT CAST(system_identifier AS TEXT), CAST(CURRENT_DATABASE() AS TEXT),
                    CAST(CURRENT_SCHEMA() AS TEXT)
             FROM pg_control_system()"
        }
    }
}

/// The columns of the tables, with their table's kind and their collation.
pub(super) fn columns(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Mysql => {
            "SELECT c.table_name, t.table_type, c.column_name, COALESCE(c.collation_name, '')
             FROM information_schema.columns c
             JOIN information_schema.tables t
               ON t.table_schema = c.table_schema AND t.table_name = c.table_name
             WHERE c.table_schema = DATABASE() AND c.table_name IN ('minute', 'hour')"
        }
        Protocol::Postgres => {
            "SELECT CAST(c.table_name AS TEXT), CAST(t.table_type AS TEXT),
                    CAST(c.column_name AS TEXT), ''
             FROM information_schema.columns c
             JOIN information_schema.tables t
               ON t.table_schema = c.table_schema AND t.table_name = c.table_name
             WHERE c.table_schema = CURRENT_SCHEMA() AND c.table_name IN ('minute', 'hour')"
        }
    }
}

/// How many rows the tables have.
pub(super) const COUNT: &str =
    r#"SELECT (SELECT COUNT(*) FROM "hour"), (SELECT COUNT(*) FROM "minute")"#;

/// Which figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Hours before the second that is the question's value.
    Before,
    /// Hours from there on, and all minutes.
    From,
}

/// Expressions that differ. Seconds are since 1970, and 0 where there are none.
pub(super) struct Words {
    protocol: Protocol,
    at: &'static str,
    hour_of_minute: &'static str,
    user: &'static str,
    whole: &'static str,
}

impl Words {
    pub(super) fn of(protocol: Protocol) -> Self {
        match protocol {
            Protocol::Mysql => Self {
                protocol,
                at: r#"COALESCE(CAST(UNIX_TIMESTAMP("time") AS SIGNED), 0)"#,
                hour_of_minute: r#"COALESCE(CAST(UNIX_TIMESTAMP(
                    DATE_FORMAT("time", '%Y-%m-%d %H:00:00')) AS SIGNED), 0)"#,
                user: r#"CONVERT("user" USING utf8mb4) COLLATE utf8mb4_bin"#,
                whole: "SIGNED",
            },
            Protocol::Postgres => Self {
                protocol,
                at: r#"CASE WHEN isfinite("time") THEN CAST(FLOOR(EXTRACT(EPOCH FROM
                    CAST("time" AS TIMESTAMP WITH TIME ZONE))) AS BIGINT) ELSE 0 END"#,
                hour_of_minute: r#"CASE WHEN isfinite("time") THEN CAST(EXTRACT(EPOCH FROM
                    CAST(date_trunc('hour', "time") AS TIMESTAMP WITH TIME ZONE)) AS BIGINT)
                    ELSE 0 END"#,
                user: r#"CAST("user" AS TEXT)"#,
                whole: "BIGINT",
            },
        }
    }

    /// Asks for the first hour that a minute belongs to.
    pub(super) fn first_hour_of_minutes(&self) -> String {
        let hour = self.hour_of_minute;
        format!(r#"SELECT MIN({hour}) FROM "minute" WHERE {hour} > 0"#)
    }

    /// Asks for the figures: hour, whether it is a whole hour's figure, second,
    /// user, process, bytes in and out. Those of an hour follow each other, hours
    /// before minutes, always in one order.
    pub(super) fn figures(&self, part: Part) -> String {
        let Self {
            at,
            hour_of_minute,
            user,
            whole,
            ..
        } = self;
        let figures = format!(r#"CAST("in" AS {whole}) AS "in", CAST("out" AS {whole}) AS "out""#);
        let of_hours = |compared: &str| {
            format!(
                r#"SELECT {at} AS "hour_at", 1 AS "is_hour", {at} AS "at", {user} AS "user",
                          CAST(NULL AS {whole}) AS "pid", {figures}
                   FROM "hour" WHERE {at} {compared} {}"#,
                self.place()
            )
        };
        match part {
            // An index has them in this order.
            Part::Before => of_hours("<") + r#" ORDER BY "time""#,
            Part::From => format!(
                r#"SELECT * FROM ({} UNION ALL
                   SELECT {hour_of_minute}, 0, {at}, {user}, CAST("pid" AS {whole}), {figures}
                   FROM "minute") AS figures
                   ORDER BY "hour_at", "is_hour" DESC, "at", "user", "pid", "in", "out""#,
                of_hours(">=")
            ),
        }
    }

    fn place(&self) -> &'static str {
        match self.protocol {
            Protocol::Mysql => "?",
            Protocol::Postgres => "CAST(? AS BIGINT)",
        }
    }
}
