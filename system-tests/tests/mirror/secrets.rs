//! A password is in its file and on its way to the server, and nowhere else.

use std::{fmt::Write as _, fs};

use system_tests::{Backend, stands};

use crate::stage::{configure, machine, mirrors, wait_for_words, wait_until_up_to_date};

/// As text, as a list of bytes, and in hexadecimal.
fn is_told(words: &str, secret: &str) -> bool {
    let list = format!("{:?}", secret.as_bytes());
    let list = list.trim_matches(['[', ']']);
    let hexadecimal = secret.bytes().fold(String::new(), |mut text, byte| {
        let _infallible = write!(text, "{byte:02x}");
        text
    });
    [secret, list, &hexadecimal]
        .iter()
        .any(|form| words.contains(form))
}

#[test]
fn no_log_and_no_command_tells_a_password_that_is_changed_meanwhile() {
    let name = "no_log_and_no_command_tells_a_password_that_is_changed_meanwhile";
    if !stands(&format!("mirror::{name}")) {
        return;
    }
    let mut mirrors = mirrors(name);
    let machine = machine(&mirrors).start();
    configure(&machine, &mirrors, "");
    let daemon = machine.daemon_under(&["env", "SSHMETER_LOG=trace"]);
    wait_until_up_to_date(&daemon);
    let mut said = daemon.ask().text(&["check-config"]);
    for mirror in &mirrors {
        assert!(said.contains("password-file="), "{said}");
        let sql = match mirror.server.backend() {
            Backend::Postgres => "ALTER ROLE sshmeter PASSWORD 'new donkey'",
            _ => "ALTER USER sshmeter IDENTIFIED BY 'new donkey'",
        };
        mirror.server.query(sql);
    }
    let visit = |user| machine.client().visit(user).run("head -c 50000 /dev/zero");
    let mut visits = vec![visit("alice")];
    for mirror in &mirrors {
        wait_for_words(&daemon, mirror, " refuses the login of `sshmeter`");
    }
    for mirror in &mirrors {
        fs::write(mirror.server.password_file("sshmeter"), "new donkey\n").expect("a file");
    }
    wait_until_up_to_date(&daemon);
    for mirror in &mut mirrors {
        mirror.server.kill();
    }
    visits.push(visit("bob"));
    for mirror in &mirrors {
        wait_for_words(&daemon, mirror, " cannot be reached");
    }
    for arguments in [&["doctor"][..], &["report", "--ledger", &mirrors[0].url]] {
        let output = daemon.ask().output(arguments);
        said.push_str(&String::from_utf8_lossy(&output.stdout));
        said.push_str(&String::from_utf8_lossy(&output.stderr));
    }
    for mirror in &mut mirrors {
        mirror.server.start_again();
    }
    daemon.settle(&visits);
    wait_until_up_to_date(&daemon);
    let again = daemon.words().matches("is up to date again").count();
    assert_eq!(again, 2 * mirrors.len());
    said.push_str(&daemon.words());
    assert!(said.contains("TRACE"), "nothing was traced");
    for secret in ["right horse", "new donkey"] {
        let line = said.lines().find(|line| is_told(line, secret));
        assert_eq!(line, None);
    }
}
