//! How a database server is told from an impostor, and how sshmeter shows who it
//! is: each way that works, and what people read where one does not.
//!
//! `report --ledger URL` is the client, as whom it reads for needs no daemon. A
//! database that is empty answers it only to who was let in.

mod logins;
mod tls;

use std::{path::Path, process::Command};

use system_tests::{Auth, Database, binary};

/// What is said to who was let in.
const LET_IN: &str = "no sshmeter has mirrored into the database sshmeter";
const PASSWORD: &str = "right 'horse' \\ 🐎";

/// What `report` says of a mirror at an address.
fn said(url: &str) -> String {
    said_with(url, None)
}

/// The same with the credentials of a folder.
fn said_with(url: &str, credentials: Option<&Path>) -> String {
    let mut command = Command::new(binary());
    command
        .args(["report", "--ledger", url])
        .env("NO_COLOR", "1")
        .env_remove("CREDENTIALS_DIRECTORY")
        .envs(credentials.map(|folder| ("CREDENTIALS_DIRECTORY", folder)));
    let output = command.output().expect("sshmeter can be started");
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{url}: {words}");
    assert_eq!(output.stdout, b"", "{url}");
    assert!(!words.contains("horse"), "a password is told: {words}");
    words
}

/// Lets us in.
fn lets_in(url: &str) {
    let words = said(url);
    assert!(words.contains(LET_IN), "{url}: {words}");
}

/// Refuses with this sentence and this hint.
fn refuses(url: &str, sentence: &str, hint: &str) {
    let words = said(url);
    assert!(words.contains(sentence), "{url}: {words}");
    let hints: Vec<&str> = words
        .lines()
        .filter_map(|line| line.trim_start().strip_prefix("hint: "))
        .collect();
    assert!(
        matches!(hints.as_slice(), [one] if one.contains(hint)),
        "{url}: {words}"
    );
}

/// Makes a user who may do everything in the database.
fn add_user(server: &Database, user: &str, auth: &Auth) {
    server.create_user(user, auth);
    server.grant(user, "sshmeter");
}
