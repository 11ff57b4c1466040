//! A machine whose first process is systemd, as on a Debian system: its own
//! journald, logind, D-Bus and `ssh.service`, as their packages bring them.
//!
//! systemd gets a pid namespace of its own below the keeper's, and a control
//! group below the one that the test runs in. When the pipe from the test
//! closes, the keeper kills it, which kills all it started, and removes the
//! group: on a control group nothing else would. At a line that comes through the
//! pipe the keeper boots it again.
//!
//! What is mounted there is shared with what systemd starts, as everywhere: it
//! hands credentials over by a mount.
//!
//! Nothing of this machine's administrator is started, and nothing that would
//! reach what namespaces do not part: the kernel's settings, modules and clock.

use std::time::Duration;

use crate::{keeper::Keeper, wait_for};

/// Whose units are started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Boot {
    /// Those of this machine's packages that a test needs.
    ThisMachine,
    /// All that a Debian system of its own starts. Each boot has a new network,
    /// a new `/run`, a clock that begins and an id.
    Debian,
}

/// Units that would be started, and have no business in a throwaway machine.
const MASKED: &str = "dev-hugepages.mount dev-mqueue.mount sys-fs-fuse-connections.mount \
    sys-kernel-config.mount sys-kernel-debug.mount sys-kernel-tracing.mount \
    systemd-binfmt.service systemd-journald-audit.socket systemd-modules-load.service \
    systemd-pstore.service systemd-random-seed.service systemd-remount-fs.service \
    systemd-resolved.service systemd-sysctl.service systemd-timesyncd.service \
    systemd-udevd.service systemd-udev-trigger.service systemd-update-utmp.service";

/// Those of them that reach past the namespaces, or cannot: the rest is as on
/// any system.
const MASKED_ON_DEBIAN: &str = "sys-fs-fuse-connections.mount sys-kernel-config.mount \
    sys-kernel-debug.mount sys-kernel-tracing.mount systemd-journald-audit.socket \
    systemd-modules-load.service systemd-sysctl.service";

/// What is started beside the basic system. Without systemd-user-sessions
/// nobody but root may log in (`pam_nologin(8)`).
const STARTED: &str = "dbus.service ssh.service systemd-logind.service \
    systemd-user-sessions.service";

/// Rights over things that the machine shares with this one.
const TAKEN_AWAY: &str = "-sys_module,-sys_rawio,-sys_time,-syslog";

/// What systemd is told to reach on a [`Boot::ThisMachine`].
const TARGET: &str = "machine.target";

/// What the files of a [`Boot::ThisMachine`] are changed to.
const THIS_MACHINE: &str = "rm -rf /etc/systemd/system /etc/fstab /run/systemd
    mkdir /etc/systemd/system; touch /etc/fstab";

/// What a boot of a Debian system begins with, in its namespaces. Its id is the
/// kernel's to everybody who asks in the usual place; a service whose /proc is
/// protected is given one of its own by systemd, and so has to be told again.
const NEW_BOOT: &str = r#"mount -t tmpfs -o mode=755 run /run
    mkdir -p /run/systemd/system/sshmeter.service.d
    for unit in $MASKED; do ln -s /dev/null /run/systemd/system/$unit; done
    cat /proc/sys/kernel/random/uuid >/run/boot_id
    printf "[Service]\nBindReadOnlyPaths=/run/boot_id:/proc/sys/kernel/random/boot_id\n" \
        >/run/systemd/system/sshmeter.service.d/boot.conf"#;
const NEW_BOOT_ID: &str = "mount --bind /run/boot_id /proc/sys/kernel/random/boot_id";

/// A network of its own, and clocks that began with the boot.
const NEW_NAMESPACES: &str = "--net --time --boottime -$uptime --monotonic -$uptime";

impl Boot {
    fn files(self) -> String {
        match self {
            Self::ThisMachine => format!(
                "{THIS_MACHINE}
                for unit in {MASKED}; do ln -s /dev/null /etc/systemd/system/$unit; done
                printf '[Unit]\\nRequires=basic.target\\nWants={STARTED}\\nAfter=basic.target {STARTED}\\n' \
                    >/etc/systemd/system/{TARGET}"
            ),
            Self::Debian => format!("export MASKED={MASKED_ON_DEBIAN:?}"),
        }
    }

    fn target(self) -> &'static str {
        match self {
            Self::ThisMachine => TARGET,
            Self::Debian => "multi-user.target",
        }
    }

    /// What `unshare` gives it, what is run there, and what after /proc/sys is its own.
    fn parts(self) -> [&'static str; 3] {
        match self {
            Self::ThisMachine => ["", "true", "true"],
            Self::Debian => [NEW_NAMESPACES, NEW_BOOT, NEW_BOOT_ID],
        }
    }

    fn script(self) -> String {
        let (files, target) = (self.files(), self.target());
        let [namespaces, begin, id] = self.parts();
        format!(
            "{files}
            umount /sys/fs/cgroup; mount -t cgroup2 cgroup2 /sys/fs/cgroup
            own=$(sed -n s/^0:://p /proc/self/cgroup)
            group=/sys/fs/cgroup${{own%/}}/sshmeter-test-$(cat /proc/sys/kernel/random/uuid)
            mkdir $group
            remove_group() {{ find $group -depth -type d -exec rmdir {{}} +; }}
            trap remove_group EXIT
            boot() {{
                cell=$group/$(cat /proc/sys/kernel/random/uuid)
                uptime=$(cut -d. -f1 /proc/uptime)
                mkdir $cell
                (
                    echo $BASHPID >$cell/cgroup.procs
                    exec unshare --mount --pid --cgroup {namespaces} --fork --mount-proc -- /bin/bash -euc '
                        umount /sys/fs/cgroup; umount /sys; mount -t sysfs sysfs /sys
                        mount -t cgroup2 cgroup2 /sys/fs/cgroup
                        {begin}
                        mount --bind /proc/sys /proc/sys
                        mount --bind /proc/sys/net /proc/sys/net
                        {id}
                        mount -o remount,bind,ro /proc/sys
                        mount --make-rshared /
                        exec env container=sshmeter-test setpriv --bounding-set={TAKEN_AWAY} \
                            /lib/systemd/systemd --unit={target}'
                ) </dev/null >/run/boot.words 2>&1 &
                booted=$!
            }}
            end() {{
                kill -KILL $(cat /proc/$booted/task/$booted/children) || true
                wait $booted || true
            }}
            boot
            echo ready
            exec >/dev/null 2>&1
            while read -r; do end; boot; done
            end"
        )
    }

    /// Waits until systemd has started all that it was told to.
    pub(crate) fn wait_until_done(self, server: &Keeper) {
        let limit = Duration::from_secs(60);
        wait_for("systemd to have booted", limit, || {
            let state = server.output("systemctl", &["is-active", self.target()]);
            (state.stdout == b"active\n").then_some(())
        });
    }
}

/// Runs a script that makes a root file system and goes into it, then boots it.
pub(crate) fn boot(root_script: &str, boot: Boot) -> Keeper {
    let server = Keeper::start(&format!("{root_script}\n{}", boot.script())).stepped_inside();
    boot.wait_until_done(&server);
    server
}
