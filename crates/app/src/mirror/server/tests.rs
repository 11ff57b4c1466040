//! Connecting where nothing answers rightly, and what is told of it. Servers that
//! do answer are the system tests' matter.

use std::{
    io::Write as _,
    net::{Ipv4Addr, TcpListener},
    thread,
};

use super::*;

fn connected(address: &str) -> Result<Server, ServerError> {
    let address = Address::parse(address).unwrap();
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(Server::connect(&address, Purpose::Write))
}

fn fault(address: &str) -> ServerError {
    connected(address).expect_err("nothing serves there")
}

/// A port that says something to one caller, and hangs up.
fn talker(words: &'static [u8]) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        let (mut caller, _) = listener.accept().unwrap();
        let _unheard = caller.write_all(words);
    });
    port
}

/// A port that nobody listens at.
fn closed_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap().port()
}

#[test]
fn nobody_there_is_unreachable() {
    for scheme in ["mysql", "postgres"] {
        let port = closed_port();
        let error = fault(&format!("{scheme}://u@127.0.0.1:{port}/m"));
        assert!(
            matches!(error, ServerError::Unreachable { .. }),
            "{error:?}"
        );
        assert_eq!(
            error.to_string(),
            format!("127.0.0.1:{port} cannot be reached: the connection was refused")
        );
        let error = fault(&format!("{scheme}://u@/m?socket=/nowhere/.s.PGSQL.1"));
        assert_eq!(
            error.to_string(),
            "/nowhere/.s.PGSQL.1 cannot be reached: there is no such socket"
        );
    }
}

#[test]
fn something_else_there_is_unreachable() {
    for scheme in ["mysql", "postgres"] {
        for words in [&b""[..], b"SSH-2.0-OpenSSH_9.2\r\n", b"\0\0\0\0\0\0\0\0"] {
            let port = talker(words);
            let error = fault(&format!("{scheme}://u@127.0.0.1:{port}/m?tls=off"));
            assert!(
                matches!(error, ServerError::Unreachable { .. }),
                "{error:?}"
            );
        }
    }
}

#[test]
fn a_password_that_is_missing_is_told_before_anybody_is_called() {
    let port = closed_port();
    let error = fault(&format!(
        "mysql://u@127.0.0.1:{port}/m?password-file=/nowhere/password"
    ));
    assert!(matches!(error, ServerError::Password(_)), "{error:?}");
}

#[test]
fn authorities_that_are_none_are_told() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().display();
    for scheme in ["mysql", "postgres"] {
        let port = closed_port();
        let error = fault(&format!("{scheme}://u@127.0.0.1:{port}/m?ca={path}"));
        assert!(
            matches!(error, ServerError::Authorities { .. }),
            "{error:?}"
        );
    }
}

#[test]
fn of_several_places_the_most_telling_is_told_with_the_others() {
    let at = Tried::only;
    let unreachable = |place| ServerError::Unreachable {
        at: at(place),
        why: "the connection was refused".to_owned(),
    };
    let read_only = ServerError::ReadOnly { at: at("b:1") };
    let error = most_telling(vec![unreachable("a:1"), read_only, unreachable("c:1")]);
    assert_eq!(
        error.to_string(),
        "b:1 takes no writes: it is read-only, or a replica (also tried: a:1 cannot be reached: \
         the connection was refused; c:1 cannot be reached: the connection was refused)"
    );
    let alike = most_telling(vec![unreachable("a:1"), unreachable("b:1")]);
    assert!(alike.to_string().starts_with("a:1"), "{alike}");
}

#[test]
fn openssls_words_become_faults_of_a_certificate() {
    for (said, fault) in [
        (
            "error:… (self-signed certificate in certificate chain)",
            Some(CertificateFault::NotTrusted),
        ),
        (
            "error:… (self signed certificate)",
            Some(CertificateFault::NotTrusted),
        ),
        (
            "error:… (unable to get local issuer certificate)",
            Some(CertificateFault::NotTrusted),
        ),
        (
            "error:… (hostname mismatch)",
            Some(CertificateFault::OtherName),
        ),
        (
            "error:… (IP address mismatch)",
            Some(CertificateFault::OtherName),
        ),
        (
            "error:… (certificate has expired)",
            Some(CertificateFault::Expired),
        ),
        (
            "error:… (certificate is not yet valid)",
            Some(CertificateFault::NotYetValid),
        ),
        ("error:…:unsupported protocol", None),
    ] {
        assert_eq!(error::certificate_fault(said), fault, "{said}");
    }
}

#[test]
fn what_a_server_says_moves_no_cursor() {
    assert_eq!(error::words(" a\u{1b}[31m\nb "), "a\\x1b[31m\\nb");
}
