//! Every seed and every past finding, given to its target: neither may rot.

use std::{
    fs,
    path::{Path, PathBuf},
};

use fuzz_properties::TARGETS;
use rustix::time::{ClockId, clock_gettime};

/// What one input may take of a processor, whatever else the machine does: far
/// more than any does, and far less than one that goes on and on.
const SECONDS_FOR_ONE_INPUT: i64 = 20;

fn fuzz_folder() -> &'static Path {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().expect("the folder above")
}

/// The files of a folder by name; none where there is no folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.expect("an entry").path())
        .collect();
    files.sort();
    files
}

/// The names of a folder's files, without their extension.
fn names(folder: &str) -> Vec<String> {
    let name = |path: PathBuf| {
        path.file_stem()
            .expect("a name")
            .to_string_lossy()
            .into_owned()
    };
    files(&fuzz_folder().join(folder))
        .into_iter()
        .map(name)
        .collect()
}

#[test]
fn no_seed_and_no_past_finding_breaks_a_promise() {
    for (name, target) in TARGETS {
        let seeds = files(&fuzz_folder().join("seeds").join(name));
        assert!(!seeds.is_empty(), "{name} has no seeds");
        for input in seeds
            .into_iter()
            .chain(files(&fuzz_folder().join("regressions").join(name)))
        {
            // What the test prints is shown when it fails: the last is the one.
            println!("{}", input.display());
            let before = clock_gettime(ClockId::ThreadCPUTime).tv_sec;
            target(&fs::read(&input).expect("an input"));
            let took = clock_gettime(ClockId::ThreadCPUTime).tv_sec - before;
            assert!(took < SECONDS_FOR_ONE_INPUT, "it took {took} s");
        }
    }
}

#[test]
fn every_target_is_told_to_cargo_fuzz() {
    let targets: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
    assert_eq!(names("fuzz_targets"), targets);
    assert_eq!(names("seeds"), targets);
    for folder in ["regressions", "dictionaries"] {
        for name in names(folder) {
            assert!(
                targets.contains(&name.as_str()),
                "{folder}/{name} is no target's"
            );
        }
    }
}

/// A later format of the ledger needs a new sample:
/// `cargo run -p fuzz-properties --example sample_ledger FILE`.
#[test]
fn the_sample_ledger_is_one_of_this_version() {
    fuzz_properties::ledger_rows(b"");
}
