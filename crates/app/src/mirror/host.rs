//! A host's own row on the server: who it is, how far its rows have come, and
//! whose turn it is to write them.
//!
//! How far they have come stands beside the rows and moves with them in one
//! transaction. So a server that went back in time, or another one that took its
//! place, says itself what it lacks; a commit whose answer was lost is found done
//! or undone; and a turn taken twice is refused, be it by a connection thought
//! dead that comes to life.

use std::{ops::RangeInclusive, time::Duration};

use sshmeter_core::report::Kept;

use super::{
    address::Protocol,
    error::MirrorError,
    server::{Server, ServerError},
};
use crate::{
    config::{MirrorConfig, Resolution},
    store::{self, Journal, RowKey, Table, Value},
};

/// How long a host without news may keep silent; that of hosts which wait longer
/// between two rounds is theirs.
pub(super) const SILENCE: Duration = Duration::from_secs(120);
/// After how much silence, at least and at most, another machine with the same
/// ledger is taken to have ended.
const TWIN_SECONDS: RangeInclusive<i64> = 300..=3_600;

/// Who a host is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    /// The ledger's id: the same for as long as the ledger is.
    pub(super) ledger: String,
    /// What people call it; may change.
    pub(super) name: String,
    /// Tells machines apart that have copies of one ledger.
    pub(super) machine: String,
    /// The zone of the ledger's hours, days and months.
    pub(super) zone: String,
    /// The finest rows that are mirrored.
    pub(super) resolution: Resolution,
    /// Seconds between two rounds.
    pub(super) pause: i64,
}

impl Identity {
    /// Whom a mirror's rows are of.
    pub(super) fn of(mirror: &MirrorConfig, facts: store::Facts, name: &str) -> Self {
        Self {
            ledger: facts.ledger_id,
            name: name.to_owned(),
            machine: machine(),
            zone: facts.zone,
            resolution: mirror.resolution,
            pause: i64::try_from(mirror.interval.as_secs()).unwrap_or(i64::MAX),
        }
    }
}

/// How far a host's rows have come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Progress {
    /// The id of the list of changes; empty before the first copy.
    pub(super) journal: String,
    /// Changes up to this revision are there.
    pub(super) revision: i64,
    /// A whole copy is under way, and has come up to this key of this table.
    pub(super) copied: Option<(Table, Option<RowKey>)>,
    /// The finest rows that are there.
    pub(super) resolution: String,
}

/// What else a turn says of the host.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts {
    /// The first minute of the hour that runs, by the ledger's calendar.
    pub(super) current_hour: i64,
    /// From when on each kind of row is complete.
    pub(super) kept: Kept,
}

/// A host's row, found or made.
#[derive(Clone, Debug)]
pub(super) struct HostRow {
    pub(super) number: i64,
    pub(super) progress: Progress,
    /// Seconds since the host was heard of, by the server's clock.
    pub(super) seconds: i64,
    /// What it called itself then.
    name: String,
    machine: String,
    /// Seconds between two of its rounds.
    pause: i64,
    turn: i64,
}

impl HostRow {
    /// Finds the host's row, and makes it where there is none.
    ///
    /// # Errors
    /// Another machine writes as this host, or the server went away.
    pub(super) async fn enter(
        server: &mut Server,
        identity: &Identity,
    ) -> Result<Self, MirrorError> {
        if let Some(found) = find(server, &identity.ledger).await? {
            return found.unless_twin_of(identity);
        }
        let make = match server.protocol() {
            Protocol::Mysql => "INSERT IGNORE INTO",
            Protocol::Postgres => "INSERT INTO",
        };
        let unless = match server.protocol() {
            Protocol::Mysql => "",
            Protocol::Postgres => " ON CONFLICT (\"ledger\") DO NOTHING",
        };
        server
            .execute(
                &format!(
                    "{make} \"sshmeter_host\" (\"ledger\", \"name\", \"zone\", \"machine\", \
                     \"resolution\", \"pause\", \"turn\", \"journal\", \"revision\", \
                     \"current_hour\") VALUES (?, ?, ?, ?, ?, ?, 0, '', 0, 0){unless}"
                ),
                &[
                    text(&identity.ledger),
                    text(&identity.name),
                    text(&identity.zone),
                    text(&identity.machine),
                    text(identity.resolution.word()),
                    Value::Integer(identity.pause),
                ],
            )
            .await?;
        let found = find(server, &identity.ledger).await?;
        found.ok_or(MirrorError::Overtaken)
    }

    /// Whether the list of changes tells all that the server lacks, if no server
    /// can know a revision later than `newest`. What another machine has written
    /// may be another future of the same past.
    pub(super) fn goes_on(&self, identity: &Identity, journal: &Journal, newest: i64) -> bool {
        self.machine == identity.machine
            && self.progress.resolution == identity.resolution.word()
            && self.progress.journal == journal.id
            && (journal.floor..=newest).contains(&self.progress.revision)
    }

    /// Refuses to write beside another machine.
    fn unless_twin_of(self, identity: &Identity) -> Result<Self, MirrorError> {
        let (least, most) = (*TWIN_SECONDS.start(), *TWIN_SECONDS.end());
        let silence = self.pause.saturating_mul(3).clamp(least, most);
        if self.machine != identity.machine && self.seconds < silence {
            return Err(MirrorError::Twin(self.name));
        }
        Ok(self)
    }

    /// Takes the next turn: to be called first in the transaction that writes
    /// the rows by which `progress` is reached.
    ///
    /// # Errors
    /// Another connection took it, or the server went away.
    pub(super) async fn take_turn(
        &self,
        server: &mut Server,
        identity: &Identity,
        progress: &Progress,
        facts: &Facts,
    ) -> Result<(), MirrorError> {
        let (table, key) = match progress.copied {
            None => (None, None),
            Some((table, key)) => (Some(table.number()), key),
        };
        let minute = |minute: Option<sshmeter_core::units::Minute>| number(minute.map(|it| it.0));
        let taken = server
            .execute(
                "UPDATE \"sshmeter_host\" SET \"turn\" = \"turn\" + 1, \"name\" = ?, \
                 \"zone\" = ?, \"machine\" = ?, \"resolution\" = ?, \"pause\" = ?, \"journal\" = ?, \
                 \"revision\" = ?, \"copied_table\" = ?, \"copied_first\" = ?, \
                 \"copied_second\" = ?, \"current_hour\" = ?, \"minutes_since\" = ?, \
                 \"hours_since\" = ?, \"days_since\" = ?, \"seen\" = CURRENT_TIMESTAMP \
                 WHERE \"host\" = ? AND \"turn\" = ?",
                &[
                    text(&identity.name),
                    text(&identity.zone),
                    text(&identity.machine),
                    text(&progress.resolution),
                    Value::Integer(identity.pause),
                    text(&progress.journal),
                    Value::Integer(progress.revision),
                    number(table),
                    number(key.map(|[first, _]| first)),
                    number(key.map(|[_, second]| second)),
                    Value::Integer(facts.current_hour),
                    minute(facts.kept.minutes_since),
                    minute(facts.kept.hours_since),
                    minute(facts.kept.days_since),
                    Value::Integer(self.number),
                    Value::Integer(self.turn),
                ],
            )
            .await?;
        if taken == 1 {
            Ok(())
        } else {
            Err(MirrorError::Overtaken)
        }
    }

    /// The row as it stands when that turn is committed.
    pub(super) fn after(self, progress: Progress) -> Self {
        Self {
            progress,
            turn: self.turn + 1,
            ..self
        }
    }
}

/// Sees to it that a connection which is lost does not hold the host's row for
/// long, and that a cluster's node shows what was committed at another.
///
/// # Errors
/// The server went away.
pub(super) async fn settle_session(server: &mut Server) -> Result<(), ServerError> {
    match server.protocol() {
        Protocol::Postgres => {
            server
                .run(
                    "SET idle_in_transaction_session_timeout = '60s'; SET lock_timeout = '20s'; \
                     SET tcp_keepalives_idle = 20; SET tcp_keepalives_interval = 10; \
                     SET tcp_keepalives_count = 3",
                )
                .await
        }
        Protocol::Mysql => {
            server
                .run(
                    "SET SESSION wait_timeout = 60, SESSION net_read_timeout = 30, \
                     SESSION innodb_lock_wait_timeout = 20",
                )
                .await?;
            // Only a cluster has it, and MySQL does not know the word.
            match server.run("SET SESSION wsrep_sync_wait = 1").await {
                Err(ServerError::Other { code, .. }) if code == "1193" => Ok(()),
                other => other,
            }
        }
    }
}

/// A host's row, by its ledger's id.
pub(super) async fn find(
    server: &mut Server,
    ledger: &str,
) -> Result<Option<HostRow>, ServerError> {
    let seconds = match server.protocol() {
        Protocol::Mysql => "TIMESTAMPDIFF(SECOND, \"seen\", CURRENT_TIMESTAMP)",
        Protocol::Postgres => "CAST(EXTRACT(EPOCH FROM CURRENT_TIMESTAMP - \"seen\") AS BIGINT)",
    };
    let mut rows = Vec::new();
    server
        .query(
            &format!(
                "SELECT \"host\", \"turn\", \"revision\", \"copied_table\", \"copied_first\", \
                 \"copied_second\", {seconds}, \"journal\", \"machine\", \"name\", \
                 \"resolution\", \"pause\" FROM \"sshmeter_host\" WHERE \"ledger\" = ?"
            ),
            &[text(ledger)],
            // The ledger's id is there once, whatever a server may send.
            &mut |row| {
                if rows.is_empty() {
                    rows.push(row);
                }
            },
        )
        .await?;
    let Some(row) = rows.pop() else {
        return Ok(None);
    };
    let integer = |place: usize| match row.get(place) {
        Some(Value::Integer(number)) => Some(*number),
        _ => None,
    };
    let word = |place: usize| match row.get(place) {
        Some(Value::Text(text)) => text.clone(),
        _ => String::new(),
    };
    let key = integer(4)
        .zip(integer(5))
        .map(|(first, second)| [first, second]);
    let named = |number: i64| {
        let mut tables = Table::ALL.into_iter();
        tables.find(|table| table.number() == number)
    };
    let table = integer(3).map(named);
    let (Some(number), Some(turn)) = (integer(0), integer(1)) else {
        return Err(ServerError::Other {
            code: String::new(),
            said: "a host has no number or no turn".to_owned(),
        });
    };
    Ok(Some(HostRow {
        number,
        turn,
        seconds: integer(6).unwrap_or(i64::MAX),
        machine: word(8),
        name: word(9),
        pause: integer(11).unwrap_or(0),
        progress: Progress {
            // A copy of what nobody knows has come nowhere.
            journal: if table == Some(None) {
                String::new()
            } else {
                word(7)
            },
            revision: integer(2).unwrap_or_default(),
            copied: table.flatten().map(|table| (table, key)),
            resolution: word(10),
        },
    }))
}

fn text(words: &str) -> Value {
    Value::Text(words.to_owned())
}

fn number(figure: Option<i64>) -> Value {
    figure.map_or(Value::Null, Value::Integer)
}

/// Tells this machine from others that may have a copy of its ledger. The
/// machine's id itself is not for others' eyes (machine-id(5)).
fn machine() -> String {
    let id = std::fs::read("/etc/machine-id").unwrap_or_default();
    format!("{:08x}", crc32fast::hash(&id))
}
