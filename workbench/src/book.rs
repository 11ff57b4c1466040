//! `cargo xtask book`: the documents' examples and picture, written anew from what
//! the program says. `tests/docs` holds them to it.

use anyhow::Result;
use system_tests::book::{Studio, root};
use xtask::build::{cargo, succeed, target};

use crate::prepare;

/// Builds the program and lets it speak.
pub(crate) fn run() -> Result<()> {
    // At the paths that a server has, so they need root.
    prepare("book")?;
    // It says the same as the one that people use, and is built sooner.
    succeed(
        cargo().args(["build", "--package", "sshmeter"]),
        "sshmeter did not build",
    )?;
    let changed = Studio::open(&target().join("debug/sshmeter")).renew();
    for path in &changed {
        let name = path.strip_prefix(root()).unwrap_or(path);
        println!("written anew: {}", name.display());
    }
    if changed.is_empty() {
        println!("all as it is shown");
    }
    Ok(())
}
