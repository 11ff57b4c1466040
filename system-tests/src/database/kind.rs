//! What differs between the servers.

use std::{
    fmt::Debug,
    path::{Path, PathBuf},
    process::Command,
};

use rustix::process::Signal;

use super::{Auth, Database, DatabaseBuilder, MariaDb, MySql, Postgres, pristine, server::Layout};
use crate::ground;

/// Rows as a server shows them: each value as text, `None` for NULL.
pub type Rows = Vec<Vec<Option<String>>>;

/// A kind of server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// Debian's MariaDB.
    MariaDb,
    /// Debian's PostgreSQL.
    Postgres,
    /// MySQL of Debian unstable, which `cargo xtask test` keeps below `target`.
    MySql,
}

impl Backend {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::MariaDb, Self::Postgres, Self::MySql];

    /// Whether the test called `name` can run with it; says that it is left out
    /// if not.
    ///
    /// MySQL comes from Debian's unstable, which may lack it any day: without it
    /// a test is left out even where all have to run.
    #[must_use]
    pub fn stands(self, name: &str) -> bool {
        let name = format!("{name} over {self:?}");
        let missing = self.kind().missing();
        match (self, missing) {
            (Self::MySql, Some(reason)) => ground::say_left_out(&name, &reason),
            (_, missing) => {
                let missing = ground::missing().map(str::to_owned).or(missing);
                ground::stands_on(&name, missing.as_deref())
            }
        }
    }

    /// A server to be described.
    #[must_use]
    pub fn builder(self) -> DatabaseBuilder {
        DatabaseBuilder::new(self)
    }

    /// A server as it comes, on a Unix socket only.
    #[must_use]
    pub fn start(self) -> Database {
        self.builder().start()
    }

    pub(super) fn kind(self) -> &'static dyn Kind {
        match self {
            Self::MariaDb => &MariaDb,
            Self::Postgres => &Postgres,
            Self::MySql => &MySql,
        }
    }
}

/// Who asks a server something, over its Unix socket.
#[derive(Clone, Copy, Debug)]
pub(super) struct Login<'a> {
    pub(super) user: &'a str,
    pub(super) password: Option<&'a str>,
    pub(super) database: &'a str,
}

/// What differs between the servers: files, programs, and words of SQL.
pub(super) trait Kind: Debug + Sync {
    /// What an address begins with.
    fn scheme(&self) -> &'static str;

    /// Why there is none here, or nothing.
    fn missing(&self) -> Option<String>;

    /// The administrator, who is let in over the Unix socket.
    fn administrator(&self) -> Login<'static>;

    /// What runs the programs as another user.
    fn account(&self) -> &'static [&'static str] {
        &pristine::ACCOUNT
    }

    /// The program that a data folder is made by.
    fn program(&self) -> PathBuf;

    /// A command that makes a data folder, as fast as it can be made.
    fn maker(&self, data: &Path) -> Command;

    /// Writes the config into the server's folder.
    fn configure(&self, layout: &Layout);

    /// The server's program and arguments.
    fn server(&self, layout: &Layout) -> Vec<String>;

    /// Files that a killed server leaves, which say that it runs.
    fn locks(&self, layout: &Layout) -> Vec<PathBuf>;

    /// The signal for an orderly end that waits for nobody.
    fn stop(&self) -> Signal;

    /// What an address has for `socket=`.
    fn socket(&self, layout: &Layout) -> PathBuf;

    /// A client that reads SQL from its standard input.
    fn client(&self, layout: &Layout, login: Login<'_>) -> Command;

    /// What that client said.
    fn rows(&self, output: &str) -> Rows;

    /// SQL for a database.
    fn create_database(&self, name: &str) -> String;

    /// SQL for a user.
    fn create_user(&self, name: &str, auth: &Auth) -> String;

    /// SQL, run in a database, that lets a user do everything there.
    fn grant(&self, user: &str, database: &str) -> String;
}
