//! The database servers of the tests are what they are taken for: they keep what
//! they have committed, refuse who has no right, and stand still when told to.

use std::{
    io::Write as _,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use system_tests::{Auth, Authority, Backend, Galera, Keeper, Postgres, Rows, stands_with};

/// What naive readers of a client's output take for something else.
const HARD: &str = "NULL \\N \\ ' \" & &lt; <row> > ,\t| \r\n é 🔌 \u{1} %20\n";

fn row(values: &[Option<&str>]) -> Vec<Option<String>> {
    values
        .iter()
        .map(|value| value.map(str::to_owned))
        .collect()
}

fn one(value: &str) -> Rows {
    vec![row(&[Some(value)])]
}

/// A text in SQL of any kind of server.
fn literal(backend: Backend, text: &str) -> String {
    let text = text.replace('\'', "''");
    match backend {
        Backend::Postgres => format!("'{text}'"),
        Backend::MariaDb | Backend::MySql => format!("'{}'", text.replace('\\', "\\\\")),
    }
}

#[test]
fn a_value_comes_back_as_it_was_put_in() {
    for backend in Backend::ALL {
        if !backend.stands("a_value_comes_back_as_it_was_put_in") {
            continue;
        }
        let server = backend.start();
        server.create_database("figures");
        let text = literal(backend, HARD);
        server.query_in(
            "figures",
            &format!(
                "CREATE TABLE t (a INT PRIMARY KEY, b TEXT);
                INSERT INTO t VALUES (1, {text}), (2, NULL), (3, ''), (4, 'NULL')"
            ),
        );
        let all = server.query_in("figures", "SELECT a, b FROM t ORDER BY a; SELECT 5");
        let expected = [
            row(&[Some("1"), Some(HARD)]),
            row(&[Some("2"), None]),
            row(&[Some("3"), Some("")]),
            row(&[Some("4"), Some("NULL")]),
            row(&[Some("5")]),
        ];
        assert_eq!(all, expected, "{backend:?}");
        let nothing = server.query_in("figures", "SELECT a FROM t WHERE a > 5");
        assert_eq!(nothing, Rows::new(), "{backend:?}");
        assert!(server.try_query("SELECT nonsense").is_err(), "{backend:?}");
    }
}

#[test]
fn what_was_committed_survives_a_kill_and_nothing_else_does() {
    for backend in Backend::ALL {
        if !backend.stands("what_was_committed_survives_a_kill_and_nothing_else_does") {
            continue;
        }
        let mut server = backend.start();
        server.create_database("figures");
        server.query_in("figures", "CREATE TABLE t (a INT PRIMARY KEY)");
        for number in 0..20 {
            server.query_in("figures", &format!("INSERT INTO t VALUES ({number})"));
        }
        let mut client = server.client("figures");
        let mut client = client
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("a client");
        let mut open = client.stdin.take().expect("the input is a pipe");
        let insert = "BEGIN; INSERT INTO t VALUES (100); \n";
        open.write_all(insert.as_bytes()).expect("the client reads");
        thread::sleep(Duration::from_millis(500));
        server.kill();
        drop(open);
        client.wait().expect("the client ends");
        server.start_again();
        let count = server.query_in("figures", "SELECT count(*), max(a) FROM t");
        assert_eq!(count, [row(&[Some("20"), Some("19")])], "{backend:?}");
        server.kill();
        assert!(server.try_query("SELECT 1").is_err(), "{backend:?}");
        server.start_again();
        server.stop();
        assert!(server.try_query("SELECT 1").is_err(), "{backend:?}");
        server.start_again();
        let count = server.query_in("figures", "SELECT count(*) FROM t");
        assert_eq!(count, one("20"), "{backend:?}");
    }
}

#[test]
fn only_the_right_password_is_taken() {
    for backend in Backend::ALL {
        if !backend.stands("only_the_right_password_is_taken") {
            continue;
        }
        let server = backend.start();
        server.create_database("figures");
        for (number, auth) in ways(backend).iter().enumerate() {
            let user = format!("user-{number}'s");
            let password = auth.password().expect("these have one");
            server.create_user(&user, auth);
            server.grant(&user, "figures");
            let ask = |password| server.query_as(&user, password, "figures", "SELECT 1");
            assert_eq!(ask(password), Ok(one("1")), "{backend:?} {auth:?}");
            assert!(ask("wrong horse").is_err(), "{backend:?} {auth:?}");
            assert!(ask("").is_err(), "{backend:?} {auth:?}");
            let kept = std::fs::read_to_string(server.password_file(&user));
            assert_eq!(kept.expect("a file"), format!("{password}\n"));
        }
        assert!(
            server
                .query_as("nobody", "x", "figures", "SELECT 1")
                .is_err()
        );
    }
}

/// The ways that take a password.
fn ways(backend: Backend) -> Vec<Auth> {
    let password = "right 'horse' \\ 🐎".to_owned();
    let usual = Auth::Password(password.clone());
    match backend {
        Backend::MariaDb => vec![usual, Auth::Ed25519(password)],
        Backend::MySql => vec![usual, Auth::Sha256(password)],
        Backend::Postgres => vec![
            usual,
            Auth::Md5(password.clone()),
            Auth::Cleartext(password),
        ],
    }
}

#[test]
fn a_user_of_this_machine_needs_no_password() {
    for backend in [Backend::MariaDb, Backend::Postgres] {
        if !backend.stands("a_user_of_this_machine_needs_no_password") {
            continue;
        }
        let server = backend.start();
        server.create_database("figures");
        for (user, taken) in [("root", true), ("daemon", false)] {
            if (backend, user) != (Backend::MariaDb, "root") {
                server.create_user(user, &Auth::Socket);
                server.grant(user, "figures");
            }
            let answer = server.query_as(user, "", "figures", "SELECT 1");
            assert_eq!(answer.is_ok(), taken, "{backend:?}: {answer:?}");
            let url = server.url(user, "figures");
            assert!(!url.contains("password"), "{url}");
        }
    }
}

#[test]
fn a_paused_server_answers_when_it_goes_on() {
    for backend in Backend::ALL {
        if !backend.stands("a_paused_server_answers_when_it_goes_on") {
            continue;
        }
        let server = backend.start();
        server.pause();
        let begin = Instant::now();
        let answer = thread::scope(|scope| {
            let asked = scope.spawn(|| server.query("SELECT 1"));
            thread::sleep(Duration::from_secs(2));
            assert!(!asked.is_finished(), "{backend:?}");
            server.resume();
            asked.join().expect("no panic")
        });
        assert_eq!(answer, one("1"), "{backend:?}");
        assert!(begin.elapsed() >= Duration::from_secs(2));
    }
}

#[test]
fn nothing_of_a_server_outlives_it_even_paused() {
    for backend in Backend::ALL {
        if !backend.stands("nothing_of_a_server_outlives_it_even_paused") {
            continue;
        }
        let server = backend.start();
        let folder = server.folder().to_str().expect("UTF-8").to_owned();
        server.pause();
        assert!(is_named(&folder), "{backend:?}");
        drop(server);
        assert!(!is_named(&folder), "{backend:?}");
        assert!(!std::path::Path::new(&folder).exists(), "{backend:?}");
    }
}

/// Whether a process has this in its arguments.
fn is_named(word: &str) -> bool {
    let processes = std::fs::read_dir("/proc").expect("a list of processes");
    processes.filter_map(Result::ok).any(|process| {
        let arguments = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&arguments).contains(word)
    })
}

#[test]
fn a_server_listens_where_it_is_told_to() {
    for backend in Backend::ALL {
        if !backend.stands("a_server_listens_where_it_is_told_to") {
            continue;
        }
        let here = backend.builder().tcp().start();
        let port = here.port().expect("a port");
        std::net::TcpStream::connect(("127.0.0.1", port)).expect("it listens");
        let url = here.ready_for_sshmeter();
        let begin = format!("sshmeter@127.0.0.1:{port}/sshmeter?tls=off&password-file=/");
        assert!(url.contains(&begin), "{url}");
        assert!(!url.contains("horse"), "{url}");

        let keeper = Keeper::start(
            "ip link set lo up; ip address add 10.9.8.7 dev lo; \
             exec 3<&0 </dev/null; echo ready; cat <&3 >/dev/null 2>&1 & wait $!",
        );
        let port = 3307;
        let there = backend.builder().tcp_in(&keeper, "0.0.0.0", port).start();
        keeper.shell(&format!("exec 3<>/dev/tcp/10.9.8.7/{port}"));
        assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_err());
        assert_eq!(there.query("SELECT 1"), one("1"), "{backend:?}");
        let socket = there.socket_url("a b", "c/d");
        assert!(socket.contains("://a%20b@/c%2Fd?socket=/"), "{socket}");
    }
}

#[test]
fn options_are_taken() {
    for backend in Backend::ALL {
        if !backend.stands("options_are_taken") {
            continue;
        }
        let (line, question, answer) = match backend {
            Backend::Postgres => ("max_connections = 17", "SHOW max_connections", "17"),
            _ => (
                "max_allowed_packet=1M",
                "SELECT @@global.max_allowed_packet",
                "1048576",
            ),
        };
        let server = backend.builder().option(line).start();
        assert_eq!(server.query(question), one(answer), "{backend:?}");
        // Or a kill would not be an honest one.
        let (question, answer) = match backend {
            Backend::Postgres => ("SHOW fsync", "on"),
            _ => ("SELECT @@innodb_flush_log_at_trx_commit", "1"),
        };
        assert_eq!(server.query(question), one(answer), "{backend:?}");
    }
}

#[test]
fn certificates_are_what_they_are_called() {
    let name = "certificates_are_what_they_are_called";
    if !stands_with(name, &["openssl", "faketime"]) {
        return;
    }
    let authority = Authority::new();
    let names = ["DNS:localhost", "IP:127.0.0.1"];
    let good = authority.server(&names);
    assert!(good.text().contains("DNS:localhost, IP Address:127.0.0.1"));
    let others = [
        (good, true),
        (authority.expired(&names), false),
        (authority.version_1("localhost"), true),
        (Authority::new().server(&names), false),
    ];
    for (certificate, valid) in others {
        let verified = Command::new("openssl")
            .args(["verify", "-verify_hostname", "localhost", "-CAfile"])
            .args([authority.certificate(), certificate.certificate.clone()])
            .output()
            .expect("openssl can be started");
        assert_eq!(verified.status.success(), valid, "{verified:?}");
    }
    let version = authority.version_1("localhost").text();
    assert!(version.contains("Version: 1 "), "{version}");
}

#[test]
fn with_a_certificate_nobody_comes_in_without_tls() {
    for backend in Backend::ALL {
        if !backend.stands("with_a_certificate_nobody_comes_in_without_tls") {
            continue;
        }
        let authority = Authority::new();
        let certificate = authority.server(&["DNS:localhost"]);
        let server = backend.builder().tcp().tls(&certificate).start();
        let url = server.ready_for_sshmeter();
        assert!(url.contains("?ca=/"), "{url}");
        let port = server.port().expect("a port");
        let ca = authority.certificate();
        for (host, tls, taken) in [
            ("localhost", true, true),
            ("localhost", false, false),
            ("127.0.0.1", true, false),
        ] {
            let mut client = match backend {
                Backend::Postgres => {
                    let mode = if tls { "verify-full" } else { "disable" };
                    let mut client = Command::new("psql");
                    client.args(["-X", "-c", "SELECT 1", "-d"]).arg(format!(
                        "host={host} port={port} user=sshmeter dbname=sshmeter \
                         sslmode={mode} sslrootcert={}",
                        ca.display()
                    ));
                    client
                }
                Backend::MariaDb | Backend::MySql => {
                    let mut client = Command::new("mariadb");
                    client.args(["--no-defaults", "--protocol=tcp", "--execute=SELECT 1"]);
                    client.args(["--user=sshmeter", "--database=sshmeter"]);
                    client
                        .arg(format!("--host={host}"))
                        .arg(format!("--port={port}"));
                    if tls {
                        client.arg(format!("--ssl-ca={}", ca.display()));
                        client.arg("--ssl-verify-server-cert");
                    } else {
                        client.arg("--skip-ssl");
                    }
                    client
                }
            };
            client.envs([("PGPASSWORD", "right horse"), ("MYSQL_PWD", "right horse")]);
            let output = client.output().expect("a client can be started");
            assert_eq!(
                output.status.success(),
                taken,
                "{backend:?} {host} {tls}: {output:?}"
            );
        }
    }
}

#[test]
fn a_standby_follows_and_takes_over() {
    if !Backend::Postgres.stands("a_standby_follows_and_takes_over") {
        return;
    }
    let mut primary = Postgres::start();
    primary.create_database("figures");
    primary.query_in("figures", "CREATE TABLE t (a INT PRIMARY KEY)");
    let standby = Postgres::follow(&primary, Postgres::builder());
    primary.query_in("figures", "INSERT INTO t VALUES (1)");
    system_tests::wait_for("the row", Duration::from_secs(20), || {
        (standby.query_in("figures", "SELECT a FROM t") == one("1")).then_some(())
    });
    let create = standby.try_query("CREATE TABLE own (a INT)");
    assert!(create.is_err_and(|error| error.contains("read-only")));
    primary.kill();
    Postgres::promote(&standby);
    standby.query_in("figures", "INSERT INTO t VALUES (2)");
    let count = standby.query_in("figures", "SELECT count(*) FROM t");
    assert_eq!(count, one("2"));
}

#[test]
fn a_cluster_goes_on_without_one_member_and_takes_it_back() {
    if !Galera::stands("a_cluster_goes_on_without_one_member_and_takes_it_back") {
        return;
    }
    let begin = Instant::now();
    let mut cluster = Galera::start();
    println!("a cluster after {:.1} s", begin.elapsed().as_secs_f64());
    cluster.node(0).create_database("figures");
    let create = "CREATE TABLE t (a INT PRIMARY KEY)";
    cluster.node(1).query_in("figures", create);
    let count = |cluster: &Galera, index: usize| {
        let question = "SET SESSION wsrep_sync_wait = 1; SELECT count(*) FROM t";
        cluster.node(index).query_in("figures", question)
    };
    for member in 0..Galera::NODES {
        let insert = format!("INSERT INTO t VALUES ({member})");
        cluster.node(member).query_in("figures", &insert);
    }
    for member in 0..Galera::NODES {
        assert_eq!(count(&cluster, member), one("3"));
    }
    cluster.node_mut(2).kill();
    cluster
        .node(0)
        .query_in("figures", "INSERT INTO t VALUES (10)");
    cluster.wait_until_together(&[0, 1]);
    assert_eq!(count(&cluster, 1), one("4"));
    cluster.node_mut(2).start_again();
    cluster.wait_until_whole();
    assert_eq!(count(&cluster, 2), one("4"));
    cluster.node_mut(0).stop();
    cluster
        .node(1)
        .query_in("figures", "INSERT INTO t VALUES (11)");
    cluster.node_mut(0).start_again();
    cluster.wait_until_whole();
    assert_eq!(count(&cluster, 0), one("5"));
    println!("told after {:.1} s", begin.elapsed().as_secs_f64());
}
