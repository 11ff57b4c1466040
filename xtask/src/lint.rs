//! `cargo xtask lint`: what can be said about the code without running it.

use std::{
    path::PathBuf,
    process::{Command, Stdio},
};

use anyhow::Result;

use crate::build::{cargo, succeed, target};

/// Pinned, so that a new release of the tool cannot fail an old commit.
const DENY_VERSION: &str = "0.20.2";

/// Formatting, lints, dependencies.
pub(crate) fn run() -> Result<()> {
    have_component("fmt", "rustfmt")?;
    have_component("clippy", "clippy")?;
    eprintln!("formatting");
    succeed(
        cargo().args(["fmt", "--all", "--check"]),
        "the code is not formatted; `cargo fmt` does it",
    )?;
    eprintln!("lints");
    succeed(
        cargo()
            .args(["clippy", "--workspace", "--all-targets", "--locked", "--"])
            .args(["-D", "warnings"]),
        "clippy has something to say",
    )?;
    eprintln!("licences, bans and sources of dependencies");
    let mut deny = Command::new(deny()?);
    deny.current_dir(crate::build::root()).args([
        "--workspace",
        "check",
        "licenses",
        "bans",
        "sources",
    ]);
    succeed(&mut deny, "cargo-deny refused a dependency")?;
    eprintln!(
        "left out: known vulnerabilities, since their database is not reachable everywhere; \
         `cargo deny check advisories` looks them up"
    );
    Ok(())
}

/// rustup's minimal profile comes without these.
fn have_component(command: &str, component: &str) -> Result<()> {
    let there = cargo()
        .args([command, "--version"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if there {
        return Ok(());
    }
    succeed(
        Command::new("rustup").args(["component", "add", component]),
        &format!("{component} is not there and cannot be added"),
    )
}

/// The cargo-deny of the path where it is the pinned one, else one of our own.
fn deny() -> Result<PathBuf> {
    let ours = target().join("tools/bin/cargo-deny");
    for candidate in [PathBuf::from("cargo-deny"), ours.clone()] {
        let said = Command::new(&candidate).arg("--version").output();
        if said.is_ok_and(|output| {
            String::from_utf8_lossy(&output.stdout).trim() == format!("cargo-deny {DENY_VERSION}")
        }) {
            return Ok(candidate);
        }
    }
    eprintln!(
        "installing cargo-deny {DENY_VERSION} under {}",
        ours.display()
    );
    succeed(
        cargo()
            .args(["install", "--locked", "--quiet", "cargo-deny"])
            .args(["--version", DENY_VERSION, "--root"])
            .arg(target().join("tools"))
            .arg("--target-dir")
            .arg(target().join("tools/build")),
        "cargo-deny did not build",
    )?;
    Ok(ours)
}
