//! As a service of a real systemd that mirrors: over a network only with the
//! drop-in, and by a Unix socket without it; what is shut otherwise stays shut.

use std::time::{Duration, Instant};

use system_tests::{
    Auth, Authority, Backend, Database, Machine, Service, Tolerance, Visit, boots, must_agree,
    wait_for,
};

const DROP_IN: &str = include_str!("../../dist/sshmeter-mirror.conf");
const DOCUMENT: &str = include_str!("../../docs/mirrors.md");
const FOLDER: &str = "/etc/systemd/system/sshmeter.service.d";
const PASSWORD: &str = "right horse";
/// Where the machine sees the server's files.
const PLACE: &str = "/srv/database";

/// Puts the drop-in where the document says, with the line for the password.
fn install_the_drop_in(machine: &Machine) {
    let place = format!("{FOLDER}/mirror.conf");
    assert!(DOCUMENT.contains(&place), "{place} is not documented");
    let commented = "#LoadCredential=";
    assert!(DROP_IN.contains(commented), "{DROP_IN}");
    machine.server().shell(&format!("mkdir -p {FOLDER}"));
    let with_password = DROP_IN.replace(commented, "LoadCredential=");
    machine.server().write(&place, &with_password);
}

/// A config with this mirror, and a password that only root can read.
fn configure(machine: &Machine, url: &str) {
    machine
        .server()
        .shell("mkdir -p /etc/sshmeter; install -m 600 /dev/null /etc/sshmeter/password");
    let password = format!("{PASSWORD}\n");
    machine.server().write("/etc/sshmeter/password", &password);
    machine.server().write(
        "/etc/sshmeter/config.toml",
        &format!("[[mirror]]\nurl = \"{url}\"\ninterval = \"1s\"\n"),
    );
}

/// A server in the machine's network, behind TLS.
fn server(machine: &Machine, backend: Backend, authority: &Authority, port: u16) -> Database {
    let certificate = authority.server(&["DNS:db.example.net"]);
    let builder = backend.builder().tls(&certificate);
    let server = builder.tcp_in(machine.server(), "127.0.0.1", port).start();
    ready(&server);
    server
}

fn ready(server: &Database) {
    server.create_database("sshmeter");
    server.create_user("sshmeter", &Auth::Password(PASSWORD.to_owned()));
    server.grant("sshmeter", "sshmeter");
}

fn move_some(machine: &Machine) -> Visit {
    machine
        .client()
        .visit("alice")
        .run("head -c 50000 /dev/zero")
}

fn wait_for_words(service: &Service<'_>, words: &str) {
    let begin = Instant::now();
    while !service.words().contains(words) {
        let waited = begin.elapsed();
        assert!(
            waited < Duration::from_secs(20),
            "{words}?\n{}",
            service.words()
        );
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// Waits until the server has what the ledger says of alice.
fn wait_until_mirrored(service: &Service<'_>, server: &Database, visits: &[Visit]) {
    let alice = |report: system_tests::Report| {
        let row = report
            .rows
            .into_iter()
            .find(|row| row.user.as_deref() == Some("alice"));
        row.and_then(|row| row.wire_out)
    };
    wait_for("alice's ledger", Duration::from_secs(20), || {
        let sessions = service.ask().sessions();
        let known = sessions
            .iter()
            .filter(|one| one.user == "alice" && one.closed.is_some());
        (known.count() == visits.len()).then_some(())
    });
    let in_ledger = alice(service.ask().report(&[])).expect("alice was counted");
    wait_for("the mirror", Duration::from_secs(20), || {
        let sql = "SELECT SUM(wire_out) FROM sshmeter_month";
        // The tables may not be there yet.
        let rows = server.query_as("sshmeter", PASSWORD, "sshmeter", sql);
        let rows = rows.unwrap_or_default().pop()?;
        (rows == [Some(in_ledger.to_string())]).then_some(())
    });
}

#[test]
fn a_server_on_the_network_is_reached_with_the_drop_in() {
    let name = "service_mirror::a_server_on_the_network_is_reached_with_the_drop_in";
    if !boots(name) {
        return;
    }
    let standing = [(Backend::MariaDb, 3306), (Backend::Postgres, 5432)];
    let standing: Vec<_> = standing
        .into_iter()
        .filter(|(backend, _)| backend.stands(name))
        .collect();
    if standing.is_empty() {
        return;
    }
    let machine = Machine::builder().booted().start();
    machine
        .server()
        .shell("echo 127.0.0.1 db.example.net >>/etc/hosts");
    let authority = Authority::new();
    let pem = std::fs::read_to_string(authority.certificate()).expect("an authority");
    machine.server().shell("mkdir -p /etc/sshmeter");
    machine.server().write("/etc/sshmeter/ca.pem", &pem);
    let url = |backend: Backend, host: &str| {
        let scheme = match backend {
            Backend::Postgres => "postgres",
            _ => "mysql",
        };
        format!(
            "{scheme}://sshmeter@{host}/sshmeter?ca=/etc/sshmeter/ca.pem&\
             password-credential=mirror"
        )
    };
    let servers: Vec<_> = standing
        .iter()
        .map(|(backend, port)| server(&machine, *backend, &authority, *port))
        .collect();
    // Without the drop-in, and with one that hands only the password over, the
    // service counts all the same, and says what it lacks.
    configure(&machine, &url(standing[0].0, "db.example.net"));
    let capture = machine.capture();
    let service = machine.install();
    let mut visits = vec![move_some(&machine)];
    wait_for_words(&service, "the credential `mirror` is not there");
    wait_for_words(&service, "LoadCredential=");
    machine.server().shell(&format!(
        "mkdir -p {FOLDER}
        printf '[Service]\\nLoadCredential=mirror:/etc/sshmeter/password\\n' >{FOLDER}/mirror.conf
        systemctl daemon-reload"
    ));
    for (backend, host) in [
        (standing[0].0, "db.example.net"),
        (standing[0].0, "somewhere.example.net"),
        (standing[standing.len() - 1].0, "db.example.net"),
    ] {
        configure(&machine, &url(backend, host));
        service.systemctl(&["restart"]);
        wait_for_words(
            &service,
            &format!(
                "{host}:{} cannot be reached: this process may open no network socket \
                (install /usr/share/doc/sshmeter/examples/sshmeter-mirror.conf as {FOLDER}/mirror.conf",
                port(backend)
            ),
        );
    }
    install_the_drop_in(&machine);
    machine.server().shell("systemctl daemon-reload");
    for ((backend, _), server) in standing.iter().zip(&servers) {
        configure(&machine, &url(*backend, "db.example.net"));
        service.systemctl(&["restart"]);
        visits.push(move_some(&machine));
        wait_until_mirrored(&service, server, &visits);
    }
    assert!(!service.words().contains(PASSWORD), "{}", service.words());
    must_agree(&machine, capture, service, &visits, Tolerance::Exact);
}

fn port(backend: Backend) -> u16 {
    if backend == Backend::Postgres {
        5432
    } else {
        3306
    }
}

#[test]
fn a_server_of_this_machine_is_reached_by_its_socket() {
    let name = "service_mirror::a_server_of_this_machine_is_reached_by_its_socket";
    if !boots(name) {
        return;
    }
    for backend in [Backend::MariaDb, Backend::Postgres] {
        if backend.stands(name) {
            by_its_socket(backend);
        }
    }
}

/// Without a drop-in: a socket of this kind is open to the service, and so are
/// files that only root may read.
fn by_its_socket(backend: Backend) {
    let server = backend.start();
    ready(&server);
    let shared = Machine::builder().booted().shared(server.folder(), PLACE);
    let machine = shared.start();
    let folder = server.folder().to_str().expect("a path in UTF-8");
    let url = server.url("sshmeter", "sshmeter").replace(folder, PLACE);
    configure(&machine, &url);
    let capture = machine.capture();
    let service = machine.install();
    let visits = [move_some(&machine)];
    wait_until_mirrored(&service, &server, &visits);
    must_agree(&machine, capture, service, &visits, Tolerance::Exact);
}
