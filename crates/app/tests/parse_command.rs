//! `sshmeter parse` as its user meets it: files, pipes, exit codes, words.
#![expect(clippy::unwrap_used, reason = "a test ends where a step of it fails")]

use std::{
    fs::File,
    io::{Read as _, Write as _},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::{Duration, SystemTime},
};

fn corpus(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../core/tests/corpus")
        .join(name)
}

fn sshmeter() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sshmeter"));
    command.args(["parse", "--tz", "UTC"]);
    command
}

fn run(command: &mut Command) -> (Option<i32>, String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

fn piped(bytes: &[u8], arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut child = sshmeter()
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let bytes = bytes.to_vec();
    let writer = std::thread::spawn(move || input.write_all(&bytes));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

#[test]
fn an_unreadable_log_is_named_and_the_others_are_read() {
    let good = corpus("openssh-9.2-info/auth.iso8601.log");
    let (code, out, err) = run(sshmeter().arg("/nonexistent/auth.log").arg(good));
    assert_eq!(code, Some(1));
    assert!(out.contains("svc.backup-01"), "{out}");
    assert!(
        err.starts_with("error: /nonexistent/auth.log cannot be read\n"),
        "{err}"
    );
    assert!(err.contains("\nhint: "), "{err}");
    let (code, out, err) = run(sshmeter().arg("/etc"));
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert!(err.contains("directory"), "{err}");
}

#[test]
fn a_compressed_log_of_another_kind_gets_a_hint() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("auth.log.zst");
    std::fs::write(&path, b"\x28\xb5\x2f\xfd\x04\x00").unwrap();
    let (code, _, err) = run(sshmeter().arg(&path));
    assert_eq!(code, Some(1));
    assert!(err.contains("because: it is compressed with zstd"), "{err}");
    assert!(err.contains("hint: zstdcat "), "{err}");
}

#[test]
fn an_unknown_zone_is_a_usage_error() {
    let (code, _, err) =
        run(Command::new(env!("CARGO_BIN_EXE_sshmeter")).args(["parse", "--tz", "Mars/Olympus"]));
    assert_eq!(code, Some(2));
    assert!(err.contains("Mars/Olympus"), "{err}");
}

#[test]
fn gzip_and_plain_say_the_same_through_a_pipe() {
    let bytes = std::fs::read(corpus("dropbear-2022.83/auth.iso8601.log")).unwrap();
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(&bytes).unwrap();
    let plain = piped(&bytes, &["--format", "json"]);
    let gzip = piped(&encoder.finish().unwrap(), &["--format", "json", "-"]);
    assert_eq!(plain, gzip);
    assert_eq!(plain.0, Some(0));
    assert_eq!(plain.1.matches("\"event\":\"accepted\"").count(), 17);
}

#[test]
fn a_pipe_gets_no_escapes_and_hostile_names_are_shown_harmless() {
    let line = b"2026-11-22T17:32:22Z lab sshd[66]: Accepted password for a\\033[31m\\nb from \
        192.0.2.1 port 5 ssh2\n2026-11-22T17:32:23Z lab sshd[66]: Disconnected from user \
        a\\033[31m\\nb 192.0.2.1 port 5\n";
    let (code, out, err) = piped(line, &[]);
    assert_eq!((code, err.as_str()), (Some(0), ""));
    assert!(out.contains(r"a\u{1b}[31m\nb"), "{out}");
    assert!(
        out.chars().all(|sign| sign == '\n' || !sign.is_control()),
        "{out:?}"
    );
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let log = corpus("openssh-9.2-verbose/auth.iso8601.log");
    let mut child = sshmeter()
        .args(["--format", "json"])
        .args(std::iter::repeat_n(log, 200))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = child.stdout.take().unwrap();
    output.read_exact(&mut [0; 100]).unwrap();
    drop(output);
    let result = child.wait_with_output().unwrap();
    assert_eq!(result.status.code(), Some(0));
    assert_eq!(String::from_utf8(result.stderr).unwrap(), "");
}

#[test]
fn a_year_is_taken_from_when_the_file_was_last_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("auth.log.9");
    let mut file = File::create(&path).unwrap();
    file.write_all(
        b"Dec 31 23:59:59 lab sshd[66]: Accepted password for a from 192.0.2.1 port 5 ssh2\n",
    )
    .unwrap();
    // 2020-01-01T00:00:10Z.
    let written = SystemTime::UNIX_EPOCH + Duration::from_secs(1_577_836_810);
    file.set_modified(written).unwrap();
    let (code, out, _) = run(sshmeter().args(["--format", "json"]).arg(&path));
    assert_eq!(code, Some(0));
    assert!(out.contains("\"time\":\"2019-12-31T23:59:59Z\""), "{out}");
}
