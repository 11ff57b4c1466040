//! `cargo xtask tarball`: the release for every Linux that has no package of
//! sshmeter, one program that needs no library of the system's.
//!
//! It is built against musl with OpenSSL linked in, and packed with what
//! `dist/install.sh` puts into its places. The same files give the same archive:
//! nothing in it depends on who packed it, when, or in which order a folder was read.

mod tools;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};
use xtask::build::{cargo, date, remove, root, succeed, target};

use crate::copyright;

const TARGET: &str = "x86_64-unknown-linux-musl";
const FEATURE: &str = "standalone";

/// Files of the source tree, and the folder of the archive that they go to.
const SHIPPED: &[(&str, &str)] = &[
    ("dist/install.sh", ""),
    ("dist/config.toml", ""),
    ("README.md", ""),
    ("ARCHITECTURE.md", ""),
    ("CHANGELOG.md", ""),
    ("CONTRIBUTING.md", ""),
    ("SECURITY.md", ""),
    ("LICENSE-APACHE", ""),
    ("LICENSE-MIT", ""),
    ("dist/sshmeter.service", "systemd"),
    ("dist/sysusers.conf", "systemd"),
    ("dist/sshmeter-firewall.conf", "systemd"),
    ("dist/sshmeter-mirror.conf", "systemd"),
];

/// The shells that get completions.
const COMPLETIONS: [&str; 3] = ["bash", "zsh", "fish"];

/// Makes it, and says where it is in the last line on stdout.
pub(crate) fn run() -> Result<()> {
    println!("{}", make()?.display());
    Ok(())
}

/// Brings what it is made with, or says what is missing.
pub(crate) fn have_tools() -> Result<()> {
    tools::have(TARGET)
}

/// Makes it and gives its path.
pub(crate) fn make() -> Result<PathBuf> {
    ensure!(
        cfg!(all(target_os = "linux", target_arch = "x86_64")),
        "the static release is made on Linux on x86_64, whose programs it holds"
    );
    let name = format!("sshmeter-{}-x86_64-linux-static", env!("CARGO_PKG_VERSION"));
    let folder = target().join("tarball");
    remove(&archive(&folder, &name))?;
    have_tools()?;
    succeed(
        cargo()
            .args(["build", "--release", "--locked", "--package", "sshmeter"])
            .args(["--target", TARGET, "--features", FEATURE]),
        "the static sshmeter did not build",
    )?;
    let program = target().join(TARGET).join("release/sshmeter");
    let tree = folder.join(&name);
    gather(&program, &tree)?;
    pack(&folder, &name, date()?)
}

/// Puts all that is shipped into a new folder.
fn gather(program: &Path, tree: &Path) -> Result<()> {
    if tree.exists() {
        fs::remove_dir_all(tree).context("the folder of the last archive cannot be removed")?;
    }
    for folder in ["completions", "man", "systemd"] {
        fs::create_dir_all(tree.join(folder)).context("no folder for the archive's files")?;
    }
    copy(program, &tree.join("sshmeter"))?;
    for (file, folder) in SHIPPED {
        let from = root().join(file);
        let name = from.file_name().unwrap_or_default();
        copy(&from, &tree.join(folder).join(name))?;
    }
    copy_folder(&root().join("docs"), &tree.join("docs"))?;
    succeed(
        Command::new(program)
            .args(["man", "--out"])
            .arg(tree.join("man")),
        "the static sshmeter writes no man pages",
    )?;
    for shell in COMPLETIONS {
        let output = Command::new(program).args(["completions", shell]).output();
        let output = output.context("the static sshmeter cannot be started")?;
        ensure!(output.status.success(), "no completions for {shell}");
        let file = tree.join(format!("completions/sshmeter.{shell}"));
        fs::write(file, output.stdout).context("no completions can be written")?;
    }
    let options = ["--target", TARGET, "--features", FEATURE];
    let copyright = copyright::text(&options, copyright::OF_THE_STATIC)?;
    fs::write(tree.join("copyright"), copyright).context("no licences can be written")
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::copy(from, to).with_context(|| format!("{} cannot be copied", from.display()))?;
    Ok(())
}

fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &to)?;
        } else {
            copy(&entry.path(), &to)?;
        }
    }
    Ok(())
}

fn archive(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.tar.gz"))
}

/// Packs the folder, with nothing in it of this machine, user or moment.
fn pack(folder: &Path, name: &str, date: u64) -> Result<PathBuf> {
    let archive = archive(folder, name);
    let mut tar = Command::new("tar");
    tar.current_dir(folder)
        .args(["--create", "--format=ustar", "--sort=name"])
        .args(["--owner=0", "--group=0", "--numeric-owner"])
        .args(["--mode=u=rwX,go=rX", &format!("--mtime=@{date}")])
        .args(["--use-compress-program=gzip -9n", "--file"])
        .arg(&archive)
        .arg(name)
        .env("LC_ALL", "C");
    succeed(&mut tar, "the archive cannot be packed")?;
    Ok(archive)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn the_same_files_give_the_same_archive() {
        let packed = |names: [&str; 2], mode: u32| {
            let folder = tempfile::tempdir().unwrap();
            let tree = folder.path().join("tree");
            fs::create_dir(&tree).unwrap();
            for name in names {
                let path = tree.join(name);
                fs::write(&path, name).unwrap();
                fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            }
            fs::read(pack(folder.path(), "tree", 1_700_000_000).unwrap()).unwrap()
        };
        let first = packed(["a", "b"], 0o644);
        // Written later, in another order, under another umask.
        std::thread::sleep(std::time::Duration::from_millis(1_100));
        assert_eq!(first, packed(["b", "a"], 0o600));
        assert_ne!(first, packed(["a", "b"], 0o755));
    }
}
