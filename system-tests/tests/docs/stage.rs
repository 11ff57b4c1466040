//! A server with systemd, sshmeter, sessions that were counted, and the database
//! servers that the documents speak of, by the names that they have there.

use std::{
    fs,
    path::Path,
    process::Output,
    time::{Duration, Instant},
};

use system_tests::{Authority, Backend, Database, Machine, OpenVisit, book::root, wait_for};

/// Where the machine has the project's checkout, and commands are typed.
pub(crate) const CHECKOUT: &str = "/usr/src/sshmeter";
/// Where the documents have the database servers.
const HOST: &str = "db.example.net";
const CONFIG: &str = "/etc/sshmeter/config.toml";
const DROP_INS: &str = "/etc/systemd/system/sshmeter.service.d";

/// How long a mirror's first round may take to come.
const ROUND: Duration = Duration::from_secs(15);

/// The older scripts' database, with an hour and a minute that they counted.
const SCRIPTS: &str = "CREATE DATABASE sshaccount; USE sshaccount;
    CREATE TABLE `minute` (`time` timestamp NOT NULL, `user` varchar(32) NOT NULL, `pid` int,
        `in` bigint NOT NULL, `out` bigint NOT NULL);
    CREATE TABLE `hour` (`time` timestamp NOT NULL, `user` varchar(32) NOT NULL,
        `in` bigint NOT NULL, `out` bigint NOT NULL);
    INSERT INTO `hour` VALUES (DATE_FORMAT(NOW() - INTERVAL 2 DAY, '%Y-%m-%d %H:00:00'), 'alice', 1, 2);
    INSERT INTO `minute` VALUES (NOW() - INTERVAL 2 HOUR, 'bob', 4711, 3, 4);";

/// Where the package has the drop-ins.
const EXAMPLES: &str = "/usr/share/doc/sshmeter/examples";

/// The machine and the servers.
pub(crate) struct Stage {
    // Dropped in this order: clients before the machine they are connected to.
    _guest: OpenVisit,
    servers: Vec<Database>,
    machine: Machine,
}

impl Stage {
    /// Makes it all.
    pub(crate) fn set() -> Self {
        let machine = Machine::builder().booted().start();
        let authority = Authority::new();
        let pem = fs::read_to_string(authority.certificate()).expect("an authority");
        machine.server().write("/etc/ssl/documents.pem", &pem);
        machine.server().shell(&format!(
            "echo 127.0.0.1 {HOST} >>/etc/hosts
            cp /etc/ssl/documents.pem \
                /etc/ssl/certs/$(openssl x509 -hash -noout -in /etc/ssl/documents.pem).0
            mkdir -p {CHECKOUT}/dist {EXAMPLES}"
        ));
        for entry in fs::read_dir(root().join("dist")).expect("the folder dist") {
            let path = entry.expect("an entry").path();
            if let Some(name) = path.file_name().filter(|_| path.is_file()) {
                // Where a clone has them, and the package its examples.
                for folder in [&format!("{CHECKOUT}/dist"), EXAMPLES] {
                    let inside = format!("{folder}/{}", name.to_string_lossy());
                    machine.server().install(&path, &inside);
                }
            }
        }
        let servers =
            [(Backend::MariaDb, 3306), (Backend::Postgres, 5432)].map(|(backend, port)| {
                let certificate = authority.server(&[&format!("DNS:{HOST}")]);
                let builder = backend.builder().tls(&certificate);
                builder.tcp_in(machine.server(), "127.0.0.1", port).start()
            });
        servers[0].query(SCRIPTS);
        let service = machine.install();
        let client = machine.client();
        client.visit("alice").scp_up(300_000);
        client.visit("bob").run("head -c 500000 /dev/zero");
        client.visit("carol").run("true");
        client.visit("alice").fail();
        let guest = client.visit("bob").open(&[], Some("cat"));
        wait_for("the sessions", Duration::from_secs(30), || {
            let sessions = service.ask().sessions();
            let of_bob = sessions.iter().filter(|one| one.user == "bob").count();
            (sessions.len() == 5 && of_bob == 2).then_some(())
        });
        Self {
            _guest: guest,
            servers: servers.into(),
            machine,
        }
    }

    /// Types commands.
    pub(crate) fn typed(&self, commands: &str) -> Output {
        let script = format!("cd {CHECKOUT}\n{commands}");
        let words = ["-euo", "pipefail", "-c", &script];
        self.machine.server().output("bash", &words)
    }

    /// Puts a file into its place.
    pub(crate) fn put(&self, path: &str, text: &str) {
        let folder = Path::new(path)
            .parent()
            .expect("a folder")
            .to_string_lossy();
        self.machine.server().run("mkdir", &["-p", &folder]);
        self.machine.server().write(path, text);
    }

    /// Asks a server, in the database of the documents if it is there already; what
    /// comes from a mirror may take its first round to come.
    pub(crate) fn ask(&self, backend: Backend, sql: &str) -> Result<(), String> {
        let server = self.servers.iter().find(|one| one.backend() == backend);
        let server = server.expect("a server of each kind");
        if sql.contains("CREATE DATABASE") {
            return server.try_query(sql).map(|_| ());
        }
        let begin = Instant::now();
        let mut refused = None;
        while begin.elapsed() < ROUND {
            match server.try_query_in("sshmeter", sql) {
                Ok(_) => return Ok(()),
                // A statement before the one that failed is not taken twice.
                Err(words) => refused = refused.or(Some(words)),
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        refused.map_or(Ok(()), Err)
    }

    /// Puts back what a page has changed, for the next one.
    pub(crate) fn tidy(&self) {
        let changed = self.machine.server().output(
            "bash",
            &[
                "-c",
                &format!("ls {CONFIG} {DROP_INS}/* 2>/dev/null; systemctl is-active sshmeter"),
            ],
        );
        if changed.stdout == b"active\n" {
            return;
        }
        self.machine.server().shell(&format!(
            "if [ -e /etc/systemd/system/sshmeter.service ]; then systemctl stop sshmeter; fi
            rm -rf /etc/sshmeter {DROP_INS}; systemctl daemon-reload"
        ));
        let _installed = self.machine.install();
    }

    /// What the service said, for who reads a failure.
    pub(crate) fn words(&self) -> String {
        self.machine.server().run(
            "journalctl",
            &["--unit=sshmeter", "--output=cat", "--lines=30"],
        )
    }
}
