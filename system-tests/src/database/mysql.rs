//! MySQL itself, for `caching_sha2_password` and all else that MariaDB is not.
//!
//! Debian has it in unstable only. `cargo xtask test` unpacks it with all of its
//! libraries below `target/mysql`, where it runs by its own loader and this
//! machine's packages stay as they are.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use rustix::process::Signal;

use super::{
    Auth, Backend, Database, DatabaseBuilder, Rows,
    kind::{Kind, Login},
    mariadb,
    mariadb::text,
    server::Layout,
};
use crate::ground;

/// MySQL of Debian unstable.
#[derive(Clone, Copy, Debug)]
pub struct MySql;

impl MySql {
    /// A server as it comes, on a Unix socket only.
    #[must_use]
    pub fn start() -> Database {
        Backend::MySql.start()
    }

    /// A server to be described.
    #[must_use]
    pub fn builder() -> DatabaseBuilder {
        Backend::MySql.builder()
    }
}

impl Kind for MySql {
    fn scheme(&self) -> &'static str {
        "mysql"
    }

    fn missing(&self) -> Option<String> {
        if !self.program().exists() {
            return Some("needs MySQL below target/mysql: `cargo xtask test` puts it there".into());
        }
        mariadb::lacking(&["mariadb"])
    }

    fn administrator(&self) -> Login<'static> {
        mariadb::ADMINISTRATOR
    }

    fn account(&self) -> &'static [&'static str] {
        // Below `target` another user might not get to the program.
        &[]
    }

    fn program(&self) -> PathBuf {
        root().join("usr/sbin/mysqld")
    }

    fn maker(&self, data: &Path) -> Command {
        let program = command();
        let mut command = Command::new(&program[0]);
        command
            .args(&program[1..])
            .args(["--no-defaults", "--initialize-insecure"])
            .arg(format!("--datadir={}", data.display()))
            .args(config().lines().map(|line| format!("--{line}")));
        command
    }

    fn configure(&self, layout: &Layout) {
        mariadb::write_config(layout, &format!("{}mysqlx=0\ndisable_log_bin\n", config()));
    }

    fn server(&self, layout: &Layout) -> Vec<String> {
        let mut program = command();
        let config = mariadb::config(layout);
        program.push(format!("--defaults-file={}", config.display()));
        program
    }

    fn locks(&self, layout: &Layout) -> Vec<PathBuf> {
        ["pid", "socket.lock"]
            .map(|name| layout.folder.join(name))
            .to_vec()
    }

    fn stop(&self) -> Signal {
        Signal::TERM
    }

    fn socket(&self, layout: &Layout) -> PathBuf {
        mariadb::socket(layout)
    }

    fn client(&self, layout: &Layout, login: Login<'_>) -> Command {
        mariadb::client(layout, login)
    }

    fn rows(&self, output: &str) -> Rows {
        mariadb::rows(output)
    }

    fn create_database(&self, name: &str) -> String {
        mariadb::create_database(name)
    }

    fn create_user(&self, name: &str, auth: &Auth) -> String {
        let way = match auth {
            Auth::Password(password) => format!("BY {}", text(password)),
            Auth::Sha256(password) => format!("WITH sha256_password BY {}", text(password)),
            other => panic!("this MySQL has no {other:?}"),
        };
        format!("CREATE USER {} IDENTIFIED {way}", text(name))
    }

    fn grant(&self, user: &str, database: &str) -> String {
        mariadb::grant(user, database)
    }
}

/// Where its packages are unpacked: beside the folders of what cargo builds.
fn root() -> PathBuf {
    let built = ground::built();
    built.parent().unwrap_or(&built).join("mysql")
}

/// The server, by its own loader with its own libraries.
fn command() -> Vec<String> {
    let library = format!("usr/lib/{}-linux-gnu", std::env::consts::ARCH);
    let library = root().join(library);
    let loader = library.join(if cfg!(target_arch = "aarch64") {
        "ld-linux-aarch64.so.1"
    } else {
        "ld-linux-x86-64.so.2"
    });
    [
        loader.as_path(),
        Path::new("--library-path"),
        &library,
        &MySql.program(),
    ]
    .iter()
    .map(|word| word.to_string_lossy().into_owned())
    .collect()
}

/// What both making a data folder and serving it are told.
fn config() -> String {
    let root = root();
    let root = root.display();
    format!(
        "user=root\nbasedir={root}/usr\ncharacter_sets_dir={root}/usr/share/mysql/charsets\n\
         lc_messages_dir={root}/usr/share/mysql\nplugin_dir={root}/usr/lib/mysql/plugin\n\
         innodb_redo_log_capacity=16M\nsecure_file_priv=\n"
    )
}
