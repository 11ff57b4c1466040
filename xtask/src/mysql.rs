//! MySQL for the tests: Debian has it in unstable only, and in conflict with
//! MariaDB, so it is unpacked with all its libraries, and installed nowhere.
//!
//! apt is asked with folders of its own. This machine's lists, packages and
//! sources stay as they are.

use std::{fs, path::Path, process::Command};

use anyhow::{Context as _, Result, ensure};

use xtask::build::{succeed, target};

const PACKAGE: &str = "mysql-server-core";
/// Debian's keys, of its package debian-archive-keyring.
const KEYS: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Unpacks it below `target/mysql` where it is not yet there; says so, and also
/// if it cannot be done, for the tests that need it say that they are left out.
pub(crate) fn unpack() {
    let place = target().join("mysql");
    if place.join("usr/sbin/mysqld").exists() || !Path::new(KEYS).exists() {
        return;
    }
    eprintln!(
        "unpacking MySQL of Debian unstable below {}",
        place.display()
    );
    let work = place.with_extension("new");
    let _ = fs::remove_dir_all(&work);
    let done = fetch(&work).and_then(|()| {
        fs::rename(work.join("root"), &place).with_context(|| format!("{}", place.display()))
    });
    let _ = fs::remove_dir_all(&work);
    if let Err(error) = done {
        eprintln!("MySQL cannot be had: {error:#}");
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
    for entry in fs::read_dir(&archives).context("no packages")? {
        let package = entry?.path();
        if package.extension().is_some_and(|end| end == "deb") {
            let mut command = Command::new("dpkg-deb");
            command
                .arg("--extract")
                .arg(&package)
                .arg(work.join("root"));
            succeed(
                &mut command,
                &format!("{} cannot be unpacked", package.display()),
            )?;
        }
    }
    ensure!(
        work.join("root/usr/sbin/mysqld").exists(),
        "{PACKAGE} has no mysqld"
    );
    Ok(())
}

/// The mirror of Debian that this machine's apt uses.
fn mirror() -> Result<String> {
    let output = Command::new("apt-get")
        .args(["indextargets", "--format", "$(REPO_URI)"])
        .args(["Created-By: Packages", "Origin: Debian", "Label: Debian"])
        .output()
        .context("apt-get cannot be started")?;
    let targets = String::from_utf8_lossy(&output.stdout);
    let first = targets.lines().next();
    first
        .map(str::to_owned)
        .context("apt knows no mirror of Debian")
}
