//! Quoting for SQL and addresses, and the files of a test.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, process::Command};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What stays as it is in an address.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// The same of a path, whose slashes stay readable.
const PLAIN_PATH: &AsciiSet = &PLAIN.remove(b'/');

/// One part of an address.
pub(super) fn encoded(part: &str) -> String {
    utf8_percent_encode(part, PLAIN).to_string()
}

/// A path in an address.
pub(super) fn encoded_path(path: &Path) -> String {
    let path = path.to_str().expect("a path of the test is UTF-8");
    utf8_percent_encode(path, PLAIN_PATH).to_string()
}

/// A text between these quotes, which are doubled inside.
pub(super) fn quoted(text: &str, quote: char) -> String {
    let doubled = text.replace(quote, &format!("{quote}{quote}"));
    format!("{quote}{doubled}{quote}")
}

/// Writes a file of the test that only its owner may read.
pub(super) fn write(file: &Path, content: &str) {
    fs::write(file, content)
        .and_then(|()| fs::set_permissions(file, fs::Permissions::from_mode(0o600)))
        .unwrap_or_else(|error| panic!("{} cannot be written: {error}", file.display()));
}

/// Runs a command that has to succeed.
pub(super) fn succeed(command: &mut Command) -> String {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{name} cannot be started: {error}"));
    assert!(
        output.status.success(),
        "{command:?} failed ({}):\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Copies a file that only its owner may read then.
pub(super) fn copy(from: &Path, to: &Path) {
    let content = fs::read_to_string(from)
        .unwrap_or_else(|error| panic!("{} cannot be read: {error}", from.display()));
    write(to, &content);
}
