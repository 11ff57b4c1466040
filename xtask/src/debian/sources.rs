//! Where Debian's packages come from: the mirrors that this machine's own apt uses.

use std::process::Command;

use anyhow::{Context as _, Result};

/// Debian's keys, of its package debian-archive-keyring.
const KEYS: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// The mirror of Debian that this machine's apt uses.
///
/// # Errors
/// Where there is no apt, or it knows none.
pub fn mirror() -> Result<String> {
    labelled("Debian").context("apt knows no mirror of Debian")
}

/// A release's lines for apt: as it was published, and with its security updates
/// where this machine gets its own.
pub(super) fn lines(codename: &str) -> Result<String> {
    let line =
        |mirror: String, suite: String| format!("deb [signed-by={KEYS}] {mirror} {suite} main\n");
    let security = labelled("Debian-Security")
        .map(|mirror| line(mirror, format!("{codename}-security")))
        .unwrap_or_default();
    Ok(line(mirror()?, codename.to_owned()) + &security)
}

fn labelled(label: &str) -> Result<String> {
    let output = Command::new("apt-get")
        .args(["indextargets", "--format", "$(REPO_URI)"])
        .args(["Created-By: Packages", "Origin: Debian"])
        .arg(format!("Label: {label}"))
        .output()
        .context("apt-get cannot be started")?;
    let targets = String::from_utf8_lossy(&output.stdout);
    let first = targets.lines().next();
    first
        .map(|mirror| mirror.trim_end_matches('/').to_owned())
        .with_context(|| format!("no source of {label}"))
}
