//! What the document tells an administrator to type, typed: the rights are enough
//! for tables, views and rows, and those of a reader for reports.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, process::Command};

use system_tests::{Authority, Backend, Database, binary, stands};

use crate::{fleet::Pretenders, stage::Mirror};

const DOCUMENT: &str = include_str!("../../../docs/mirrors.md");

/// The SQL of a chapter for this kind of server.
fn sql(chapter: &str, backend: Backend) -> &'static str {
    let (_, after) = DOCUMENT
        .split_once(&format!("\n## {chapter}\n"))
        .expect("a chapter of the document");
    let (chapter, _) = after.split_once("\n## ").expect("a chapter after it");
    let language = match backend {
        Backend::Postgres => "```sql postgresql\n",
        Backend::MariaDb | Backend::MySql => "```sql mariadb\n",
    };
    let block = chapter.split(language).nth(1);
    let block = block.and_then(|block| block.split("```").next());
    block.expect("SQL for this server")
}

/// The password that the document has for everybody, where an address finds it.
fn keep_the_password(server: &Database, user: &str) {
    let file = server.password_file(user);
    fs::write(&file, "a long password\n").expect("a password's file");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("it is ours");
}

#[test]
fn the_rights_of_the_document_are_enough() {
    for backend in Backend::ALL {
        let name = "mirror::the_rights_of_the_document_are_enough";
        if stands(name) && backend.stands(name) {
            with_the_document_s_rights(backend);
        }
    }
}

fn with_the_document_s_rights(backend: Backend) {
    let certificate = Authority::new().server(&["DNS:localhost"]);
    let server = backend.builder().tcp().tls(&certificate).start();
    server.query(sql("Setting one up", backend));
    keep_the_password(&server, "sshmeter");
    let url = server.tcp_url("localhost", "sshmeter", "sshmeter");
    let mirror = Mirror { server, url };
    let folder = tempfile::tempdir().expect("a folder for ledgers");
    Pretenders::live(&mirror, folder.path(), 1);
    for table in ["minute", "hour", "sshmeter_minute"] {
        let rows = mirror.ask(&format!("SELECT * FROM `{table}` LIMIT 1"));
        assert!(!rows.is_empty() || table == "minute", "{table}");
    }
    mirror
        .server
        .query_in("sshmeter", sql("Reports over all hosts", backend));
    keep_the_password(&mirror.server, "reader");
    let reader = mirror.server.tcp_url("localhost", "reader", "sshmeter");
    let of_mirror = report(&reader);
    let ledger = folder.path().join("host-0000.db");
    assert_eq!(of_mirror, report(path(&ledger)));
    let refused = mirror.server.query_as(
        "reader",
        "a long password",
        "sshmeter",
        "DELETE FROM sshmeter_minute",
    );
    assert!(refused.is_err(), "a reader may write");
}

fn path(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

fn report(ledger: &str) -> String {
    let output = Command::new(binary())
        .args(["report", "--format", "csv", "--since", "2020-01-01"])
        .args(["--until", "2100-01-01", "--all", "--ledger", ledger])
        .output()
        .expect("sshmeter can be started");
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words}");
    String::from_utf8(output.stdout).expect("a report is UTF-8")
}
