//! `cargo xtask deb`: the Debian package of this machine's release, or of another.
//!
//! cargo-deb packs it, as `[package.metadata.deb]` of the app's `Cargo.toml` says.
//! What is not a file of the repository is put beside the program first: man pages
//! and completions by the program itself, copyright and changelog by this.

mod changelog;
mod release;
mod site;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};
use xtask::{
    build::{root, said, succeed},
    debian::{self, Release, clear},
    packages,
    tool::{self, Tool},
};

use self::{changelog::Changelog, site::Site};
use crate::copyright;

const CARGO_DEB: Tool = Tool {
    name: "cargo-deb",
    version: "3.8.0",
    // xz is a program here, and need not be compiled.
    options: &["--no-default-features"],
};

/// Where the package's own files are put for cargo-deb.
const BESIDE: &str = "release/package";

/// Makes it, and prints its path.
pub(crate) fn run(release: Option<Release>, revision: u32) -> Result<()> {
    println!("{}", make(release, revision)?.display());
    Ok(())
}

/// Makes that of a release, or of this machine's, and gives its path.
pub(crate) fn make(release: Option<Release>, revision: u32) -> Result<PathBuf> {
    let folder = debian::packages(release);
    // Nobody shall take what was made before for what is made now.
    clear(&folder)?;
    packages::install_to_pack()?;
    let site = Site::of(release)?;
    let sshmeter = site.sshmeter()?;
    let version = release::version(&site.os_release(), revision)?;
    let changelog = Changelog::of(&version)?;
    put_beside(&site, &sshmeter, &changelog)?;
    let package = folder.join(format!("sshmeter_{version}_{}.deb", architecture()?));
    let mut cargo_deb = Command::new(tool::installed(&CARGO_DEB)?);
    cargo_deb
        .current_dir(root())
        .args(["--package", "sshmeter", "--no-build", "--locked", "--quiet"])
        .args(["--deb-version", &version])
        .arg("--output")
        .arg(&package)
        // The same sources make the same package, to the byte.
        .env("SOURCE_DATE_EPOCH", changelog.seconds().to_string())
        .env("CARGO_TARGET_DIR", site.target())
        .stdout(std::process::Stdio::null());
    let tools = site.tools()?;
    if let Some(tools) = &tools {
        let path = std::env::var("PATH").unwrap_or_default();
        cargo_deb.env("PATH", format!("{}:{path}", tools.path().display()));
    }
    succeed(&mut cargo_deb, "cargo-deb made no package")?;
    Ok(package)
}

/// Debian's word for this machine's kind.
fn architecture() -> Result<String> {
    said(Command::new("dpkg").arg("--print-architecture"))
}

/// What is made for the package, and not a file of the repository.
fn put_beside(site: &Site, sshmeter: &Path, changelog: &Changelog) -> Result<()> {
    let beside = site.target().join(BESIDE);
    let sshmeter = || site.command(&sshmeter.to_string_lossy());
    if beside.exists() {
        fs::remove_dir_all(&beside)
            .with_context(|| format!("{} cannot be removed", beside.display()))?;
    }
    let man = beside.join("man");
    succeed(
        sshmeter()?.args(["man", "--out"]).arg(&man),
        "sshmeter wrote no man pages",
    )?;
    for page in fs::read_dir(&man)? {
        gzip(&page?.path())?;
    }
    for (shell, file) in [
        ("bash", "sshmeter.bash"),
        ("zsh", "_sshmeter"),
        ("fish", "sshmeter.fish"),
    ] {
        let script = said(sshmeter()?.args(["completions", shell]))?;
        write(&beside.join(file), &(script + "\n"))?;
    }
    // The package's scripts name these files by their own names, all of which are
    // the package's.
    for kind in ["sysusers", "tmpfiles"] {
        let shipped = root().join(format!("dist/{kind}.conf"));
        let text = fs::read_to_string(&shipped)
            .with_context(|| format!("{} cannot be read", shipped.display()))?;
        write(&beside.join(kind).join("sshmeter.conf"), &text)?;
    }
    write(&beside.join("copyright"), &copyright::text(&[], "")?)?;
    let changes = beside.join("changelog.Debian");
    write(&changes, &changelog.text())?;
    gzip(&changes)
}

/// Replaces a file by its packed self, which is the same each time.
fn gzip(path: &Path) -> Result<()> {
    succeed(
        Command::new("gzip").arg("-9n").arg(path),
        &format!("{} cannot be packed", path.display()),
    )
}

fn write(path: &Path, text: &str) -> Result<()> {
    path.parent()
        .map_or(Ok(()), fs::create_dir_all)
        .and_then(|()| fs::write(path, text))
        .with_context(|| format!("{} cannot be written", path.display()))
}
