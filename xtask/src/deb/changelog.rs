//! The package's changelog in Debian's form. What changed in the program is in its
//! own, which is packed too; this says which version of it this is and when it was.

use std::process::Command;

use anyhow::Result;
use xtask::build::{self, said};

/// An entry of one version.
pub(super) struct Changelog {
    version: String,
    seconds: u64,
    date: String,
}

impl Changelog {
    /// The entry of a version, with the time of the last change of the sources.
    pub(super) fn of(version: &str) -> Result<Self> {
        let seconds = build::date()?;
        let date = said(Command::new("date").args(["-R", "-u", "-d", &format!("@{seconds}")]))?;
        Ok(Self {
            version: version.to_owned(),
            seconds,
            date,
        })
    }

    /// Its time, in seconds since 1970.
    pub(super) fn seconds(&self) -> u64 {
        self.seconds
    }

    pub(super) fn text(&self) -> String {
        format!(
            "sshmeter ({}) stable; urgency=medium\n\n  \
             * Built from the sources of {}; what changed in them is in changelog.gz.\n\n \
             -- The sshmeter contributors <maintainers@sshmeter.invalid>  {}\n",
            self.version,
            env!("CARGO_PKG_VERSION"),
            self.date
        )
    }
}
