//! Where a package is built: on this machine, or in the root file system of another
//! release of Debian, with that one's compiler and libraries.
//!
//! Rust is this machine's in both cases, and so is what cargo has fetched. What is
//! built there lies in a folder of its own, and nothing else is changed.

use std::{
    env, fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};
use xtask::{
    build::{self, cargo, root, said, succeed, target},
    debian::{Release, build_image},
    packages,
};

/// Goes into the root file system `$1`, whose changes are forgotten, where the
/// folders up to a `--` are what they are here, and becomes the rest.
const ENTER: &str = r#"mount -t tmpfs work /mnt
    mkdir /mnt/upper /mnt/work /mnt/root
    mount -t overlay -o lowerdir="$1",upperdir=/mnt/upper,workdir=/mnt/work work /mnt/root
    shift
    mount -t proc proc /mnt/root/proc
    mount --rbind /dev /mnt/root/dev
    while [ "$1" != -- ]; do
        mkdir -p "/mnt/root$1"; mount --rbind "$1" "/mnt/root$1"; shift
    done
    shift
    exec chroot /mnt/root "$@""#;

/// Where a package is built.
pub(super) enum Site {
    /// On this machine, for its own release.
    ThisMachine,
    /// In a release's root file system, which lies there.
    Image(Release, PathBuf),
}

impl Site {
    /// The place to build for a release, or for this machine's.
    pub(super) fn of(release: Option<Release>) -> Result<Self> {
        let Some(release) = release else {
            return Ok(Self::ThisMachine);
        };
        if release.is_of_this_machine() {
            return Ok(Self::ThisMachine);
        }
        ensure!(
            rustix::process::geteuid().is_root(),
            "a package for {release} is built in that release's root file system\n\
             hint: sudo --preserve-env=PATH cargo xtask deb {release}"
        );
        packages::install()?;
        Ok(Self::Image(release, build_image(release)?))
    }

    /// The folder that cargo builds into.
    pub(super) fn target(&self) -> PathBuf {
        match self {
            Self::ThisMachine => target(),
            Self::Image(release, _) => target().join(format!("debian/{release}/target")),
        }
    }

    /// What tells which system it is.
    pub(super) fn os_release(&self) -> PathBuf {
        match self {
            Self::ThisMachine => "/etc/os-release".into(),
            Self::Image(_, image) => image.join("etc/os-release"),
        }
    }

    /// Builds the sshmeter that people use, and gives its path.
    pub(super) fn sshmeter(&self) -> Result<PathBuf> {
        let Self::Image(release, _) = self else {
            return build::sshmeter();
        };
        succeed(
            cargo().args(["fetch", "--locked"]),
            "cargo fetched no sources",
        )?;
        eprintln!("building sshmeter with {release}'s libraries");
        succeed(
            self.command(&rust()?.join("bin/cargo").to_string_lossy())?
                .args(["build", "--release", "--locked", "--offline"])
                .args(["--package", "sshmeter"]),
            &format!("sshmeter did not build on {release}"),
        )?;
        Ok(self.target().join("release/sshmeter"))
    }

    /// A program that runs with the site's libraries, in the workspace's folder.
    pub(super) fn command(&self, program: &str) -> Result<Command> {
        let Self::Image(_, image) = self else {
            let mut command = Command::new(program);
            command.current_dir(root());
            return Ok(command);
        };
        let mut command = Command::new("unshare");
        command
            .args(entering(image, &self.target())?)
            .arg(format!("--chdir={}", root().display()))
            .args(settings(&self.target())?)
            .arg(program);
        Ok(command)
    }

    /// A folder with the site's dpkg-shlibdeps, for who looks for it by its name:
    /// which packages a program's libraries are in only its own release knows.
    pub(super) fn tools(&self) -> Result<Option<tempfile::TempDir>> {
        let Self::Image(_, image) = self else {
            return Ok(None);
        };
        let words: Vec<String> = entering(image, &self.target())?
            .iter()
            .map(|word| format!("'{}'", word.replace('\'', r"'\''")))
            .collect();
        // cargo-deb's folder is below the one for temporary files.
        let script = format!(
            "#!/bin/sh\nexec unshare {} --chdir=\"$PWD\" /usr/bin/dpkg-shlibdeps \"$@\"\n",
            words.join(" ")
        );
        let folder = tempfile::tempdir().context("no temporary folder")?;
        let tool = folder.path().join("dpkg-shlibdeps");
        fs::write(&tool, script).context("no script can be written")?;
        fs::set_permissions(&tool, fs::Permissions::from_mode(0o755))?;
        Ok(Some(folder))
    }
}

/// What unshare is told, up to what `env` is told.
fn entering(image: &Path, target: &Path) -> Result<Vec<String>> {
    fs::create_dir_all(target).with_context(|| format!("no folder {}", target.display()))?;
    let (rust, cargo_home) = (rust()?, cargo_home()?);
    let folders = [&root(), target, &cargo_home, &rust, &env::temp_dir()].map(Path::to_owned);
    let mut words: Vec<String> = ["--mount", "--", "bash", "-euc", ENTER, "bash"]
        .map(str::to_owned)
        .into();
    words.push(image.to_string_lossy().into_owned());
    words.extend(
        folders
            .iter()
            .map(|folder| folder.to_string_lossy().into_owned()),
    );
    words.extend(["--", "env"].map(str::to_owned));
    Ok(words)
}

/// Where cargo finds what is this machine's.
fn settings(target: &Path) -> Result<[String; 3]> {
    Ok([
        format!(
            "PATH={}/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            rust()?.display()
        ),
        format!("CARGO_HOME={}", cargo_home()?.display()),
        format!("CARGO_TARGET_DIR={}", target.display()),
    ])
}

/// The folder of the Rust that builds this.
fn rust() -> Result<PathBuf> {
    let folder = said(
        Command::new("rustc")
            .current_dir(root())
            .args(["--print", "sysroot"]),
    )?;
    ensure!(
        folder != "/usr",
        "this machine's Rust is one with its system, and cannot be taken into another's\n\
         hint: rustup installs one that can"
    );
    Ok(folder.into())
}

/// Where cargo keeps what it has fetched.
fn cargo_home() -> Result<PathBuf> {
    let own = env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = || env::var_os("HOME").map(|home| Path::new(&home).join(".cargo"));
    own.or_else(home)
        .context("neither CARGO_HOME nor HOME is set")
}
