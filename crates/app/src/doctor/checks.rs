//! The checks, one function each.

use std::{path::Path, process::Command};

use jiff::tz::TimeZone;

use super::{Finding, Verdict};
use crate::{
    config::{Config, MeterKind},
    daemon::port_list,
    error::Failure,
    kernel::{
        PATH_WITH_SBIN, endings,
        firewall::{self, Usable},
        ports,
        rights::{self, Right, Rights},
        sockdiag,
    },
    render::{bytes, fault_sentence},
    source,
    store::{self, Depth, Reader, Verification},
};

/// Is there a log, and may we read it?
pub(super) fn source(config: &Config) -> Finding {
    match source::choose(&config.source) {
        Ok(choice) => Finding::new("log", Verdict::Ok, format!("is read from {}", choice.why)),
        Err(failure) => from_failure("log", &failure.text()),
    }
}

/// Is there an sshd, and where?
pub(super) fn sshd(config: &Config) -> Finding {
    let finding = |verdict, words: String| Finding::new("sshd", verdict, words);
    let found = match ports::find() {
        Ok(found) => found,
        Err(error) => return finding(Verdict::Fail, format!("{error:#}")),
    };
    let ports: Vec<u16> = found.all().into_iter().collect();
    if let Some(configured) = &config.meter.ports {
        let words = format!("counts {}, as meter.ports says", port_list(configured));
        return finding(Verdict::Ok, words);
    }
    if found.hidden && ports.is_empty() {
        return finding(
            Verdict::Warn,
            "runs, but this user may not see where it listens".into(),
        )
        .hint("run as root, or set meter.ports to sshd's ports; without, 22 is counted");
    }
    if ports.is_empty() {
        return finding(Verdict::Warn, "no sshd is listening".into())
            .hint("start it (`systemctl start ssh`); sshmeter looks again every minute");
    }
    finding(Verdict::Ok, format!("listens on {}", port_list(&ports)))
}

/// Does somebody else go by sshd's name?
pub(super) fn impostors(config: &Config) -> Option<Finding> {
    let counted = config.meter.ports.as_deref().unwrap_or_default();
    let mut by_users = ports::find().ok()?.by_users;
    by_users.retain(|port, _| !counted.contains(port));
    let each = by_users.iter().map(|(port, uid)| {
        let user = uzers::get_user_by_uid(*uid).map_or_else(
            || format!("uid {uid}"),
            |user| user.name().to_string_lossy().into_owned(),
        );
        format!("a process of {user}'s that is called sshd listens on {port}: not counted")
    });
    let words: Vec<String> = each.collect();
    (!words.is_empty()).then(|| {
        Finding::new("sshd", Verdict::Warn, words.join("; "))
            .hint("set meter.ports if its connections shall be counted")
    })
}

/// Levels that leave logins unsaid; `sshd -T` calls QUIET by its other name.
const HIDING_LEVELS: [&str; 4] = ["silent", "quiet", "fatal", "error"];

/// Does sshd log logins at all?
pub(super) fn log_level() -> Finding {
    const SUBJECT: &str = "log level";
    let output = match Command::new("sshd")
        .arg("-T")
        .env("PATH", PATH_WITH_SBIN)
        .output()
    {
        Ok(output) if output.status.success() => output,
        Ok(_) => {
            return Finding::new(SUBJECT, Verdict::Warn, "sshd does not tell its LogLevel")
                .hint("`sshd -T`, which needs root, tells it or says what is wrong");
        }
        Err(_) => {
            return Finding::new(SUBJECT, Verdict::Ok, "no OpenSSH sshd is installed to ask");
        }
    };
    let settings = String::from_utf8_lossy(&output.stdout).to_lowercase();
    let setting = |name: &str| {
        let line = settings
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_default().to_owned()
    };
    let level = setting("loglevel");
    if HIDING_LEVELS.contains(&level.as_str()) {
        return Finding::new(
            SUBJECT,
            Verdict::Fail,
            format!("LogLevel {level} hides logins"),
        )
        .hint("set `LogLevel INFO` in /etc/ssh/sshd_config and reload sshd");
    }
    Finding::new(
        SUBJECT,
        Verdict::Ok,
        format!("sshd logs logins (LogLevel {level})"),
    )
}

/// Does the kernel count for each socket?
pub(super) fn counters(_config: &Config) -> Finding {
    const SUBJECT: &str = "counters";
    match sockdiag::tcp_info_length() {
        Ok(length) if length >= sockdiag::FULL_TCP_INFO_LENGTH => Finding::new(
            SUBJECT,
            Verdict::Ok,
            format!("the kernel tells wire and payload bytes (tcp_info of {length} bytes)"),
        ),
        Ok(length) => Finding::new(
            SUBJECT,
            Verdict::Warn,
            format!("this kernel's tcp_info is short ({length} bytes): wire bytes stay unknown"),
        )
        .hint("Linux 4.19 or newer tells them"),
        Err(error) => Finding::new(SUBJECT, Verdict::Fail, format!("{error:#}")).hint(
            "the kernel needs CONFIG_INET_DIAG and CONFIG_INET_TCP_DIAG (`modprobe tcp_diag`)",
        ),
    }
}

/// Does the kernel announce ends?
pub(super) fn endings(_config: &Config) -> Finding {
    const SUBJECT: &str = "endings";
    match endings::hears_endings() {
        Ok(buffer) => Finding::new(
            SUBJECT,
            Verdict::Ok,
            format!(
                "the kernel announces each connection's end (queue of {})",
                bytes(u64::try_from(buffer).unwrap_or(u64::MAX))
            ),
        ),
        Err(error) => Finding::new(SUBJECT, Verdict::Fail, format!("{error:#}"))
            .hint("Linux 4.2 or newer with CONFIG_INET_TCP_DIAG does (`modprobe tcp_diag`)"),
    }
}

/// Which meters can count here, and what the others would need?
pub(super) fn meters(config: &Config) -> Vec<Finding> {
    let kinds = MeterKind::ALL.into_iter();
    kinds
        .map(|kind| one_meter(kind, config.meter.kind, firewall::usable(kind)))
        .collect()
}

/// A meter that is not chosen may be unusable.
fn one_meter(kind: MeterKind, chosen: MeterKind, usable: Usable) -> Finding {
    let word = kind.word();
    let is_chosen = kind == chosen;
    let (verdict, words) = match (usable, is_chosen) {
        (Usable::Yes(with), true) => (Verdict::Ok, format!("{word} counts: {with}")),
        (Usable::Yes(with), false) => (Verdict::Ok, format!("{word} could count: {with}")),
        (Usable::Hidden, true) => (Verdict::Warn, format!("{word} counts, if it can be used")),
        (Usable::Hidden, false) => (Verdict::Ok, format!("{word} is there, and may be usable")),
        (Usable::Absent(why) | Usable::No(why), true) => {
            (Verdict::Fail, format!("{word} cannot count: {why}"))
        }
        (Usable::Absent(why) | Usable::No(why), false) => {
            (Verdict::Ok, format!("{word} could not count here: {why}"))
        }
    };
    let finding = Finding::new("meter", verdict, words);
    match verdict {
        Verdict::Ok => finding,
        Verdict::Warn => finding.hint("run as root: only who may change the firewall can tell"),
        Verdict::Fail => finding.hint(
            "as root install what is missing, or set meter.kind = \"sockdiag\", which needs no \
             firewall",
        ),
    }
}

/// What may we do, and what may the daemon that runs?
pub(super) fn rights(config: &Config) -> Vec<Finding> {
    let daemon =
        store::holder(config.ledger_path()).and_then(|pid| Some((pid, Rights::of_daemon(pid)?)));
    let kind = config.meter.kind;
    let mut findings: Vec<Finding> = Right::of_meter(kind)
        .iter()
        .map(|right| one_right(*right, daemon, Rights::here()))
        .collect();
    if let Some(lacking) = findings
        .iter_mut()
        .rfind(|finding| finding.verdict != Verdict::Ok)
    {
        let is_firewalls = kind != MeterKind::Sockdiag && lacking.words.starts_with("CAP_NET_");
        let hint = if is_firewalls {
            rights::FIREWALL_HINT
        } else {
            rights::HINT
        };
        lacking.hint = Some(hint.to_owned());
    }
    findings
}

/// A right, what it is for and who has it. Where a daemon runs, it is the one
/// that needs it.
fn one_right(right: Right, daemon: Option<(u32, Rights)>, here: Rights) -> Finding {
    let has = |rights: Rights| if rights.has(right) { "yes" } else { "no" };
    let of_daemon = daemon.map_or_else(String::new, |(pid, rights)| {
        format!("the daemon (pid {pid}): {}, ", has(rights))
    });
    let verdict = if daemon.map_or(here, |(_, rights)| rights).has(right) {
        Verdict::Ok
    } else {
        Verdict::Warn
    };
    let (name, purpose) = (right.name(), right.purpose());
    let words = format!("{name} {purpose} ({of_daemon}this process: {})", has(here));
    Finding::new("rights", verdict, words)
}

/// Is the ledger sound?
pub(super) fn ledger(config: &Config) -> Finding {
    const SUBJECT: &str = "ledger";
    let path = config.ledger_path();
    // Where this may not be seen, opening it says so.
    if path.try_exists().is_ok_and(|is_there| !is_there) {
        return ledger_to_be(path);
    }
    let found = Reader::open(path).and_then(|reader| {
        let found = store::verify(&reader, Depth::Quick, 1)?;
        Ok((found, reader))
    });
    match found {
        Ok((found, reader)) => verified(path, &found, reader.calendar().zone()),
        Err(error) => from_failure(SUBJECT, &Failure::from(error).text()),
    }
}

/// A ledger that was checked, the first of its faults told: a damaged file has
/// many.
fn verified(path: &Path, found: &Verification, zone: &TimeZone) -> Finding {
    const SUBJECT: &str = "ledger";
    let path = path.display();
    let Some(fault) = found.faults.first() else {
        return Finding::new(SUBJECT, Verdict::Ok, format!("{path} is sound"));
    };
    let rest = match found.more {
        0 => String::new(),
        more => format!(" (and {more} more)"),
    };
    let words = format!("{path} is damaged: {}{rest}", fault_sentence(fault, zone));
    Finding::new(SUBJECT, Verdict::Fail, words).hint(
        "`sshmeter verify` tells all that is wrong; `sshmeter restore FILE` puts back a backup",
    )
}

/// A ledger that is not there: may it be made?
fn ledger_to_be(path: &Path) -> Finding {
    let words = format!("{} is not there yet", path.display());
    let folder = nearest_folder(path);
    let access = if folder.is_dir() {
        rustix::fs::access(folder, rustix::fs::Access::WRITE_OK)
    } else {
        Err(rustix::io::Errno::NOTDIR)
    };
    match access {
        Ok(()) => Finding::new("ledger", Verdict::Ok, words + "; `sshmeter run` makes it"),
        Err(error) => Finding::new(
            "ledger",
            Verdict::Fail,
            format!(
                "{words}, and cannot be made in {}: {error}",
                folder.display()
            ),
        )
        .hint("run as root, or choose another `ledger.path`"),
    }
}

/// The folder a file is in, or will be made in.
fn nearest_folder(path: &Path) -> &Path {
    path.ancestors()
        .skip(1)
        .find(|folder| folder.exists())
        .unwrap_or(Path::new("/"))
}

/// Is there room to write?
pub(super) fn space(config: &Config) -> Finding {
    const SUBJECT: &str = "space";
    const LITTLE: u64 = 64 * 1024 * 1024;
    let folder = nearest_folder(config.ledger_path());
    let Ok(room) = rustix::fs::statvfs(folder) else {
        return Finding::new(
            SUBJECT,
            Verdict::Warn,
            format!("{} hides its space", folder.display()),
        );
    };
    let free = room.f_bavail.saturating_mul(room.f_frsize);
    let words = format!("{} free in {}", bytes(free), folder.display());
    if free < LITTLE {
        return Finding::new(SUBJECT, Verdict::Warn, words)
            .hint("make room; until then figures wait in memory");
    }
    Finding::new(SUBJECT, Verdict::Ok, words)
}

/// A failure's sentence and hint, as a finding.
fn from_failure(subject: &'static str, text: &str) -> Finding {
    let mut words = Vec::new();
    let mut hint = None;
    for line in text.lines() {
        match line.strip_prefix("hint: ") {
            Some(line) => hint = Some(line.to_owned()),
            None => words.push(line.trim_start_matches("error: ").trim()),
        }
    }
    Finding {
        subject,
        verdict: Verdict::Fail,
        words: words.join(", "),
        hint,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Fault, Subject, Wrong};

    #[test]
    fn a_damaged_ledger_is_one_line() {
        let mut found = Verification::default();
        let finding = |found: &Verification| verified(Path::new("/l.db"), found, &TimeZone::UTC);
        assert_eq!(finding(&found).verdict, Verdict::Ok);
        found.faults.push(Fault {
            subject: Subject::File,
            wrong: Wrong::Told("Tree 13 page 13: bad".to_owned()),
        });
        assert_eq!(
            finding(&found).words,
            "/l.db is damaged: the file: Tree 13 page 13: bad"
        );
        found.more = 2;
        assert!(finding(&found).words.ends_with(": bad (and 2 more)"));
        assert_eq!(finding(&found).verdict, Verdict::Fail);
    }

    #[test]
    fn the_daemons_rights_decide_where_one_runs() {
        let none = Rights::default();
        let here = Rights::here();
        let alone = one_right(Right::Trace, None, none);
        assert_eq!(alone.verdict, Verdict::Warn);
        assert!(
            alone.words.ends_with("is (this process: no)"),
            "{}",
            alone.words
        );
        let with_daemon = one_right(Right::Trace, Some((412, none)), here);
        assert_eq!(with_daemon.verdict, Verdict::Warn);
        assert!(
            with_daemon
                .words
                .contains("(the daemon (pid 412): no, this process: "),
            "{}",
            with_daemon.words
        );
    }

    #[test]
    fn a_ledger_that_cannot_be_made_fails() {
        let finding = ledger_to_be(Path::new("/dev/null/ledger.db"));
        assert_eq!(finding.verdict, Verdict::Fail, "{}", finding.words);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/ledger.db");
        assert_eq!(ledger_to_be(&path).verdict, Verdict::Ok);
    }

    #[test]
    fn only_the_meter_that_is_chosen_has_to_work() {
        let (sockdiag, nftables) = (MeterKind::Sockdiag, MeterKind::Nftables);
        let absent = || Usable::Absent("nft is not installed (package nftables)".to_owned());
        let other = one_meter(nftables, sockdiag, absent());
        assert_eq!(other.verdict, Verdict::Ok);
        assert_eq!(
            other.words,
            "nftables could not count here: nft is not installed (package nftables)"
        );
        let chosen = one_meter(nftables, nftables, absent());
        assert_eq!(chosen.verdict, Verdict::Fail);
        assert!(chosen.hint.is_some());
        let unseen = one_meter(nftables, nftables, Usable::Hidden);
        assert_eq!(unseen.verdict, Verdict::Warn);
    }
}
