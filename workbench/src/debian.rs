//! `cargo xtask debian RELEASE`: a shell, or a command, in a throwaway Debian
//! system that has booted, with the package of sshmeter at hand.
//!
//! It has a wire to a client that the tests would log in from, and no other
//! network. Nothing of it is left when the shell ends.

use std::{thread::sleep, time::Duration};

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use system_tests::{Machine, stands_on_debian};
use xtask::debian::Release;

use crate::prepare;

/// Where the package lies in the system.
const PACKAGE: &str = "/root/sshmeter.deb";

/// Boots it and runs the command there, or a shell.
pub(crate) fn run(release: Release, command: &[String]) -> Result<()> {
    prepare("debian")?;
    // It says why not.
    ensure!(
        stands_on_debian("cargo xtask debian", release),
        "no system of Debian here"
    );
    let machine = Machine::builder().debian(release).start();
    let server = machine.server();
    match release.package() {
        Ok(package) => {
            server.install(package, PACKAGE);
            eprintln!("apt-get install {PACKAGE} installs sshmeter");
        }
        Err(error) => eprintln!("{error}"),
    }
    let (program, arguments) = command
        .split_first()
        .map_or(("bash", &[][..]), |(program, rest)| {
            (program.as_str(), rest)
        });
    let mut started = server.command(program);
    if let Ok(terminal) = std::env::var("TERM") {
        started.env("TERM", terminal);
    }
    let mut child = started
        .args(arguments)
        .spawn()
        .context("nsenter cannot be started")?;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        // A system that goes down stops everybody first, and nsenter then itself.
        if !server.path("/").exists() {
            let _gone_by_now = kill_process(Pid::from_child(&child), Signal::CONT);
        }
        sleep(Duration::from_millis(50));
    };
    // A shell's own end says nothing of what was done in it.
    ensure!(
        status.success() || command.is_empty(),
        "{program} failed ({status})"
    );
    Ok(())
}
