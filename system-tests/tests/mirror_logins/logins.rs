//! Who sshmeter says it is, and how it shows that.

use std::{fs, os::unix::fs::PermissionsExt as _};

use system_tests::{Auth, Authority, Backend, Database};

use crate::{LET_IN, PASSWORD, add_user, lets_in, refuses, said, said_with};

/// The ways that take a password.
fn ways(backend: Backend) -> Vec<Auth> {
    let password = PASSWORD.to_owned();
    let usual = Auth::Password(password.clone());
    match backend {
        Backend::MariaDb => vec![usual, Auth::Ed25519(password)],
        Backend::MySql => vec![usual],
        Backend::Postgres => vec![
            usual,
            Auth::Md5(password.clone()),
            Auth::Cleartext(password),
        ],
    }
}

#[test]
fn by_every_way_over_every_wire() {
    for backend in Backend::ALL {
        if !backend.stands("mirror_logins::by_every_way_over_every_wire") {
            continue;
        }
        let authority = Authority::new();
        let certificate = authority.server(&["DNS:localhost"]);
        // A password that nobody encrypts goes over TLS, or over no wire.
        let over_tls = backend.builder().tcp().tls(&certificate).start();
        let in_the_open = backend.builder().tcp().start();
        for server in [&over_tls, &in_the_open] {
            server.create_database("sshmeter");
            for (number, way) in ways(backend).iter().enumerate() {
                each_way(server, &format!("user {number}: o'brien@home"), way);
            }
        }
        the_name_of_this_machine_s_user(&over_tls);
    }
}

fn each_way(server: &Database, user: &str, way: &Auth) {
    add_user(server, user, way);
    let by_tcp = server.tcp_url("localhost", user, "sshmeter");
    let by_socket = server.socket_url(user, "sshmeter");
    // The first time all of it has to be shown; a server may remember it then.
    for url in [&by_tcp, &by_tcp, &by_socket] {
        lets_in(url);
    }
    if server.backend() == Backend::MySql {
        server.query("FLUSH PRIVILEGES");
        lets_in(&by_tcp);
    }
    let file = server.password_file(user);
    fs::write(&file, "wrong horse\n").expect("the password's file");
    for url in [&by_tcp, &by_socket] {
        refuses(
            url,
            "refuses the login of `user ",
            "are the user, the password's file and the hosts this user may come from",
        );
    }
    // Whoever changes it need not tell anybody.
    fs::write(&file, format!("{PASSWORD}\n")).expect("the password's file");
    lets_in(&by_tcp);
}

/// `unix_socket` and `peer`: no password at all.
fn the_name_of_this_machine_s_user(server: &Database) {
    match server.backend() {
        Backend::MariaDb => {}
        Backend::Postgres => add_user(server, "root", &Auth::Socket),
        Backend::MySql => return,
    }
    let url = server.socket_url("root", "sshmeter");
    assert!(!url.contains("password"), "{url}");
    lets_in(&url);
    // Over TCP nobody knows the user.
    refuses(
        &server.tcp_url("localhost", "root", "sshmeter"),
        "refuses the login of `root`",
        "are the user, the password's file",
    );
}

#[test]
fn what_is_wrong_with_a_password_or_a_database_is_told() {
    for backend in [Backend::MariaDb, Backend::Postgres] {
        if !backend.stands("mirror_logins::what_is_wrong_with_a_password_or_a_database_is_told") {
            continue;
        }
        let server = backend.start();
        server.create_database("sshmeter");
        add_user(&server, "sshmeter", &Auth::Password(PASSWORD.to_owned()));
        passwords(&server);
        databases(&server);
        places(&server);
    }
}

fn passwords(server: &Database) {
    let url = server.url("sshmeter", "sshmeter");
    let file = server.password_file("sshmeter");
    let (without, _) = url.split_once("&password-file=").expect("a password");
    refuses(
        without,
        "refuses the login of `sshmeter`",
        "are the user, the password's file",
    );
    refuses(
        &format!("{without}&password-credential=mirror"),
        "the credential `mirror` is not there",
        "LoadCredential=NAME:PATH",
    );
    let credentials = Some(server.folder());
    let absent = said_with(
        &format!("{without}&password-credential=mirror"),
        credentials,
    );
    let sentence = "the credential `mirror` is not among those that this process was given";
    assert!(absent.contains(sentence), "{absent}");
    assert!(absent.contains("LoadCredential=NAME:PATH"), "{absent}");
    let given = format!("{without}&password-credential=password-sshmeter");
    let words = said_with(&given, credentials);
    assert!(words.contains(LET_IN), "{words}");
    fs::write(&file, "").expect("the password's file");
    refuses(&url, "is empty", "the first line of an ordinary file");
    fs::remove_file(&file).expect("the password's file");
    refuses(&url, "is not there", "write the password into it");
    fs::write(&file, format!("{PASSWORD}\nmore\n")).expect("the password's file");
    let mode = fs::Permissions::from_mode(0o600);
    fs::set_permissions(&file, mode).expect("the password's file");
    lets_in(&url);
}

fn databases(server: &Database) {
    let other = server.url("sshmeter", "elsewhere");
    let words = said(&other);
    // MariaDB does not tell whether it is there to who may not use it.
    assert!(
        words.contains("has no database `elsewhere`") || words.contains("does not allow it"),
        "{words}"
    );
    assert_eq!(words.matches("hint: ").count(), 1, "{words}");
}

fn places(server: &Database) {
    let url = server.url("sshmeter", "sshmeter");
    let socket = server.socket();
    let socket = socket.to_str().expect("a path in UTF-8");
    let nowhere = url.replace(&format!("socket={socket}"), "socket=/nowhere");
    refuses(&nowhere, "there is no such socket", "is the server running");
    let dead = url
        .replace("@/", "@127.0.0.1:9/")
        .replace(&format!("socket={socket}"), "tls=off");
    refuses(&dead, "the connection was refused", "is the server running");
    let unknown = dead.replace("127.0.0.1:9", "nobody.invalid");
    refuses(&unknown, "its name is not known", "is the server running");
    assert!(said(&url).contains(LET_IN));
}
