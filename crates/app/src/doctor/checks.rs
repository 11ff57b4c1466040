//! The checks, one function each.

use std::{path::Path, process::Command};

use super::{Finding, Verdict};
use crate::{
    config::Config,
    kernel::{ports, sockdiag},
    source,
    store::{self, Reader},
};

/// Is there a log, and may we read it?
pub(super) fn source(config: &Config) -> Finding {
    match source::choose(&config.source) {
        Ok(choice) => Finding::new("log", Verdict::Ok, choice.why),
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
    let ports: Vec<String> = found.all().iter().map(u16::to_string).collect();
    if let Some(configured) = &config.meter.ports {
        let configured: Vec<String> = configured.iter().map(u16::to_string).collect();
        let words = format!("counts port {}, as meter.ports says", configured.join(", "));
        return finding(Verdict::Ok, words);
    }
    if found.hidden && ports.is_empty() {
        return finding(Verdict::Warn, "runs, but its ports cannot be seen".into())
            .hint("run as root, or set meter.ports to sshd's ports");
    }
    if ports.is_empty() {
        return finding(Verdict::Warn, "no sshd is listening".into())
            .hint("start it (`systemctl start ssh`); sshmeter looks again every minute");
    }
    finding(Verdict::Ok, format!("listens on port {}", ports.join(", ")))
}

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
            return Finding::new(SUBJECT, Verdict::Warn, "sshd does not tell its settings")
                .hint("`sshd -T`, as root, says why");
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
    if ["quiet", "fatal", "error"].contains(&level.as_str()) {
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

/// Where Debian has sshd, for those whose PATH lacks it.
const PATH_WITH_SBIN: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

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
    match sockdiag::hears_endings() {
        Ok(buffer) => Finding::new(
            SUBJECT,
            Verdict::Ok,
            format!(
                "the kernel announces each connection's end (queue of {} KiB)",
                buffer / 1024
            ),
        ),
        Err(error) => Finding::new(SUBJECT, Verdict::Fail, format!("{error:#}"))
            .hint("Linux 4.2 or newer with CONFIG_INET_TCP_DIAG does (`modprobe tcp_diag`)"),
    }
}

/// What may we do?
pub(super) fn rights() -> Finding {
    const SUBJECT: &str = "rights";
    if rustix::process::geteuid().is_root() {
        return Finding::new(SUBJECT, Verdict::Ok, "runs as root");
    }
    Finding::new(
        SUBJECT,
        Verdict::Warn,
        "runs unprivileged: sshd's ports and connections older than the daemon stay unnamed",
    )
    .hint("run as root, or give CAP_SYS_PTRACE (see into sshd) and CAP_NET_ADMIN (large queue)")
}

/// Is the ledger sound?
pub(super) fn ledger(config: &Config) -> Finding {
    const SUBJECT: &str = "ledger";
    let path = config.ledger_path();
    if !path.exists() {
        let words = format!(
            "{} is not there yet; `sshmeter run` makes it",
            path.display()
        );
        return Finding::new(SUBJECT, Verdict::Ok, words);
    }
    let check = Reader::open(path).and_then(|reader| store::check(&reader));
    match check {
        Ok(check) if check.problems.is_empty() => {
            Finding::new(SUBJECT, Verdict::Ok, format!("{} is sound", path.display()))
        }
        Ok(check) => Finding::new(SUBJECT, Verdict::Fail, check.problems.join("; "))
            .hint("keep a copy of the file, and put back a backup"),
        Err(error) => {
            let finding = Finding::new(SUBJECT, Verdict::Fail, error.to_string());
            match error.hint() {
                Some(hint) => finding.hint(hint),
                None => finding,
            }
        }
    }
}

/// Is there room to write?
pub(super) fn space(config: &Config) -> Finding {
    const SUBJECT: &str = "space";
    const LITTLE: u64 = 64 * 1024 * 1024;
    let folder = config
        .ledger_path()
        .ancestors()
        .skip(1)
        .find(|folder| folder.exists());
    let folder = folder.unwrap_or(Path::new("/"));
    let Ok(room) = rustix::fs::statvfs(folder) else {
        return Finding::new(
            SUBJECT,
            Verdict::Warn,
            format!("{} hides its space", folder.display()),
        );
    };
    let free = room.f_bavail.saturating_mul(room.f_frsize);
    let words = format!("{} MiB free in {}", free / (1024 * 1024), folder.display());
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
