//! The config as understood: TOML, kebab-case, unknown keys refused.
//!
//! `parse` reads it, `fault` shows where it is wrong, `show` writes it out.

mod duration;
mod fault;
mod mirrors;
mod parse;
mod show;

use std::{
    collections::BTreeMap,
    fs, io,
    path::{self, Path, PathBuf},
    time::Duration,
};

use anyhow::{Error, anyhow};

use self::fault::Fault;
use crate::{
    cli::{Arguments, DEFAULT_CONFIG},
    error::{Failure, Outcome},
    mirror::address::Address,
};

/// The whole config. `Config::default()` is what a missing file means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// What this machine is called.
    pub host: HostConfig,
    /// Where the log is read.
    pub source: SourceConfig,
    /// What counts.
    pub meter: MeterConfig,
    /// Where it is written.
    pub ledger: LedgerConfig,
    /// Servers that get the ledger's rows too.
    pub mirrors: Vec<MirrorConfig>,
    /// Names for keys: fingerprint or certificate id → what to call it.
    pub keys: BTreeMap<String, String>,
}

/// `[host]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostConfig {
    /// Its name in reports; `None` (`"auto"`) is the machine's own.
    pub name: Option<String>,
}

impl HostConfig {
    /// The name, or the machine's own.
    #[must_use]
    pub fn name(&self) -> String {
        self.name.clone().unwrap_or_else(|| {
            let uname = rustix::system::uname();
            uname.nodename().to_string_lossy().into_owned()
        })
    }
}

/// `[source]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceConfig {
    /// Which kind of log.
    pub kind: SourceKind,
    /// The log file; `None` (`"auto"`) tries /var/log/auth.log, then
    /// /var/log/secure.
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
    /// What counts.
    pub kind: MeterKind,
    /// sshd's ports; `None` (`"auto"`) finds them.
    pub ports: Option<Vec<u16>>,
    /// Between two readings; 1 s to 60 s.
    pub interval: Duration,
    /// Whether a firewall's rules stay, and go on counting, after an orderly stop.
    pub keep_rules: bool,
}

impl MeterConfig {
    /// The longest time without a look at a firewall's rules, which anybody may
    /// have taken away.
    const RULES_INTERVAL: Duration = Duration::from_secs(10);

    /// The time between two readings.
    #[must_use]
    pub fn pause(&self) -> Duration {
        match self.kind {
            MeterKind::Sockdiag => self.interval,
            MeterKind::Nftables | MeterKind::Iptables => self.interval.min(Self::RULES_INTERVAL),
        }
    }
}

/// `meter.kind`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MeterKind {
    /// The kernel's socket counters.
    #[default]
    Sockdiag,
    /// Counters of a table of our own in nftables.
    Nftables,
    /// Counters of rules in the chain `useraccount` of iptables and ip6tables.
    Iptables,
}

impl MeterKind {
    /// All there are.
    pub const ALL: [Self; 3] = [Self::Sockdiag, Self::Nftables, Self::Iptables];

    /// The config's word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Sockdiag => "sockdiag",
            Self::Nftables => "nftables",
            Self::Iptables => "iptables",
        }
    }
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

/// `[[mirror]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MirrorConfig {
    /// The server, and who we are there.
    pub address: Address,
    /// The finest rows that are sent.
    pub resolution: Resolution,
    /// Between two rounds; 1 s to 1 day.
    pub interval: Duration,
}

/// `mirror.resolution`: the finest rows that are sent; coarser ones always are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Resolution {
    /// Minutes by session, and the sessions.
    #[default]
    Minute,
    /// Hours by user.
    Hour,
    /// Days by user.
    Day,
    /// Months by user.
    Month,
}

impl Resolution {
    /// All there are.
    pub const ALL: [Self; 4] = [Self::Minute, Self::Hour, Self::Day, Self::Month];

    /// The config's word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Month => "month",
        }
    }
}

impl MirrorConfig {
    /// The time between two rounds if none is named.
    pub const INTERVAL: Duration = Duration::from_secs(60);
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
    pub fn load(arguments: &Arguments) -> Outcome<Self> {
        Self::load_with_origin(arguments).map(|(config, _)| config)
    }

    /// The same, and where it came from.
    ///
    /// # Errors
    /// A usage failure that points at file, line and column.
    pub fn load_with_origin(arguments: &Arguments) -> Outcome<(Self, Origin)> {
        if arguments.mirror().is_some() {
            return Err(mirror_refused());
        }
        let (mut config, origin) = Self::load_beside_ledger(arguments)?;
        if let Some(ledger) = &arguments.ledger {
            config.ledger.path = overriding(ledger)?;
        }
        Ok((config, origin))
    }

    /// The same, whatever `--ledger` names.
    ///
    /// # Errors
    /// A usage failure that points at file, line and column.
    pub fn load_beside_ledger(arguments: &Arguments) -> Outcome<(Self, Origin)> {
        if let Some(path) = &arguments.config {
            return Ok((Self::read(path)?, Origin::File(path.clone())));
        }
        let path = Path::new(DEFAULT_CONFIG);
        match fs::metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Ok((Self::default(), Origin::Defaults))
            }
            _ => Ok((Self::read(path)?, Origin::File(path.to_owned()))),
        }
    }

    fn read(path: &Path) -> Outcome<Self> {
        let bytes = fs::read(path).map_err(|error| {
            let missing = error.kind() == io::ErrorKind::NotFound;
            let sentence = format!("the config {} cannot be read", path.display());
            let failure = Failure::usage(Error::from(error).context(sentence));
            if missing {
                failure.hint("without --config the built-in defaults are used")
            } else {
                failure
            }
        })?;
        Self::of_bytes(path, bytes)
    }

    /// Reads the config a file holds; `path` is what a fault calls it.
    ///
    /// # Errors
    /// A usage failure that points at file, line and column.
    pub fn of_bytes(path: &Path, bytes: Vec<u8>) -> Outcome<Self> {
        let text = String::from_utf8(bytes).map_err(|error| {
            let place = error.utf8_error().valid_up_to();
            let text = String::from_utf8_lossy(error.as_bytes());
            Fault::new(place..place, "this is not UTF-8 text").into_failure(path, &text)
        })?;
        parse::parse(&text).map_err(|fault| fault.into_failure(path, &text))
    }

    /// The ledger's path.
    #[must_use]
    pub fn ledger_path(&self) -> &Path {
        &self.ledger.path
    }
}

/// The address is not repeated: there may be a password in it.
fn mirror_refused() -> Failure {
    Failure::usage(anyhow!(
        "--ledger names a mirror, and only `report` reads mirrors"
    ))
    .hint("for all other commands it is a ledger's file, such as /var/lib/sshmeter/ledger.db")
}

/// `--ledger` may be relative to where the command is given; the config is not.
fn overriding(ledger: &Path) -> Outcome<PathBuf> {
    let path = path::absolute(ledger)
        .map_err(|error| Failure::usage(Error::from(error).context("--ledger is no path")))?;
    if path.to_str().is_none() {
        return Err(Failure::usage(anyhow!(
            "the path given with --ledger is not UTF-8 text"
        )));
    }
    Ok(path)
}

/// Where a config came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A file.
    File(PathBuf),
    /// Nowhere: the default file is not there.
    Defaults,
}

impl Default for Config {
    fn default() -> Self {
        const DAY: u64 = 24 * 60 * 60;
        Self {
            host: HostConfig::default(),
            source: SourceConfig {
                kind: SourceKind::Auto,
                path: None,
            },
            meter: MeterConfig {
                kind: MeterKind::Sockdiag,
                ports: None,
                interval: Duration::from_secs(10),
                keep_rules: true,
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
            mirrors: Vec::new(),
            keys: BTreeMap::new(),
        }
    }
}
