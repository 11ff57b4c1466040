//! What criterion measures, read from the files that it leaves.

use std::{
    collections::BTreeSet,
    fs,
    path::{self, Path, PathBuf},
};

use anyhow::{Context as _, Result};
use serde::{Deserialize, de::DeserializeOwned};
use xtask::build;

/// The times of all benches.
pub(super) struct Times {
    /// Where criterion's files are.
    folder: PathBuf,
}

/// One bench's.
#[derive(Clone, Copy, Debug)]
pub(super) struct Time {
    /// Of how many things a run takes care.
    pub(super) units: u64,
    /// What a run takes: the middle of all that were measured.
    pub(super) nanoseconds: f64,
}

#[derive(Deserialize)]
struct Bench {
    throughput: Throughput,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Throughput {
    elements: u64,
}

#[derive(Deserialize)]
struct Estimates {
    median: Estimate,
}

#[derive(Deserialize)]
struct Estimate {
    point_estimate: f64,
}

impl Times {
    /// Measures.
    pub(super) fn measure() -> Result<Self> {
        let folder = build::target().join("criterion-of-bench");
        // Benches that are no more have left theirs.
        if folder.exists() {
            fs::remove_dir_all(&folder).with_context(|| folder.display().to_string())?;
        }
        let mut benches = build::cargo();
        benches
            .args([
                "bench",
                "--quiet",
                "--package",
                "benches",
                "--features",
                "times",
            ])
            .args(["--bench", "times", "--", "--quiet", "--noplot"])
            .env("CRITERION_HOME", path::absolute(&folder)?);
        build::succeed(&mut benches, "the benches did not run")?;
        Ok(Self { folder })
    }

    /// The names of all that were measured.
    pub(super) fn benches(&self) -> Result<BTreeSet<String>> {
        let mut benches = BTreeSet::new();
        for group in folders(&self.folder)? {
            for kind in folders(&self.folder.join(&group))? {
                let bench = format!("{group}/{kind}");
                if self.path(&bench, "benchmark.json").exists() {
                    benches.insert(bench);
                }
            }
        }
        Ok(benches)
    }

    /// Of one bench.
    pub(super) fn of(&self, bench: &str) -> Result<Time> {
        let measured: Bench = self.read(bench, "benchmark.json")?;
        let estimates: Estimates = self.read(bench, "estimates.json")?;
        Ok(Time {
            units: measured.throughput.elements,
            nanoseconds: estimates.median.point_estimate,
        })
    }

    fn read<T: DeserializeOwned>(&self, bench: &str, file: &str) -> Result<T> {
        let path = self.path(bench, file);
        let text = fs::read(&path).with_context(|| path.display().to_string())?;
        serde_json::from_slice(&text).with_context(|| path.display().to_string())
    }

    fn path(&self, bench: &str, file: &str) -> PathBuf {
        self.folder.join(bench).join("new").join(file)
    }
}

/// The names of the folders in this one.
fn folders(folder: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    Ok(names)
}
