//! Which hosts a mirror holds, what it has of each, and how fresh that is.

use std::time::Duration;

use jiff::Timestamp;
use sshmeter_core::{
    identity::HostName,
    report::{Host, Kept},
    time::{Calendar, zone_named},
    units::Minute,
};

use super::{
    ReadError, Standing,
    rows::{Ask, Columns, each_row, whole},
};
use crate::mirror::{
    address::{Address, Protocol},
    schema,
};

/// Refuses a database without tables of ours, or with a later sshmeter's.
pub(super) fn check_format(asked: &mut impl Ask, address: &Address) -> Result<(), ReadError> {
    // A table that is not there would end PostgreSQL's transaction.
    let tables = match asked.protocol() {
        Protocol::Mysql => {
            "SELECT COUNT(*) FROM information_schema.tables
             WHERE table_schema = DATABASE() AND table_name = 'sshmeter_schema'"
        }
        Protocol::Postgres => {
            "SELECT COUNT(*) FROM pg_class WHERE oid = to_regclass('sshmeter_schema')"
        }
    };
    let database = || address.database.clone();
    if number(asked, tables)? != Some(1) {
        return Err(ReadError::Nothing(database()));
    }
    let version = r#"SELECT "version" FROM sshmeter_schema WHERE "id" = 1"#;
    match number(asked, version)? {
        None => Err(ReadError::Nothing(database())),
        Some(found) if found > schema::VERSION => Err(ReadError::Newer {
            database: database(),
            found,
            known: schema::VERSION,
        }),
        Some(_) => Ok(()),
    }
}

/// The number that a question is answered with.
fn number(asked: &mut impl Ask, sql: &str) -> Result<Option<i64>, ReadError> {
    let mut number = None;
    each_row(asked, sql, &[], |columns| {
        number = Some(columns.number()?);
        Ok(())
    })?;
    Ok(number)
}

/// The hosts, and how the copy of each stands, as of `now`.
pub(super) fn read(
    asked: &mut impl Ask,
    now: Timestamp,
) -> Result<(Vec<Host>, Vec<Standing>), ReadError> {
    // A host that mirrors no minutes could not tell its last hour otherwise.
    let until = Some(Minute::of(now).next());
    let protocol = asked.protocol();
    let seconds = match protocol {
        Protocol::Mysql => r#"UNIX_TIMESTAMP() - UNIX_TIMESTAMP("seen")"#,
        Protocol::Postgres => r#"EXTRACT(EPOCH FROM CURRENT_TIMESTAMP - "seen")"#,
    };
    let is_being_copied = r#"CASE WHEN "copied_table" IS NULL THEN 0 ELSE 1 END"#;
    let sql = format!(
        r#"SELECT "host", "ledger", "name", "zone", "resolution", "minutes_since", "hours_since",
                  "days_since", {}, {}, "pause"
           FROM sshmeter_host ORDER BY "host""#,
        whole(protocol, is_being_copied),
        whole(protocol, seconds),
    );
    let (mut hosts, mut states) = (Vec::new(), Vec::new());
    each_row(asked, &sql, &[], |columns| {
        hosts.push(host(columns, until)?);
        let is_being_copied = columns.number()? != 0;
        // A server's clock may be set back.
        let mut seconds = || {
            let seconds = u64::try_from(columns.number()?).unwrap_or(0);
            Ok::<_, ReadError>(Duration::from_secs(seconds))
        };
        states.push((is_being_copied, seconds()?, seconds()?));
        Ok(())
    })?;
    let names = Host::distinct_names(&hosts).into_iter();
    let standings = names
        .zip(states)
        .map(|(name, (is_being_copied, heard_ago, pause))| Standing {
            name,
            is_being_copied,
            heard_ago,
            pause,
        });
    let standings = standings.collect();
    Ok((hosts, standings))
}

/// A host from the first columns of its row.
fn host(columns: &mut Columns, until: Option<Minute>) -> Result<Host, ReadError> {
    let number = columns.number()?;
    let id = columns.word()?;
    let name = columns.word()?;
    let zone_name = columns.word()?;
    let resolution = columns.word()?;
    let mut minute = || Ok::<_, ReadError>(columns.maybe_number()?.map(Minute));
    let kept = Kept {
        minutes_since: minute()?,
        hours_since: minute()?,
        days_since: minute()?,
        until,
    };
    let zone = zone_named(&zone_name).ok_or_else(|| ReadError::UnknownZone {
        host: name.clone(),
        zone: zone_name,
    })?;
    Ok(Host {
        number,
        id,
        name: HostName::new(name),
        calendar: Calendar::new(zone),
        has_sessions: resolution == "minute",
        kept: kept_at(&resolution, kept)?,
    })
}

/// What is kept where rows finer than a resolution are not mirrored.
fn kept_at(resolution: &str, kept: Kept) -> Result<Kept, ReadError> {
    let never = Some(Kept::NEVER);
    Ok(match resolution {
        "minute" => kept,
        "hour" => Kept {
            minutes_since: never,
            ..kept
        },
        "day" => Kept {
            minutes_since: never,
            hours_since: never,
            ..kept
        },
        "month" => Kept {
            minutes_since: never,
            hours_since: never,
            days_since: never,
            ..kept
        },
        _ => return Err(ReadError::Strange("a resolution that is none".to_owned())),
    })
}
