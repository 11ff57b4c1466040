//! The shared server: its files on the disk, TLS, and settings for real work.

use std::{
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::Duration,
};

use system_tests::{Authority, Backend, Database, Keeper, Rows, Usage};

use crate::table::Table;

/// A network with nothing but a loopback, held until the bench ends.
const NETWORK: &str = "ip link set lo up; exec 3<&0 </dev/null; echo ready; \
                       cat <&3 >/dev/null 2>&1 & wait $!";

/// What somebody sets who runs it in earnest; a commit is on the disk when it is
/// answered, as by default.
const MARIADB: [&str; 4] = [
    "innodb_buffer_pool_size=2G",
    "innodb_log_file_size=1G",
    "max_allowed_packet=64M",
    "max_connections=500",
];
const POSTGRES: [&str; 7] = [
    "shared_buffers = 2GB",
    "effective_cache_size = 8GB",
    "max_wal_size = 4GB",
    "checkpoint_timeout = 15min",
    "wal_compression = on",
    "work_mem = 64MB",
    "dynamic_shared_memory_type = posix",
];

/// A server, and the network that it is in.
pub(super) struct Server {
    // Dropped in this order: the server before its network.
    database: Database,
    url: String,
    keeper: Keeper,
    authority: Authority,
}

impl Server {
    pub(super) fn start(backend: Backend) -> Self {
        let authority = Authority::new();
        let certificate = authority.server(&["IP:127.0.0.1"]);
        let keeper = Keeper::start(NETWORK);
        let (options, port): (&[&str], u16) = match backend {
            Backend::Postgres => (&POSTGRES, 5432),
            Backend::MariaDb | Backend::MySql => (&MARIADB, 3306),
        };
        let builder = backend.builder().files_in(Path::new("/var/tmp"));
        let builder = builder.tcp_in(&keeper, "127.0.0.1", port).tls(&certificate);
        let builder = options
            .iter()
            .fold(builder, |builder, option| builder.option(option));
        let database = builder.start();
        let url = database.ready_for_sshmeter();
        Self {
            database,
            url,
            keeper,
            authority,
        }
    }

    /// Its address for sshmeter.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// The certificate of the authority that has signed its own.
    pub(super) fn authority(&self) -> PathBuf {
        self.authority.certificate()
    }

    pub(super) fn backend(&self) -> Backend {
        self.database.backend()
    }

    /// A program in the server's network.
    pub(super) fn command(&self, program: &Path) -> Command {
        self.keeper.command(&program.to_string_lossy())
    }

    pub(super) fn ask(&self, sql: &str) -> Rows {
        self.database.query_in("sshmeter", sql)
    }

    pub(super) fn version(&self) -> String {
        let version = self.ask("SELECT version()");
        let version = version.into_iter().flatten().flatten().next();
        format!("{:?} {}", self.backend(), version.unwrap_or_default())
    }

    /// What it has used so far.
    pub(super) fn usage(&self) -> Usage {
        self.database.usage()
    }

    /// Lets it end what it does for connections that are over.
    #[expect(clippy::unused_self, reason = "it is the server that settles")]
    pub(super) fn settle(&self) {
        thread::sleep(Duration::from_secs(1));
    }

    /// How large its tables are, indexes included.
    pub(super) fn sizes(&self) -> Table {
        let mut table = Table::new(["table", "rows", "MB", "bytes a row"].map(str::to_owned));
        for name in ["account", "session", "minute", "hour", "day", "month"] {
            let rows = self.number(&format!("SELECT count(*) FROM sshmeter_{name}"));
            let bytes = self.number(&match self.backend() {
                Backend::Postgres => format!("SELECT pg_total_relation_size('sshmeter_{name}')"),
                Backend::MariaDb | Backend::MySql => format!(
                    "SELECT file_size FROM information_schema.innodb_sys_tablespaces
                     WHERE name = 'sshmeter/sshmeter_{name}'"
                ),
            });
            let cells = [
                format!("{rows:.0}"),
                format!("{:.0}", bytes / 1e6),
                format!("{:.0}", bytes / rows.max(1.0)),
            ];
            table.row(name, cells);
        }
        table
    }

    fn number(&self, sql: &str) -> f64 {
        let rows = self.ask(sql);
        let first = rows.into_iter().flatten().flatten().next();
        first.and_then(|text| text.parse().ok()).unwrap_or(0.0)
    }
}
