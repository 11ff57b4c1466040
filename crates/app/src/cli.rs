//! The command line. One definition makes the parser, `--help`, the man pages
//! and the shells' completions.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::mirror::address::is_address;

/// Where the config is looked for when `--config` is not given.
pub const DEFAULT_CONFIG: &str = "/etc/sshmeter/config.toml";

/// The electricity meter of an SSH server: exactly how many bytes each user moved.
///
/// sshmeter follows sshd's log to learn who is connected from where, reads the
/// kernel's own counters for those connections, and keeps a ledger by minute,
/// hour, day and month. `sshmeter run` counts, `sshmeter report` tells.
#[derive(Debug, Parser)]
#[command(
    name = "sshmeter",
    version,
    max_term_width = 100,
    propagate_version = true
)]
pub struct Arguments {
    /// Read this config instead of /etc/sshmeter/config.toml, without which the
    /// built-in defaults apply.
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        help_heading = "Global options"
    )]
    pub config: Option<PathBuf>,

    /// Use this ledger instead of the config's `ledger.path`
    /// (/var/lib/sshmeter/ledger.db if not set). `report` also reads a mirror:
    /// `mysql://USER@HOST/DATABASE` or `postgres://USER@HOST/DATABASE`.
    #[arg(
        long,
        global = true,
        value_name = "FILE|URL",
        help_heading = "Global options"
    )]
    pub ledger: Option<PathBuf>,

    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

impl Arguments {
    /// The mirror's address, where `--ledger` is one and no path.
    #[must_use]
    pub fn mirror(&self) -> Option<&str> {
        let text = self.ledger.as_deref()?.to_str()?;
        is_address(text).then_some(text)
    }
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Count, in the foreground, until SIGTERM or Ctrl-C.
    ///
    /// SIGHUP reads the config again. As another user than root it needs to read
    /// sshd's log and the rights CAP_SYS_PTRACE, CAP_DAC_READ_SEARCH and
    /// CAP_NET_ADMIN; it says which are missing. How much it says is set by
    /// SSHMETER_LOG (error, warn, info, debug or trace).
    Run,
    /// Show how many bytes each user moved.
    ///
    /// Without --since it shows this month, without --until all up to now. Last
    /// month alone is `--since 'last month' --until 'this month'`.
    Report(ReportArguments),
    /// List SSH sessions with their bytes.
    ///
    /// Lists those that were open in the period, with the bytes they moved in
    /// it: without --since it is today, without --until all up to now. With
    /// --open and no period, bytes are all since the session was opened.
    ///
    /// Sessions, connections that never logged in among them, are kept as long
    /// as the hours, `ledger.retention.hour` (400 days if not set).
    Sessions(SessionsArguments),
    /// Show what sshmeter makes of an sshd log.
    ///
    /// It reads the log alone: what it shows is what was written there, and
    /// bytes are not.
    Parse(ParseArguments),
    /// Check this machine: log, sshd, kernel, rights, ledger.
    ///
    /// It changes nothing. `warn` is for what makes counting worse, `fail` for
    /// what stops it; with a `fail` the exit code is 1.
    Doctor,
    /// Check every row of the ledger, and tell which are wrong.
    ///
    /// Looks at the whole file, holds every session against its minutes, and
    /// for every user the minutes against hours, days and months. It changes
    /// nothing and may run beside `sshmeter run`; for a backup, name it with
    /// --ledger. With a fault the exit code is 1.
    Verify(VerifyArguments),
    /// Copy the ledger to a file, also while it is counted into.
    ///
    /// The file is the ledger as it was at one moment, whole and checked, or is
    /// not there. `sshmeter --ledger FILE report` reads it, `sshmeter restore
    /// FILE` puts it back.
    Backup(BackupArguments),
    /// Put a backup back as the ledger.
    ///
    /// `sshmeter run` has to be stopped. The backup is checked first; the ledger
    /// that was there is kept beside it under a name with the time. Connections
    /// that are in the backup and still open are counted on without loss, as
    /// the kernel still has all they moved; those that ended since are missing.
    Restore(RestoreArguments),
    /// Take over what the older scripts have counted into MySQL.
    ///
    /// Reads the tables `minute` and `hour` of the scripts that count by the
    /// iptables chain `useraccount`, and books them in the ledger; `sessions`
    /// lists them with the method `import`. It can be repeated, also while the
    /// scripts still count: only what is new since the last time is added.
    /// `sshmeter run` has to be stopped, but not for --dry-run.
    Import(ImportArguments),
    /// Remove all counter rules of sshmeter's from the firewall.
    ///
    /// Removes the table `inet sshmeter` of nftables, and the chain
    /// `useraccount` of iptables and ip6tables with what hangs on it, also where
    /// older scripts made it. No other rule is touched. What the rules have counted and `sshmeter run`
    /// has not read yet is counted by the sockets of who is still connected.
    ClearRules,
    /// Show the config as understood, or where it is wrong.
    CheckConfig,
    /// Print a completion script for a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Print the man page of sshmeter, or write all pages to a folder.
    Man {
        /// Write every page (sshmeter.1, sshmeter-run.1, …) here.
        #[arg(long, value_name = "FOLDER")]
        out: Option<PathBuf>,
    },
}

/// A period of time, common to report and sessions.
#[derive(Args, Clone, Debug, Default)]
pub struct PeriodArguments {
    /// Begin here: `2026-11-22`, `2026-11-22 17:00`, RFC 3339, `2026-11`,
    /// `17:00` (today), `now`, `today`, `yesterday`, `this` or `last` `week`,
    /// `month` or `year` (their first day), or back from now: `-30m`, `-2h`,
    /// `-7d`, `-1w`, `-3mo`, `-1y`.
    #[arg(long, value_name = "T", allow_hyphen_values = true)]
    pub since: Option<String>,

    /// End here (not included); same forms as --since, now if not given.
    #[arg(long, value_name = "T", allow_hyphen_values = true)]
    pub until: Option<String>,

    /// Read and show times in this zone (an IANA name, `UTC` or `system`)
    /// instead of the ledger's.
    #[arg(long, value_name = "ZONE")]
    pub tz: Option<String>,
}

/// How output is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Table,
    /// For programs.
    Json,
    /// For spreadsheets.
    Csv,
}

/// What `report` groups by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, ValueEnum)]
pub enum ByArgument {
    /// The user who logged in.
    User,
    /// The key or certificate used.
    Credential,
    /// The client's address.
    Peer,
    /// The single session.
    Session,
    /// The host; a mirror has many.
    Host,
}

/// The buckets of time `report` shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, ValueEnum)]
pub enum PerArgument {
    /// Minutes.
    Minute,
    /// Hours.
    Hour,
    /// Days.
    Day,
    /// Months.
    Month,
    /// The whole period in one.
    #[default]
    Total,
}

/// `sshmeter report`.
#[derive(Args, Clone, Debug, Default)]
pub struct ReportArguments {
    /// Group by these, comma separated.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "user")]
    pub by: Vec<ByArgument>,

    /// The time a row stands for.
    #[arg(long, value_enum, default_value_t)]
    pub per: PerArgument,

    /// The period.
    #[command(flatten)]
    pub period: PeriodArguments,

    /// Only this user; may be given again.
    #[arg(long, value_name = "U")]
    pub user: Vec<String>,

    /// Only the N rows that moved the most; the total stays whole.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub top: Option<u32>,

    /// Show the SSH streams' own bytes instead of those on the wire (IP packets,
    /// headers and retransmissions included). JSON and CSV have both.
    #[arg(long)]
    pub payload: bool,

    /// Show connections that never logged in too, as `(unauthenticated)`.
    #[arg(long)]
    pub all: bool,

    /// How to write it.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// `sshmeter sessions`.
#[derive(Args, Clone, Debug, Default)]
pub struct SessionsArguments {
    /// Only sessions that are open now.
    #[arg(long)]
    pub open: bool,

    /// Only this user; may be given again.
    #[arg(long, value_name = "U")]
    pub user: Vec<String>,

    /// The period.
    #[command(flatten)]
    pub period: PeriodArguments,

    /// Show the SSH streams' own bytes instead of those on the wire (IP packets,
    /// headers and retransmissions included). JSON and CSV have both.
    #[arg(long)]
    pub payload: bool,

    /// Show connections that never logged in too, as `(unauthenticated)`.
    #[arg(long)]
    pub all: bool,

    /// How to write it.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// How `parse` writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ParseFormat {
    /// Sessions and a summary, for people.
    #[default]
    Table,
    /// One JSON object a line.
    Json,
}

/// `sshmeter parse`.
#[derive(Args, Clone, Debug, Default)]
pub struct ParseArguments {
    /// Logs to read: any syslog form, `journalctl -o json`, gzip. Standard
    /// input without one, or for `-`.
    #[arg(value_name = "FILE")]
    pub files: Vec<PathBuf>,

    /// How to write it.
    #[arg(long, value_enum, default_value_t)]
    pub format: ParseFormat,

    /// The zone (an IANA name, `UTC` or `system`) of times in the log that name
    /// none, and of times in the table; the system's if not given.
    #[arg(long, value_name = "ZONE")]
    pub tz: Option<String>,
}

/// How `verify` writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum VerifyFormat {
    /// Lines for people.
    #[default]
    Text,
    /// One JSON object.
    Json,
}

/// `sshmeter verify`.
#[derive(Args, Clone, Debug)]
pub struct VerifyArguments {
    /// Tell at most N faults, and count the rest.
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub limit: u32,

    /// How to write it.
    #[arg(long, value_enum, default_value_t)]
    pub format: VerifyFormat,
}

/// `sshmeter backup`.
#[derive(Args, Clone, Debug)]
pub struct BackupArguments {
    /// The file to make.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,

    /// Replace the file if it is there already.
    #[arg(long)]
    pub force: bool,
}

/// `sshmeter restore`.
#[derive(Args, Clone, Debug)]
pub struct RestoreArguments {
    /// The backup.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
}

/// `sshmeter import`.
#[derive(Args, Clone, Debug)]
pub struct ImportArguments {
    /// The scripts' database: `mysql://USER@HOST/sshaccount`, or `postgres://…`
    /// with tables of the same names and columns. The options are those of a
    /// mirror's address: `?password-file=PATH`, `?socket=PATH`.
    #[arg(value_name = "URL")]
    pub url: String,

    /// Say what would be taken, and take nothing.
    #[arg(long)]
    pub dry_run: bool,

    /// What the ledger calls the database, by which it knows what was taken from
    /// it before; if not given, what the server says of itself. It is asked for
    /// where the server's host was renamed, and where a second database comes.
    #[arg(long, value_name = "NAME", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub source: Option<String>,
}
