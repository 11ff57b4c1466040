//! Where the book's examples are made: the sample ledger, config and log at the
//! places where a server has them, and a clock that stands in November.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{Block, Held, PICTURE, held, pages, root, sample, svg};
use crate::keeper::{HOLD, Keeper};

const LEDGER: &str = "/var/lib/sshmeter/ledger.db";

/// A place in which examples are made.
#[derive(Debug)]
pub struct Studio {
    keeper: Keeper,
}

impl Studio {
    /// A place for this sshmeter.
    ///
    /// # Panics
    /// When it cannot be made.
    #[must_use]
    pub fn open(sshmeter: &Path) -> Self {
        let keeper = Keeper::start(&format!(
            "set -eu; exec 2>&1
            mount --make-rprivate /
            mount -t proc proc /proc
            for folder in /mnt /var/lib /var/log /usr/local/bin; do
                mount -t tmpfs -o mode=755 studio $folder
            done
            mkdir /mnt/upper /mnt/work /var/lib/sshmeter
            mount -t overlay -o lowerdir=/etc,upperdir=/mnt/upper,workdir=/mnt/work etc /etc
            rm -rf /etc/sshmeter; mkdir /etc/sshmeter
            touch /usr/local/bin/sshmeter
            mount --bind {} /usr/local/bin/sshmeter
            {HOLD}",
            sshmeter.display()
        ));
        let folder = tempfile::tempdir().expect("a folder for a ledger");
        let ledger = folder.path().join("ledger.db");
        sample::write_ledger(&ledger);
        keeper.install(&ledger, LEDGER);
        keeper.write("/etc/sshmeter/config.toml", sample::CONFIG);
        keeper.write("/var/log/auth.log", sample::LOG);
        Self { keeper }
    }

    /// What a command says here.
    ///
    /// # Panics
    /// When it fails.
    #[must_use]
    pub fn said(&self, command: &str) -> String {
        let zone = format!("TZ={}", sample::ZONE);
        let words = [
            &zone,
            "faketime",
            sample::NOW,
            "bash",
            "-euo",
            "pipefail",
            "-c",
            command,
        ];
        self.keeper.run("env", &words)
    }

    /// A block's commands, each with what it says now.
    #[must_use]
    pub fn example(&self, block: &Block) -> String {
        let commands = block
            .text
            .lines()
            .filter_map(|line| line.strip_prefix("$ "));
        let spoken: Vec<String> = commands
            .map(|command| format!("$ {command}\n{}", self.said(command)))
            .collect();
        assert!(!spoken.is_empty(), "{}: no command", block.place);
        spoken.join("\n")
    }

    /// The picture of the report, as it is now.
    #[must_use]
    pub fn picture(&self) -> String {
        svg::drawn("sshmeter report", &self.said("sshmeter report"))
    }

    /// Writes the picture and all examples anew; gives the files that changed.
    ///
    /// # Panics
    /// When one cannot be written.
    #[must_use]
    pub fn renew(&self) -> Vec<PathBuf> {
        let mut fresh = vec![(root().join(PICTURE), self.picture())];
        for page in pages() {
            let path = root().join(&page.name);
            let mut text = fs::read_to_string(&path).expect("a page");
            // From the last to the first, so that places stay.
            for block in page.blocks.iter().rev() {
                if held(&block.language) == Some(Held::Example) {
                    text.replace_range(block.range.clone(), &self.example(block));
                }
            }
            fresh.push((path, text));
        }
        fresh.retain(|(path, text)| fs::read_to_string(path).ok().as_ref() != Some(text));
        for (path, text) in &fresh {
            fs::write(path, text).expect("the project's files can be written");
        }
        fresh.into_iter().map(|(path, _)| path).collect()
    }
}
