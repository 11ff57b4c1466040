//! `cargo xtask test`: every test there is, and a plain word about those left out.
//!
//! What is made for people to install, and Debian systems to install it on, take
//! minutes to make and only a few tests need them. So they are made while the other
//! tests run, of the time that these leave, and their own tests come last.

mod last;
mod tally;

use std::{env, path::PathBuf, process::Command, thread};

use anyhow::{Result, ensure};
use xtask::{
    build, packages,
    tool::{self, GUNGRAUN_RUNNER, RUNNER_VARIABLE},
};

use self::{
    last::{Last, made},
    tally::Tally,
};
use crate::{deb, mysql};

/// How many tests run at once (the standard test harness reads it).
const THREADS: &str = "RUST_TEST_THREADS";

/// The tests that come last: system-tests' `Cargo.toml` leaves them out of others.
pub(crate) const LAST: [&str; 3] = ["debian", "instructions", "tarball"];

/// Those that need the Debian package of this machine's release.
const OF_PACKAGE: [&str; 3] = ["debian", "docs", "package"];

/// Installs, builds, tests and sums up.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    packages::install()?;
    mysql::unpack();
    let mut tally = Tally::default();
    let (named, is_whole) = (named(arguments), is_whole(arguments));
    let last: Vec<&str> = if is_whole {
        LAST.to_vec()
    } else {
        named.clone()
    };
    let last = Last::of(&last);
    let tests = Tests {
        arguments,
        sshmeter: build::sshmeter()?,
        package: (is_whole || named.iter().any(|test| OF_PACKAGE.contains(test)))
            .then(|| made("the Debian package", deb::make(None, 1)))
            .flatten(),
    };
    let (success, is_made) = if is_whole {
        let beside = last.make_beside();
        let first = tally.follow(&mut tests.all())?;
        ensure!(tally.passed > 0, "cargo test ran no test");
        // A thread that panicked has said so.
        let is_made = beside.join().unwrap_or(false);
        (tally.follow(&mut tests.of(&LAST))? && first, is_made)
    } else {
        let is_made = last.make();
        (tally.follow(&mut tests.all())?, is_made)
    };
    println!("{}", tally.summary());
    ensure!(tally.failed == 0, "tests failed");
    ensure!(success, "cargo test failed");
    ensure!(is_made, "what tests need could not be made");
    Ok(())
}

/// Whether the arguments choose no tests.
fn is_whole(arguments: &[String]) -> bool {
    arguments.first().is_none_or(|first| first == "--")
}

/// The test programs that the arguments name.
fn named(arguments: &[String]) -> Vec<&str> {
    let pairs = arguments.windows(2).filter(|pair| pair[0] == "--test");
    let apart = pairs.map(|pair| pair[1].as_str());
    let joined = arguments.iter().filter_map(|it| it.strip_prefix("--test="));
    apart.chain(joined).collect()
}

/// What is the same for all runs of `cargo test`.
struct Tests<'a> {
    arguments: &'a [String],
    sshmeter: PathBuf,
    package: Option<PathBuf>,
}

impl Tests<'_> {
    /// All that the arguments let run.
    fn all(&self) -> Command {
        self.of(&[])
    }

    /// Those in these programs.
    fn of(&self, programs: &[&str]) -> Command {
        let mut tests = build::cargo();
        tests.args(["test", "--workspace", "--no-fail-fast"]);
        for program in programs {
            tests.args(["--test", program]);
        }
        tests
            .args(self.arguments)
            .env("SSHMETER_BIN", &self.sshmeter);
        if let Some(package) = &self.package {
            tests.env("SSHMETER_DEB", package);
        }
        if let Some(runner) = tool::named_runner().or_else(|| tool::present(&GUNGRAUN_RUNNER)) {
            tests.env(RUNNER_VARIABLE, runner);
        }
        if env::var_os(THREADS).is_none() {
            tests.env(THREADS, threads().to_string());
        }
        tests
    }
}

/// More than there are processors: most of a story's time is waiting, for a minute's
/// end, a time-out, or a server that starts.
fn threads() -> usize {
    let processors = thread::available_parallelism().map_or(1, usize::from);
    processors + processors.div_ceil(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_tests_come_with_all_or_by_their_name() {
        let chosen = |arguments: &[&str]| {
            let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
            let named: Vec<String> = named(&arguments).into_iter().map(str::to_owned).collect();
            (is_whole(&arguments), named)
        };
        assert_eq!(chosen(&[]), (true, vec![]));
        assert_eq!(chosen(&["--", "--nocapture"]), (true, vec![]));
        assert_eq!(chosen(&["a_line"]), (false, vec![]));
        let two = ["--test", "loss", "exact", "--test=tarball"];
        assert_eq!(chosen(&two), (false, vec!["loss".into(), "tarball".into()]));
    }
}
