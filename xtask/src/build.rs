//! Calls cargo, always the one that called us.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail, ensure};

use crate::tool::RUNNER_VARIABLE;

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

/// The command that counts the instructions of the benches by this runner; what follows
/// are further words for cargo, or behind `--` for the benches.
pub fn instructions(runner: &Path) -> Command {
    let mut benches = cargo();
    benches
        .args(["bench", "--quiet", "--package", "benches", "--bench", "instructions"])
        // Whoever has the name of another there would build them anew.
        .env(RUNNER_VARIABLE, runner);
    benches
}

/// Runs a command that has to succeed.
pub fn succeed(command: &mut Command, otherwise: &str) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("{} cannot be started", command.get_program().display()))?;
    ensure!(status.success(), "{otherwise}");
    Ok(())
}

/// What a command that has to succeed says, without the line's end.
pub fn said(command: &mut Command) -> Result<String> {
    let program = command.get_program().to_owned();
    let output = command
        .output()
        .with_context(|| format!("{} cannot be started", program.display()))?;
    ensure!(
        output.status.success(),
        "{} failed: {}",
        program.display(),
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Removes what a build made before, so that nobody takes it for what is made now.
pub fn remove(file: &Path) -> Result<()> {
    match std::fs::remove_file(file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("{} cannot be removed", file.display()))
        }
        _ => Ok(()),
    }
}

/// The commit's date, in seconds since 1970; where there is no commit, what
/// packagers say.
pub fn date() -> Result<u64> {
    if let Ok(said) = env::var("SOURCE_DATE_EPOCH") {
        return said
            .parse()
            .context("SOURCE_DATE_EPOCH is not a number of seconds");
    }
    let mut git = Command::new("git");
    git.current_dir(root()).args(["log", "-1", "--format=%ct"]);
    let Some(date) = said(&mut git).ok().and_then(|date| date.parse().ok()) else {
        bail!(
            "the commit's date, which what is made of it gets, is not known\n\
             hint: build in a clone with git installed, or set SOURCE_DATE_EPOCH"
        );
    };
    Ok(date)
}
