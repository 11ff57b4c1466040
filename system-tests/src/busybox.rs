//! A Linux whose whole user land is busybox: its init, its syslogd, its shell and
//! its tar, no systemd, no journal. dropbear is its SSH server, with the few
//! libraries it needs in a folder of its own that nothing else looks into.
//!
//! It has processes, a root file system and a host name of its own, in memory, and
//! the network of a [`Machine`] without sshd: so wire, client and capture are that
//! machine's. sshmeter comes from the release's archive by its own install.sh.

use std::{
    path::{Path, PathBuf},
    process::Output,
    time::Duration,
};

use crate::{
    daemon::Answer,
    ground,
    judge::Running,
    keeper::{HOLD, Keeper, Network},
    machine::Machine,
    service::commands,
    users::{script, standard_users},
    wait_for,
};

/// What it is run by.
const RESPAWNED: &str = "::respawn:/usr/local/bin/sshmeter run";

const DOCUMENT: &str = include_str!("../../docs/install.md");
const CHAPTER: &str = "Other Linuxes";

const PATIENCE: Duration = Duration::from_secs(20);

/// Such a system, running, with sshmeter's archive in /root.
#[derive(Debug)]
pub struct Busybox {
    keeper: Keeper,
    answer: Answer,
}

/// Whether a test can have one, and the static release to install; says that it is
/// left out if not.
#[must_use]
pub fn stands_on_busybox(name: &str) -> bool {
    ground::stands_with(name, &["dropbear", "dropbearkey"])
        && there(name, "busybox", &busybox())
        && has_release(name)
}

/// Whether there is a static release, as a test of it needs; says that it is left
/// out if not.
#[must_use]
pub fn has_release(name: &str) -> bool {
    there(name, "the static release", &release())
}

/// What `cargo xtask test` brings by the network may be missing without it.
fn there(name: &str, what: &str, path: &Path) -> bool {
    let why = || {
        format!(
            "needs {what}, which `cargo xtask test` puts at {}",
            path.display()
        )
    };
    path.exists() || ground::say_left_out(name, &why())
}

/// The static release's archive that was made beside this test.
///
/// # Panics
/// When the test was not built by cargo.
#[must_use]
pub fn release() -> PathBuf {
    let name = concat!(
        "tarball/sshmeter-",
        env!("CARGO_PKG_VERSION"),
        "-x86_64-linux-static.tar.gz"
    );
    target().join(name)
}

/// A busybox that needs no library.
fn busybox() -> PathBuf {
    target().join("busybox/bin/busybox")
}

/// Cargo's folder of all that is built.
fn target() -> PathBuf {
    let built = ground::built();
    let target = built.parent();
    target
        .expect("what was built lies in cargo's folder")
        .to_owned()
}

impl Busybox {
    /// Boots one on a machine's network; sshmeter is not installed yet.
    ///
    /// # Panics
    /// When it does not come up.
    #[must_use]
    pub fn boot(machine: &Machine) -> Self {
        let users = script(&standard_users(), &machine.client().public_keys());
        let root = root_script(&users);
        // busybox's first process is another's child, so that this script can go on.
        let boot = "unshare --mount --pid --fork sh -c 'mount -t proc proc /proc; exec init' \
                    </dev/null >/run/init.words 2>&1 &";
        let keeper = Keeper::start_on(
            Network::Of(machine.server().leader()),
            &format!("{root}\n{boot}\n{HOLD}"),
        )
        .stepped_inside();
        machine.wait_for_port(22);
        let answer = Answer::of(&keeper, &[]);
        Self { keeper, answer }
    }

    /// The commands that ask its ledger.
    #[must_use]
    pub fn ask(&self) -> &Answer {
        &self.answer
    }

    /// All that its first process and what that runs have said.
    #[must_use]
    pub fn words(&self) -> String {
        self.keeper.run("cat", &["/run/init.words"])
    }

    /// Runs a script by busybox's shell, which has to succeed.
    pub fn shell(&self, script: &str) -> String {
        self.keeper.run("/bin/sh", &["-euc", script])
    }

    /// Unpacks the release and runs its install.sh, by the document's own commands and
    /// with these arguments, and gives what came of it.
    #[must_use]
    pub fn install_sh(&self, arguments: &str) -> Output {
        let commands: Vec<&str> = commands(DOCUMENT, CHAPTER).collect();
        let commands = commands.join("\n");
        let script = format!(
            "cd /root; rm -rf sshmeter-*/\n{} {arguments}",
            commands.trim_end()
        );
        self.keeper.output("/bin/sh", &["-euc", &script])
    }

    /// Has init run sshmeter from now on, and waits until it counts.
    pub fn add_to_inittab(&self) {
        assert!(DOCUMENT.contains(RESPAWNED), "it is told otherwise");
        let words = self.words();
        self.shell(&format!("echo '{RESPAWNED}' >>/etc/inittab; kill -HUP 1"));
        self.wait_until_it_counts(&words);
    }

    /// Has init run it no more, and waits until it has ended.
    pub fn take_out_of_inittab(&self) {
        self.shell("sed -i /sshmeter/d /etc/inittab; kill -HUP 1");
        wait_for("sshmeter's end", PATIENCE, || {
            self.id().is_none().then_some(())
        });
    }

    /// Ends it by a signal, and waits until init has started it again and it counts.
    ///
    /// # Panics
    /// When it does not run.
    pub fn start_again_by(&self, signal: &str) {
        let words = self.words();
        let old = self.id().expect("it runs");
        self.shell(&format!("kill -{signal} {old}"));
        self.wait_until_it_counts(&words);
        assert_ne!(self.id(), Some(old));
    }

    /// What it is, as the system's processes know it.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        let output = self.keeper.output("pidof", &["sshmeter"]);
        String::from_utf8_lossy(&output.stdout).trim().parse().ok()
    }

    fn wait_until_it_counts(&self, before: &str) {
        wait_for("sshmeter to count", PATIENCE, || {
            let words = self.words();
            let new = words.strip_prefix(before).unwrap_or_default();
            assert!(!new.contains("error: "), "it does not start:\n{new}");
            new.contains("meter: sockdiag").then_some(())
        });
    }
}

impl Running for &Busybox {
    fn answer(&self) -> &Answer {
        self.ask()
    }

    fn said(&self) -> String {
        self.words()
    }

    fn end(self) -> Answer {
        self.take_out_of_inittab();
        self.answer.clone()
    }
}

/// Makes the root file system and goes into it. Users' shell is busybox's.
fn root_script(users: &str) -> String {
    let (busybox, release) = (busybox(), release());
    let (busybox, release) = (busybox.display(), release.display());
    format!(
        "set -eu; exec 2>&1
        mount --make-rprivate /
        hostname busybox
        mount -t tmpfs -o mode=755,size=1g busybox /mnt
        cd /mnt
        mkdir -p bin sbin usr/bin usr/sbin dev/pts etc/dropbear home lib64 old opt/dropbear \\
            proc root run sys tmp var/log
        chmod 1777 tmp
        cp {busybox} bin/busybox
        chroot . /bin/busybox --install -s
        cp -L /lib64/ld-linux-x86-64.so.2 lib64
        cp -L $(ldd $(command -v dropbear) | sed -n 's/.* => \\(\\/[^ ]*\\).*/\\1/p') opt/dropbear
        cp $(command -v dropbear) opt/dropbear/dropbear
        dropbearkey -t ed25519 -f etc/dropbear/dropbear_ed25519_host_key >/dev/null 2>&1
        cp {release} root
        for node in null zero full random urandom tty; do
            touch dev/$node; mount --bind /dev/$node dev/$node
        done
        mount -t devpts -o newinstance,ptmxmode=666,mode=620 devpts dev/pts
        ln -s pts/ptmx dev/ptmx
        mount -t sysfs sysfs sys
        printf 'root:x:0:0::/root:/bin/sh\\n' >etc/passwd; touch etc/shadow
        {users}
        sed -i s:/bin/bash:/bin/sh: etc/passwd
        cat >etc/inittab <<'END'
::respawn:/sbin/syslogd -n
::respawn:/usr/bin/env LD_LIBRARY_PATH=/opt/dropbear /opt/dropbear/dropbear -F
END
        pivot_root . old; umount -l old; cd /; hash -r"
    )
}
