//! Programs of Debian that are unpacked below `target` and installed nowhere.

use std::{fs, path::Path, process::Command};

use anyhow::{Context as _, Result, ensure};
use xtask::build::{succeed, target};

/// A program for tests.
pub(crate) struct Program {
    /// What people call it.
    pub(crate) name: &'static str,
    /// Its folder below `target`.
    pub(crate) folder: &'static str,
    /// Where it is in there.
    pub(crate) path: &'static str,
}

/// Fetches it where it is not yet there: `fetch` is given a folder to work in, and
/// unpacks what it needs below `root` in it. Says so, and also if that cannot be
/// done, for the tests that need it say that they are left out.
pub(crate) fn unpack(program: &Program, fetch: impl FnOnce(&Path) -> Result<()>) {
    let Program { name, folder, path } = program;
    let place = target().join(folder);
    if place.join(path).exists() {
        return;
    }
    eprintln!("unpacking {name} below {}", place.display());
    let work = place.with_extension("new");
    let _ = fs::remove_dir_all(&work);
    let done = fetch(&work).and_then(|()| {
        ensure!(
            work.join("root").join(path).exists(),
            "there is no {path} in it"
        );
        fs::rename(work.join("root"), &place).with_context(|| format!("{}", place.display()))
    });
    let _ = fs::remove_dir_all(&work);
    if let Err(error) = done {
        eprintln!("{name} cannot be had: {error:#}");
    }
}

/// Unpacks all packages of a folder below `root` in the folder to work in.
pub(crate) fn extract(packages: &Path, work: &Path) -> Result<()> {
    for entry in fs::read_dir(packages).context("no packages")? {
        let package = entry?.path();
        if package.extension().is_some_and(|end| end == "deb") {
            let mut dpkg = Command::new("dpkg-deb");
            dpkg.arg("--extract").arg(&package).arg(work.join("root"));
            let failed = format!("{} cannot be unpacked", package.display());
            succeed(&mut dpkg, &failed)?;
        }
    }
    Ok(())
}
