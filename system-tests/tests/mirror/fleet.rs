//! Several hosts in one database: each with its own figures, known by its ledger
//! and called by its name.

use std::{
    collections::BTreeMap,
    path::Path,
    process::{Child, Command},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use system_tests::{binary, stands};

use crate::stage::{
    EVER, Mirror, Sums, configure_with, machine, mirrors, of_user, rows, users,
    wait_until_up_to_date,
};

/// Hosts that pretend; they end with the test.
pub(crate) struct Pretenders(Child);

impl Pretenders {
    /// Lets so many live for a while, until all of theirs is mirrored.
    pub(crate) fn live(mirror: &Mirror, folder: &Path, count: u32) {
        let child = Command::new(env!("CARGO_BIN_EXE_hosts"))
            .arg(&mirror.url)
            .arg(folder)
            .args([&count.to_string(), "20"])
            .spawn()
            .expect("hosts that pretend");
        let mut hosts = Self(child);
        std::thread::sleep(Duration::from_millis(1500));
        let id = i32::try_from(hosts.0.id()).expect("a process id");
        let id = Pid::from_raw(id).expect("a process id");
        kill_process(id, Signal::TERM).expect("they run");
        let status = hosts.0.wait().expect("they end");
        assert!(status.success(), "{status}");
    }
}

impl Drop for Pretenders {
    fn drop(&mut self) {
        // They may have ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What a pretending host's own ledger says.
fn own_report(ledger: &Path) -> Sums {
    let output = Command::new(binary())
        .arg("report")
        .arg("--ledger")
        .arg(ledger)
        .args(["--all", "--format", "json"])
        .args(EVER)
        .output()
        .expect("sshmeter can be started");
    let report: Value = serde_json::from_slice(&output.stdout).expect("a report is JSON");
    let rows = report["rows"].as_array().expect("it has rows");
    rows.iter().map(of_user).collect()
}

#[test]
fn many_hosts_share_a_server_and_keep_their_own_figures() {
    let name = "many_hosts_share_a_server_and_keep_their_own_figures";
    if !stands(&format!("mirror::{name}")) {
        return;
    }
    let mirrors = mirrors(name);
    let machine = machine(&mirrors).start();
    let named = |name: &str| {
        let table = format!("[host]\nname = \"{name}\"");
        configure_with(&machine, &table, &mirrors, "");
    };
    named("gate 🚪");
    let daemon = machine.daemon();
    let visit = |user| machine.client().visit(user).run("head -c 50000 /dev/zero");
    let visits = [
        visit("alice"),
        visit("bob"),
        machine.client().visit("bob").fail(),
    ];
    daemon.settle(&visits);
    wait_until_up_to_date(&daemon);
    let answer = daemon.stop();
    let of_machine = users(&answer, None, &["--all"]);
    let folders: Vec<_> = mirrors
        .iter()
        .map(|mirror| {
            let folder = tempfile::tempdir().expect("a folder for ledgers");
            Pretenders::live(mirror, folder.path(), 2);
            folder
        })
        .collect();
    for (mirror, folder) in mirrors.iter().zip(&folders) {
        let mut expected = BTreeMap::from([("gate 🚪".to_owned(), of_machine.clone())]);
        for number in 0..2 {
            let ledger = folder.path().join(format!("host-{number:04}.db"));
            expected.insert(format!("host-{number}"), own_report(&ledger));
        }
        let flags = [&EVER[..], &["--all", "--by", "host,user"]].concat();
        let mut found: BTreeMap<String, Sums> = BTreeMap::new();
        for row in rows(&answer, Some(&mirror.url), &flags) {
            let host = row["host"].as_str().expect("a host").to_owned();
            let (user, figures) = of_user(&row);
            found.entry(host).or_default().insert(user, figures);
        }
        assert_eq!(found, expected, "{}", mirror.url);
        let names: Vec<&String> = found.values().flat_map(BTreeMap::keys).collect();
        let is_shared = |name: &&&String| names.iter().filter(|one| one == name).count() > 1;
        let mut shared = names.iter().filter(is_shared);
        assert!(shared.any(|name| !name.starts_with('(')), "{found:?}");
    }
    // Called like another one, it is still told from it.
    named("host-1");
    let daemon = machine.daemon();
    wait_until_up_to_date(&daemon);
    let answer = daemon.stop();
    for mirror in &mirrors {
        let flags = [&EVER[..], &["--all", "--by", "host"]].concat();
        let hosts: Vec<String> = rows(&answer, Some(&mirror.url), &flags)
            .iter()
            .map(|row| row["host"].as_str().expect("a host").to_owned())
            .collect();
        assert_eq!(hosts.len(), 3, "{hosts:?}");
        let alike = hosts.iter().filter(|host| host.starts_with("host-1"));
        assert_eq!(alike.count(), 2, "{hosts:?}");
    }
}
