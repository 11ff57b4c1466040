//! The programs that take part in benches, as people use them: optimized.

use std::path::PathBuf;

use anyhow::Result;
use xtask::build;

/// Where they are.
#[derive(Clone, Debug)]
pub(super) struct Programs {
    /// sshmeter.
    pub(super) sshmeter: PathBuf,
    /// Those of the system tests that a bench needs, as it names them.
    pub(super) helpers: Vec<PathBuf>,
}

impl Programs {
    /// Builds sshmeter, and these programs of the system tests.
    pub(super) fn build(helpers: &[&str]) -> Result<Self> {
        let sshmeter = build::sshmeter()?;
        let mut command = build::cargo();
        command.args(["build", "--release", "--package", "system-tests"]);
        for name in helpers {
            command.args(["--bin", name]);
        }
        build::succeed(&mut command, "the programs of the bench did not build")?;
        let built = |name: &&str| build::target().join("release").join(name);
        Ok(Self {
            sshmeter,
            helpers: helpers.iter().map(built).collect(),
        })
    }
}
