//! PostgreSQL, with a standby if asked for.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

use rustix::process::Signal;

use super::{
    Auth, Backend, Database, DatabaseBuilder, Rows,
    kind::{Kind, Login},
    mariadb::lacking,
    server::Layout,
    text::{quoted, succeed, write},
};

/// What stands for NULL, and between two values; no value has it.
const NULL: &str = "\u{1}NULL\u{1}";
const BETWEEN: &str = "\u{1}|\u{1}";
const PORT: u16 = 5432;

/// Debian's PostgreSQL.
#[derive(Clone, Copy, Debug)]
pub struct Postgres;

impl Postgres {
    /// A server as it comes, on a Unix socket only.
    #[must_use]
    pub fn start() -> Database {
        Backend::Postgres.start()
    }

    /// A server to be described.
    #[must_use]
    pub fn builder() -> DatabaseBuilder {
        Backend::Postgres.builder()
    }

    /// A server that follows another one, as `builder` describes it, and only
    /// answers questions until it is [promoted](Self::promote).
    #[must_use]
    pub fn follow(primary: &Database, builder: DatabaseBuilder) -> Database {
        let mut standby = builder.made(&|kind, data| {
            let mut command = Command::new(folder().join("pg_basebackup"));
            command
                .args(["--write-recovery-conf", "--checkpoint=fast"])
                .args(["--username=postgres", "--no-password"])
                .arg(format!(
                    "--host={}",
                    kind.socket(primary.layout()).display()
                ))
                .arg(format!("--pgdata={}", data.display()));
            succeed(&mut command);
        });
        standby.launch();
        standby.wait_until_it_answers();
        standby
    }

    /// Makes a standby a server of its own, and waits until it can be written to.
    pub fn promote(standby: &Database) {
        let promoted = standby.query("SELECT pg_promote()");
        assert_eq!(promoted, [[Some("t".to_owned())]]);
    }
}

impl Kind for Postgres {
    fn scheme(&self) -> &'static str {
        "postgres"
    }

    fn missing(&self) -> Option<String> {
        if !self.program().exists() {
            return Some("needs postgres in /usr/lib/postgresql: not installed".to_owned());
        }
        lacking(&["psql", "setpriv"])
    }

    fn administrator(&self) -> Login<'static> {
        Login {
            user: "postgres",
            password: None,
            database: "postgres",
        }
    }

    fn program(&self) -> PathBuf {
        folder().join("postgres")
    }

    fn maker(&self, data: &Path) -> Command {
        let mut command = Command::new(folder().join("initdb"));
        command
            .args(["--username=postgres", "--encoding=UTF8", "--locale=C.UTF-8"])
            .args(["--wal-segsize=1", "--no-sync"])
            .arg(format!("--pgdata={}", data.display()));
        command
    }

    fn configure(&self, layout: &Layout) {
        let mut lines = format!(
            "unix_socket_directories = '{}'\nshared_buffers = 8MB\nmax_wal_size = 32MB\n\
             min_wal_size = 4MB\nrecovery_init_sync_method = syncfs\n\
             dynamic_shared_memory_type = mmap\nlisten_addresses = '{}'\nport = {}\n",
            layout.folder.display(),
            layout.listener.as_ref().map_or("", |own| &own.address),
            port(layout)
        );
        if layout.authority.is_some() {
            lines.push_str(&format!(
                "ssl = on\nssl_cert_file = '{}'\nssl_key_file = '{}'\n",
                layout.certificate().display(),
                layout.key().display()
            ));
        }
        for option in &layout.options {
            lines.push_str(&format!("{option}\n"));
        }
        write(&layout.data().join("postgresql.conf"), &lines);
        write(&layout.data().join("pg_hba.conf"), &rules(layout));
        if port(layout) != PORT {
            // Found under its usual name too, whichever port the server has.
            let usual = layout.folder.join(format!(".s.PGSQL.{PORT}"));
            let own = format!(".s.PGSQL.{}", port(layout));
            symlink(own, usual).expect("a link to the socket");
        }
    }

    fn server(&self, layout: &Layout) -> Vec<String> {
        vec![
            self.program().to_string_lossy().into_owned(),
            "-D".to_owned(),
            layout.data().to_string_lossy().into_owned(),
        ]
    }

    fn locks(&self, layout: &Layout) -> Vec<PathBuf> {
        vec![
            layout.data().join("postmaster.pid"),
            layout
                .folder
                .join(format!(".s.PGSQL.{}.lock", port(layout))),
        ]
    }

    fn stop(&self) -> Signal {
        Signal::INT
    }

    fn socket(&self, layout: &Layout) -> PathBuf {
        layout.folder.clone()
    }

    fn client(&self, layout: &Layout, login: Login<'_>) -> Command {
        let mut command = Command::new("psql");
        command
            .args(["--no-psqlrc", "--quiet", "--no-align", "--tuples-only"])
            .args(["--no-password", "--set=ON_ERROR_STOP=1", "--file=-"])
            .args(["--record-separator-zero", "--field-separator", BETWEEN])
            .arg(format!("--pset=null={NULL}"))
            .arg(format!("--host={}", layout.folder.display()))
            .arg(format!("--username={}", login.user))
            .arg(format!("--dbname={}", login.database))
            .envs([("PGCLIENTENCODING", "UTF8"), ("PGCONNECT_TIMEOUT", "10")])
            .env_remove("PGPASSWORD");
        if let Some(password) = login.password {
            command.env("PGPASSWORD", password);
        }
        command
    }

    fn rows(&self, output: &str) -> Rows {
        let value = |text: &str| (text != NULL).then(|| text.to_owned());
        output
            .split_terminator('\0')
            .map(|row| row.split(BETWEEN).map(value).collect())
            .collect()
    }

    fn create_database(&self, name: &str) -> String {
        format!("CREATE DATABASE {}", quoted(name, '"'))
    }

    fn create_user(&self, name: &str, auth: &Auth) -> String {
        let (kept, group) = match auth {
            Auth::Password(_) => ("scram-sha-256", None),
            Auth::Md5(_) => ("md5", Some("by_md5")),
            Auth::Cleartext(_) => ("scram-sha-256", Some("by_cleartext")),
            Auth::Socket => ("scram-sha-256", Some("by_peer")),
            other => panic!("PostgreSQL has no {other:?}"),
        };
        let mut sql = format!("SET password_encryption = '{kept}';\n");
        if let Some(group) = group {
            sql.push_str(&format!(
                "DO $$ BEGIN CREATE ROLE {group}; EXCEPTION WHEN duplicate_object THEN END $$;\n"
            ));
        }
        sql.push_str(&format!("CREATE ROLE {} LOGIN", quoted(name, '"')));
        if let Some(password) = auth.password() {
            sql.push_str(&format!(" PASSWORD {}", quoted(password, '\'')));
        }
        if let Some(group) = group {
            sql.push_str(&format!(" IN ROLE {group}"));
        }
        sql
    }

    fn grant(&self, user: &str, database: &str) -> String {
        let user = quoted(user, '"');
        format!(
            "GRANT ALL ON DATABASE {} TO {user}; GRANT ALL ON SCHEMA public TO {user}",
            quoted(database, '"')
        )
    }
}

/// The folder of the newest version's programs.
fn folder() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let newest = versions
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok())
        .max()
        .unwrap_or_default();
    PathBuf::from(format!("/usr/lib/postgresql/{newest}/bin"))
}

fn port(layout: &Layout) -> u16 {
    layout.listener.as_ref().map_or(PORT, |own| own.port)
}

/// Who is let in how: a user by a group that says so, or else by SCRAM.
fn rules(layout: &Layout) -> String {
    let by_tcp = if layout.authority.is_some() {
        "hostssl"
    } else {
        "host"
    };
    format!(
        "local all postgres trust\nlocal replication postgres trust\n\
         local all +by_peer peer\n\
         local all +by_md5 md5\n{by_tcp} all +by_md5 all md5\n\
         local all +by_cleartext password\n{by_tcp} all +by_cleartext all password\n\
         local all all scram-sha-256\n{by_tcp} all all all scram-sha-256\n"
    )
}
