//! Addresses, good and bad.

use proptest::prelude::*;

use super::*;

fn shown(text: &str) -> String {
    Address::parse(text)
        .unwrap_or_else(|error| panic!("{text}: {error}"))
        .shown()
}

fn refusal(text: &str) -> String {
    match Address::parse(text) {
        Ok(address) => panic!("{text} was taken as {address}"),
        Err(error) => format!("{error} | {}", error.hint()),
    }
}

#[test]
fn good_addresses_have_one_form() {
    for (text, form) in [
        ("mysql://meter@db1/meters", "mysql://meter@db1/meters"),
        ("MariaDB://meter@db1:3306/m", "mysql://meter@db1/m"),
        ("postgresql://u@db1:5433/m", "postgres://u@db1:5433/m"),
        (
            "postgres://u@a,b:5433,[::1]/m",
            "postgres://u@a,b:5433,[::1]/m",
        ),
        (
            "mysql://u@[2001:DB8::0:1]:3307/m",
            "mysql://u@[2001:db8::1]:3307/m",
        ),
        (
            "mysql://u@%2Frun%2Fmy%20sql.sock/m",
            "mysql://u@/m?socket=/run/my%20sql.sock",
        ),
        (
            "mysql://u@/m?socket=/run/x.sock",
            "mysql://u@/m?socket=/run/x.sock",
        ),
        ("mysql://u@localhost/m?socket=/x", "mysql://u@/m?socket=/x"),
        (
            "postgres://u@localhost:5433/m?socket=/run/postgresql",
            "postgres://u@/m?socket=/run/postgresql/.s.PGSQL.5433",
        ),
        (
            "postgres://u@/m?socket=/run/.s.PGSQL.5",
            "postgres://u@/m?socket=/run/.s.PGSQL.5",
        ),
        (
            "mysql://a%40b%3Ac%2Fd@h/%C3%BC%25",
            "mysql://a%40b%3Ac%2Fd@h/%C3%BC%25",
        ),
        (
            "mysql://u@h/m?ca=/etc/ca.pem&password-file=/etc/my%20password",
            "mysql://u@h/m?password-file=/etc/my%20password&ca=/etc/ca.pem",
        ),
        (
            "mysql://u@h/m?tls=off&password-credential=mirror",
            "mysql://u@h/m?password-credential=mirror&tls=off",
        ),
    ] {
        assert_eq!(shown(text), form);
        assert_eq!(shown(form), form);
        assert!(is_address(text));
    }
}

#[test]
fn an_address_is_taken_apart() {
    let address =
        Address::parse("postgres://a%40b@db1,[::1]:1/m%2Fn?ca=/ca.pem&password-file=/p").unwrap();
    assert_eq!(
        address,
        Address {
            protocol: Protocol::Postgres,
            user: "a@b".to_owned(),
            places: vec![
                Place::Tcp {
                    host: "db1".to_owned(),
                    port: 5432
                },
                Place::Tcp {
                    host: "::1".to_owned(),
                    port: 1
                }
            ],
            database: "m/n".to_owned(),
            tls: Tls::Verified {
                authorities: Some(PathBuf::from("/ca.pem"))
            },
            password: PasswordSource::File(PathBuf::from("/p")),
        }
    );
    assert_eq!(address.places[0].to_string(), "db1:5432");
    assert_eq!(address.places[1].to_string(), "[::1]:1");
}

#[test]
fn bad_addresses_are_refused_with_what_is_wrong() {
    for (text, word) in [
        ("", "no address"),
        ("/var/lib/sshmeter/ledger.db", "no address"),
        ("sqlite://u@h/m", "no address"),
        ("mysql:u@h/m", "no address"),
        ("mysql://h/m", "no user"),
        ("mysql://@h/m", "no user"),
        ("mysql://u@h", "no database"),
        ("mysql://u@h/", "no database"),
        ("mysql://u@h/?tls=off", "no database"),
        ("mysql://u@h/a/b", "`/`"),
        ("mysql://u@/m", "no host"),
        ("mysql://u@a,,b/m", "no host"),
        ("mysql://u@a b/m", "is no host"),
        ("mysql://u@[::1/m", "brackets"),
        ("mysql://u@[db1]/m", "is no host"),
        ("mysql://u@::1/m", "brackets"),
        ("mysql://u@h:0/m", "port"),
        ("mysql://u@h:65536/m", "port"),
        ("mysql://u@h:+1/m", "port"),
        ("mysql://u@h:/m", "port"),
        ("mysql://u@%2Fx:1/m", "port"),
        ("mysql://u@h/m#x", "`#`"),
        ("mysql://u%@h/m", "encoded"),
        ("mysql://u%2@h/m", "encoded"),
        ("mysql://u@h/%FF", "encoded"),
        ("mysql://u@h/a%00b", "control"),
        ("mysql://u@h/m?", "not known"),
        ("mysql://u@h/m?compress=yes", "not known"),
        ("mysql://u@h/m?tls=on", "can only be"),
        ("mysql://u@h/m?tls=off&tls=off", "twice"),
        ("mysql://u@h/m?tls=off&ca=/x", "turns TLS off"),
        ("mysql://u@h/m?ca=x", "no whole path"),
        ("mysql://u@h/m?socket=", "no whole path"),
        ("mysql://u@h/m?socket=/x", "both a host and a socket"),
        ("postgres://u@%2Fa/m?socket=/x", "both a host and a socket"),
        ("mysql://u@a,b/m?socket=/x", "both a host and a socket"),
        ("mysql://u@/m?password-file=x", "no whole path"),
        ("mysql://u@h/m?password-credential=../x", "no credential"),
        ("mysql://u@h/m?password-credential=..", "no credential"),
        (
            "mysql://u@h/m?password-credential=x&password-file=/x",
            "two passwords",
        ),
    ] {
        let words = refusal(text);
        assert!(words.contains(word), "{text}: {words}");
    }
}

#[test]
fn a_password_is_refused_and_never_repeated() {
    for text in [
        "mysql://u:hunter2@h/m",
        "mysql://u:hun@ter2hunter2@h/m",
        "mysql://u:hunter2/x@h/m",
        "mysql://u:hunter2?x@h/m",
        "mysql://u:x?hunter2@h/m",
        "mysql://u:x/hunter2@h/m",
        "mysql://u:x#hunter2@h/m",
        "postgres://u:%hunter2@h/m",
        "postgres://u@h/m?password=hunter2",
        "postgres://u@h/m?pwd=hunter2",
        "postgres://u@h/m?hunter2",
        "postgres://u@h:hunter2/m",
    ] {
        let words = refusal(text);
        assert!(!words.contains("hunter2"), "{words}");
    }
    assert!(refusal("mysql://u:hunter2@h/m").contains("password-file="));
}

#[test]
fn a_path_is_no_address() {
    assert!(!is_address("/var/lib/sshmeter/ledger.db"));
    assert!(!is_address("mysql"));
    assert!(!is_address("./mysql:/x"));
    assert!(is_address("mysql://"));
}

proptest! {
    #[test]
    fn what_is_shown_is_read_again(
        is_mysql: bool,
        user in "\\PC{1,12}",
        database in "\\PC{1,12}",
        host in "[a-z0-9.-]{1,12}",
        port in 1..=u16::MAX,
        path in "/\\PC{0,12}",
        credential: bool,
        tls in 0..3,
    ) {
        let protocol = if is_mysql { Protocol::Mysql } else { Protocol::Postgres };
        let socket = if is_mysql { path.clone() } else { format!("{path}/.s.PGSQL.{port}") };
        let address = Address {
            protocol,
            user,
            places: vec![Place::Tcp { host, port }, Place::Socket(PathBuf::from(socket))],
            database,
            tls: match tls {
                0 => Tls::Off,
                1 => Tls::Verified { authorities: None },
                _ => Tls::Verified { authorities: Some(PathBuf::from(&path)) },
            },
            password: if credential {
                PasswordSource::Credential("x&y=z?".to_owned())
            } else {
                PasswordSource::File(PathBuf::from(path))
            },
        };
        prop_assert_eq!(Address::parse(&address.shown()), Ok(address));
    }

    #[test]
    fn no_text_makes_the_reader_panic(text in "(mysql|postgres)://[a@:/?%\\[\\],#=& \\PC]{0,40}") {
        let _either = Address::parse(&text);
    }
}
