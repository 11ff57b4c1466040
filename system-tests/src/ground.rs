//! What the tests stand on: root, namespaces, and programs that are installed.
//!
//! A test that cannot run says so in one line that begins with `left out:`,
//! which `cargo xtask test` gathers; it never passes silently.

use std::{
    env,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
};

use crate::meter::Meter;

/// Where this is set, as in CI, a test that cannot run fails instead.
pub const MUST_RUN: &str = "SSHMETER_TESTS_MUST_RUN";

const PROGRAMS: [&str; 13] = [
    "bash",
    "unshare",
    "nsenter",
    "ip",
    "nft",
    "ethtool",
    "tcpdump",
    "sshd",
    "ssh",
    "ssh-keygen",
    "rsyslogd",
    "journalctl",
    "perl",
];

/// Debian's units and programs that a machine with systemd is made of.
const NEEDED_TO_BOOT: [&str; 5] = [
    "/usr/lib/systemd/systemd",
    "/lib/systemd/system/ssh.service",
    "/lib/systemd/system/dbus.service",
    "/usr/bin/setpriv",
    "/usr/bin/strace",
];

/// Why real machines cannot be made here, or nothing.
#[must_use]
pub fn missing() -> Option<&'static str> {
    static MISSING: OnceLock<Option<String>> = OnceLock::new();
    MISSING.get_or_init(find_missing).as_deref()
}

/// Whether the test called `name` can run here; says that it is left out if not.
#[must_use]
pub fn stands(name: &str) -> bool {
    stands_on(name, missing())
}

/// The same for a test that needs a machine with systemd.
#[must_use]
pub fn boots(name: &str) -> bool {
    static MISSING: OnceLock<Option<String>> = OnceLock::new();
    let missing = missing().or_else(|| MISSING.get_or_init(find_missing_to_boot).as_deref());
    stands_on(name, missing)
}

/// The same for a test in which this meter counts.
#[must_use]
pub fn counts_with(name: &str, meter: Meter) -> bool {
    let program = meter.xtables().filter(|program| !installed(program));
    if let Some(program) = program {
        return left_out(name, &format!("needs iptables: {program} is not installed"));
    }
    let missing = missing().map(str::to_owned).or_else(|| {
        let what = format!("rules of {meter:?}");
        tried(
            &what,
            &["--mount", "--net"],
            &format!("set -e; mount -t tmpfs run /run; {}", meter.trial()),
        )
    });
    stands_on(name, missing.as_deref())
}

/// The same for a test that needs further programs.
#[must_use]
pub fn stands_with(name: &str, programs: &[&str]) -> bool {
    let absent = programs.iter().find(|program| !installed(program));
    match absent {
        Some(program) => left_out(name, &format!("needs {program}: not installed")),
        None => stands(name),
    }
}

/// The same for a test that needs this, whose lack is told.
pub(crate) fn stands_on(name: &str, missing: Option<&str>) -> bool {
    missing.is_none_or(|reason| left_out(name, reason))
}

/// Says so; gives that the test cannot run.
pub(crate) fn left_out(name: &str, reason: &str) -> bool {
    assert!(
        env::var_os(MUST_RUN).is_none(),
        "{name} has to run ({MUST_RUN} is set), but {reason}"
    );
    say_left_out(name, reason)
}

/// Says so where nobody can promise what is missing, whatever has to run.
pub(crate) fn say_left_out(name: &str, reason: &str) -> bool {
    // Past the test runner's capture of `println!`, or nobody would see it.
    let line = format!("left out: {name} ({reason})\n");
    let _ = rustix::io::write(rustix::stdio::stderr(), line.as_bytes());
    false
}

/// The sshmeter to test: `SSHMETER_BIN`, else the one built beside this test.
///
/// # Panics
/// When there is none.
#[must_use]
pub fn binary() -> PathBuf {
    let path = env::var_os("SSHMETER_BIN").map_or_else(beside_this_test, PathBuf::from);
    assert!(
        path.is_file(),
        "{} is not there: build it with `cargo build` first, or run `cargo xtask test`, \
         which does, or point SSHMETER_BIN at one",
        path.display()
    );
    path
}

/// The Debian package to test, `SSHMETER_DEB`, or nothing: then it says that the
/// test called `name` is left out.
#[must_use]
pub fn package(name: &str) -> Option<PathBuf> {
    let path = env::var_os("SSHMETER_DEB").map(PathBuf::from);
    let path = path.filter(|path| path.is_file());
    if path.is_none() {
        left_out(
            name,
            "needs the Debian package: `cargo xtask deb` makes it, SSHMETER_DEB names it",
        );
    }
    path
}

fn beside_this_test() -> PathBuf {
    built().join("sshmeter")
}

/// The folder of what was built with this test.
pub(crate) fn built() -> PathBuf {
    let test = env::current_exe().expect("a running program has a path");
    // target/PROFILE/deps/TEST → target/PROFILE/sshmeter; xtask lies one higher.
    test.ancestors()
        .skip(1)
        .find(|folder| folder.file_name().is_some_and(|name| name != "deps"))
        .expect("a built program lies in a folder")
        .to_owned()
}

fn find_missing() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("needs root: network namespaces and a real sshd".to_owned());
    }
    let absent: Vec<&str> = PROGRAMS
        .into_iter()
        .filter(|program| !installed(program))
        .collect();
    if !absent.is_empty() {
        return Some(format!("needs {}: not installed", absent.join(", ")));
    }
    tried(
        "namespaces, overlay mounts and veth pairs",
        &["--mount", "--net", "--pid", "--uts", "--ipc", "--fork"],
        "mount -t tmpfs t /mnt && mkdir /mnt/u /mnt/w /mnt/r && mount -t overlay o -o lowerdir=/,upperdir=/mnt/u,workdir=/mnt/w /mnt/r && ip link add veth0 type veth peer name veth1",
    )
}

fn find_missing_to_boot() -> Option<String> {
    let absent: Vec<&str> = NEEDED_TO_BOOT
        .into_iter()
        .filter(|file| !Path::new(file).exists())
        .collect();
    if !absent.is_empty() {
        return Some(format!("needs {}: not installed", absent.join(", ")));
    }
    control_groups_missing()
}

/// Why no system of Debian can be booted here, or nothing.
pub(crate) fn missing_for_debian() -> Option<String> {
    missing()
        .map(str::to_owned)
        .or_else(control_groups_missing)
        .or_else(|| {
            let clock = ["--time", "--boottime", "-1", "--fork"];
            tried("clocks of their own", &clock, "true")
        })
}

fn control_groups_missing() -> Option<String> {
    tried(
        "control groups to be made (cgroup2, writable)",
        &["--mount", "--cgroup"],
        "mount -t cgroup2 t /mnt && mkdir /mnt/sshmeter-test-$$ && rmdir /mnt/sshmeter-test-$$",
    )
}

/// Why a script does not run in new namespaces, or nothing.
fn tried(what: &str, namespaces: &[&str], script: &str) -> Option<String> {
    let tried = Command::new("unshare")
        .args(namespaces)
        .args(["--", "bash", "-c", script])
        .stdin(Stdio::null())
        .output();
    match tried {
        Ok(output) if output.status.success() => None,
        Ok(output) => Some(format!(
            "needs a kernel that allows {what}: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        )),
        Err(error) => Some(format!("needs unshare: {error}")),
    }
}

/// Whether a program is on the path a machine will have.
pub(crate) fn installed(program: &str) -> bool {
    [
        "/usr/local/sbin",
        "/usr/local/bin",
        "/usr/sbin",
        "/usr/bin",
        "/sbin",
        "/bin",
    ]
    .iter()
    .any(|folder| PathBuf::from(folder).join(program).exists())
}
