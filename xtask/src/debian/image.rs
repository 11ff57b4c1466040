//! Root file systems made of a release's packages: once, and anew when the list
//! of packages changes. Nothing is ever changed in one that is there.
//!
//! A lock makes whoever else wants the same one wait, also in other programs. What
//! is under way has another name, so that one that is there is whole.

use std::{
    fs::{self, File},
    io::{Seek as _, Write as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};

use super::{BUILD_PACKAGES, Release, sources};
use crate::{build::target, packages::find};

/// What makes it: in half the time that debootstrap takes, with the security
/// updates at once.
pub const MAKER: &str = "mmdebstrap";

/// What makes the links `/bin → usr/bin` and so on, as Debian's installer does.
const MERGED: &str = "/usr/share/mmdebstrap/hooks/merged-usr/setup00.sh";

/// A release's system, to be booted. Says what it does where it takes a while.
///
/// # Errors
/// Where the packages cannot be had.
pub fn system_image(release: Release) -> Result<PathBuf> {
    made(release.codename(), release, &release.contents())
}

/// A release's system in which sshmeter can be built.
///
/// # Errors
/// Where the packages cannot be had.
pub fn build_image(release: Release) -> Result<PathBuf> {
    let place = format!("{release}-build");
    made(&place, release, BUILD_PACKAGES)
}

fn made(place: &str, release: Release, packages: &[&str]) -> Result<PathBuf> {
    let folder = target().join("debian").join(place);
    fs::create_dir_all(&folder).with_context(|| format!("no folder {}", folder.display()))?;
    let lock = File::create(folder.join("lock")).context("no file to lock")?;
    lock.lock().context("the lock cannot be had")?;
    let root = folder.join("root");
    let stamp = folder.join("packages");
    let wanted = packages.join("\n") + "\n";
    if root.exists() && fs::read_to_string(&stamp).is_ok_and(|there| there == wanted) {
        return Ok(root);
    }
    ensure!(find(MAKER).is_some(), "{MAKER} is not installed");
    eprintln!(
        "making {place} of Debian's packages in {}",
        folder.display()
    );
    let new = folder.join("root.new");
    remove(&new)?;
    let done = make(&new, release, packages)
        .and_then(|()| remove(&root))
        .and_then(|()| fs::rename(&new, &root).context("it cannot be put in its place"))
        .and_then(|()| fs::write(&stamp, wanted).context("no stamp can be written"));
    if done.is_err() {
        let _ = remove(&new);
    }
    done.map(|()| root)
}

fn make(new: &Path, release: Release, packages: &[&str]) -> Result<()> {
    let output = Command::new(MAKER)
        .args(["--variant=apt", "--mode=root", "--quiet"])
        // An image that a power cut has hurt was not put in its place yet.
        .arg("--dpkgopt=force-unsafe-io")
        .arg(format!("--setup-hook={MERGED} \"$1\""))
        .arg(format!("--include={}", packages.join(",")))
        .arg(release.codename())
        .arg(new)
        .arg("-")
        .stdin(input(&sources::lines(release.codename())?)?)
        .output()
        .with_context(|| format!("{MAKER} cannot be started"))?;
    let words = String::from_utf8_lossy(&output.stderr);
    let last = words.trim().lines().rev().take(3).collect::<Vec<_>>();
    ensure!(
        output.status.success(),
        "{MAKER} failed: {}",
        last.join("; ")
    );
    Ok(())
}

/// A text to be read by a program that is about to be started.
fn input(text: &str) -> Result<Stdio> {
    let mut file = tempfile::tempfile().context("no temporary file")?;
    file.write_all(text.as_bytes())?;
    file.rewind()?;
    Ok(file.into())
}

fn remove(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)
            .with_context(|| format!("{} cannot be removed", folder.display()))?;
    }
    Ok(())
}
