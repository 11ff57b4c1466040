//! Real Debian systems in tests. A [`crate::Machine`] boots on the root file system
//! of a release and never writes to it: what a system changes lies in an overlay
//! that ends with the test.

mod apt;

use std::path::PathBuf;

use xtask::debian::{MAKER, Release, system_image};

use crate::ground::{missing_for_debian, say_left_out, stands_on, stands_with};

pub use self::apt::Apt;

/// Whether the test called `name` can have a system of this release; says that it
/// is left out if not. Nobody can promise that a mirror is reached, whatever has
/// to run.
#[must_use]
pub fn stands_on_debian(name: &str, release: Release) -> bool {
    if !stands_on(name, missing_for_debian().as_deref()) || !stands_with(name, &[MAKER]) {
        return false;
    }
    match system_image(release) {
        Ok(_) => true,
        Err(error) => say_left_out(name, &format!("needs {release}'s packages: {error:#}")),
    }
}

/// sshmeter's package for a release; says that the test called `name` is left out
/// where none was made.
#[must_use]
pub fn package_for(release: Release, name: &str) -> Option<PathBuf> {
    let package = release.package();
    if let Err(reason) = &package {
        stands_on(name, Some(&format!("needs a package: {reason:#}")));
    }
    package.ok()
}
