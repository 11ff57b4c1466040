//! The documents, held against the program: every command in them is run, or held
//! by who is named in `book::held` and `book::ELSEWHERE`; every config and every
//! SQL is taken; every example is what the program says.

mod stage;
mod tests_named;
mod typed;

use std::{fs, process::Command};

use system_tests::{
    binary,
    book::{self, Block, Elsewhere, Held, Page, Studio, held, own_commands, parsed_by},
    stands_with,
};

/// All blocks of all documents that are held so.
fn blocks(how: Held) -> Vec<Block> {
    let blocks = book::pages().into_iter().flat_map(|page| page.blocks);
    blocks
        .filter(|block| held(&block.language) == Some(how))
        .collect()
}

#[test]
fn every_block_is_of_a_kind_that_is_held() {
    for block in book::pages().into_iter().flat_map(|page| page.blocks) {
        let Block {
            language, place, ..
        } = &block;
        let how = held(language);
        let how = how.unwrap_or_else(|| panic!("{place}: who holds a block of {language:?}?"));
        let command = block.text.lines().find(|line| line.starts_with("$ "));
        assert!(
            how == Held::Example || command.is_none(),
            "{place}: {command:?} is shown and not held; `console` is for examples"
        );
    }
}

#[test]
fn what_is_left_to_others_is_there() {
    let typed: String = blocks(Held::Commands)
        .into_iter()
        .map(|block| block.text)
        .collect();
    for (begin, _) in book::ELSEWHERE {
        let line = typed.lines().find(|line| line.starts_with(begin));
        assert!(line.is_some(), "no document has {begin}");
    }
}

#[test]
fn a_block_or_a_word_that_nobody_knows_is_a_fault() {
    let page = Page::of("page.md", "# A `b` C\n\n    indented\n\n```perl\nx\n```\n");
    let languages: Vec<_> = page
        .blocks
        .iter()
        .map(|block| held(&block.language))
        .collect();
    assert_eq!(languages, [None, None]);
    assert_eq!(page.anchors, ["a-b-c"]);
    assert!(parsed_by("sshmeter report --by usr").is_some());
    assert!(parsed_by("sshmeter rapport").is_some());
    assert_eq!(parsed_by("sshmeter completions"), None);
}

#[test]
fn commands_in_the_prose_are_commands() {
    let spans = book::pages().into_iter().flat_map(|page| page.spans);
    let faults: Vec<String> = spans
        .filter(|span| span.text.starts_with("sshmeter "))
        .filter_map(|span| Some(format!("{}: {}", span.place, parsed_by(&span.text)?)))
        .collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn links_lead_somewhere() {
    let pages = book::pages();
    let mut faults = Vec::new();
    for page in &pages {
        let folder = page.name.rsplit_once('/').map_or("", |(folder, _)| folder);
        for link in &page.links {
            if link.target.starts_with("https://") {
                continue;
            }
            let (file, anchor) = link.target.split_once('#').unwrap_or((&link.target, ""));
            let path = match file {
                "" => page.name.clone(),
                _ => plain(&format!("{folder}/{file}")),
            };
            let known = pages.iter().find(|page| page.name == path);
            let there = match known {
                Some(page) => anchor.is_empty() || page.anchors.iter().any(|one| one == anchor),
                None => anchor.is_empty() && book::root().join(&path).exists(),
            };
            if !there {
                faults.push(format!("{}: {}", link.place, link.target));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// A path without `..` in it.
fn plain(path: &str) -> String {
    let mut folders = Vec::new();
    for folder in path.split('/').filter(|folder| !folder.is_empty()) {
        if folder == ".." {
            folders.pop();
        } else {
            folders.push(folder);
        }
    }
    folders.join("/")
}

#[test]
fn configs_are_taken() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("config.toml");
    for block in blocks(Held::Config) {
        fs::write(&file, &block.text).expect("a config");
        let asked = Command::new(binary())
            .args(["check-config", "--config"])
            .arg(&file)
            .output()
            .expect("sshmeter can be started");
        let words = String::from_utf8_lossy(&asked.stderr);
        assert!(asked.status.success(), "{}: {words}", block.place);
    }
}

#[test]
fn packages_named_are_those_that_are_installed_here() {
    let known = ["xtask/src/packages.rs", ".ci/run"]
        .map(|file| fs::read_to_string(book::root().join(file)).expect("a file of the project"))
        .concat();
    let is_known = |word: &str| {
        let mut words =
            known.split(|letter: char| letter.is_whitespace() || "\"()".contains(letter));
        words.any(|one| one == word)
    };
    for block in blocks(Held::Commands) {
        for command in own_commands(&block.text, Elsewhere::Network) {
            let packages = command.split_whitespace().skip(2);
            for package in packages.filter(|word| !word.starts_with('-')) {
                assert!(is_known(package), "{}: {package}", block.place);
            }
        }
    }
}

#[test]
fn methods_in_excerpts_are_there() {
    let sources = tests_named::sources("system-tests/src");
    for block in blocks(Held::Excerpt) {
        let methods = block.text.split('.').skip(1);
        let methods = methods.filter_map(|rest| rest.split_once('(').map(|(name, _)| name));
        for name in methods.filter(|name| name.chars().all(|one| one == '_' || one.is_lowercase()))
        {
            let defined = format!("fn {name}(");
            assert!(sources.contains(&defined), "{}: .{name}()", block.place);
        }
    }
}

#[test]
fn examples_and_the_picture_are_what_the_program_says() {
    let name = "docs::examples_and_the_picture_are_what_the_program_says";
    if !stands_with(name, &["faketime", "jq", "sqlite3"]) {
        return;
    }
    let studio = Studio::open(&binary());
    let mut stale = Vec::new();
    for block in blocks(Held::Example) {
        let now = studio.example(&block);
        if now != block.text {
            stale.push(format!("{}:\n{}\nis now\n{now}", block.place, block.text));
        }
    }
    let picture = fs::read_to_string(book::root().join(book::PICTURE));
    if picture.ok() != Some(studio.picture()) {
        stale.push(book::PICTURE.to_owned());
    }
    assert!(
        stale.is_empty(),
        "{}\nhint: `cargo xtask book` writes them anew",
        stale.join("\n")
    );
}
