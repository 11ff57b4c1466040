//! Over TCP the server has to show that it is the one that is meant.

use std::path::Path;

use system_tests::{Auth, Authority, Backend, Certificate, Database};

use crate::{PASSWORD, add_user, lets_in, refuses};

/// One server, whose certificate is changed from tale to tale.
struct Server {
    database: Database,
    authority: Authority,
}

impl Server {
    fn start(backend: Backend) -> Self {
        let authority = Authority::new();
        let good = authority.server(&["DNS:localhost", "IP:127.0.0.1"]);
        let database = backend.builder().tcp().tls(&good).start();
        database.create_database("sshmeter");
        add_user(&database, "sshmeter", &Auth::Password(PASSWORD.to_owned()));
        Self {
            database,
            authority,
        }
    }

    fn show(&mut self, certificate: &Certificate) {
        self.database.stop();
        let folder = self.database.folder();
        for (from, to) in [
            (&certificate.certificate, "certificate.pem"),
            (&certificate.key, "key.pem"),
        ] {
            let content = std::fs::read(from).expect("a certificate");
            // Written over, the file stays the server's.
            std::fs::write(folder.join(to), content).expect("the server's file");
        }
        self.database.start_again();
    }

    fn at(&self, host: &str) -> String {
        self.database.tcp_url(host, "sshmeter", "sshmeter")
    }

    fn trusting(&self, authority: &Path) -> String {
        let own = self.authority.certificate();
        let other = authority.to_str().expect("a path in UTF-8");
        let url = self.at("localhost");
        url.replace(own.to_str().expect("a path in UTF-8"), other)
    }

    fn without(&self, option: &str) -> String {
        let url = self.at("localhost");
        let (before, after) = url.split_once(option).expect("the option");
        let (_, rest) = after.split_once('&').expect("a password after it");
        format!("{before}{rest}")
    }
}

#[test]
fn only_the_right_server_is_talked_to() {
    for backend in Backend::ALL {
        if backend.stands("mirror_logins::only_the_right_server_is_talked_to") {
            over_tls(backend);
        }
    }
}

fn over_tls(backend: Backend) {
    let mut server = Server::start(backend);
    lets_in(&server.at("localhost"));
    lets_in(&server.at("127.0.0.1"));
    let stranger = Authority::new();
    let untrusted = "was issued by nobody who is trusted here";
    refuses(
        &server.trusting(&stranger.certificate()),
        untrusted,
        "?ca=FILE",
    );
    refuses(&server.without("ca="), untrusted, "?ca=FILE");
    files_that_are_none(&server);
    let off = format!("{}&tls=off", server.without("ca="));
    refuses(
        &off,
        "refuses the login of `sshmeter`",
        "leave `tls=off` out of the address",
    );

    let elsewhere = server.authority.server(&["DNS:db.example.net"]);
    server.show(&elsewhere);
    for host in ["localhost", "127.0.0.1"] {
        refuses(
            &server.at(host),
            "is for another name",
            "by a name that is in the certificate",
        );
    }
    let expired = server.authority.expired(&["DNS:localhost"]);
    server.show(&expired);
    refuses(
        &server.at("localhost"),
        "has expired",
        "renew it at the server",
    );
    // It can only hold the one name that it is about, which will do.
    let old = server.authority.version_1("localhost");
    server.show(&old);
    lets_in(&server.at("localhost"));
    refuses(
        &server.at("127.0.0.1"),
        "is for another name",
        "by a name that is in the certificate",
    );
}

fn files_that_are_none(server: &Server) {
    let hint = "names a PEM file of certificates";
    let folder = server.database.folder();
    refuses(
        &server.trusting(&folder.join("nothing")),
        "the authorities' file",
        hint,
    );
    refuses(
        &server.trusting(&folder.join("key.pem")),
        "there is no certificate in it",
        hint,
    );
}

#[test]
fn a_server_without_tls_is_used_only_where_that_is_said() {
    for backend in [Backend::MariaDb, Backend::Postgres] {
        if !backend.stands("mirror_logins::a_server_without_tls_is_used_only_where_that_is_said") {
            continue;
        }
        let server = backend.builder().tcp().start();
        server.create_database("sshmeter");
        add_user(&server, "sshmeter", &Auth::Password(PASSWORD.to_owned()));
        let off = server.tcp_url("localhost", "sshmeter", "sshmeter");
        lets_in(&off);
        refuses(
            &off.replace("tls=off&", ""),
            "offers no TLS",
            "turn TLS on at the server",
        );
    }
}
