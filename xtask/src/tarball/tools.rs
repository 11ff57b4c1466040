//! What a static build needs beside Rust: a C compiler for musl, and Rust's own
//! standard library for it. Both are brought where that can be done.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Result, bail};
use xtask::{
    build::root,
    packages::{self, find},
};

/// Files and their packages: OpenSSL is configured by perl and built by make.
const NEEDED: &[(&str, &str)] = &[
    ("musl-gcc", "musl-tools"),
    ("make", "make"),
    ("/usr/share/perl/*/FindBin.pm", "perl"),
];

/// Brings what is missing for this target, or says what is.
pub(super) fn have(target: &str) -> Result<()> {
    packages::install_for("the static build", NEEDED)?;
    if find("musl-gcc").is_none() {
        bail!(
            "the static build needs musl-gcc, a C compiler for musl\n\
             hint: apt-get install musl-tools make perl"
        );
    }
    have_standard_library(target)
}

fn have_standard_library(target: &str) -> Result<()> {
    if standard_library_is_here(target) {
        return Ok(());
    }
    eprintln!("adding Rust's standard library for {target}");
    let added = Command::new("rustup")
        .current_dir(root())
        .args(["target", "add", target])
        .stdin(Stdio::null())
        .status();
    match added {
        Ok(status) if status.success() && standard_library_is_here(target) => Ok(()),
        Ok(_) => bail!(
            "rustup could not add Rust's standard library for {target}, which it takes from \
             the network\nhint: rustup target add {target}"
        ),
        Err(_) => bail!(
            "Rust's standard library for {target} is not here, and there is no rustup to add it\n\
             hint: install Rust by rustup, or the library by your distribution's package"
        ),
    }
}

fn standard_library_is_here(target: &str) -> bool {
    let said = Command::new("rustc")
        .current_dir(root())
        .args(["--print", "target-libdir", "--target", target])
        .output();
    said.is_ok_and(|output| Path::new(String::from_utf8_lossy(&output.stdout).trim()).is_dir())
}
