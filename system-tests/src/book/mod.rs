//! The project's own documents, as its tests read them.
//!
//! A page is taken apart into what can be held against the program: blocks of
//! commands, configs and SQL, commands in its prose, links. What is held how is
//! in `rule`, in one place; nothing here runs anything but [`Studio`], which makes
//! the examples and the picture that the pages show.

mod markdown;
mod rule;
mod sample;
mod studio;
mod svg;

use std::{
    fs,
    path::{Path, PathBuf},
};

pub use markdown::{Block, Link, Page, Span};
pub use rule::{ELSEWHERE, Elsewhere, Held, held, own_commands, parsed_by, runnable};
pub use studio::Studio;

/// The picture that README shows.
pub const PICTURE: &str = "docs/report.svg";

/// The index of the book, by which its pages are put in order.
pub const INDEX: &str = "docs/README.md";

/// The folder of the project.
#[must_use]
pub fn root() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or(own).to_owned()
}

/// Every document, in the order in which somebody reads them: README, the book by
/// its index, and what else lies in the project's folder.
///
/// # Panics
/// When one cannot be read, or the index lacks a page.
#[must_use]
pub fn pages() -> Vec<Page> {
    let mut names = vec!["README.md".to_owned(), INDEX.to_owned()];
    for link in page(INDEX).links {
        if let Some(name) = link.target.strip_suffix(".md")
            && !name.contains('/')
        {
            names.push(format!("docs/{name}.md"));
        }
    }
    let mut present = documents_in("docs");
    present.retain(|name| !names.contains(name));
    assert!(present.is_empty(), "{INDEX} does not lead to {present:?}");
    let others = documents_in("");
    names.extend(others.into_iter().filter(|name| name != "README.md"));
    names.iter().map(|name| page(name)).collect()
}

/// Every command that is typed in a checkout, in a block or in the prose, with its
/// place.
///
/// # Panics
/// When a document cannot be read.
#[must_use]
pub fn checkout_commands() -> Vec<(String, String)> {
    let mut found = Vec::new();
    for page in pages() {
        for block in page.blocks {
            let typed = own_commands(&block.text, Elsewhere::Checkout);
            found.extend(
                typed
                    .into_iter()
                    .map(|command| (block.place.clone(), command)),
            );
        }
        let said = page.spans.into_iter().map(|span| (span.place, span.text));
        found.extend(said.filter(|(_, text)| text.contains("cargo ")));
    }
    found
}

/// The words behind every `cargo xtask` in the documents, with the place. A figure
/// or a name that the reader puts in is written there in capitals.
///
/// # Panics
/// When a document cannot be read.
#[must_use]
pub fn xtask_commands() -> Vec<(String, Vec<String>)> {
    let commands = checkout_commands().into_iter();
    let ours = commands.filter_map(|(place, command)| {
        let (_, words) = command.split_once("cargo xtask ")?;
        let words = words.split_whitespace().map(|word| match word {
            "TARGET" => "all",
            "RELEASE" => "bookworm",
            _ if word.chars().all(|letter| letter.is_ascii_uppercase()) => "1",
            _ => word,
        });
        Some((place, words.map(str::to_owned).collect()))
    });
    ours.collect()
}

/// One document.
///
/// # Panics
/// When it cannot be read.
#[must_use]
pub fn page(name: &str) -> Page {
    let text = fs::read_to_string(root().join(name));
    Page::of(
        name,
        &text.unwrap_or_else(|error| panic!("{name}: {error}")),
    )
}

fn documents_in(folder: &str) -> Vec<String> {
    let entries = fs::read_dir(root().join(folder)).expect("a folder of the project");
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.ends_with(".md"))
        .map(|name| match folder {
            "" => name,
            _ => format!("{folder}/{name}"),
        })
        .collect();
    names.sort();
    names
}
