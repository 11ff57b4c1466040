//! The programs that the real tests need, or a package's making, and the Debian
//! packages they are in.
//!
//! Nothing that is installed here starts running: while apt works, a
//! `policy-rc.d` forbids it, and services that are new on this machine are
//! switched off for its next start too.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result};

use crate::build::succeed;

/// A file that the tests need and the package that brings it.
const NEEDED: &[(&str, &str)] = &[
    ("sshd", "openssh-server"),
    ("ssh", "openssh-client"),
    ("scp", "openssh-client"),
    ("sftp", "openssh-client"),
    ("dropbear", "dropbear-bin"),
    ("rsyslogd", "rsyslog"),
    ("journalctl", "systemd"),
    ("/usr/lib/systemd/systemd-journald", "systemd"),
    ("systemd-socket-activate", "systemd"),
    ("/lib/systemd/system/dbus.service", "dbus"),
    ("ip", "iproute2"),
    ("ss", "iproute2"),
    ("tcpdump", "tcpdump"),
    ("nft", "nftables"),
    ("xtables-nft-multi", "iptables"),
    ("xtables-legacy-multi", "iptables"),
    ("ufw", "ufw"),
    ("firewalld", "firewalld"),
    ("ethtool", "ethtool"),
    ("ps", "procps"),
    ("unshare", "util-linux"),
    ("setpriv", "util-linux"),
    ("strace", "strace"),
    ("logger", "bsdutils"),
    ("logrotate", "logrotate"),
    ("faketime", "faketime"),
    ("jq", "jq"),
    ("sqlite3", "sqlite3"),
    ("mkfs.ext4", "e2fsprogs"),
    ("mmdebstrap", "mmdebstrap"),
    (
        "/usr/share/keyrings/debian-archive-keyring.gpg",
        "debian-archive-keyring",
    ),
    ("perl", "perl-base"),
    ("gawk", "gawk"),
    ("mariadbd", "mariadb-server"),
    ("mariadb-install-db", "mariadb-server"),
    ("mariadb", "mariadb-client"),
    ("/usr/lib/galera/libgalera_smm.so", "galera-4"),
    ("rsync", "rsync"),
    ("psql", "postgresql-client"),
    ("/usr/lib/postgresql/*/bin/postgres", "postgresql"),
    ("openssl", "openssl"),
    ("/usr/share/zoneinfo/Asia/Kathmandu", "tzdata"),
    ("lintian", "lintian"),
    ("valgrind", "valgrind"),
];

/// The same for `cargo xtask deb`, and what sshmeter itself is built with.
const TO_PACK: &[(&str, &str)] = &[
    ("dpkg-shlibdeps", "dpkg-dev"),
    ("strip", "binutils"),
    ("xz", "xz-utils"),
    ("pkg-config", "pkg-config"),
    ("/usr/include/openssl/ssl.h", "libssl-dev"),
];

const SERVICES: [&str; 9] = [
    "ssh.service",
    "ssh.socket",
    "rsyslog.service",
    "ufw.service",
    "firewalld.service",
    "mariadb.service",
    "postgresql.service",
    "rsync.service",
    "vnstat.service",
];

/// What forbids a service to be started while this is there.
const POLICY: (&str, &str) = ("/usr/sbin/policy-rc.d", "#!/bin/sh\nexit 101\n");

/// What forbids Debian's PostgreSQL to make a first cluster of databases, which
/// it would start with the machine: the tests want its programs only.
const NO_CLUSTER: (&str, &str) = (
    "/etc/postgresql-common/createcluster.d/sshmeter-tests.conf",
    "create_main_cluster = false\n",
);

/// Installs what the tests need and is missing, where that can be done.
///
/// Where it cannot be done the tests that need it say so themselves.
pub fn install() -> Result<()> {
    install_for("the tests", &[NEEDED, TO_PACK].concat())
}

/// The same for what a package is made with.
pub fn install_to_pack() -> Result<()> {
    install_for("the package", TO_PACK)
}

/// Installs what is missing of this, where that can be done; says what it does.
/// Each is a file that is needed, and the package that brings it.
pub fn install_for(purpose: &str, needed: &[(&str, &'static str)]) -> Result<()> {
    let missing = missing(needed);
    if missing.is_empty() {
        return Ok(());
    }
    let list = missing.join(" ");
    if !rustix::process::geteuid().is_root() {
        eprintln!("not installed, and only root can install it: {list}");
        return Ok(());
    }
    if find("apt-get").is_none() {
        eprintln!("not installed, and there is no apt-get here to install it with: {list}");
        return Ok(());
    }
    eprintln!("installing for {purpose}, starting none of it: {list}");
    let before = present_services();
    let policies = [Policy::set(POLICY)?, Policy::set(NO_CLUSTER)?];
    apt(&["update", "-q"])?;
    let mut arguments = vec!["install", "-q", "-y", "--no-install-recommends"];
    arguments.extend(&missing);
    apt(&arguments)?;
    drop(policies);
    switch_off_all_but(&before);
    Ok(())
}

fn missing(needed: &[(&str, &'static str)]) -> Vec<&'static str> {
    let mut packages: Vec<&str> = needed
        .iter()
        .filter(|(file, _)| find(file).is_none())
        .map(|(_, package)| *package)
        .collect();
    packages.dedup();
    packages
}

/// Where a program, or a file given by its path, is.
pub fn find(name: &str) -> Option<PathBuf> {
    ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"]
        .into_iter()
        // Joined to a folder, an absolute path stays what it is.
        .map(|folder| Path::new(folder).join(name))
        .find_map(|path| existing(&path))
}

/// A file, where one folder of its path may be a `*`: any one that has it.
fn existing(path: &Path) -> Option<PathBuf> {
    let Some((folder, rest)) = path.to_str()?.split_once("/*/") else {
        return path.exists().then(|| path.to_owned());
    };
    fs::read_dir(folder)
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path().join(rest)))
        .find(|path| path.exists())
}

fn apt(arguments: &[&str]) -> Result<()> {
    let mut command = Command::new("apt-get");
    command
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null());
    succeed(
        &mut command,
        &format!("apt-get {} failed", arguments.join(" ")),
    )
}

fn present_services() -> Vec<&'static str> {
    SERVICES
        .into_iter()
        .filter(|service| {
            ["/lib/systemd/system", "/usr/lib/systemd/system"]
                .iter()
                .any(|folder| Path::new(folder).join(service).exists())
        })
        .collect()
}

fn switch_off_all_but(before: &[&str]) {
    for service in present_services() {
        if before.contains(&service) {
            continue;
        }
        let disabled = Command::new("systemctl")
            .args(["--quiet", "disable", service])
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .status();
        match disabled {
            Ok(status) if status.success() => {
                eprintln!("{service} is new here and switched off");
            }
            _ => eprintln!("{service} is new here and will run from the next start on"),
        }
    }
}

/// While this lives, packages' scripts find a file that forbids them something.
struct Policy {
    file: &'static Path,
    ours: bool,
    /// The folder, if it was made for the file and goes with it.
    folder: Option<&'static Path>,
}

impl Policy {
    fn set((file, content): (&'static str, &str)) -> Result<Self> {
        let file = Path::new(file);
        if file.exists() {
            // Somebody has a policy already, as containers do; it is theirs.
            return Ok(Self {
                file,
                ours: false,
                folder: None,
            });
        }
        let folder = file.parent().filter(|folder| !folder.exists());
        folder
            .map_or(Ok(()), fs::create_dir_all)
            .and_then(|()| fs::write(file, content))
            .and_then(|()| fs::set_permissions(file, fs::Permissions::from_mode(0o755)))
            .with_context(|| format!("{} cannot be written", file.display()))?;
        Ok(Self {
            file,
            ours: true,
            folder,
        })
    }
}

impl Drop for Policy {
    fn drop(&mut self) {
        if self.ours {
            let _ = fs::remove_file(self.file);
        }
        if let Some(folder) = self.folder {
            // Kept where a package has put something into it meanwhile.
            let _ = fs::remove_dir(folder);
        }
    }
}
