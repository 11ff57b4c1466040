//! apt on a machine, with the package and what a rebuild of it would be.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use tempfile::TempDir;

use crate::{client::Visit, machine::Machine};

/// Where a machine has the packages.
const PLACE: &str = "/srv/packages";

/// The package as it was made.
const FIRST: &str = "first.deb";
/// The same, as if it was built anew.
const SECOND: &str = "second.deb";

/// Both packages, for one machine.
#[derive(Debug)]
pub struct Apt {
    folder: TempDir,
}

impl Apt {
    /// Copies the package, and makes the other one of it.
    ///
    /// # Panics
    /// When dpkg-deb fails.
    #[must_use]
    pub fn with(package: &Path) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let script = format!(
            "cp $PACKAGE {FIRST}; dpkg-deb --raw-extract {FIRST} tree
            sed -i '/^Version: / s/-[0-9]*/-99/' tree/DEBIAN/control
            dpkg-deb --root-owner-group -Znone --build tree {SECOND} >/dev/null
            rm -r tree; chmod 755 ."
        );
        let made = Command::new("bash")
            .args(["-euc", &script])
            .current_dir(folder.path())
            .env("PACKAGE", package)
            .status();
        assert!(made.is_ok_and(|status| status.success()), "no packages");
        Self { folder }
    }

    /// The folder of both, and where a machine has to have it.
    #[must_use]
    pub fn folder(&self) -> (&Path, &'static str) {
        (self.folder.path(), PLACE)
    }

    /// Installs the package as it was made.
    pub fn install(&self, machine: &Machine) {
        // Containers have a policy that forbids services to be started; and an index
        // of all of this machine's man pages would take longer than all the rest.
        machine
            .server()
            .shell("rm -f /usr/sbin/policy-rc.d /var/lib/man-db/auto-update");
        let package = format!("{PLACE}/{FIRST}");
        machine
            .server()
            .run("apt-get", &arguments(&["install", &package]));
    }

    /// Installs the rebuilt one, with people who come and go all the while.
    ///
    /// # Panics
    /// When it cannot be installed.
    #[must_use]
    pub fn upgrade(&self, machine: &Machine) -> Vec<Visit> {
        let package = format!("{PLACE}/{SECOND}");
        let mut command = machine.server().command("apt-get");
        command.args(arguments(&["install", &package]));
        command.env("DEBIAN_FRONTEND", "noninteractive");
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let mut upgrade = command.spawn().expect("apt-get can be started");
        let mut visits = Vec::new();
        let status = loop {
            visits.push(machine.client().visit("bob").run("head -c 10000 /dev/zero"));
            if let Some(status) = upgrade.try_wait().expect("apt-get can be waited for") {
                break status;
            }
        };
        assert!(status.success(), "the upgrade failed: {status}");
        visits
    }

    /// Removes the package, and keeps what is the administrator's.
    pub fn remove(&self, machine: &Machine) {
        machine
            .server()
            .run("apt-get", &arguments(&["remove", "sshmeter"]));
    }

    /// Removes all of it.
    pub fn purge(&self, machine: &Machine) {
        machine
            .server()
            .run("apt-get", &arguments(&["purge", "sshmeter"]));
    }
}

/// Nobody answers questions, and no other package is asked for: there is no network
/// that it could come from.
fn arguments<'a>(what: &[&'a str]) -> Vec<&'a str> {
    let always = ["-qq", "-y", "--no-install-recommends", "--allow-downgrades"];
    [what, &always].concat()
}
