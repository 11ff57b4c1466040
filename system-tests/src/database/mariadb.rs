//! MariaDB, and what MySQL has in common with it.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use rustix::process::Signal;

use super::{
    Auth, Backend, Database, DatabaseBuilder, Rows,
    kind::{Kind, Login},
    server::Layout,
    text::{quoted, write},
};
use crate::ground::installed;

const NEEDED: [&str; 4] = ["mariadbd", "mariadb-install-db", "mariadb", "setpriv"];

/// Debian's MariaDB.
#[derive(Clone, Copy, Debug)]
pub struct MariaDb;

impl MariaDb {
    /// A server as it comes, on a Unix socket only.
    #[must_use]
    pub fn start() -> Database {
        Backend::MariaDb.start()
    }

    /// A server to be described.
    #[must_use]
    pub fn builder() -> DatabaseBuilder {
        Backend::MariaDb.builder()
    }
}

impl Kind for MariaDb {
    fn scheme(&self) -> &'static str {
        "mysql"
    }

    fn missing(&self) -> Option<String> {
        lacking(&NEEDED)
    }

    fn administrator(&self) -> Login<'static> {
        ADMINISTRATOR
    }

    fn program(&self) -> PathBuf {
        PathBuf::from("/usr/sbin/mariadbd")
    }

    fn maker(&self, data: &Path) -> Command {
        let mut command = Command::new("mariadb-install-db");
        command
            .arg("--no-defaults")
            .arg(format!("--datadir={}", data.display()))
            // Root of this machine is the administrator, by the Unix socket.
            .arg("--auth-root-authentication-method=socket")
            .arg("--auth-root-socket-user=root")
            .args(["--skip-test-db", "--innodb-log-file-size=4M"])
            .arg("--innodb-buffer-pool-size=8M")
            .arg(format!("--tmpdir={}", data.with_file_name("").display()));
        command
    }

    fn configure(&self, layout: &Layout) {
        write_config(
            layout,
            "innodb_log_file_size=4M\nplugin_load_add=auth_ed25519\n",
        );
    }

    fn server(&self, layout: &Layout) -> Vec<String> {
        vec![
            "mariadbd".to_owned(),
            format!("--defaults-file={}", config(layout).display()),
        ]
    }

    fn locks(&self, layout: &Layout) -> Vec<PathBuf> {
        vec![layout.folder.join("pid")]
    }

    fn stop(&self) -> Signal {
        Signal::TERM
    }

    fn socket(&self, layout: &Layout) -> PathBuf {
        socket(layout)
    }

    fn client(&self, layout: &Layout, login: Login<'_>) -> Command {
        client(layout, login)
    }

    fn rows(&self, output: &str) -> Rows {
        rows(output)
    }

    fn create_database(&self, name: &str) -> String {
        create_database(name)
    }

    fn create_user(&self, name: &str, auth: &Auth) -> String {
        let way = match auth {
            Auth::Password(password) => format!("BY {}", text(password)),
            Auth::Ed25519(password) => format!("VIA ed25519 USING PASSWORD({})", text(password)),
            Auth::Socket => "VIA unix_socket".to_owned(),
            other => panic!("MariaDB has no {other:?}"),
        };
        format!("CREATE USER {} IDENTIFIED {way}", text(name))
    }

    fn grant(&self, user: &str, database: &str) -> String {
        grant(user, database)
    }
}

pub(super) const ADMINISTRATOR: Login<'static> = Login {
    user: "root",
    password: None,
    database: "mysql",
};

/// Why these programs cannot be used, or nothing.
pub(super) fn lacking(programs: &[&str]) -> Option<String> {
    let absent = programs.iter().find(|program| !installed(program))?;
    Some(format!("needs {absent}: not installed"))
}

pub(super) fn socket(layout: &Layout) -> PathBuf {
    layout.folder.join("socket")
}

pub(super) fn config(layout: &Layout) -> PathBuf {
    layout.folder.join("my.cnf")
}

/// Small buffers and files, so that a server is up at once; but what it has
/// committed is on the disk, as it is by default. A server that starts deletes what
/// it takes for leftovers among its temporary files, so no two may share a folder.
pub(super) fn write_config(layout: &Layout, further: &str) {
    let folder = layout.folder.display();
    let mut lines = format!(
        "[mysqld]\ndatadir={folder}/data\nsocket={folder}/socket\npid_file={folder}/pid\n\
         tmpdir={folder}\n\
         skip_name_resolve=1\nperformance_schema=0\ninnodb_buffer_pool_size=8M\n\
         innodb_flush_log_at_trx_commit=1\n{further}"
    );
    match &layout.listener {
        Some(listener) => lines.push_str(&format!(
            "bind_address={}\nport={}\n",
            listener.address, listener.port
        )),
        None => lines.push_str("skip_networking=1\n"),
    }
    if layout.authority.is_some() {
        lines.push_str(&format!(
            "ssl_cert={}\nssl_key={}\nrequire_secure_transport=1\n",
            layout.certificate().display(),
            layout.key().display()
        ));
    }
    for option in &layout.options {
        lines.push_str(&format!("{option}\n"));
    }
    write(&config(layout), &lines);
}

/// MariaDB's client, whose XML is the only output that tells NULL from a text.
pub(super) fn client(layout: &Layout, login: Login<'_>) -> Command {
    let mut command = Command::new("mariadb");
    command
        .args(["--no-defaults", "--batch", "--xml", "--binary-mode"])
        .args(["--default-character-set=utf8mb4", "--connect-timeout=10"])
        .arg(format!("--socket={}", socket(layout).display()))
        .arg(format!("--user={}", login.user))
        .arg(format!("--database={}", login.database))
        .env_remove("MYSQL_PWD");
    if let Some(password) = login.password {
        command.env("MYSQL_PWD", password);
    }
    command
}

/// Reads that XML: `<row>` begins a row, `<field …>` a value.
pub(super) fn rows(output: &str) -> Rows {
    let mut rows = Rows::new();
    // What a value has of `<` or `>` is written in another way.
    for piece in output.split('<') {
        let Some((tag, text)) = piece.split_once('>') else {
            continue;
        };
        if tag == "row" {
            rows.push(Vec::new());
        } else if tag.starts_with("field ") {
            let row = rows.last_mut().expect("a field is in a row");
            row.push((!tag.ends_with("xsi:nil=\"true\" /")).then(|| unescaped(text)));
        }
    }
    rows
}

fn unescaped(text: &str) -> String {
    text.replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&#0;", "\0")
        .replace("&amp;", "&")
}

pub(super) fn create_database(name: &str) -> String {
    format!(
        "CREATE DATABASE {} CHARACTER SET utf8mb4",
        quoted(name, '`')
    )
}

pub(super) fn grant(user: &str, database: &str) -> String {
    // Here a database's name is a pattern.
    let database = database.replace('_', "\\_").replace('%', "\\%");
    format!(
        "GRANT ALL PRIVILEGES ON {}.* TO {}",
        quoted(&database, '`'),
        text(user)
    )
}

/// A text in SQL, in which a backslash means something.
pub(super) fn text(text: &str) -> String {
    quoted(&text.replace('\\', r"\\"), '\'')
}
