//! `cargo xtask fuzz`: hostile input without end, for a while.
//!
//! Builds `fuzz/`'s targets with cargo-fuzz, without a sanitizer: that needs no
//! nightly Rust, and without unsafe code there is little for one to find. Runs
//! them beside each other and says what came of it. What they learn grows under
//! the target folder; only what they find is worth committing.

use std::{
    fs::{self, File},
    num::NonZero,
    path::{self, Path, PathBuf},
    process::{Command, Stdio},
    sync::Mutex,
    thread,
};

use anyhow::{Context as _, Result, ensure};
use xtask::{
    build::{root, succeed, target},
    tool::{self, Tool},
};

/// Pinned, as all tools are.
const CARGO_FUZZ: Tool = Tool {
    name: "cargo-fuzz",
    version: "0.13.1",
    options: &[],
};

/// An input that takes this long is a finding. None takes a second, but the
/// machine may be busy.
const SECONDS_FOR_ONE_INPUT: u32 = 60;
/// So is one that needs more memory than this.
const MEBIBYTES: u32 = 1024;

/// The word for every target.
pub(crate) const ALL: &str = "all";

/// Fuzzes one target, or all.
pub(crate) fn run(wanted: &str, seconds: u32) -> Result<()> {
    let mut targets = targets()?;
    if wanted != ALL {
        let known = targets.join(", ");
        targets.retain(|target| target == wanted);
        ensure!(
            !targets.is_empty(),
            "there is no fuzz target `{wanted}`\nhint: there are {known}"
        );
    }
    let places = Places::make()?;
    build(&targets, &places)?;
    let outcomes = fuzz(&targets, seconds, &places)?;
    println!("{}", table(&outcomes));
    let findings: Vec<String> = outcomes.iter().flat_map(Outcome::findings).collect();
    for finding in &findings {
        println!("\n{finding}");
    }
    ensure!(findings.is_empty(), "{} findings", findings.len());
    Ok(())
}

/// The targets' names, as their files tell them.
fn targets() -> Result<Vec<String>> {
    let folder = root().join("fuzz/fuzz_targets");
    let mut targets = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
        if let Some(name) = entry?.path().file_stem() {
            targets.push(name.to_string_lossy().into_owned());
        }
    }
    targets.sort();
    Ok(targets)
}

fn build(targets: &[String], places: &Places) -> Result<()> {
    let compiler = Command::new("c++").arg("--version").output();
    ensure!(
        compiler.is_ok_and(|output| output.status.success()),
        "there is no C++ compiler, and libFuzzer is made with one\nhint: apt-get install g++"
    );
    let tool = tool::installed(&CARGO_FUZZ)?;
    let mut command = Command::new(tool);
    command
        .current_dir(root())
        .args(["fuzz", "build", "--fuzz-dir", "fuzz", "--sanitizer", "none"])
        .arg("--target-dir")
        .arg(&places.all);
    // cargo-fuzz takes the name of one target, or none for all.
    if let [one] = targets {
        command.arg(one);
    }
    succeed(&mut command, "the fuzz targets did not build")
}

/// Where a run reads and writes.
struct Places {
    /// Everything of fuzzing's under the target folder.
    all: PathBuf,
    /// What targets write and nobody needs afterwards: in memory where that can be.
    scratch: PathBuf,
}

impl Places {
    fn make() -> Result<Self> {
        let all = path::absolute(target().join("fuzz")).context("no target folder")?;
        let memory = Path::new("/dev/shm");
        let scratch = if memory.is_dir() {
            memory.join(format!("sshmeter-fuzz-{}", std::process::id()))
        } else {
            all.join("scratch")
        };
        for folder in [&all, &scratch] {
            fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        }
        Ok(Self { all, scratch })
    }

    /// A folder for one target, of some kind.
    fn folder(&self, kind: &str, name: &str) -> Result<PathBuf> {
        let folder = self.all.join(kind).join(name);
        fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
        Ok(folder)
    }

    fn program(&self, name: &str) -> PathBuf {
        let host = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
        self.all.join(host).join("release").join(name)
    }
}

impl Drop for Places {
    fn drop(&mut self) {
        // The targets' programs leave without tidying up.
        let _ = fs::remove_dir_all(&self.scratch);
    }
}

/// Runs targets, as many at once as there are cores.
fn fuzz(targets: &[String], seconds: u32, places: &Places) -> Result<Vec<Outcome>> {
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    eprintln!(
        "fuzzing {} for {seconds} s each, {cores} at once",
        targets.join(", ")
    );
    let left = Mutex::new(targets.iter());
    let next = || left.lock().ok()?.next();
    let done = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                while let Some(name) = next() {
                    let outcome = fuzz_one(name, seconds, places);
                    if let Ok(mut done) = done.lock() {
                        done.push(outcome);
                    }
                }
            });
        }
    });
    let outcomes = done.into_inner().unwrap_or_default();
    let mut outcomes = outcomes.into_iter().collect::<Result<Vec<_>>>()?;
    outcomes.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(outcomes)
}

fn fuzz_one(name: &str, seconds: u32, places: &Places) -> Result<Outcome> {
    let (corpus, findings) = (
        places.folder("corpus", name)?,
        places.folder("findings", name)?,
    );
    let log = places.all.join(format!("{name}.log"));
    let before = files(&findings)?;
    let known = files(&corpus)?.len();
    let mut command = Command::new(places.program(name));
    command
        .current_dir(root())
        .arg(&corpus)
        .args(committed(name))
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-timeout={SECONDS_FOR_ONE_INPUT}"))
        .arg(format!("-rss_limit_mb={MEBIBYTES}"))
        .arg(format!("-artifact_prefix={}/", findings.display()))
        .arg("-print_final_stats=1")
        .env("TMPDIR", &places.scratch)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::create(&log).with_context(|| log.display().to_string())?);
    let status = command
        .status()
        .with_context(|| format!("the fuzz target {name} cannot be started"))?;
    let said = fs::read(&log).with_context(|| log.display().to_string())?;
    let mut found = files(&findings)?;
    found.retain(|file| !before.contains(file));
    Ok(Outcome {
        name: name.to_owned(),
        success: status.success(),
        learnt: files(&corpus)?.len().saturating_sub(known),
        figures: Figures::of(&String::from_utf8_lossy(&said)),
        found,
        log,
    })
}

/// What is committed for a target: its seeds, past findings and dictionary.
fn committed(name: &str) -> Vec<String> {
    let folder = root().join("fuzz");
    let inputs = ["seeds", "regressions"]
        .map(|kind| folder.join(kind).join(name))
        .into_iter()
        .filter(|folder| folder.is_dir())
        .map(|folder| folder.display().to_string());
    let words = folder.join("dictionaries").join(format!("{name}.dict"));
    let words = words
        .is_file()
        .then(|| format!("-dict={}", words.display()));
    inputs.chain(words).collect()
}

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    entries.map(|entry| Ok(entry?.path())).collect()
}

/// What libFuzzer's own words come to.
#[derive(Debug, Default, PartialEq, Eq)]
struct Figures {
    runs: u64,
    coverage: u64,
    features: u64,
}

impl Figures {
    fn of(words: &str) -> Self {
        let last = |name: &str| {
            let after = words.rsplit_once(name).map_or("", |(_, after)| after);
            let number = after.split_whitespace().next().unwrap_or_default();
            number.parse().unwrap_or(0)
        };
        Self {
            runs: last("stat::number_of_executed_units:"),
            coverage: last(" cov:"),
            features: last(" ft:"),
        }
    }
}

/// How one target fared.
struct Outcome {
    name: String,
    success: bool,
    learnt: usize,
    figures: Figures,
    found: Vec<PathBuf>,
    log: PathBuf,
}

impl Outcome {
    /// What was found, and how to see it again.
    fn findings(&self) -> Vec<String> {
        let (name, log) = (&self.name, self.log.display());
        if self.found.is_empty() && !self.success {
            return vec![format!("{name} failed without a finding; {log} says why")];
        }
        let findings = self.found.iter().map(|file| {
            let file = file.display();
            format!(
                "{name}: {file}\n  what it broke: {log}\n  again: cp {file} \
                 fuzz/regressions/{name}/WHAT_IT_IS && cargo test -p fuzz-properties"
            )
        });
        findings.collect()
    }
}

fn table(outcomes: &[Outcome]) -> String {
    let mut text = format!(
        "\n{:<14}{:>14}{:>10}{:>10}{:>14}{:>10}",
        "target", "runs", "coverage", "features", "new inputs", "findings"
    );
    for outcome in outcomes {
        let Figures {
            runs,
            coverage,
            features,
        } = outcome.figures;
        text.push_str(&format!(
            "\n{:<14}{runs:>14}{coverage:>10}{features:>10}{:>14}{:>10}",
            outcome.name,
            outcome.learnt,
            outcome.findings().len()
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_figures_are_the_ones() {
        let words = "\
            #2\tINITED cov: 10 ft: 11 corp: 1/1b exec/s: 0 rss: 30Mb\n\
            #9\tDONE   cov: 2516 ft: 6178 corp: 2212/310Kb lim: 1061 exec/s: 81335 rss: 31Mb\n\
            Done 1301360 runs in 16 second(s)\n\
            stat::number_of_executed_units: 1301360\n";
        let figures = Figures {
            runs: 1_301_360,
            coverage: 2516,
            features: 6178,
        };
        assert_eq!(Figures::of(words), figures);
        assert_eq!(Figures::of("nothing"), Figures::default());
    }
}
