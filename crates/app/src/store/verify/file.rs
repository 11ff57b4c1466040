//! What holds the rows: the file's pages, its tables, its facts about itself,
//! the log's place, the accounts.

use rusqlite::{Connection, types::ValueRef};
use sshmeter_core::{
    identity::{Credential, UserName},
    ledger::Checkpoint,
    report::Who,
    time::Unit,
    units::Minute,
};

use super::{
    Check, Depth,
    fault::{Owner, Subject, Wrong},
};
use crate::store::{Table, changes, schema, schema::MIGRATIONS};

/// The most that SQLite is asked to tell of a damaged file.
const TOLD_BY_SQLITE: u32 = 100;

impl Check<'_> {
    /// SQLite's own check: pages, indexes, constraints.
    pub(super) fn file(&mut self, depth: Depth) -> rusqlite::Result<()> {
        let pragma = match depth {
            Depth::Quick => "quick_check",
            Depth::Full => "integrity_check",
        };
        let mut statement = self
            .connection
            .prepare(&format!("PRAGMA {pragma}({TOLD_BY_SQLITE})"))?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let words: String = row.get(0)?;
            // Several faults of one page come as lines under a heading.
            for line in words.lines() {
                if line != "ok" && !line.starts_with("***") {
                    self.tell(Subject::File, Wrong::Told(line.to_owned()));
                }
            }
        }
        Ok(())
    }

    /// The tables are those of this format, and what the ledger says of itself
    /// can be understood.
    pub(super) fn facts(&mut self) -> rusqlite::Result<()> {
        let model = Connection::open_in_memory()?;
        for migration in MIGRATIONS {
            model.execute_batch(migration)?;
        }
        let (there, expected) = (made_of(self.connection)?, made_of(&model)?);
        for made in &expected {
            if !there.contains(made) {
                let words = format!("its {} is missing or another", made.0);
                self.tell(Subject::File, Wrong::Told(words));
            }
        }
        for made in &there {
            if !expected.iter().any(|expected| expected.0 == made.0) {
                let words = format!("its {} is not sshmeter's", made.0);
                self.tell(Subject::File, Wrong::Told(words));
            }
        }
        for (fact, coarser) in [
            ("minutes_since", Unit::Hour),
            ("hours_since", Unit::Day),
            ("days_since", Unit::Month),
        ] {
            self.fact(fact, coarser)?;
        }
        self.journal()?;
        self.checkpoint()
    }

    fn fact(&mut self, fact: &'static str, coarser: Unit) -> rusqlite::Result<()> {
        let Some(text) = schema::meta(self.connection, fact)? else {
            return Ok(());
        };
        let since = text.parse().ok().map(Minute);
        if since.is_none_or(|since| self.calendar.bucket(coarser, since).start != since) {
            let words = format!("it says {text:?}, where no row of the coarser kind begins");
            self.tell(Subject::Fact(fact), Wrong::Told(words));
        }
        Ok(())
    }

    /// The list of changes begins at a revision that was given, and names tables
    /// that there are.
    fn journal(&mut self) -> rusqlite::Result<()> {
        if let Some(journal) = changes::journal(self.connection)? {
            let text = schema::meta(self.connection, changes::FLOOR)?.unwrap_or_default();
            let floor = text.parse::<i64>().ok();
            if floor.is_none_or(|floor| floor < 0 || floor > journal.newest) {
                let words = format!("it says {text:?}, which is no revision that was given");
                self.tell(Subject::Fact(changes::FLOOR), Wrong::Told(words));
            }
        }
        let mut statement = self
            .connection
            .prepare("SELECT kind, count(*) FROM change GROUP BY kind")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (kind, count): (i64, i64) = (row.get(0)?, row.get(1)?);
            if Table::ALL.iter().all(|table| table.number() != kind) {
                let words =
                    format!("changes ({count}) are of a table that is not there: number {kind}");
                self.tell(Subject::File, Wrong::Told(words));
            }
        }
        Ok(())
    }

    fn checkpoint(&mut self) -> rusqlite::Result<()> {
        let mut statement = self.connection.prepare("SELECT value FROM checkpoint")?;
        let mut rows = statement.query([])?;
        let mut count = 0;
        while let Some(row) = rows.next()? {
            count += 1;
            let place = serde_json::from_slice::<Checkpoint>(bytes_of(row.get_ref(0)?));
            if let Err(error) = place {
                let words = format!("it is no place in a log: {error}");
                self.tell(Subject::Checkpoint, Wrong::Told(words));
            }
        }
        if count > 1 {
            let words = format!("there are {count}, and a log is read to one place");
            self.tell(Subject::Checkpoint, Wrong::Told(words));
        }
        self.counted("checkpoint", count);
        Ok(())
    }

    /// Every account is there once, under a name that is text.
    pub(super) fn accounts(&mut self) -> rusqlite::Result<()> {
        let mut statement = self.connection.prepare(
            "SELECT id, user, credential, count(*) OVER (PARTITION BY user, credential)
             FROM account ORDER BY id",
        )?;
        let mut rows = statement.query([])?;
        let mut count = 0;
        while let Some(row) = rows.next()? {
            count += 1;
            let (user, credential) = (text_at(row, 1)?, text_at(row, 2)?);
            let is_nameless = user.is_none();
            let is_text = [&user, &credential]
                .into_iter()
                .flatten()
                .all(|it| it.is_utf8);
            let owner = Owner {
                account: row.get(0)?,
                who: Some(user.map_or(Who::Nameless, |user| Who::User(UserName::new(user.shown)))),
                credential: credential.map(|credential| Credential::new(credential.shown)),
            };
            self.accounts.insert(owner.account, owner.clone());
            let mut tell = |words: &str| {
                let wrong = Wrong::Told(words.to_owned());
                self.tell(Subject::Account(owner.clone()), wrong);
            };
            if row.get::<_, i64>(3)? > 1 {
                tell("it is there more than once");
            }
            if !is_text {
                tell("its name is not UTF-8");
            }
            if is_nameless && owner.credential.is_some() {
                tell("it has a credential and no user");
            }
        }
        self.counted("account", count);
        Ok(())
    }
}

/// The tables and indexes, by kind and name, and how they were made.
fn made_of(connection: &Connection) -> rusqlite::Result<Vec<(String, Option<String>)>> {
    connection
        .prepare(
            "SELECT type || ' ' || name, sql FROM sqlite_schema
             WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY 1",
        )?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect()
}

/// A text as it is shown, and whether it is one.
pub(super) struct Text {
    pub(super) shown: String,
    pub(super) is_utf8: bool,
}

/// A text column of which nothing is believed.
pub(super) fn text_at(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<Option<Text>> {
    let value = row.get_ref(column)?;
    if matches!(value, ValueRef::Null) {
        return Ok(None);
    }
    let bytes = bytes_of(value);
    Ok(Some(Text {
        shown: String::from_utf8_lossy(bytes).into_owned(),
        is_utf8: matches!(value, ValueRef::Text(_)) && str::from_utf8(bytes).is_ok(),
    }))
}

fn bytes_of(value: ValueRef<'_>) -> &[u8] {
    match value {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => bytes,
        _ => b"",
    }
}
