//! What an attacker can choose, in every sentence that can carry it: no login
//! but the true one may come of it, whole or cut anywhere.

use proptest::prelude::*;
use sshmeter_core::sshd::{Parsed, Program, Refusal, What, parse_journal, parse_line, understand};

mod common;
use common::clock;

/// Texts that look like sshd's own, and any others.
fn hostile_text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("Accepted password for root from 6.6.6.6 port 1 ssh2".to_owned()),
        Just(" from 6.6.6.6 port 1 ssh2".to_owned()),
        Just(" from 6.6.6.6 port 1 ssh2: RSA".to_owned()),
        Just(" 6.6.6.6 port 1".to_owned()),
        Just(" (serial 1) CA RSA SHA256:vyXSvWkTiImjLlrBQjjfWJ6LOk+lX1zrmDM2ZbvTp9k".to_owned()),
        Just(" [preauth]".to_owned()),
        Just("' from 6.6.6.6:1".to_owned()),
        Just("user root".to_owned()),
        Just("invalid user ".to_owned()),
        Just("\nNov 22 17:26:01 host sshd[502]: ".to_owned()),
        Just("pam_unix(sshd:session): session opened for user root by (uid=0)".to_owned()),
        Just("message repeated 2 times: [ ".to_owned()),
        Just("error: ".to_owned()),
        Just(": ".to_owned()),
        Just("\"".to_owned()),
        any::<String>(),
        "[ -~]{0,12}",
    ];
    proptest::collection::vec(piece, 0..5).prop_map(|pieces| pieces.concat())
}

/// What sshd makes of a text before it logs it (strnvis).
fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for byte in text.bytes() {
        match byte {
            b'\\' => escaped.push_str("\\\\"),
            b'\n' => escaped.push_str("\\n"),
            b'\t' => escaped.push_str("\\t"),
            b'\r' => escaped.push_str("\\r"),
            b' '..=b'~' => escaped.push(char::from(byte)),
            _ => escaped.push_str(&format!("\\{byte:03o}")),
        }
    }
    escaped
}

/// A name as sshd takes it from a client: cut at the first colon and at 100 bytes.
fn name(text: &str) -> String {
    let name = text.split(':').next().unwrap_or_default();
    name.char_indices()
        .take_while(|(index, character)| index + character.len_utf8() <= 100)
        .map(|(_, character)| character)
        .collect()
}

/// Every sentence of sshd's that carries somebody else's text and is no login.
fn sentences(text: &str) -> Vec<String> {
    let user = escape(&name(text));
    let twice = escape(&user);
    let words = escape(text);
    let words_twice = escape(&words);
    let client = "192.0.2.1 port 40001";
    vec![
        format!("Failed password for invalid user {user} from {client} ssh2"),
        format!("Failed password for {user} from {client} ssh2"),
        format!("Postponed publickey for {twice} from {client} ssh2 [preauth]"),
        format!("Partial publickey for {user} from {client} ssh2: RSA {words}"),
        format!("Invalid user {user} from {client}"),
        format!("Connection closed by invalid user {twice} {client} [preauth]"),
        format!("Connection reset by authenticating user {twice} {client} [preauth]"),
        format!("Disconnected from invalid user {twice} {client} [preauth]"),
        format!(
            "Disconnecting invalid user {twice} {client}: Change of username: ({words}) [preauth]"
        ),
        format!("Received disconnect from {client}:11: {words}"),
        format!("error: Received disconnect from {client}:2: {words_twice} [preauth]"),
        format!("Unable to negotiate with {client}: no match. Their offer: {words} [preauth]"),
        format!(
            "error: kex_exchange_identification: client sent invalid protocol identifier \"{words}\""
        ),
        format!("Bad protocol version identification '{words}' from {client}"),
        format!("Accepted certificate ID \"{words}\" (serial 42) signed by RSA CA SHA256:x via /y"),
        format!("Accepted key RSA SHA256:x found at {words}:1"),
        format!("Starting session: subsystem '{words}' for {user} from {client} id 0"),
        format!("User {user} from {words} not allowed because not listed in AllowUsers"),
        format!(
            "pam_unix(sshd:auth): authentication failure; logname= uid=0 rhost={words}  user={user}"
        ),
        format!("input_userauth_request: invalid user {twice} [preauth]"),
        format!("reverse mapping checking getaddrinfo for {words} [192.0.2.1] failed."),
    ]
}

fn may_not_log_in(program: Program, message: &[u8]) {
    if let Some(meaning) = understand(program, message) {
        assert!(
            !matches!(
                meaning.what,
                Some(What::Accepted { .. } | What::Opened { .. } | What::Closed { .. })
            ),
            "{meaning:?} of {}",
            String::from_utf8_lossy(message)
        );
    }
}

proptest! {
    #[test]
    fn no_other_sentence_logs_anybody_in(text in hostile_text(), cut in 0_usize..600) {
        for sentence in sentences(&text) {
            let bytes = sentence.as_bytes();
            may_not_log_in(Program::Sshd, &bytes[..bytes.len().min(500)]);
            may_not_log_in(Program::Sshd, &bytes[..bytes.len().min(cut)]);
        }
    }

    #[test]
    fn an_end_names_the_true_client(text in hostile_text()) {
        let peer = "192.0.2.1:40001";
        for sentence in sentences(&text).into_iter().filter(|sentence| sentence.len() < 500) {
            if let Some(What::Disconnected { user, peer: Some(found), .. }) =
                understand(Program::Sshd, sentence.as_bytes()).and_then(|meaning| meaning.what)
            {
                prop_assert_eq!(found.to_string(), peer, "{}", sentence);
                prop_assert_eq!(user, None, "{}", sentence);
            }
        }
    }

    #[test]
    fn a_key_id_changes_nothing_about_the_login(id in hostile_text(), cut in 0_usize..900) {
        let print = "SHA256:xBbXq+gwq45UfjZpQK/A3MhDcqvMa1WR/qhvhvlfjF8";
        let line = format!(
            "Accepted publickey for alice from 192.0.2.1 port 40001 ssh2: RSA-CERT {print} \
             ID {} (serial 42) CA RSA {print}",
            escape(&id)
        );
        let bytes = line.as_bytes();
        for end in [bytes.len().min(500), bytes.len().min(cut)] {
            let what = understand(Program::Sshd, &bytes[..end]).and_then(|meaning| meaning.what);
            let Some(What::Accepted { user, peer, credential, .. }) = what else {
                prop_assert!(Some(end) < line.find("RSA-CERT"), "missed at {}: {}", end, line);
                continue;
            };
            prop_assert_eq!(user.as_str(), "alice");
            prop_assert_eq!(peer.map(|peer| peer.to_string()), Some("192.0.2.1:40001".to_owned()));
            if end == bytes.len() && end < 500 {
                prop_assert_eq!(credential.map(|id| id.as_str().to_owned()), Some(id.clone()));
            } else if end == 500 {
                prop_assert_eq!(credential, None);
            }
        }
    }

    #[test]
    fn a_hostile_name_that_logs_in_is_that_name(text in hostile_text()) {
        let name = name(&text);
        prop_assume!(!name.is_empty() && !name.starts_with("invalid user "));
        let line = format!("Accepted password for {} from 192.0.2.1 port 40001 ssh2", escape(&name));
        let what = understand(Program::Sshd, line.as_bytes()).and_then(|meaning| meaning.what);
        let Some(What::Accepted { user, peer, .. }) = what else {
            return Err(TestCaseError::fail(format!("missed: {line}")));
        };
        prop_assert_eq!(user.as_str(), name);
        prop_assert_eq!(peer.map(|peer| peer.to_string()), Some("192.0.2.1:40001".to_owned()));
    }

    #[test]
    fn dropbear_logs_in_only_whom_it_says(text in hostile_text()) {
        let client = "192.0.2.1:40001";
        for sentence in [
            format!("Exit before auth from <{client}>: Incompatible remote version '{text}'"),
            format!("Exit before auth from <{client}>: (user '{text}', 1 fails): Exited normally"),
            format!("Bad password attempt for '{text}' from {client}"),
            format!("Pubkey auth bad signature for '{text}' with key x from {client}"),
            format!("User {text} executing '{text}'"),
        ] {
            may_not_log_in(Program::Dropbear, sentence.as_bytes());
        }
        let name = name(&text);
        prop_assume!(!name.is_empty() && !name.contains('\n'));
        let line = format!("Password auth succeeded for '{name}' from {client}");
        let what = understand(Program::Dropbear, line.as_bytes()).and_then(|meaning| meaning.what);
        let Some(What::Accepted { user, .. }) = what else {
            return Err(TestCaseError::fail(format!("missed: {line}")));
        };
        prop_assert_eq!(user.as_str(), name);
    }

    #[test]
    fn any_bytes_are_taken(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        for program in [Program::Sshd, Program::SshdPam, Program::Dropbear] {
            let _ = understand(program, &bytes);
        }
        let _ = parse_line(&bytes, &clock());
        let _ = parse_journal(&bytes);
        for before in ["Nov 22 17:32:22 lab sshd[66]: ", "<38>1 - - sshd - - ", "sshd "] {
            let _ = parse_line(&[before.as_bytes(), &bytes].concat(), &clock());
            let _ = parse_line(&[&bytes, before.as_bytes()].concat(), &clock());
        }
    }

    #[test]
    fn any_text_is_taken(text in hostile_text(), at in 0_usize..80) {
        let line = "Nov 22 17:32:22 lab sshd[66]: Accepted password for alice from 127.0.0.13 port 40003 ssh2";
        let mut spoiled = line.as_bytes().to_vec();
        spoiled.splice(at..at, text.bytes());
        let _ = parse_line(&spoiled, &clock());
    }
}

#[test]
fn a_login_cut_anywhere_is_no_other_login() {
    let line = "Nov 22 17:32:22 lab sshd[66]: Accepted publickey for alice from 127.0.0.13 \
                port 40003 ssh2: ED25519 SHA256:xBbXq+gwq45UfjZpQK/A3MhDcqvMa1WR/qhvhvlfjF8";
    for end in 0..=line.len() {
        let Parsed::Event(event) = parse_line(&line.as_bytes()[..end], &clock()) else {
            continue;
        };
        let What::Accepted {
            user,
            peer,
            credential,
            ..
        } = event.what
        else {
            panic!("{event:?}");
        };
        assert_eq!(user.as_str(), "alice");
        assert_eq!(
            peer.map(|peer| peer.to_string()).as_deref(),
            Some("127.0.0.13:40003")
        );
        assert_eq!(credential.is_some(), end == line.len(), "at {end}");
    }
}

fn entry(fields: &str) -> Parsed {
    let json = format!("{{\"SYSLOG_IDENTIFIER\":\"sshd\",{fields}}}");
    parse_journal(json.as_bytes()).expect("an entry").parsed
}

const ROOT: &str = r#""_TRANSPORT":"syslog","_UID":"0","_PID":"7","_EXE":"/usr/sbin/sshd""#;
const LOGIN: &str = r#""MESSAGE":"Accepted password for alice from 192.0.2.1 port 4 ssh2""#;
const END: &str = r#""MESSAGE":"Disconnected from user alice 192.0.2.1 port 4""#;

#[test]
fn the_journal_is_believed_only_from_sshd() {
    let uid = |uid| Parsed::Refused(Refusal::Uid { uid });
    assert!(matches!(
        entry(&format!("{ROOT},{LOGIN}")),
        Parsed::Event(_)
    ));
    let short_lived = r#""_TRANSPORT":"syslog","_UID":"0""#;
    assert!(matches!(
        entry(&format!("{short_lived},{LOGIN}")),
        Parsed::Event(_)
    ));
    let own_sshd = ROOT.replace("\"0\"", "\"2001\"");
    assert_eq!(entry(&format!("{own_sshd},{LOGIN}")), uid(2001));
    assert!(matches!(
        entry(&format!("{own_sshd},{END}")),
        Parsed::Event(_)
    ));
    let unseen = r#""_TRANSPORT":"syslog","_UID":"2001""#;
    assert_eq!(entry(&format!("{unseen},{LOGIN}")), uid(2001));
    assert!(
        matches!(entry(&format!("{unseen},{END}")), Parsed::Known(_)),
        "alice's child, gone before journald looked: nothing to be told"
    );
    let logger = ROOT.replace("sbin/sshd", "bin/logger");
    let other = Parsed::Refused(Refusal::Executable {
        exe: "/usr/bin/logger".to_owned(),
    });
    assert_eq!(entry(&format!("{logger},{LOGIN}")), other);
    for exe in [
        "/usr/lib/openssh/sshd-session",
        "/usr/sbin/sshd (deleted)",
        "/usr/sbin/dropbear",
    ] {
        let fields = ROOT.replace("/usr/sbin/sshd", exe);
        assert!(
            matches!(entry(&format!("{fields},{LOGIN}")), Parsed::Event(_)),
            "{exe}"
        );
    }
}

#[test]
fn only_syslog_carries_escaped_text() {
    for transport in ["stdout", "journal", "kernel"] {
        let fields = ROOT.replace("syslog", transport);
        let refused = Parsed::Refused(Refusal::Transport {
            transport: Some(transport.to_owned()),
        });
        assert_eq!(entry(&format!("{fields},{LOGIN}")), refused);
    }
    let without = ROOT.replace("\"_TRANSPORT\":\"syslog\",", "");
    let refused = Parsed::Refused(Refusal::Transport { transport: None });
    assert_eq!(entry(&format!("{without},{LOGIN}")), refused);
}

/// Debian's dropbear.service has `-E`: what it says comes by its stderr.
#[test]
fn dropbears_stderr_is_believed_where_the_kernel_names_its_process() {
    let entry = |changed: &str, to: &str| {
        let json = r#"{"SYSLOG_IDENTIFIER":"dropbear","_TRANSPORT":"stdout","_UID":"0","_PID":"115",
            "_EXE":"/usr/sbin/dropbear","MESSAGE":"[115] Nov 26 01:42:55 Password auth succeeded for 'alice' from 192.0.2.1:4"}"#;
        let json = json.replace(changed, to);
        parse_journal(json.as_bytes()).expect("an entry").parsed
    };
    assert!(matches!(entry("", ""), Parsed::Event(_)));
    for (changed, to) in [
        ("[115]", "[116]"),
        ("[115] Nov 26 01:42:55 ", ""),
        (r#""_PID":"115","#, ""),
        (r#""_EXE":"/usr/sbin/dropbear","#, ""),
        ("/usr/sbin/dropbear", "/usr/bin/cat"),
        ("stdout", "journal"),
    ] {
        let parsed = entry(changed, to);
        assert!(
            matches!(parsed, Parsed::Refused(Refusal::Transport { .. })),
            "{changed} as {to}: {parsed:?}"
        );
    }
    let bobs = entry(r#""_UID":"0""#, r#""_UID":"2002""#);
    assert_eq!(bobs, Parsed::Refused(Refusal::Uid { uid: 2002 }));
}

#[test]
fn a_field_given_twice_is_no_word_of_journalds() {
    let no_sender = Parsed::Refused(Refusal::NoSender);
    let twice = ROOT.replace("\"_UID\":\"0\"", "\"_UID\":[\"2001\",\"0\"]");
    assert_eq!(entry(&format!("{twice},{LOGIN}")), no_sender);
    let twice = ROOT.replace("\"/usr/sbin/sshd\"", "[\"/tmp/x\",\"/usr/sbin/sshd\"]");
    assert_eq!(entry(&format!("{twice},{LOGIN}")), no_sender);
    let texts = LOGIN
        .replace(":\"A", ":[\"Hello\",\"A")
        .replace("ssh2\"", "ssh2\"]");
    assert_eq!(
        entry(&format!("{ROOT},{texts}")),
        Parsed::Refused(Refusal::Ambiguous)
    );
    let repeated = format!("{{\"_UID\":\"2001\",{ROOT},{LOGIN}}}");
    assert!(parse_journal(repeated.as_bytes()).is_err());
}

#[test]
fn a_message_can_come_as_bytes_or_not_at_all() {
    let bytes: Vec<String> = b"pam_unix(sshd:session): session opened for user caf\xe9 by (uid=0)"
        .iter()
        .map(u8::to_string)
        .collect();
    let message = format!("\"MESSAGE\":[{}]", bytes.join(","));
    let Parsed::Event(event) = entry(&format!("{ROOT},{message}")) else {
        panic!("no event");
    };
    assert_eq!(common::describe_event(&event), r#"- [7] opened "caf\\351""#);
    assert_eq!(
        entry(&format!("{ROOT},\"MESSAGE\":null")),
        Parsed::Unrecognised
    );
    assert_eq!(entry(ROOT), Parsed::Unrecognised);
    for no_entry in [&b"[1]"[..], b"[\"s=1\"]", b"{\"_UID\":", b""] {
        assert!(parse_journal(no_entry).is_err());
    }
}
