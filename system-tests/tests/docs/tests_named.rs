//! Commands that run tests name tests that are there: a figure in the documents
//! has to be repeatable by the command beside it.

use std::{fs, path::Path};

use system_tests::book::{self, root};

/// All Rust below a folder of the project.
pub(crate) fn sources(folder: &str) -> String {
    let mut text = String::new();
    gather(&root().join(folder), &mut |_, content| {
        text.push_str(content);
    });
    text
}

fn gather(path: &Path, to: &mut dyn FnMut(&Path, &str)) {
    if path.is_dir() {
        let entries = fs::read_dir(path).expect("a folder of the project");
        for entry in entries.flatten() {
            gather(&entry.path(), to);
        }
    } else if path.extension().is_some_and(|end| end == "rs") {
        to(path, &fs::read_to_string(path).expect("a source"));
    }
}

/// What `cargo test` calls the functions of a file or a folder, in any of which
/// a filter may be found: `module::function`.
fn names(path: &Path) -> Vec<String> {
    let mut names = Vec::new();
    gather(path, &mut |file, content| {
        let inside = file.strip_prefix(path).unwrap_or(file).with_extension("");
        let module = inside.to_string_lossy().replace('/', "::");
        for rest in content.split("fn ").skip(1) {
            let name = rest.split(['(', '<']).next().unwrap_or_default();
            names.push(format!("{module}::{name}"));
        }
    });
    names
}

/// Where a test program's sources are.
fn place(target: &str) -> Option<std::path::PathBuf> {
    let tests = root().join("system-tests/tests");
    [tests.join(format!("{target}.rs")), tests.join(target)]
        .into_iter()
        .find(|path| path.exists())
}

/// Why a command runs no test, or nothing where it runs one or is none of these.
fn fault(command: &str) -> Option<String> {
    let words: Vec<&str> = command.split_whitespace().collect();
    let begin = words.iter().position(|word| *word == "test")?;
    let rest = &words[begin + 1..];
    let rest = rest.split(|word| *word == "--").next().unwrap_or_default();
    let (sources, filters) = match rest {
        ["--test", target, filters @ ..] => match place(target) {
            Some(place) => (place, filters),
            None => return Some(format!("there is no test program {target}")),
        },
        ["-p", "sshmeter", "--lib", filters @ ..] => (root().join("crates/app/src"), filters),
        ["-p", "sshmeter-core", filters @ ..] => (root().join("crates/core"), filters),
        ["-p", "fuzz-properties", filters @ ..] => (root().join("fuzz/properties"), filters),
        [] => return None,
        other => return Some(format!("{other:?} is not understood")),
    };
    let names = names(&sources);
    let found = |filter: &&str| names.iter().any(|name| name.contains(*filter));
    let lost = filters.iter().find(|filter| !found(filter))?;
    Some(format!("no test there is called {lost}"))
}

#[test]
fn tests_that_are_named_are_there() {
    let commands = book::checkout_commands().into_iter();
    let faults = commands.filter_map(|(place, command)| {
        let fault = fault(&command)?;
        Some(format!("{place}: {command}: {fault}"))
    });
    let faults: Vec<String> = faults.collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn a_test_that_is_not_there_is_missed() {
    assert_eq!(
        fault("cargo xtask test --test service what_ends -- --nocapture"),
        None
    );
    assert!(fault("cargo xtask test --test service what_begins").is_some());
    assert!(fault("cargo xtask test --test served").is_some());
}
