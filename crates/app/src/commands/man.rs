//! `sshmeter man`: the man pages, made from the command line's own definition,
//! and the config's page, made from the shipped config's own words.

use std::{fs, path::Path};

use anyhow::Context as _;
use clap::CommandFactory as _;
use clap_mangen::{
    Man,
    roff::{Roff, bold, italic, roman},
};

use crate::{
    cli::Arguments,
    error::{Outcome, print},
};

/// The config's manual: its comments are its text.
const SHIPPED_CONFIG: &str = include_str!("../../../../dist/config.toml");

const MANUAL: &str = "sshmeter manual";
const SOURCE: &str = concat!("sshmeter ", env!("CARGO_PKG_VERSION"));

/// Pages are made at build time and compared: a date would make each one new.
/// An empty argument would vanish and shift those behind it.
const NO_DATE: &str = " ";

/// A man page and its file's name.
struct Page {
    file: String,
    roff: Vec<u8>,
}

pub(super) fn run(out: Option<&Path>) -> Outcome {
    let Some(folder) = out else {
        return print(&main_page()?.roff);
    };
    fs::create_dir_all(folder)
        .with_context(|| format!("the folder {} cannot be made", folder.display()))?;
    for page in pages()? {
        let path = folder.join(&page.file);
        fs::write(&path, &page.roff)
            .with_context(|| format!("{} cannot be written", path.display()))?;
    }
    Ok(())
}

fn pages() -> Outcome<Vec<Page>> {
    let mut pages = vec![main_page()?];
    let mut command = Arguments::command();
    command.build();
    for subcommand in command.get_subcommands() {
        if subcommand.get_name() != "help" {
            pages.push(command_page(subcommand.clone())?);
        }
    }
    pages.push(config_page());
    Ok(pages)
}

fn manual(command: clap::Command) -> Man {
    Man::new(command)
        .manual(MANUAL)
        .source(SOURCE)
        .date(NO_DATE)
}

fn main_page() -> Outcome<Page> {
    let command = Arguments::command()
        .disable_help_subcommand(true)
        .subcommand_help_heading("COMMANDS");
    let man = manual(command.clone());
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    synopsis(&command).to_writer(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    man.render_subcommands_section(&mut page)?;
    main_sections(&command).to_writer(&mut page)?;
    Ok(Page {
        file: man.get_filename(),
        roff: page,
    })
}

/// How the command is called, in the words of its help.
fn synopsis(command: &clap::Command) -> Roff {
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage: ");
    // Its own words come first, all others begin with a bracket.
    let end = usage.find(['[', '<']).unwrap_or(usage.len());
    let (own, others) = usage.split_at(end);
    let mut roff = Roff::new();
    section(&mut roff, "SYNOPSIS");
    roff.text([bold(own), roman(others)]);
    roff
}

fn main_sections(command: &clap::Command) -> Roff {
    let mut roff = Roff::new();
    section(&mut roff, "EXIT STATUS");
    entry(&mut roff, "0", "It was done.");
    entry(
        &mut roff,
        "1",
        "It was asked rightly and could not be done; for doctor: a check failed; for verify: \
         the ledger is not sound.",
    );
    entry(&mut roff, "2", "The command line or the config is wrong.");
    section(&mut roff, "ENVIRONMENT");
    entry(
        &mut roff,
        "NO_COLOR",
        "Where it is set and not empty, nothing is coloured.",
    );
    entry(
        &mut roff,
        "SSHMETER_LOG",
        "How much run says on stderr: error, warn, info (the default), debug or trace, or a list \
         such as info,sshmeter::source=debug.",
    );
    entry(
        &mut roff,
        "TZ",
        "The system's time zone, where the config says timezone = \"system\".",
    );
    section(&mut roff, "FILES");
    entry(
        &mut roff,
        "/etc/sshmeter/config.toml",
        "The config; where it is missing, the defaults hold. See sshmeter.toml(5).",
    );
    entry(
        &mut roff,
        "/var/lib/sshmeter/ledger.db",
        "The ledger, an SQLite database.",
    );
    entry(
        &mut roff,
        "/var/log/auth.log, /var/log/secure",
        "sshd's log, where the journal is not read.",
    );
    section(&mut roff, "SEE ALSO");
    let mut pages: Vec<String> = command
        .get_subcommands()
        .map(|subcommand| format!("sshmeter-{}(1)", subcommand.get_name()))
        .collect();
    pages.extend(["sshmeter.toml(5)", "sshd(8)", "journalctl(1)"].map(str::to_owned));
    roff.text([roman(pages.join(", ") + "\n")]);
    roff
}

fn command_page(subcommand: clap::Command) -> Outcome<Page> {
    // A command's own name in the page is `sshmeter run`, in the file `sshmeter-run`.
    let name = format!("sshmeter-{}", subcommand.get_name());
    let synopsis = synopsis(&subcommand);
    let man = manual(subcommand.display_name(name.clone())).title(name);
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    synopsis.to_writer(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    let mut see_also = Roff::new();
    section(&mut see_also, "SEE ALSO");
    see_also.text([roman("sshmeter(1), sshmeter.toml(5)\n")]);
    see_also.to_writer(&mut page)?;
    Ok(Page {
        file: man.get_filename(),
        roff: page,
    })
}

fn config_page() -> Page {
    let mut roff = Roff::new();
    roff.control("TH", ["sshmeter.toml", "5", NO_DATE, SOURCE, MANUAL]);
    section(&mut roff, "NAME");
    roff.text([roman("sshmeter.toml - config of sshmeter")]);
    section(&mut roff, "SYNOPSIS");
    roff.text([italic("/etc/sshmeter/config.toml")]);
    section(&mut roff, "DESCRIPTION");
    let mut words: Vec<&str> = Vec::new();
    let mut in_example = false;
    for line in SHIPPED_CONFIG.lines() {
        let example = line.strip_prefix("#     ");
        if example.is_some() != in_example {
            flush(&mut roff, &mut words);
            // The lines of an example stay lines.
            roff.control(if in_example { "EE" } else { "PP" }, []);
            if !in_example {
                roff.control("EX", []);
            }
            in_example = !in_example;
        }
        // A table that nobody has by default is a comment too.
        if let Some(header) = line.strip_prefix("# [").or(line.strip_prefix('[')) {
            flush(&mut roff, &mut words);
            section(&mut roff, &format!("[{header}"));
        } else if let Some(example) = example {
            roff.text([bold(example)]);
        } else if let Some(text) = line.strip_prefix("# ") {
            words.push(text);
        } else if let Some(option) = line.strip_prefix('#').filter(|rest| !rest.is_empty()) {
            roff.control("TP", []);
            roff.text([bold(option)]);
            roff.text([roman(words.join(" "))]);
            words.clear();
        }
    }
    if in_example {
        roff.control("EE", []);
    }
    flush(&mut roff, &mut words);
    section(&mut roff, "SEE ALSO");
    roff.text([roman("sshmeter(1), sshmeter-check-config(1)")]);
    Page {
        file: "sshmeter.toml.5".to_owned(),
        roff: (roff.render() + "\n").into_bytes(),
    }
}

/// A paragraph of what was gathered so far.
fn flush(roff: &mut Roff, words: &mut Vec<&str>) {
    if !words.is_empty() {
        roff.control("PP", []);
        roff.text([roman(words.join(" "))]);
        words.clear();
    }
}

fn section(roff: &mut Roff, name: &str) {
    roff.control("SH", [name]);
}

fn entry(roff: &mut Roff, name: &str, words: &str) {
    roff.control("TP", []);
    roff.text([bold(name)]);
    roff.text([roman(words)]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_pages_are_as_they_were_read() {
        let pages = pages().unwrap_or_else(|failure| panic!("{}", failure.text()));
        let text: Vec<String> = pages
            .into_iter()
            .map(|page| {
                format!(
                    "==> {} <==\n{}",
                    page.file,
                    String::from_utf8(page.roff).unwrap()
                )
            })
            .collect();
        // The version changes with every release, the pages do not.
        let text = text
            .join("\n")
            .replace(env!("CARGO_PKG_VERSION"), "VERSION");
        insta::assert_snapshot!(text);
    }
}
