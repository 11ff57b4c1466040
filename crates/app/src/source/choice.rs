//! Which log is followed, and why: said before anything is read, so that a
//! person sees what sshmeter relies on.

use std::{
    fs::File,
    io,
    os::unix::{
        fs::{MetadataExt as _, PermissionsExt as _},
        net::UnixDatagram,
    },
    path::{Path, PathBuf},
};

use anyhow::anyhow;
use sshmeter_core::ledger::Checkpoint;

use super::{file, journal};
use crate::{
    config::{SourceConfig, SourceKind},
    error::{Failure, Outcome},
};

/// The log to follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Which.
    pub kind: Kind,
    /// Why, in one sentence for people.
    pub why: String,
}

impl Choice {
    /// Whether a checkpoint is a place in this kind of log.
    #[must_use]
    pub fn has_place(&self, checkpoint: &Checkpoint) -> bool {
        matches!(
            (&self.kind, checkpoint),
            (Kind::Journal, Checkpoint::Journal { .. })
                | (Kind::File { .. }, Checkpoint::File { .. })
        )
    }
}

/// Which log is followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// systemd's journal.
    Journal,
    /// A log file; it may not be there yet.
    File {
        /// Its path.
        path: PathBuf,
    },
}

/// Chooses the log the config asks for. `auto` takes the journal where journald
/// runs and this user may read what it keeps, else the first log file there is.
///
/// # Errors
/// Where the log cannot be read, with the right that is needed; for `auto`
/// also where there is no log at all.
pub fn choose(config: &SourceConfig) -> Outcome<Choice> {
    Places::default().choose(config)
}

/// Where a system keeps its logs.
struct Places {
    journals: Vec<PathBuf>,
    journald: PathBuf,
    syslog: PathBuf,
    files: Vec<PathBuf>,
    probe: fn() -> anyhow::Result<()>,
}

impl Default for Places {
    fn default() -> Self {
        Self {
            journals: vec!["/var/log/journal".into(), "/run/log/journal".into()],
            journald: "/run/systemd/journal/socket".into(),
            syslog: "/dev/log".into(),
            files: vec!["/var/log/auth.log".into(), "/var/log/secure".into()],
            probe: journal::probe,
        }
    }
}

/// What there is of the journal.
enum Journal {
    Readable,
    Unreadable,
    /// Not to be used, and why.
    Unfit(String),
}

impl Places {
    fn choose(&self, config: &SourceConfig) -> Outcome<Choice> {
        match config.kind {
            SourceKind::Auto => self.choose_auto(config),
            SourceKind::Journal => match self.journal() {
                Journal::Readable => Ok(journal_because("the config names it")),
                Journal::Unreadable => Err(journal_unreadable()),
                Journal::Unfit(why) => Err(Failure::failed(anyhow!(
                    "the journal cannot be followed: {why}"
                ))
                .hint("set source.kind = \"file\" and source.path to the file sshd's log goes to")),
            },
            SourceKind::File => {
                let candidates = self.candidates(config);
                let path = candidates.iter().find(|path| path.exists());
                let path = path.or(candidates.first()).cloned().unwrap_or_default();
                let why = if path.exists() {
                    "the config asks for a file"
                } else {
                    "the config asks for a file, which is not there yet and is waited for"
                };
                file_because(path, why)
            }
        }
    }

    fn choose_auto(&self, config: &SourceConfig) -> Outcome<Choice> {
        let journal = self.journal();
        let why = match &journal {
            Journal::Readable => {
                return Ok(journal_because("journald runs and this user may read it"));
            }
            Journal::Unreadable => "the journal is there, but this user may not read it",
            Journal::Unfit(why) => why,
        };
        let candidates = self.candidates(config);
        if let Some(path) = candidates.iter().find(|path| path.exists()) {
            return file_because(path.clone(), why);
        }
        if let Some(path) = &config.path {
            let why = format!("{why}; the file is not there yet and is waited for");
            return file_because(path.clone(), &why);
        }
        if matches!(journal, Journal::Unreadable) {
            return Err(journal_unreadable());
        }
        if let Some(path) = candidates.first().filter(|_| listens(&self.syslog)) {
            let why = format!("{why}; a log daemon runs, and the file is waited for");
            return file_because(path.clone(), &why);
        }
        let names: Vec<_> = candidates
            .iter()
            .map(|path| path.display().to_string())
            .collect();
        Err(Failure::failed(anyhow!(
            "this machine has no log of sshd to follow: {why}, and there is no {}",
            names.join(" or ")
        ))
        .hint("install a log daemon (apt install rsyslog), or set source.path in the config"))
    }

    fn candidates(&self, config: &SourceConfig) -> Vec<PathBuf> {
        match &config.path {
            Some(path) => vec![path.clone()],
            None => self.files.clone(),
        }
    }

    /// Looks for cheap signs first and starts journalctl only to prove them.
    fn journal(&self) -> Journal {
        if !listens(&self.journald) {
            return Journal::Unfit("journald does not run here".to_owned());
        }
        match self.system_journal_readable() {
            Ok(true) => match (self.probe)() {
                Ok(()) => Journal::Readable,
                Err(error) if is_denied(&error) => Journal::Unreadable,
                Err(error) => Journal::Unfit(format!("{error:#}")),
            },
            Ok(false) => Journal::Unfit("journald runs but keeps nothing on this machine".into()),
            Err(_) => Journal::Unreadable,
        }
    }

    /// Whether there is a system journal; an error where it may not be read. A
    /// user's own journal does not count: sshd's lines are not in it.
    fn system_journal_readable(&self) -> io::Result<bool> {
        let mut found = Ok(false);
        for folder in &self.journals {
            match system_journals(folder) {
                Ok(files) => {
                    for file in files {
                        match File::open(file) {
                            Ok(_) => return Ok(true),
                            Err(error) => found = Err(error),
                        }
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => found = Err(error),
            }
        }
        found
    }
}

fn is_denied(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<io::Error>()
        .is_some_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
}

/// Whether a daemon listens on a datagram socket.
fn listens(socket: &Path) -> bool {
    UnixDatagram::unbound()
        .and_then(|ours| ours.connect(socket))
        .is_ok()
}

fn system_journals(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for machine in folder.read_dir()? {
        let machine = machine?.path();
        if !machine.is_dir() {
            continue;
        }
        for file in machine.read_dir()? {
            let file = file?;
            let name = file.file_name();
            let name = name.as_encoded_bytes();
            if name.starts_with(b"system") && name.ends_with(b".journal") {
                files.push(file.path());
            }
        }
    }
    Ok(files)
}

fn journal_because(why: &str) -> Choice {
    Choice {
        kind: Kind::Journal,
        why: format!("the journal ({why})"),
    }
}

fn file_because(path: PathBuf, why: &str) -> Outcome<Choice> {
    match file::probe(&path) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            let hint = rights_hint(group_of(&path).as_deref());
            let sentence = format!(
                "the log file {} may not be read by this user",
                path.display()
            );
            return Err(Failure::failed(anyhow!(error).context(sentence)).hint(hint));
        }
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            let sentence = format!("the log file {} cannot be followed", path.display());
            return Err(Failure::failed(anyhow!(error).context(sentence))
                .hint("set source.path in the config to the file sshd's log goes to"));
        }
        Ok(()) | Err(_) => {}
    }
    Ok(Choice {
        why: format!("{} ({why})", path.display()),
        kind: Kind::File { path },
    })
}

fn journal_unreadable() -> Failure {
    Failure::failed(anyhow!(
        "the journal is there, but this user may not read it"
    ))
    .hint(rights_hint(Some("systemd-journal")))
}

/// The group that may read a file, where its mode lets a group.
fn group_of(path: &Path) -> Option<String> {
    let metadata = path.metadata().ok()?;
    let group_may_read = metadata.permissions().mode() & 0o040 != 0;
    let group = uzers::get_group_by_gid(metadata.gid())?;
    (group_may_read && metadata.gid() != 0).then(|| group.name().display().to_string())
}

fn rights_hint(group: Option<&str>) -> String {
    match (group, uzers::get_current_username()) {
        (Some(group), Some(user)) => format!(
            "run it as root, or once: usermod --append --groups {group} {}",
            user.display()
        ),
        (Some(group), None) => format!("run it as root, or as a member of the group {group}"),
        (None, _) => "run it as root".to_owned(),
    }
}

#[cfg(test)]
#[path = "choice_tests.rs"]
mod tests;
