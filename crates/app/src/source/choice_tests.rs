//! Choices made on made-up systems.

use std::fs;

use rustix::thread::CapabilitySet;
use tempfile::TempDir;

use super::*;

struct System {
    folder: TempDir,
    places: Places,
    _journald: Option<UnixDatagram>,
}

fn system() -> System {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    System {
        places: Places {
            journals: vec![at("var"), at("run")],
            journald: at("socket"),
            syslog: at("log"),
            files: vec![at("auth.log"), at("secure")],
            probe: || Ok(()),
        },
        folder,
        _journald: None,
    }
}

impl System {
    fn with_journald(mut self) -> Self {
        self._journald = Some(UnixDatagram::bind(&self.places.journald).unwrap());
        self
    }

    fn with(self, file: &str) -> Self {
        let path = self.folder.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "").unwrap();
        self
    }

    fn deny(self, file: &str) -> Self {
        let path = self.folder.path().join(file);
        fs::set_permissions(path, fs::Permissions::from_mode(0o000)).unwrap();
        self
    }

    fn choose(&self, kind: SourceKind, path: Option<&str>) -> Result<Choice, String> {
        // Root would read everything: this thread obeys file modes.
        let mut sets = rustix::thread::capabilities(None).unwrap();
        sets.effective
            .remove(CapabilitySet::DAC_OVERRIDE | CapabilitySet::DAC_READ_SEARCH);
        rustix::thread::set_capabilities(None, sets).unwrap();
        let path = path.map(|path| self.folder.path().join(path));
        let choice = self.places.choose(&SourceConfig { kind, path });
        choice.map_err(|failure| failure.text())
    }

    fn file(&self, name: &str) -> Kind {
        Kind::File {
            path: self.folder.path().join(name),
        }
    }
}

const JOURNAL: &str = "run/0123456789abcdef/system.journal";

#[test]
fn auto_takes_a_journal_that_lives_and_can_be_read() {
    let system = system().with_journald().with(JOURNAL).with("auth.log");
    let choice = system.choose(SourceKind::Auto, None).unwrap();
    assert_eq!(choice.kind, Kind::Journal);
    assert_eq!(
        choice.why,
        "the journal (journald runs and this user may read it)"
    );
}

#[test]
fn auto_falls_back_to_a_file_and_says_why() {
    let dead = system().with(JOURNAL).with("secure");
    let choice = dead.choose(SourceKind::Auto, None).unwrap();
    assert_eq!(choice.kind, dead.file("secure"));
    assert!(
        choice.why.ends_with("(journald does not run here)"),
        "{}",
        choice.why
    );

    let empty = system().with_journald().with("auth.log").with("secure");
    let choice = empty.choose(SourceKind::Auto, None).unwrap();
    assert_eq!(choice.kind, empty.file("auth.log"));
    assert!(choice.why.contains("keeps nothing"), "{}", choice.why);

    let denied = system()
        .with_journald()
        .with(JOURNAL)
        .deny(JOURNAL)
        .with("auth.log");
    let choice = denied.choose(SourceKind::Auto, None).unwrap();
    assert_eq!(choice.kind, denied.file("auth.log"));
    assert!(choice.why.contains("may not read it"), "{}", choice.why);

    let mut broken = system().with_journald().with(JOURNAL).with("auth.log");
    broken.places.probe = || anyhow::bail!("journalctl cannot be started");
    let choice = broken.choose(SourceKind::Auto, None).unwrap();
    assert!(
        choice.why.ends_with("journalctl cannot be started)"),
        "{}",
        choice.why
    );
}

#[test]
fn a_log_daemon_that_wrote_nothing_yet_is_waited_for() {
    let system = system();
    let _rsyslogd = UnixDatagram::bind(&system.places.syslog).unwrap();
    let choice = system.choose(SourceKind::Auto, None).unwrap();
    assert_eq!(choice.kind, system.file("auth.log"));
    assert!(
        choice.why.ends_with("the file is waited for)"),
        "{}",
        choice.why
    );
}

#[test]
fn nothing_to_follow_is_said_with_a_hint() {
    let text = system().choose(SourceKind::Auto, None).unwrap_err();
    assert!(
        text.contains("no log of sshd to follow: journald does not run here"),
        "{text}"
    );
    assert!(text.contains("hint: install a log daemon"), "{text}");
}

#[test]
fn missing_rights_are_named_with_the_command_that_gives_them() {
    let system_journal = system().with_journald().with(JOURNAL).deny(JOURNAL);
    for kind in [SourceKind::Auto, SourceKind::Journal] {
        let text = system_journal.choose(kind, None).unwrap_err();
        assert!(text.contains("may not read it"), "{text}");
        assert!(text.contains("groups systemd-journal"), "{text}");
    }
    // Opened by a capability of ours, which journalctl has not.
    let mut ours_alone = system().with_journald().with(JOURNAL);
    ours_alone.places.probe = || Err(io::Error::from(io::ErrorKind::PermissionDenied).into());
    let _journald_is_dev_log = UnixDatagram::bind(&ours_alone.places.syslog).unwrap();
    let text = ours_alone.choose(SourceKind::Auto, None).unwrap_err();
    assert!(text.contains("groups systemd-journal"), "{text}");
    let text = system()
        .with("auth.log")
        .deny("auth.log")
        .choose(SourceKind::Auto, None)
        .unwrap_err();
    assert!(text.contains("may not be read by this user"), "{text}");
    assert!(text.contains("hint: run it as root"), "{text}");
}

#[test]
fn a_file_may_come_later_and_must_be_one() {
    let system = system().with("folder/file");
    let choice = system
        .choose(SourceKind::File, Some("later/auth.log"))
        .unwrap();
    assert_eq!(choice.kind, system.file("later/auth.log"));
    assert!(choice.why.ends_with("waited for)"), "{}", choice.why);
    let choice = system.choose(SourceKind::Auto, Some("later.log")).unwrap();
    assert_eq!(choice.kind, system.file("later.log"));
    let text = system.choose(SourceKind::File, Some("folder")).unwrap_err();
    assert!(text.contains("it is a directory"), "{text}");
    let text = system.choose(SourceKind::Journal, None).unwrap_err();
    assert!(text.contains("source.kind = \"file\""), "{text}");
}
