//! Calls cargo, always the one that called us.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};

/// The workspace's folder.
pub fn root() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().unwrap_or(manifest).to_owned()
}

/// The folder that cargo builds into.
pub fn target() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// A cargo command in the workspace.
pub fn cargo() -> Command {
    let program = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    command.current_dir(root());
    command
}

/// Builds the sshmeter that people use, and gives its path.
pub fn sshmeter() -> Result<PathBuf> {
    succeed(
        cargo().args(["build", "--release", "--package", "sshmeter"]),
        "sshmeter did not build",
    )?;
    Ok(target().join("release/sshmeter"))
}

/// Runs a command that has to succeed.
pub fn succeed(command: &mut Command, otherwise: &str) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("{} cannot be started", command.get_program().display()))?;
    ensure!(status.success(), "{otherwise}");
    Ok(())
}
