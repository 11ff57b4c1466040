//! Data folders that nobody has used yet, made once and copied for each server.
//!
//! They lie beside what was built, named after the program that made them, so
//! that an upgrade of it makes new ones.

use std::{
    ffi::OsStr,
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

use super::{kind::Kind, text::succeed};
use crate::ground;

/// A file system in memory, and how much has to be free there, in bytes.
const MEMORY: &str = "/dev/shm";
const ENOUGH: u64 = 4 << 30;

/// What a server's folder is called, before the number of the test's process.
const NAME: &str = "sshmeter-database-";

/// Who the servers run as: PostgreSQL does not run as root, and rsync, which
/// Galera copies with, would write as nobody for it.
pub(super) const ACCOUNT: [&str; 6] = [
    "setpriv",
    "--reuid=nobody",
    "--regid=nogroup",
    "--clear-groups",
    "--inh-caps=-all",
    "--",
];

/// Puts a copy of a new data folder at `data`, which must not be there yet.
pub(super) fn copy_to(kind: &dyn Kind, data: &Path) {
    let kept = kept(kind);
    if !kept.exists() {
        make(kind, &kept);
    }
    copy(&kept, data);
}

/// A folder that the servers can enter: in memory where there is enough, since a
/// busy disk holds up every commit, and a server's death by SIGKILL cannot lose
/// what a file system has taken, whatever it is on.
pub(super) fn folder() -> TempDir {
    let place = place();
    remove_orphans(&place);
    folder_in(&place)
}

/// A folder that the servers can enter, below this one.
pub(super) fn folder_in(place: &Path) -> TempDir {
    let folder = tempfile::Builder::new()
        .prefix(&format!("{NAME}{}-", std::process::id()))
        .permissions(fs::Permissions::from_mode(0o755))
        .tempdir_in(place)
        .expect("a folder for a server");
    give(folder.path());
    folder
}

fn place() -> PathBuf {
    let free = rustix::fs::statvfs(MEMORY).map_or(0, |memory| memory.f_bavail * memory.f_bsize);
    if free >= ENOUGH {
        PathBuf::from(MEMORY)
    } else {
        std::env::temp_dir()
    }
}

/// Removes what tests have left that were killed and could not do so themselves.
fn remove_orphans(place: &Path) {
    for entry in fs::read_dir(place).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let test = name.to_str().and_then(|name| name.strip_prefix(NAME));
        let test = test.and_then(|rest| rest.split('-').next());
        if test.is_some_and(|test| !Path::new("/proc").join(test).exists()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// Makes a file or a folder the servers'.
pub(super) fn give(path: &Path) {
    succeed(
        Command::new("chown")
            .args(["-R", "nobody:nogroup"])
            .arg(path),
    );
}

fn kept(kind: &dyn Kind) -> PathBuf {
    let program = kind.program();
    let changed = fs::metadata(&program)
        .unwrap_or_else(|error| panic!("{}: {error}", program.display()))
        .mtime();
    let name = program.file_name().unwrap_or_default().to_string_lossy();
    ground::built()
        .join("databases")
        .join(format!("{name}-{changed}"))
}

fn make(kind: &dyn Kind, kept: &Path) {
    let work = folder();
    let data = work.path().join("data");
    let maker = kind.maker(&data);
    let account = kind.account().iter().map(OsStr::new);
    let mut words = account.chain([maker.get_program()]).chain(maker.get_args());
    let mut command = Command::new(words.next().expect("a program"));
    command.args(words).current_dir("/");
    succeed(&mut command);
    let beside = kept.parent().expect("a folder in a folder");
    fs::create_dir_all(beside).expect("a folder for data folders");
    let near = tempfile::tempdir_in(beside).expect("a folder beside it");
    let whole = near.path().join("data");
    copy(&data, &whole);
    let renamed = fs::rename(&whole, kept);
    // Another test may have been faster; its folder is as good.
    assert!(renamed.is_ok() || kept.exists(), "{renamed:?}");
}

fn copy(from: &Path, to: &Path) {
    succeed(
        Command::new("cp")
            .args(["--archive", "--reflink=auto", "--"])
            .args([from, to]),
    );
}
