//! Tools of others, each in one version: a new release cannot fail an old commit.
//!
//! They are built without optimizations, in a third of the time: what they do takes
//! seconds.

use std::{path::PathBuf, process::Command};

use anyhow::Result;

use xtask::build::{cargo, succeed, target};

/// A tool that cargo can install.
pub(crate) struct Tool {
    /// The package's and the program's name.
    pub(crate) name: &'static str,
    /// The version that is asked for.
    pub(crate) version: &'static str,
    /// Further words for `cargo install`.
    pub(crate) options: &'static [&'static str],
}

/// The tool of the path where it is the right one, else one of our own.
pub(crate) fn installed(tool: &Tool) -> Result<PathBuf> {
    let Tool {
        name,
        version,
        options,
    } = tool;
    let ours = target().join("tools/bin").join(name);
    for candidate in [PathBuf::from(name), ours.clone()] {
        let said = Command::new(&candidate).arg("--version").output();
        if said.is_ok_and(|output| {
            String::from_utf8_lossy(&output.stdout).trim() == format!("{name} {version}")
        }) {
            return Ok(candidate);
        }
    }
    eprintln!("installing {name} {version} under {}", ours.display());
    succeed(
        cargo()
            .args(["install", "--locked", "--quiet", name])
            .args(["--debug", "--config=profile.dev.debug=0"])
            .args(*options)
            .args(["--version", version, "--root"])
            .arg(target().join("tools"))
            .arg("--target-dir")
            .arg(target().join("tools/build")),
        &format!("{name} did not build"),
    )?;
    Ok(ours)
}
