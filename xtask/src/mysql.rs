//! MySQL for the tests: Debian has it in unstable only, and in conflict with
//! MariaDB, so it is unpacked with all its libraries, and installed nowhere.
//!
//! apt is asked with folders of its own. This machine's lists, packages and
//! sources stay as they are.

use std::{fs, path::Path, process::Command};

use anyhow::{Context as _, Result};
use xtask::{build::succeed, debian::mirror};

use crate::unpacked::{self, Program};

const PACKAGE: &str = "mysql-server-core";
/// Debian's keys, of its package debian-archive-keyring.
const KEYS: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

const MYSQL: Program = Program {
    name: "MySQL of Debian unstable",
    folder: "mysql",
    path: "usr/sbin/mysqld",
};

/// Unpacks it, where Debian's keys are.
pub(crate) fn unpack() {
    if Path::new(KEYS).exists() {
        unpacked::unpack(&MYSQL, fetch);
    }
}

/// Downloads its packages and those of its libraries, and unpacks them all.
fn fetch(work: &Path) -> Result<()> {
    let archives = work.join("cache/archives");
    for folder in ["lists/partial", "etc/parts", "root"] {
        fs::create_dir_all(work.join(folder)).context("no folder for packages")?;
    }
    fs::create_dir_all(archives.join("partial")).context("no folder for packages")?;
    let mirror = mirror()?;
    let source = format!("deb [signed-by={KEYS}] {mirror} unstable main\n");
    fs::write(work.join("etc/sources.list"), source)?;
    // To apt nothing is installed, so that it fetches the libraries too.
    fs::write(work.join("status"), "")?;
    let folder = work.display();
    let config = format!(
        "Dir::State \"{folder}\";\nDir::State::status \"{folder}/status\";\n\
         Dir::Cache \"{folder}/cache\";\nDir::Etc::SourceList \"{folder}/etc/sources.list\";\n\
         Dir::Etc::SourceParts \"{folder}/etc/parts\";\n\
         Dir::Etc::PreferencesParts \"{folder}/etc/parts\";\n\
         Dir::Etc::Preferences \"{folder}/etc/preferences\";\n\
         APT::Sandbox::User \"root\";\nAcquire::Languages \"none\";\n"
    );
    fs::write(work.join("apt.conf"), config)?;
    let apt = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        command.args(arguments).arg("-qq");
        command.env("APT_CONFIG", work.join("apt.conf"));
        succeed(
            &mut command,
            &format!("apt-get {} failed", arguments.join(" ")),
        )
    };
    apt(&["update"])?;
    apt(&[
        "install",
        "-y",
        "--download-only",
        "--no-install-recommends",
        PACKAGE,
    ])?;
    unpacked::extract(&archives, work)
}
