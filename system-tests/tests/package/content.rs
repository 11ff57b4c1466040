//! What is in the package, before anybody installs it.

use std::{fs, path::Path, process::Command};

use system_tests::{package, stands_with};

/// Every file and its rights, but for the pages of the documentation.
const CONTENT: &str = include_str!("content.txt");
const PAGES: &str = "usr/share/doc/sshmeter/docs/";

#[test]
fn it_holds_what_it_should_where_debian_wants_it() {
    let Some(package) = package("package::it_holds_what_it_should_where_debian_wants_it") else {
        return;
    };
    let listing = dpkg_deb("--contents", &package, "");
    let (mut files, mut pages) = (Vec::new(), Vec::new());
    for line in listing.lines().filter(|line| line.starts_with('-')) {
        let (rights, _) = line.split_once(' ').expect("rights come first");
        let (_, path) = line.split_once(" ./").expect("a path comes last");
        match path.strip_prefix(PAGES) {
            Some(page) => pages.push(page.to_owned()),
            None => files.push(format!("{rights} {path}")),
        }
    }
    files.sort();
    pages.sort();
    let files = files.join("\n") + "\n";
    assert_eq!(files, CONTENT, "it holds\n{files}");
    let documents = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    let mut written: Vec<String> = fs::read_dir(documents)
        .expect("the documents")
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    written.sort();
    assert_eq!(pages, written);
}

#[test]
fn it_needs_the_libraries_it_was_built_with_and_keeps_the_config() {
    let name = "package::it_needs_the_libraries_it_was_built_with_and_keeps_the_config";
    let Some(package) = package(name) else {
        return;
    };
    let depends = dpkg_deb("--field", &package, "Depends");
    for library in ["libc6 (>= ", "libssl", "systemd | "] {
        assert!(depends.contains(library), "{depends}");
    }
    let kept = dpkg_deb("--info", &package, "conffiles");
    assert_eq!(kept, "/etc/sshmeter/config.toml\n");
}

#[test]
fn lintian_has_nothing_to_say() {
    let name = "package::lintian_has_nothing_to_say";
    let Some(package) = package(name).filter(|_| stands_with(name, &["lintian"])) else {
        return;
    };
    let said = Command::new("lintian")
        .args([
            "--pedantic",
            "--display-info",
            "--allow-root",
            "--tag-display-limit=0",
        ])
        .arg(&package)
        .output()
        .expect("lintian can be started");
    let words = String::from_utf8_lossy(&said.stdout);
    assert!(said.status.success() && words.is_empty(), "{words}");
}

/// What the package says of itself.
fn dpkg_deb(question: &str, package: &Path, of_what: &str) -> String {
    let mut command = Command::new("dpkg-deb");
    command.arg(question).arg(package);
    command.args(Some(of_what).filter(|what| !what.is_empty()));
    let output = command.output().expect("dpkg-deb can be started");
    assert!(output.status.success(), "dpkg-deb {question}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}
