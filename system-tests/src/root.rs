//! A machine's root file system: this machine's or a Debian release's, seen through
//! an overlay whose writes go to memory, with what a test wants to be different.
//!
//! Each function gives lines of a script that is run in the machine's future root
//! folder, before the machine goes into it.

use std::{fmt::Write as _, path::Path};

use crate::{
    ground,
    machine::{First, MachineBuilder},
    meter::Meter,
    service,
    users::{quoted, script as users_script},
};

/// Debian's own defaults, and no limit that many logins at once would meet.
const SSHD_CONFIG: &str = "UsePAM yes\nKbdInteractiveAuthentication no\nPrintMotd no\n\
    PermitRootLogin yes\nMaxStartups 500\nMaxSessions 100\n";

/// Where dropbear listens on the systems that have it.
const DROPBEAR_PORT: u16 = 2222;

/// The script that makes it and goes into it.
pub(crate) fn script(machine: &MachineBuilder, public_keys: &[String]) -> String {
    let (lower, own) = match &machine.first {
        First::Debian(image) => (image.as_path(), of_debian(machine)),
        First::Keeper | First::Systemd => (Path::new("/"), of_this_machine(machine)),
    };
    let lower = quoted(&lower.to_string_lossy());
    let users = users_script(&machine.users, public_keys);
    let shared = shared(machine);
    format!(
        "set -eu; exec 2>&1
        mount --make-rprivate /
        hostname meter
        mount -t tmpfs -o mode=755,size=2g machine /mnt
        mkdir /mnt/upper /mnt/work /mnt/root
        mount -t overlay -o lowerdir={lower},upperdir=/mnt/upper,workdir=/mnt/work machine /mnt/root
        cd /mnt/root
        mount -t proc proc proc
        mount -t sysfs sysfs sys
        mount -t cgroup2 -o ro cgroup2 sys/fs/cgroup
        mount -t tmpfs -o mode=755 dev dev
        for node in null zero full random urandom tty; do
            touch dev/$node; mount --bind /dev/$node dev/$node
        done
        mkdir dev/pts dev/shm
        mount -t devpts -o newinstance,ptmxmode=666,mode=620 devpts dev/pts
        ln -s pts/ptmx dev/ptmx; ln -s /proc/self/fd dev/fd
        ln -s fd/0 dev/stdin; ln -s fd/1 dev/stdout; ln -s fd/2 dev/stderr
        {own}
        {shared}
        {users}
        pivot_root . mnt; umount -l mnt; cd /; hash -r
        ip link set lo up"
    )
}

/// Nothing of this machine's administrator is left, and nothing that it logs or
/// keeps in memory.
fn of_this_machine(machine: &MachineBuilder) -> String {
    let binary = machine.binary.clone().unwrap_or_else(ground::binary);
    let binary = quoted(&binary.to_string_lossy());
    let place = match machine.first {
        First::Keeper => "usr/bin/sshmeter",
        _ => service::BUILT,
    };
    let ledger = machine.ledger_folder.as_ref().map(|folder| {
        let folder = quoted(&folder.to_string_lossy());
        format!("mkdir -p var/lib/sshmeter; mount --bind {folder} var/lib/sshmeter")
    });
    let ledger = ledger.unwrap_or_default();
    let config = config(machine);
    let sshd_config = quoted(&sshd_config(machine));
    format!(
        "mkdir -p $(dirname {place})
        touch {place}; mount --bind {binary} {place}
        mount -t tmpfs -o mode=755 run run
        mkdir -p run/sshd run/lock run/systemd/journal
        mount -t tmpfs -o mode=1777 tmp tmp
        mount -t tmpfs -o mode=755 log var/log
        mount -t tmpfs -o mode=755 home home
        touch var/log/lastlog var/log/wtmp var/log/btmp
        rm -rf etc/sshmeter var/lib/sshmeter etc/ssh etc/nologin etc/machine-id
        mkdir -p etc/ssh
        tr -d - </proc/sys/kernel/random/uuid >etc/machine-id
        {ledger}
        {config}
        printf %s {sshd_config} >etc/ssh/sshd_config
        ssh-keygen -q -t ed25519 -N '' -f etc/ssh/ssh_host_ed25519_key"
    )
}

/// All is as its packages have it, but for what no test could do without: limits
/// that many logins at once would meet, and a second server that would want
/// sshd's port.
fn of_debian(machine: &MachineBuilder) -> String {
    let sshd_config = quoted(&format!("{}{SSHD_CONFIG}", machine.sshd_lines));
    format!(
        "echo meter >etc/hostname
        tr -d - </proc/sys/kernel/random/uuid >etc/machine-id
        printf %s {sshd_config} >etc/ssh/sshd_config.d/test.conf
        if [ -e etc/default/dropbear ]; then
            echo DROPBEAR_PORT={DROPBEAR_PORT} >>etc/default/dropbear
        fi"
    )
}

fn shared(machine: &MachineBuilder) -> String {
    let mut script = String::new();
    for (folder, inside) in &machine.shared {
        let (folder, inside) = (quoted(&folder.to_string_lossy()), quoted(inside));
        // Writing to a String cannot fail.
        let _infallible = writeln!(
            script,
            "mkdir -p .{inside}; mount --bind {folder} .{inside}"
        );
    }
    script
}

fn config(machine: &MachineBuilder) -> String {
    if machine.meter == Meter::Sockdiag && machine.meter_lines.is_empty() {
        return String::new();
    }
    let config = quoted(&machine.meter.config(&machine.meter_lines));
    format!(
        "{}
        mkdir etc/sshmeter; printf %s {config} >etc/sshmeter/config.toml",
        machine.meter.script()
    )
}

fn sshd_config(machine: &MachineBuilder) -> String {
    let ports: String = machine
        .ports
        .iter()
        .map(|port| format!("Port {port}\n"))
        .collect();
    format!(
        "{ports}{}HostKey /etc/ssh/ssh_host_ed25519_key\n{SSHD_CONFIG}\
         Subsystem sftp internal-sftp\n",
        machine.sshd_lines
    )
}
