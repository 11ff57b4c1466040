//! Whose work is in what is given away, in Debian's machine-readable form: a template
//! with the licences' texts, and a paragraph for every crate that is linked.
//!
//! Who a crate's authors are is what its licence files say of them, word for word.
//! Nothing is guessed: a licence that the template does not have fails the build.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use serde::Deserialize;
use xtask::build::{cargo, said};

const TEMPLATE: &str = include_str!("../../dist/debian/copyright.in");
const PLACE: &str = "@CRATES@\n";

/// What is linked into the static program beside crates' own code.
pub(crate) const OF_THE_STATIC: &str = "\
Files: musl/*
Copyright: 2005-2020 Rich Felker, et al.
License: MIT

Files: vendor/openssl-src-*/openssl/*
Copyright: 1998-2026 The OpenSSL Project Authors
 1995-1998 Eric A. Young, Tim J. Hudson
License: Apache-2.0
Comment: The licence's text is in LICENSE-APACHE.

";

/// The licences that the template has, as they are chosen where there is a choice.
const LICENCES: [&str; 5] = ["MIT", "Apache-2.0", "BSD-3-Clause", "Zlib", "Unicode-3.0"];

/// How the files begin that may name a crate's authors.
const NOTICES: [&str; 4] = ["LICENSE", "LICENCE", "COPYRIGHT", "NOTICE"];

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Crate>,
}

/// A crate, as cargo knows it.
#[derive(Deserialize, PartialEq, Eq, PartialOrd, Ord)]
struct Crate {
    name: String,
    version: String,
    license: Option<String>,
    authors: Vec<String>,
    manifest_path: PathBuf,
    source: Option<String>,
}

/// The file, for the program that cargo builds with these options, and `others` that
/// are linked into it.
pub(crate) fn text(options: &[&str], others: &str) -> Result<String> {
    let mut paragraphs = others.to_owned();
    for linked in linked(options)? {
        paragraphs.push_str(&paragraph(&linked)?);
    }
    Ok(TEMPLATE.replacen(PLACE, &paragraphs, 1))
}

/// The crates of others that become a part of the program: neither what only builds
/// it nor what only other systems need.
fn linked(options: &[&str]) -> Result<BTreeSet<Crate>> {
    let asked = [
        "tree",
        "--package=sshmeter",
        "--edges=normal,no-proc-macro",
        "--prefix=none",
        "--no-dedupe",
        "--format={p}",
        "--locked",
    ];
    let tree = said(cargo().args(asked).args(options))?;
    let names: BTreeSet<&str> = tree.lines().collect();
    let metadata = said(cargo().args(["metadata", "--format-version=1", "--locked"]))?;
    let metadata: Metadata = serde_json::from_str(&metadata).context("cargo's metadata")?;
    let is_linked = |one: &Crate| names.contains(&*format!("{} v{}", one.name, one.version));
    Ok(metadata
        .packages
        .into_iter()
        .filter(|one| one.source.is_some() && is_linked(one))
        .collect())
}

fn paragraph(linked: &Crate) -> Result<String> {
    let Crate { name, version, .. } = linked;
    let expression = linked.license.as_deref().unwrap_or_default();
    let licence = chosen(expression).with_context(|| {
        format!("the licence of the crate {name} is `{expression}`, which dist/debian/copyright.in does not have")
    })?;
    let holders = holders(linked)?.join("\n ");
    Ok(format!(
        "Files: vendor/{name}-{version}/*\nCopyright: {holders}\nLicense: {licence}\n\n"
    ))
}

/// One licence of each choice in an expression such as `(MIT OR Zlib) AND ISC`.
fn chosen(expression: &str) -> Option<String> {
    let all: Option<Vec<&str>> = expression
        .split(" AND ")
        .map(|choice| {
            let choice = choice.trim_matches(['(', ')']).replace('/', " OR ");
            LICENCES
                .into_iter()
                .find(|licence| choice.split(" OR ").any(|one| one == *licence))
        })
        .collect();
    Some(all?.join(" and "))
}

/// Who a crate says has the rights to it, or at least who wrote it.
fn holders(linked: &Crate) -> Result<Vec<String>> {
    let folder = linked.manifest_path.parent().unwrap_or(Path::new("/"));
    let mut holders = BTreeSet::new();
    for entry in fs::read_dir(folder).with_context(|| format!("{}", folder.display()))? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_file() && NOTICES.iter().any(|notice| name.starts_with(notice)) {
            let text = fs::read(&path).with_context(|| format!("{}", path.display()))?;
            holders.extend(String::from_utf8_lossy(&text).lines().filter_map(holder));
        }
    }
    if holders.is_empty() {
        holders.extend(linked.authors.iter().cloned());
    }
    if holders.is_empty() {
        holders.insert(format!("The {} developers", linked.name));
    }
    Ok(holders.into_iter().collect())
}

/// The holder in a line such as `Copyright (c) 2014 A. Person`.
fn holder(line: &str) -> Option<String> {
    let words = line.trim().strip_prefix("Copyright ")?;
    let marked = ["(c) ", "(C) ", "© "]
        .iter()
        .find_map(|mark| words.strip_prefix(mark));
    // Without a mark or a year it is a sentence of the licence's own.
    marked
        .or_else(|| {
            words
                .starts_with(|c: char| c.is_ascii_digit())
                .then_some(words)
        })
        .map(|holder| holder.trim_end_matches(" All rights reserved.").to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_licence_is_chosen_or_missed() {
        for (expression, licence) in [
            ("MIT", Some("MIT")),
            ("Apache-2.0 OR MIT", Some("MIT")),
            ("MIT/Apache-2.0", Some("MIT")),
            (
                "Apache-2.0 WITH LLVM-exception OR Apache-2.0",
                Some("Apache-2.0"),
            ),
            (
                "(MIT OR Apache-2.0) AND Unicode-3.0",
                Some("MIT and Unicode-3.0"),
            ),
            ("MIT AND GPL-3.0", None),
            ("", None),
        ] {
            assert_eq!(chosen(expression).as_deref(), licence, "{expression}");
        }
    }

    #[test]
    fn every_licence_that_may_be_chosen_has_its_text() {
        for licence in LICENCES {
            assert!(
                TEMPLATE.contains(&format!("\nLicense: {licence}\n ")),
                "{licence}"
            );
        }
        assert_eq!(TEMPLATE.matches(PLACE).count(), 1);
    }

    #[test]
    fn a_holder_is_taken_word_for_word() {
        assert_eq!(
            holder("Copyright (c) 2014 A. Person").as_deref(),
            Some("2014 A. Person")
        );
        assert_eq!(holder("   Copyright 2019 B").as_deref(), Some("2019 B"));
        assert_eq!(holder("Copyright and related rights are waived"), None);
        assert_eq!(holder("Copyright [yyyy] [name of copyright owner]"), None);
    }
}
