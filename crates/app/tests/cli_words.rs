//! The whole binary's words: help, usage errors, config errors, closed pipes.

#![expect(
    clippy::unwrap_used,
    reason = "a scene that cannot be set fails its test, in helpers too"
)]

use std::{
    fs,
    process::{Command, Output, Stdio},
};

fn sshmeter(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sshmeter"))
        .args(arguments)
        .env("NO_COLOR", "1")
        .env("COLUMNS", "100")
        .output()
        .unwrap()
}

/// What a person sees: stdout, stderr, exit code.
fn seen(arguments: &[&str]) -> String {
    let output = sshmeter(arguments);
    format!(
        "$ sshmeter {}\n{}{}[exit {}]\n",
        arguments.join(" "),
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
        output.status.code().unwrap()
    )
}

#[test]
fn help_is_as_it_was_read() {
    let commands = [
        "run",
        "report",
        "sessions",
        "parse",
        "doctor",
        "verify",
        "backup",
        "restore",
        "check-config",
        "completions",
        "man",
    ];
    let mut text = seen(&["--help"]);
    text.push_str(&seen(&["-h"]));
    for command in commands {
        text.push_str(&seen(&[command, "--help"]));
    }
    insta::assert_snapshot!(text);
}

#[test]
fn a_wrong_command_line_is_told_and_exits_with_2() {
    let wrong: [&[&str]; 9] = [
        &[],
        &["reprot"],
        &["report", "--by", "usr"],
        &["report", "--top", "0"],
        &["sessions", "--format", "xml"],
        &["completions", "cmd"],
        &["backup"],
        &["--config", "/dev/null", "backup", "-"],
        &["verify", "--limit", "-1"],
    ];
    let text: String = wrong.iter().map(|arguments| seen(arguments)).collect();
    insta::assert_snapshot!(text);
}

#[test]
fn only_a_report_reads_a_mirror() {
    let commands: [&[&str]; 8] = [
        &["sessions"],
        &["run"],
        &["verify"],
        &["backup", "x"],
        &["restore", "x"],
        &["doctor"],
        &["check-config"],
        &["clear-rules"],
    ];
    for command in commands {
        for ledger in ["mysql://meter:hunter2@db1/meters", "PostgreSQL://u@db1/m"] {
            let output = sshmeter(&[&["--ledger", ledger][..], command].concat());
            let words = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(2), "{command:?}: {words}");
            assert!(
                words.starts_with(
                    "error: --ledger names a mirror, and only `report` reads mirrors\n"
                ),
                "{command:?}: {words}"
            );
            assert!(words.contains("hint: ") && !words.contains("hunter2"));
        }
    }
    let ledger = "mysql://meter:hunter2@db1/meters";
    let output = sshmeter(&["--config", "/dev/null", "--ledger", ledger, "report"]);
    let words = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{words}");
    assert!(
        words.contains("password-file=") && !words.contains("hunter2"),
        "{words}"
    );
}

#[test]
fn check_config_shows_what_it_understood_or_where_it_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.toml");
    let path = path.to_str().unwrap();
    let mut text = String::new();
    for config in [
        "[meter]\nports = [22]\n\n[keys]\n\"SHA256:abc\" = \"alice\"\n",
        "[meter]\nport = 22\n",
        "[source]\nkind = \"file\"\npath = \"~/\u{1b}[31mauth.log\"\n",
    ] {
        fs::write(path, config).unwrap();
        text.push_str(&seen(&["check-config", "--config", path]));
    }
    fs::write(path, b"[keys]\n\"a\" = \"\xff\"\n").unwrap();
    text.push_str(&seen(&["check-config", "--config", path]));
    fs::remove_file(path).unwrap();
    text.push_str(&seen(&["check-config", "--config", path]));
    text.push_str(&seen(&["check-config", "--config", "/", "--ledger", "x"]));
    insta::assert_snapshot!(text.replace(folder.path().to_str().unwrap(), "FOLDER"));
}

#[test]
fn what_check_config_prints_is_a_config() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.toml");
    let first = sshmeter(&[
        "check-config",
        "--config",
        "/dev/null",
        "--ledger",
        "relative.db",
    ]);
    assert!(first.status.success(), "{first:?}");
    fs::write(&path, &first.stdout).unwrap();
    let second = sshmeter(&["check-config", "--config", path.to_str().unwrap()]);
    let without_origin = |output: &Output| {
        let text = String::from_utf8(output.stdout.clone()).unwrap();
        text.split_once('\n').unwrap().1.to_owned()
    };
    assert_eq!(without_origin(&first), without_origin(&second));
    assert!(without_origin(&first).contains("/relative.db\""));
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    for arguments in [
        &["man"][..],
        &["completions", "bash"],
        &["check-config", "--config", "/dev/null"],
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = Command::new(env!("CARGO_BIN_EXE_sshmeter"))
            .args(arguments)
            .stdout(Stdio::from(writer))
            .stderr(Stdio::piped())
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
        assert!(output.stderr.is_empty(), "{arguments:?}: {output:?}");
    }
}

#[test]
fn a_full_disk_behind_stdout_or_stderr_is_no_panic() {
    let commands: [&[&str]; 4] = [
        &["--config", "/dev/null", "doctor"],
        &["--config", "/dev/null", "check-config"],
        &["completions", "bash"],
        &["parse", "/dev/null"],
    ];
    for arguments in commands {
        let full = || {
            fs::OpenOptions::new()
                .write(true)
                .open("/dev/full")
                .unwrap()
        };
        let output = Command::new(env!("CARGO_BIN_EXE_sshmeter"))
            .args(arguments)
            .stdout(full())
            .stderr(Stdio::piped())
            .output()
            .unwrap();
        let words = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {words}");
        assert!(
            words.starts_with("error: standard output cannot be written\n"),
            "{arguments:?}: {words}"
        );
        let status = Command::new(env!("CARGO_BIN_EXE_sshmeter"))
            .args(arguments)
            .args(["--frob"])
            .stdout(Stdio::null())
            .stderr(full())
            .status()
            .unwrap();
        assert_eq!(status.code(), Some(2), "{arguments:?}");
    }
    let status = Command::new(env!("CARGO_BIN_EXE_sshmeter"))
        .args(["--config", "/nowhere", "report"])
        .stderr(
            fs::OpenOptions::new()
                .write(true)
                .open("/dev/full")
                .unwrap(),
        )
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(2));
}
