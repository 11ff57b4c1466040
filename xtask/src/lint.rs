//! `cargo xtask lint`: what can be said about the code without running it.

use std::process::{Command, Stdio};

use anyhow::Result;
use xtask::{
    build::{cargo, root, succeed, target},
    tool::{self, Tool},
};

use crate::test;

const CARGO_DENY: Tool = Tool {
    name: "cargo-deny",
    version: "0.20.2",
    options: &[],
};

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
    // Left out of all targets, since they need what few need.
    succeed(
        cargo()
            .args([
                "clippy",
                "--package",
                "benches",
                "--all-features",
                "--locked",
            ])
            .args(["--all-targets", "--", "-D", "warnings"]),
        "clippy has something to say",
    )?;
    // So are these, since they come last among the tests.
    succeed(
        cargo()
            .args(["clippy", "--package", "system-tests", "--locked"])
            .args(test::LAST.map(|test| ["--test", test]).concat())
            .args(["--", "-D", "warnings"]),
        "clippy has something to say",
    )?;
    lint_fuzz_targets()?;
    eprintln!("licences, bans and sources of dependencies");
    let mut deny = Command::new(tool::installed(&CARGO_DENY)?);
    deny.current_dir(root())
        .args(["--workspace", "check", "licenses", "bans", "sources"]);
    succeed(&mut deny, "cargo-deny refused a dependency")?;
    eprintln!(
        "left out: known vulnerabilities, since their database is not reachable everywhere; \
         `cargo deny check advisories` looks them up"
    );
    Ok(())
}

/// The fuzz targets are a workspace of their own.
fn lint_fuzz_targets() -> Result<()> {
    eprintln!("formatting and lints of the fuzz targets");
    let manifest = ["--manifest-path", "fuzz/Cargo.toml"];
    succeed(
        cargo().arg("fmt").args(manifest).arg("--check"),
        "the fuzz targets are not formatted; `cargo fmt --manifest-path fuzz/Cargo.toml` does it",
    )?;
    succeed(
        cargo()
            .arg("clippy")
            .args(manifest)
            .args(["--all-targets", "--locked", "--target-dir"])
            .arg(target())
            .args(["--", "-D", "warnings"])
            // Nothing is linked, so libFuzzer need not be compiled.
            .env("CUSTOM_LIBFUZZER_PATH", "/nowhere/libfuzzer.a"),
        "clippy has something to say of the fuzz targets",
    )
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
