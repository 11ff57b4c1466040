//! Tools of others, each in one version: a new release cannot fail an old commit.
//!
//! They are built without optimizations, in a third of the time: what they do takes
//! seconds.

use std::{
    env,
    path::{self, PathBuf},
    process::Command,
};

use anyhow::Result;

use crate::build::{cargo, succeed, target};

/// A tool that cargo can install.
pub struct Tool {
    /// The package's and the program's name.
    pub name: &'static str,
    /// The version that is asked for.
    pub version: &'static str,
    /// Further words for `cargo install`.
    pub options: &'static [&'static str],
}

/// What counts the instructions of the benches: of the version that `crates/benches` has.
pub const GUNGRAUN_RUNNER: Tool = Tool {
    name: "gungraun-runner",
    version: "0.20.0",
    options: &[],
};

/// The variable that names the runner: gungraun's own word, so that who has one can say so.
pub const RUNNER_VARIABLE: &str = "GUNGRAUN_RUNNER";

/// The runner that somebody has named.
pub fn named_runner() -> Option<PathBuf> {
    env::var_os(RUNNER_VARIABLE).map(PathBuf::from)
}

/// The tool of the path where it is the right one, else one of our own, which is made
/// where it is not there.
///
/// # Errors
/// Where it does not build.
pub fn installed(tool: &Tool) -> Result<PathBuf> {
    if let Some(present) = present(tool) {
        return Ok(present);
    }
    let Tool {
        name,
        version,
        options,
    } = tool;
    let ours = tool.own_path();
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

/// The same, if it is there.
pub fn present(tool: &Tool) -> Option<PathBuf> {
    let Tool { name, version, .. } = tool;
    let said = format!("{name} {version}");
    [PathBuf::from(name), tool.own_path()]
        .into_iter()
        .find(|candidate| {
            let output = Command::new(candidate).arg("--version").output();
            output.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).trim() == said)
        })
}

impl Tool {
    fn own_path(&self) -> PathBuf {
        let path = target().join("tools/bin").join(self.name);
        path::absolute(&path).unwrap_or(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_runner_is_of_the_benches_version() {
        let Tool { name, version, .. } = GUNGRAUN_RUNNER;
        let lock = std::fs::read_to_string(crate::build::root().join("Cargo.lock")).unwrap();
        let entry = format!("name = \"{name}\"\nversion = \"{version}\"\n");
        assert!(
            lock.contains(&entry),
            "{name} {version} is not in Cargo.lock"
        );
    }
}
