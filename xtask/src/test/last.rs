//! What the last tests need: Debian systems, packages for them, the static release, and
//! the benches with what runs them.
//!
//! It takes minutes to make, and is needed by few. What cannot be had from the network
//! is said, and its tests say that they are left out; what cannot be built of it fails
//! the run.

use std::{
    path::PathBuf,
    process::{Command, Stdio},
    thread::{self, JoinHandle},
};

use anyhow::Result;
use xtask::{
    build,
    debian::{Release, build_image, system_image},
    tool::{self, GUNGRAUN_RUNNER},
};

use super::LAST;
use crate::{busybox, deb, tarball};

/// What the last tests need, as far as this machine can make it.
pub(super) struct Last {
    on_debian: bool,
    instructions: bool,
    tarball: bool,
}

impl Last {
    /// What these tests need. What is installed for it is installed now, since the
    /// machines of other tests see this one's files.
    pub(super) fn of(tests: &[&str]) -> Self {
        let [on_debian, instructions, tarball] = LAST.map(|test| tests.contains(&test));
        if tarball {
            busybox::unpack();
        }
        Self {
            on_debian,
            instructions,
            tarball: tarball && made("the static release", tarball::have_tools()).is_some(),
        }
    }

    /// Makes it of the time that nobody else wants; gives whether all could be made
    /// that the network allows.
    pub(super) fn make_beside(self) -> JoinHandle<bool> {
        thread::spawn(move || {
            yield_to_all_others();
            self.make()
        })
    }

    /// The same at once. This machine's own package is not among it.
    pub(super) fn make(self) -> bool {
        let debian = !self.on_debian || make_debian();
        let tarball = !self.tarball || made("the static release", tarball::make()).is_some();
        let benches = !self.instructions || make_benches();
        debian && tarball && benches
    }
}

fn make_benches() -> bool {
    let ours = || made("what runs the benches", tool::installed(&GUNGRAUN_RUNNER));
    let runner = tool::named_runner().or_else(ours);
    let build = |runner: &PathBuf| {
        let mut benches = build::instructions(runner);
        build::succeed(benches.arg("--no-run"), "they did not build")
    };
    runner.is_none_or(|runner| made("the benches", build(&runner)).is_some())
}

fn make_debian() -> bool {
    for release in Release::ALL {
        made(&format!("a system of {release}"), system_image(release));
    }
    let others = Release::packaged().into_iter();
    let mut others = others.filter(|release| !release.is_of_this_machine());
    others.all(|release| {
        let site = format!("a system to build for {release}");
        let package = format!("the package for {release}");
        made(&site, build_image(release)).is_none()
            || made(&package, deb::make(Some(release), 1)).is_some()
    })
}

/// Says what could not be made. The tests that need it are left out, and say so too.
pub(super) fn made<T>(what: &str, result: Result<T>) -> Option<T> {
    result
        .inspect_err(|error| eprintln!("{what} cannot be made: {error:#}"))
        .ok()
}

/// This thread, and what it starts, run only while nobody else would (`SCHED_IDLE`,
/// sched(7)). Where that cannot be had, they run all the same.
fn yield_to_all_others() {
    let own = rustix::thread::gettid().as_raw_nonzero().to_string();
    let _ = Command::new("chrt")
        .args(["--idle", "--pid", "0", &own])
        .stdin(Stdio::null())
        .status();
}
