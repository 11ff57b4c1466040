//! A machine whose first process is systemd, as on a Debian system: its own
//! journald, logind, D-Bus and `ssh.service`, as their packages bring them.
//!
//! systemd gets a pid namespace of its own below the keeper's, and a control
//! group below the one that the test runs in. When the pipe from the test
//! closes, the keeper kills it, which kills all it started, and removes the
//! group: on a control group nothing else would.
//!
//! What is mounted there is shared with what systemd starts, as everywhere: it
//! hands credentials over by a mount.
//!
//! Nothing of this machine's administrator is started, and nothing that would
//! reach what namespaces do not part: the kernel's settings, modules and clock.

use std::time::Duration;

use crate::{keeper::Keeper, wait_for};

/// Units that would be started, and have no business in a throwaway machine.
const MASKED: &str = "dev-hugepages.mount dev-mqueue.mount sys-fs-fuse-connections.mount \
    sys-kernel-config.mount sys-kernel-debug.mount sys-kernel-tracing.mount \
    systemd-binfmt.service systemd-journald-audit.socket systemd-modules-load.service \
    systemd-pstore.service systemd-random-seed.service systemd-remount-fs.service \
    systemd-resolved.service systemd-sysctl.service systemd-timesyncd.service \
    systemd-udevd.service systemd-udev-trigger.service systemd-update-utmp.service";

/// What is started beside the basic system. Without systemd-user-sessions
/// nobody but root may log in (`pam_nologin(8)`).
const STARTED: &str = "dbus.service ssh.service systemd-logind.service \
    systemd-user-sessions.service";

/// Rights over things that the machine shares with this one.
const TAKEN_AWAY: &str = "-sys_module,-sys_rawio,-sys_time,-syslog";

/// Runs a script that makes a root file system and goes into it, then boots it.
pub(crate) fn boot(root_script: &str) -> Keeper {
    let server = Keeper::start(&format!("{root_script}\n{}", script())).stepped_inside();
    let limit = Duration::from_secs(30);
    wait_for("systemd to have booted", limit, || {
        let state = server.output("systemctl", &["is-active", "machine.target"]);
        (state.stdout == b"active\n").then_some(())
    });
    server
}

fn script() -> String {
    format!(
        "rm -rf /etc/systemd/system /etc/fstab /run/systemd
        mkdir /etc/systemd/system; touch /etc/fstab
        for unit in {MASKED}; do ln -s /dev/null /etc/systemd/system/$unit; done
        printf '[Unit]\\nRequires=basic.target\\nWants={STARTED}\\nAfter=basic.target {STARTED}\\n' \
            >/etc/systemd/system/machine.target
        umount /sys/fs/cgroup; mount -t cgroup2 cgroup2 /sys/fs/cgroup
        own=$(sed -n s/^0:://p /proc/self/cgroup)
        group=/sys/fs/cgroup${{own%/}}/sshmeter-test-$(cat /proc/sys/kernel/random/uuid)
        mkdir $group
        remove_group() {{ find $group -depth -type d -exec rmdir {{}} +; }}
        trap remove_group EXIT
        (
            echo $BASHPID >$group/cgroup.procs
            exec unshare --mount --pid --cgroup --fork --mount-proc -- /bin/bash -euc '
                umount /sys/fs/cgroup; mount -t cgroup2 cgroup2 /sys/fs/cgroup
                mount --bind /proc/sys /proc/sys
                mount --bind /proc/sys/net /proc/sys/net
                mount -o remount,bind,ro /proc/sys
                mount --make-rshared /
                exec env container=sshmeter-test setpriv --bounding-set={TAKEN_AWAY} \
                    /usr/lib/systemd/systemd --unit=machine.target'
        ) </dev/null >/run/boot.words 2>&1 &
        echo ready
        exec >/dev/null 2>&1
        cat
        kill -KILL $(cat /proc/$!/task/$!/children)
        wait $! || true"
    )
}
