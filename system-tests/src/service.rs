//! sshmeter as a service of a booted machine: installed by the book's own
//! commands, then told and asked through systemctl, as an administrator would.

use std::{fmt::Write as _, time::Duration};

use crate::{daemon::Answer, keeper::Keeper, meter::Meter, users::quoted, wait_for};

/// Where a machine has the program that was built.
pub(crate) const BUILT: &str = "usr/src/sshmeter/target/release/sshmeter";

const INSTALL: &str = include_str!("../../docs/install.md");
const METERS: &str = include_str!("../../docs/meters.md");

/// The files that the documents' commands put in their places, of a clone or of the
/// package.
const SHIPPED: [(&str, &str); 3] = [
    (
        "/usr/share/doc/sshmeter/examples/sshmeter-firewall.conf",
        include_str!("../../dist/sshmeter-firewall.conf"),
    ),
    (
        "dist/sshmeter.service",
        include_str!("../../dist/sshmeter.service"),
    ),
    (
        "dist/sysusers.conf",
        include_str!("../../dist/sysusers.conf"),
    ),
];

/// An installed service.
#[derive(Debug)]
pub struct Service<'machine> {
    server: &'machine Keeper,
    answer: Answer,
}

impl<'machine> Service<'machine> {
    /// Runs what the book says, but for the build, which was done; for a meter
    /// that counts at the firewall, after what is to be installed for that.
    pub(crate) fn install(server: &'machine Keeper, meter: Meter) -> Self {
        // Where it fails, the service's own words are what one wants to read.
        let mut script = "trap 'journalctl --unit=sshmeter --output=cat' ERR
            cd /usr/src/sshmeter; mkdir -p dist /usr/share/doc/sshmeter/examples\n"
            .to_owned();
        for (path, content) in SHIPPED {
            let content = quoted(content);
            // Writing to a String cannot fail.
            let _infallible = writeln!(script, "printf %s {content} >{path}");
        }
        let for_firewall = commands(METERS, "Rights").filter(|_| meter.has_rules());
        let for_service = commands(INSTALL, "From source");
        for line in for_firewall
            .filter(|line| line.starts_with("install "))
            .chain(for_service.filter(|line| !line.starts_with("cargo ")))
        {
            let _infallible = writeln!(script, "{line}");
        }
        server.shell(&script);
        Self::of(server)
    }

    /// Starts the service that was installed and stopped.
    pub(crate) fn start(server: &'machine Keeper) -> Self {
        let service = Self::of(server);
        service.systemctl(&["start"]);
        service
    }

    /// The service as it is there.
    pub(crate) fn of(server: &'machine Keeper) -> Self {
        Self {
            server,
            answer: Answer::of(server, &[]),
        }
    }

    /// The commands that ask its ledger.
    #[must_use]
    pub fn ask(&self) -> &Answer {
        &self.answer
    }

    /// All that it said to people, and systemd about it.
    #[must_use]
    pub fn words(&self) -> String {
        // What it said may still be on its way.
        self.server.run("journalctl", &["--sync"]);
        self.server
            .run("journalctl", &["--unit=sshmeter", "--output=cat"])
    }

    /// A property of the unit, as `systemctl show` tells it.
    #[must_use]
    pub fn property(&self, name: &str) -> String {
        let property = format!("--property={name}");
        let value = self
            .server
            .run("systemctl", &["show", "--value", &property, "sshmeter"]);
        value.trim().to_owned()
    }

    /// A line of its process's `/proc/PID/status`, without the name.
    ///
    /// # Panics
    /// When it does not run.
    #[must_use]
    pub fn status(&self, name: &str) -> String {
        let path = format!("/proc/{}/status", self.property("MainPID"));
        let status = self.server.run("cat", &[&path]);
        let value = status
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        value.expect("a line of that name").trim().to_owned()
    }

    /// Tells systemd something about the service, and waits until it is done.
    pub fn systemctl(&self, verb: &[&str]) {
        self.server
            .run("systemctl", &[verb, &["sshmeter"]].concat());
    }

    /// Waits until it counts.
    pub fn wait_until_active(&self) {
        wait_for("sshmeter.service", Duration::from_secs(20), || {
            (self.property("ActiveState") == "active").then_some(())
        });
    }

    /// Stops it, and its ledger can be asked on.
    ///
    /// # Panics
    /// When it does not end well.
    pub fn stop(self) -> Answer {
        self.systemctl(&["stop"]);
        assert_eq!(self.property("ActiveState"), "inactive", "{}", self.words());
        assert_eq!(self.property("Result"), "success", "{}", self.words());
        assert_eq!(self.property("ExecMainStatus"), "0", "{}", self.words());
        self.answer
    }
}

/// The commands of a document's chapter.
pub(crate) fn commands(
    document: &'static str,
    chapter: &str,
) -> impl Iterator<Item = &'static str> {
    let (_, after) = document
        .split_once(&format!("\n## {chapter}\n"))
        .expect("a chapter of the document");
    let block = after.split("```").nth(1).expect("the chapter has commands");
    block.lines().skip(1)
}
