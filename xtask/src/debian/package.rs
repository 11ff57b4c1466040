//! Where the packages of sshmeter lie: this machine's release's in `target/deb`, those
//! of others in a folder each below it. There is one in each.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

use super::Release;
use crate::build::{remove, target};

/// The folder of a release's package, or of this machine's release's.
#[must_use]
pub fn packages(release: Option<Release>) -> PathBuf {
    let folder = target().join("deb");
    match release.filter(|release| !release.is_of_this_machine()) {
        Some(release) => folder.join(release.codename()),
        None => folder,
    }
}

/// Makes the folder, without a package in it.
///
/// # Errors
/// Where a file stands in the way.
pub fn clear(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    in_folder(folder).try_for_each(|package| remove(&package))
}

pub(super) fn package(release: Release) -> Result<PathBuf> {
    let folder = packages(Some(release.packaged_as()));
    in_folder(&folder).next().with_context(|| {
        format!(
            "no package for {release} in {}: `cargo xtask deb {}` makes it",
            folder.display(),
            release.packaged_as()
        )
    })
}

fn in_folder(folder: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|end| end == "deb"))
}
