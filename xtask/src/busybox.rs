//! busybox for the test of the static release: Debian's static one, unpacked and
//! installed nowhere, since most machines have the other, which needs libraries.

use std::{fs, path::Path, process::Command};

use anyhow::{Context as _, Result};
use xtask::build::succeed;

use crate::unpacked::{self, Program};

const PACKAGE: &str = "busybox-static";

const BUSYBOX: Program = Program {
    name: PACKAGE,
    folder: "busybox",
    path: "bin/busybox",
};

/// Unpacks it.
pub(crate) fn unpack() {
    unpacked::unpack(&BUSYBOX, fetch);
}

fn fetch(work: &Path) -> Result<()> {
    fs::create_dir_all(work).context("no folder for a package")?;
    let download = || {
        let mut apt = Command::new("apt-get");
        // As who owns the folder: apt's own user may not write there.
        apt.args(["-q", "-o", "APT::Sandbox::User=root", "download", PACKAGE])
            .current_dir(work);
        succeed(&mut apt, "apt-get cannot download it")
    };
    // Where nothing had to be installed yet, apt may not know what there is.
    download().or_else(|_| {
        succeed(
            Command::new("apt-get").args(["update", "-q"]),
            "apt-get update failed",
        )?;
        download()
    })?;
    unpacked::extract(work, work)
}
