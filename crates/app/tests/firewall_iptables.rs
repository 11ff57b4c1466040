//! The meter of iptables against the real thing: both variants, both families,
//! and real connections whose bytes rules of the test's own count as well.
//!
//! Each test starts itself again in a network of its own, so this machine's
//! firewall never notices.

#![expect(
    clippy::unwrap_used,
    reason = "a scene that cannot be set fails its test, in helpers too"
)]

use std::{
    collections::HashMap,
    env, fs,
    io::{Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream},
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use sshmeter::kernel::firewall::{
    Iptables,
    rules::{Change, Counted, Rules, Standings},
};
use sshmeter_core::{
    identity::{Endpoint, Pid, UserName},
    units::Flow,
};

/// Where this is set, as in CI, a test that cannot run fails instead.
const MUST_RUN: &str = "SSHMETER_TESTS_MUST_RUN";

/// Tells a test that it was started again, and for which variant.
const VARIANT: &str = "SSHMETER_TEST_IPTABLES";

const PORT: u16 = 22;

const LOCALHOSTS: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::LOCALHOST),
    IpAddr::V6(Ipv6Addr::LOCALHOST),
];

/// Runs a story for each variant, each in a network of its own.
fn in_networks(name: &str, story: fn(&Network)) {
    if let Ok(variant) = env::var(VARIANT) {
        story(&Network::new(variant));
        return;
    }
    for variant in ["nft", "legacy"] {
        if let Some(reason) = reason_against(variant) {
            leave_out(&format!("{name}, {variant}"), &reason);
            continue;
        }
        let output = Command::new("unshare")
            .args(["--net", "--mount", "--"])
            .arg(env::current_exe().unwrap())
            .args(["--exact", name, "--nocapture"])
            .env(VARIANT, variant)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        let complained = String::from_utf8_lossy(&output.stderr);
        println!("{variant}: {said}{complained}");
        assert!(output.status.success(), "{name} fails with {variant}");
        assert!(said.contains("1 passed"), "{name} is no test");
    }
}

fn reason_against(variant: &str) -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("needs root: network namespaces".to_owned());
    }
    let programs = ["unshare", "ip", "mount"].map(str::to_owned);
    let tables = ["iptables", "ip6tables"].map(|name| format!("{name}-{variant}"));
    let absent = programs.iter().chain(&tables).find(|program| {
        let folders = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"];
        !folders
            .iter()
            .any(|folder| Path::new(folder).join(program).exists())
    });
    if let Some(program) = absent {
        return Some(format!("needs {program}: not installed"));
    }
    // A kernel may lack the legacy tables, or allow no namespaces.
    let tried = Command::new("unshare")
        .args(["--net", "--mount", "--"])
        .args([&tables[0], "-S"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&tried.stderr).trim().to_owned();
    (!tried.status.success()).then(|| format!("needs a kernel that allows it: {said}"))
}

/// Says so past the test runner, which shows nothing of tests that pass.
fn leave_out(name: &str, reason: &str) {
    assert!(
        env::var_os(MUST_RUN).is_none(),
        "{name} has to run ({MUST_RUN} is set), but {reason}"
    );
    let line = format!("left out: {name} ({reason})\n");
    std::io::stderr().write_all(line.as_bytes()).unwrap();
}

/// A network without anything but itself.
struct Network {
    variant: String,
}

impl Network {
    fn new(variant: String) -> Self {
        let network = Self { variant };
        network.run("ip", &["link", "set", "lo", "up"]);
        network
    }

    fn meter(&self) -> Iptables {
        Iptables::of_programs(&self.program(LOCALHOSTS[0]), &self.program(LOCALHOSTS[1]))
    }

    fn standing_meter(&self) -> Iptables {
        let mut meter = self.meter();
        meter.stand(&[PORT]).unwrap();
        meter
    }

    fn program(&self, ip: IpAddr) -> String {
        let name = if ip.is_ipv4() {
            "iptables"
        } else {
            "ip6tables"
        };
        format!("{name}-{}", self.variant)
    }

    fn run(&self, program: &str, arguments: &[&str]) -> String {
        let output = Command::new(program).args(arguments).output().unwrap();
        assert!(
            output.status.success(),
            "{program} {arguments:?}: {output:?}"
        );
        String::from_utf8(output.stdout).unwrap()
    }

    /// Iptables with these words, for the family of an address.
    fn tables(&self, ip: IpAddr, words: &str) -> String {
        let words: Vec<&str> = [&["-w"][..], &words.split(' ').collect::<Vec<_>>()].concat();
        self.run(&self.program(ip), &words)
    }

    /// A whole rule set, with all that was there before gone or kept.
    fn restore(&self, ip: IpAddr, arguments: &[&str], text: &str) {
        let mut child = Command::new(format!("{}-restore", self.program(ip)))
            .args(arguments)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = child.stdin.take().unwrap();
        input.write_all(text.as_bytes()).unwrap();
        drop(input);
        assert!(child.wait().unwrap().success(), "{text}");
    }

    fn saved(&self, ip: IpAddr) -> String {
        let saved = self.run(
            &format!("{}-save", self.program(ip)),
            &["-c", "-t", "filter"],
        );
        let lines = saved.lines().filter(|line| !line.starts_with('#'));
        lines.map(|line| format!("{line}\n")).collect()
    }

    /// The rule set without what is the meter's.
    fn others(&self, ip: IpAddr) -> String {
        // Any change by a legacy program, whoever starts it, zeroes policies' figures.
        let loses_policies = self.variant == "legacy";
        let saved = self.saved(ip);
        saved
            .lines()
            .filter(|line| !line.contains("useraccount"))
            .map(|line| match line.split_once(" [") {
                Some((policy, _)) if loses_policies && line.starts_with(':') => policy,
                _ => line,
            })
            .fold(String::new(), |text, line| text + line + "\n")
    }

    /// Counts on its own what a client moves from now on.
    fn watch(&self, client: Endpoint) {
        let (ip, port) = (client.ip(), client.port());
        if !self.saved(ip).contains(":witness ") {
            self.tables(ip, "-N witness");
            self.tables(ip, &format!("-A INPUT -p tcp --dport {PORT} -j witness"));
            self.tables(ip, &format!("-A OUTPUT -p tcp --sport {PORT} -j witness"));
        }
        self.tables(ip, &format!("-A witness -s {ip} -p tcp --sport {port}"));
        self.tables(ip, &format!("-A witness -d {ip} -p tcp --dport {port}"));
    }

    /// What it counted, once nothing moves any more.
    fn witnessed(&self, client: Endpoint) -> Flow {
        let mut last = self.witnessed_now(client);
        loop {
            // Longer than an acknowledgement is put off.
            thread::sleep(Duration::from_millis(120));
            let now = self.witnessed_now(client);
            if now == last {
                return now;
            }
            last = now;
        }
    }

    fn witnessed_now(&self, client: Endpoint) -> Flow {
        let listed = self.tables(client.ip(), "-L witness -v -n -x");
        let bytes = |end: &str| -> u64 {
            let line = listed.lines().find(|line| {
                line.trim_end()
                    .ends_with(&format!("{end}:{}", client.port()))
            });
            let bytes = line.unwrap().split_whitespace().nth(1);
            bytes.unwrap().parse().unwrap()
        };
        Flow {
            inbound: bytes("spt"),
            outbound: bytes("dpt"),
        }
    }
}

/// A connection to sshd's port, both ends ours.
struct Connection {
    client: TcpStream,
    server: TcpStream,
}

impl Connection {
    fn open(ip: IpAddr) -> Self {
        let listener = TcpListener::bind(SocketAddr::new(ip, PORT)).unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (server, _) = listener.accept().unwrap();
        Self { client, server }
    }

    fn peer(&self) -> Endpoint {
        self.client.local_addr().unwrap().into()
    }

    fn session(&self, user: &str) -> Counted {
        session(self.peer(), user)
    }

    fn exchange(&self, up: usize, down: usize) {
        carry(&self.client, &self.server, up);
        carry(&self.server, &self.client, down);
    }
}

fn carry(mut from: &TcpStream, mut to: &TcpStream, bytes: usize) {
    thread::scope(|scope| {
        scope.spawn(move || from.write_all(&vec![7; bytes]).unwrap());
        to.read_exact(&mut vec![0; bytes]).unwrap();
    });
}

fn session(peer: Endpoint, user: &str) -> Counted {
    Counted {
        peer,
        pid: Some(Pid(30449)),
        user: UserName::new(user),
    }
}

fn many(count: u32) -> Vec<Counted> {
    let of = |number: u32| {
        let ip = Ipv4Addr::from(0x0a00_0000 + number);
        session(Endpoint::new(ip.into(), 53014), "jsmith")
    };
    (1..=count).map(of).collect()
}

fn add(meter: &mut Iptables, sessions: &[Counted]) {
    let change = Change {
        add: sessions.to_vec(),
        remove: Vec::new(),
    };
    assert_eq!(meter.change(&change).unwrap(), HashMap::new());
}

fn removal(clients: &[Endpoint]) -> Change {
    Change {
        add: Vec::new(),
        remove: clients.to_vec(),
    }
}

fn remove(meter: &mut Iptables, clients: &[Endpoint]) -> HashMap<Endpoint, Flow> {
    meter.change(&removal(clients)).unwrap()
}

fn read(meter: &mut Iptables) -> Standings {
    meter.read(&[PORT]).unwrap()
}

fn bytes(meter: &mut Iptables, client: Endpoint) -> Option<Flow> {
    read(meter).rules[&client].bytes
}

#[test]
fn a_session_is_counted_to_the_byte() {
    in_networks("a_session_is_counted_to_the_byte", |network| {
        let mut meter = network.standing_meter();
        let connections = LOCALHOSTS.map(Connection::open);
        for connection in &connections {
            let client = connection.peer();
            network.watch(client);
            add(&mut meter, &[connection.session("jsmith")]);
            connection.exchange(300_000, 70_000);
            let witnessed = network.witnessed(client);
            assert!(witnessed.inbound > 300_000 && witnessed.outbound > 70_000);
            let standing = &read(&mut meter).rules[&client];
            assert_eq!(standing.label, "pid:30449 user:jsmith");
            assert_eq!(standing.bytes, Some(witnessed));

            connection.exchange(1_000, 2_000_000);
            let witnessed = network.witnessed(client);
            let last = remove(&mut meter, &[client]);
            assert_eq!(last, HashMap::from([(client, witnessed)]));
            assert!(!read(&mut meter).rules.contains_key(&client));
            assert_eq!(remove(&mut meter, &[client]), HashMap::new());
        }
        assert_eq!(read(&mut meter).missing, [""; 0]);
        assert!(meter.clear().unwrap());
        assert!(!meter.clear().unwrap());
        for ip in LOCALHOSTS {
            assert!(!network.saved(ip).contains("useraccount"));
        }
    });
}

#[test]
fn the_next_session_of_a_client_begins_at_0() {
    in_networks("the_next_session_of_a_client_begins_at_0", |network| {
        let mut meter = network.standing_meter();
        for ip in LOCALHOSTS {
            let connection = Connection::open(ip);
            let client = connection.peer();
            network.watch(client);
            add(&mut meter, &[connection.session("first")]);
            connection.exchange(1_000, 1_000);
            let first = network.witnessed(client);
            let change = Change {
                add: vec![connection.session("second")],
                remove: vec![client],
            };
            let last = meter.change(&change).unwrap();
            assert_eq!(last, HashMap::from([(client, first)]));
            connection.exchange(5_000, 1_000);
            let both = network.witnessed(client);
            let standing = &read(&mut meter).rules[&client];
            assert_eq!(standing.label, "pid:30449 user:second");
            assert_eq!(standing.bytes, both.since(first));

            // Named again without being removed, it is put anew, not doubled.
            add(
                &mut meter,
                &[connection.session("third"), connection.session("third")],
            );
            assert_eq!(bytes(&mut meter, client), Some(Flow::default()));
        }
    });
}

#[test]
fn an_earlier_instances_rules_are_adopted() {
    in_networks("an_earlier_instances_rules_are_adopted", |network| {
        let connections = LOCALHOSTS.map(Connection::open);
        {
            let mut earlier = network.standing_meter();
            for connection in &connections {
                network.watch(connection.peer());
                add(&mut earlier, &[connection.session("jsmith")]);
            }
        }
        for connection in &connections {
            connection.exchange(9_000, 9_000);
            network.witnessed(connection.peer());
        }
        let before = LOCALHOSTS.map(|ip| network.saved(ip));
        let mut meter = network.standing_meter();
        assert_eq!(LOCALHOSTS.map(|ip| network.saved(ip)), before);
        let standings = read(&mut meter);
        assert_eq!(standings.missing, [""; 0]);
        for connection in &connections {
            let client = connection.peer();
            assert_eq!(
                standings.rules[&client].bytes,
                Some(network.witnessed(client))
            );
        }
    });
}

#[test]
fn what_others_tear_down_is_told_and_put_back() {
    in_networks("what_others_tear_down_is_told_and_put_back", |network| {
        let mut meter = network.standing_meter();
        let whole = "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD DROP [0:0]\n:OUTPUT ACCEPT [0:0]\n\
                     -A INPUT -i lo -j ACCEPT\nCOMMIT\n";
        for (ip, family) in LOCALHOSTS.into_iter().zip(["IPv4", "IPv6"]) {
            let connection = Connection::open(ip);
            let session = connection.session("jsmith");
            let chain = format!("the chain useraccount ({family})");
            let hooks = [("INPUT", "--dport"), ("OUTPUT", "--sport")];
            let lost =
                hooks.map(|(name, _)| format!("its hook in {name} for port {PORT} ({family})"));

            add(&mut meter, std::slice::from_ref(&session));
            network.tables(ip, "-F useraccount");
            assert_eq!(read(&mut meter), Standings::default());

            for (name, option) in hooks {
                network.tables(
                    ip,
                    &format!("-D {name} -p tcp -m tcp {option} {PORT} -j useraccount"),
                );
            }
            assert_eq!(read(&mut meter).missing, lost);
            network.tables(ip, "-X useraccount");
            let all = [&[chain][..], &lost].concat();
            assert_eq!(read(&mut meter).missing, all);

            meter.stand(&[PORT]).unwrap();
            assert_eq!(read(&mut meter).missing, [""; 0]);
            network.restore(ip, &[], whole);
            assert_eq!(read(&mut meter).missing, all);
            // Sessions may come before it stands again.
            add(&mut meter, std::slice::from_ref(&session));
            meter.stand(&[PORT]).unwrap();
            assert_eq!(read(&mut meter).missing, [""; 0]);
            connection.exchange(1_000, 1_000);
            assert!(bytes(&mut meter, connection.peer()).unwrap().inbound > 1_000);
            remove(&mut meter, &[connection.peer()]);
        }
    });
}

/// What the scripts do when they start and somebody logs in.
fn make_as_the_scripts_do(network: &Network, client: Endpoint) {
    let (ip, port) = (client.ip(), client.port());
    for words in [
        "-N useraccount",
        "-I INPUT -p tcp -j useraccount",
        "-I OUTPUT -p tcp -j useraccount",
    ] {
        network.tables(ip, words);
    }
    for (end, option) in [("-s", "--sport"), ("-d", "--dport")] {
        let rule = format!("-w -I useraccount {end} {ip} -p tcp {option} {port}");
        let rule: Vec<&str> = rule.split(' ').collect();
        let comment = ["-m", "comment", "--comment", "pid:19897 user:jsmith"];
        network.run(&network.program(ip), &[&rule[..], &comment].concat());
    }
}

#[test]
fn the_chain_of_the_scripts_is_adopted() {
    in_networks("the_chain_of_the_scripts_is_adopted", |network| {
        let connections = LOCALHOSTS.map(Connection::open);
        for connection in &connections {
            network.watch(connection.peer());
            make_as_the_scripts_do(network, connection.peer());
            connection.exchange(1_000, 1_000);
            network.witnessed(connection.peer());
        }
        let mut meter = network.meter();
        let earlier = read(&mut meter);
        let missing = earlier.missing.join(", ");
        for words in [
            "INPUT (IPv4)",
            "OUTPUT (IPv4)",
            "INPUT (IPv6)",
            "OUTPUT (IPv6)",
        ] {
            let words = format!("a hook without a port in {words}");
            assert!(missing.contains(&words), "{missing}");
        }
        meter.stand(&[PORT]).unwrap();
        let adopted = read(&mut meter);
        assert_eq!(adopted.rules, earlier.rules, "what they counted stays");
        assert_eq!(adopted.missing, [""; 0]);
        for connection in &connections {
            let client = connection.peer();
            let standing = &adopted.rules[&client];
            assert_eq!(standing.label, "pid:19897 user:jsmith");
            let counted = standing.bytes.unwrap();
            assert!(counted.inbound > 1_000);
            let before = network.witnessed(client);
            connection.exchange(20_000, 90_000);
            let moved = network.witnessed(client).since(before);
            let last = remove(&mut meter, &[client])[&client];
            assert_eq!(last.since(counted), moved, "each packet counts once");
        }
        assert_eq!(read(&mut meter), Standings::default());
    });
}

#[test]
fn hooks_never_stand_twice() {
    in_networks("hooks_never_stand_twice", |network| {
        let mut meter = network.standing_meter();
        meter.stand(&[PORT]).unwrap();
        for ip in LOCALHOSTS {
            let right = network.saved(ip);
            assert_eq!(right.matches("-j useraccount").count(), 2);
            for words in [
                "-A INPUT -p tcp -m tcp --dport 22 -j useraccount",
                "-A INPUT -p tcp -m tcp --dport 22 -j useraccount",
                "-I OUTPUT -p tcp -m tcp --sport 2222 -j useraccount",
                "-A OUTPUT -p tcp -j useraccount",
                "-A FORWARD -i lo -g useraccount",
            ] {
                network.tables(ip, words);
            }
            let family = if ip.is_ipv4() { "IPv4" } else { "IPv6" };
            let missing = [
                "a second hook in INPUT for port 22",
                "a hook in OUTPUT for port 2222, not sshd's",
                "a hook without a port in OUTPUT",
                "a hook of another form in FORWARD",
            ];
            let mut told = read(&mut meter).missing;
            told.sort();
            let mut missing = missing.map(|words| format!("{words} ({family})"));
            missing.sort();
            assert_eq!(told, missing);
            meter.stand(&[PORT]).unwrap();
            assert_eq!(network.saved(ip), right);

            network.tables(ip, "-I INPUT -i lo -j ACCEPT");
            let late = format!("its hook in INPUT for port 22 above rules that accept ({family})");
            assert_eq!(read(&mut meter).missing, [late]);
            meter.stand(&[PORT]).unwrap();
            assert_eq!(read(&mut meter).missing, [""; 0]);
            network.tables(ip, "-D INPUT -i lo -j ACCEPT");
            assert_eq!(network.saved(ip), right);
        }
        meter.stand(&[2222, 22]).unwrap();
        assert_eq!(meter.read(&[22, 2222]).unwrap(), Standings::default());
        meter.stand(&[]).unwrap();
        assert_eq!(
            network
                .saved(LOCALHOSTS[0])
                .matches("-j useraccount")
                .count(),
            0
        );
    });
}

#[test]
fn rules_that_are_halves_or_doubled_go_without_a_figure() {
    in_networks(
        "rules_that_are_halves_or_doubled_go_without_a_figure",
        |network| {
            let mut meter = network.standing_meter();
            for ip in LOCALHOSTS {
                let client = Endpoint::new(ip, 53014);
                let half = format!("useraccount -s {ip} -p tcp -m tcp --sport 53014");
                let comment = ["-m", "comment", "--comment", "pid:30449 user:jsmith"];
                let change = |how: &str| {
                    let words: Vec<&str> = half.split(' ').collect();
                    let words = [&["-w", how][..], &words, &comment].concat();
                    network.run(&network.program(ip), &words);
                };
                for how in ["-D", "-I"] {
                    add(&mut meter, &[session(client, "jsmith")]);
                    change(how);
                    assert_eq!(bytes(&mut meter, client), None);
                    assert_eq!(remove(&mut meter, &[client]), HashMap::new());
                    assert_eq!(read(&mut meter), Standings::default());
                }
            }
        },
    );
}

#[test]
fn names_may_hold_anything() {
    in_networks("names_may_hold_anything", |network| {
        let mut meter = network.standing_meter();
        let long = "é".repeat(300);
        let names = [
            "jsmith",
            "two words",
            "a\"b'c`d",
            "*/ /* */",
            "line\nCOMMIT\n*filter\n-F INPUT",
            r"\303\251 \\ \",
            "zoë 名前 🦀",
            "-j ACCEPT",
            "$(id) ; # %n",
            "",
            "\u{7f}\u{1b}[31m",
            &long,
        ];
        for ip in LOCALHOSTS {
            let sessions: Vec<Counted> = names
                .iter()
                .zip(1..)
                .map(|(name, port)| session(Endpoint::new(ip, port), name))
                .collect();
            add(&mut meter, &sessions);
            let standings = read(&mut meter);
            let listed = network.tables(ip, "-L useraccount -v -n -x");
            for session in &sessions {
                let label = meter.label(session);
                assert!(label.len() <= 255);
                assert_eq!(standings.rules[&session.peer].label, label);
                let port = session.peer.port();
                for end in ["spt", "dpt"] {
                    let words = format!("tcp {end}:{port} /* {label} */");
                    let lines = listed
                        .lines()
                        .filter(|line| line.trim_end().ends_with(&words));
                    assert_eq!(lines.count(), 1, "{words} in {listed}");
                }
            }
            assert_eq!(standings.missing, [""; 0]);
            let clients: Vec<Endpoint> = sessions.iter().map(|session| session.peer).collect();
            assert_eq!(remove(&mut meter, &clients).len(), names.len());
        }
        assert_eq!(read(&mut meter), Standings::default());
    });
}

/// What Docker, ufw and fail2ban leave behind.
const OTHERS: &str = r#"*filter
:INPUT DROP [7:700]
:FORWARD DROP [8:800]
:OUTPUT ACCEPT [9:900]
:DOCKER-USER - [0:0]
:f2b-sshd - [0:0]
:ufw-before-input - [0:0]
:ufw-user-input - [0:0]
-A INPUT -p tcp -m multiport --dports 22,2222 -j f2b-sshd
-A INPUT -j ufw-before-input
-A FORWARD -j DOCKER-USER
-A OUTPUT -p tcp -m tcp --sport 22 -m comment --comment "-j account \"\\"
-A DOCKER-USER -j RETURN
-A f2b-sshd -s ADDRESS -j DROP
-A f2b-sshd -j RETURN
-A ufw-before-input -j ufw-user-input
-A ufw-before-input -i lo -j ACCEPT
-A ufw-user-input -p tcp -m tcp --dport 22 -m comment --comment "dapp_OpenSSH it's" -j ACCEPT
COMMIT
"#;

fn live_beside_others(network: &Network, before: &[String; 2]) -> Iptables {
    let unchanged = || assert_eq!(&LOCALHOSTS.map(|ip| network.others(ip)), before);
    let mut meter = network.standing_meter();
    unchanged();
    let sessions = many(100);
    add(&mut meter, &sessions);
    unchanged();
    let clients: Vec<Endpoint> = sessions.iter().map(|session| session.peer).collect();
    remove(&mut meter, &clients[..50]);
    meter.stand(&[22, 2222]).unwrap();
    meter.stand(&[22]).unwrap();
    unchanged();
    meter
}

#[test]
fn nothing_of_others_changes() {
    in_networks("nothing_of_others_changes", |network| {
        let connections = LOCALHOSTS.map(Connection::open);
        for (ip, banned) in LOCALHOSTS.into_iter().zip(["192.0.2.66", "2001:db8::66"]) {
            network.restore(ip, &[], &OTHERS.replace("ADDRESS", banned));
        }
        // Figures that could be lost. The connections rest when they are compared.
        let exchange = || {
            for connection in &connections {
                connection.exchange(5_000, 5_000);
            }
            thread::sleep(Duration::from_millis(300));
        };
        exchange();
        let before = LOCALHOSTS.map(|ip| network.others(ip));
        assert!(!before[1].contains("[0:0] -A OUTPUT"), "{before:?}");
        let mut meter = live_beside_others(network, &before);

        for ip in LOCALHOSTS {
            network.tables(
                ip,
                &format!("-A useraccount -s {ip} -m comment --comment theirs"),
            );
        }
        exchange();
        let before = LOCALHOSTS.map(|ip| network.others(ip));
        let theirs = |ip| {
            let saved = network.saved(ip);
            let lines = saved.lines().filter(|line| line.contains("useraccount"));
            let lines = lines.filter(|line| !line.contains("user:") && !line.contains("-j"));
            lines.map(str::to_owned).collect::<Vec<_>>()
        };
        let in_our_chain = LOCALHOSTS.map(theirs);
        let standings = read(&mut meter);
        assert_eq!((standings.rules.len(), standings.missing.len()), (50, 0));
        assert!(meter.clear().unwrap());
        assert!(!meter.clear().unwrap());
        assert_eq!(LOCALHOSTS.map(|ip| network.others(ip)), before);
        assert_eq!(LOCALHOSTS.map(theirs), in_our_chain);
        for (ip, lines) in LOCALHOSTS.into_iter().zip(in_our_chain) {
            assert_eq!(lines[0], ":useraccount - [0:0]");
            assert!(
                lines[1].contains("theirs") && !lines[1].starts_with("[0:0]"),
                "{lines:?}"
            );
            assert_eq!(network.saved(ip).matches("useraccount").count(), 2);
        }
    });
}

#[test]
fn figures_never_fall_while_others_change_the_rules() {
    in_networks(
        "figures_never_fall_while_others_change_the_rules",
        |network| {
            let mut meter = network.standing_meter();
            let ip = LOCALHOSTS[0];
            let connection = Connection::open(ip);
            let client = connection.peer();
            network.watch(client);
            add(&mut meter, &[connection.session("jsmith")]);
            let filler: String = (0..400_u32)
                .map(|number| format!("-A FORWARD -s {} -j DROP\n", Ipv4Addr::from(number)))
                .collect();
            network.restore(ip, &["--noflush"], &format!("*filter\n{filler}COMMIT\n"));
            connection.exchange(1_000, 1_000);
            let witnessed = network.witnessed(client);
            let enough = AtomicBool::new(false);
            thread::scope(|scope| {
                scope.spawn(|| {
                    while !enough.load(Ordering::Relaxed) {
                        network.tables(ip, "-A FORWARD -s 192.0.2.9 -j DROP");
                        network.tables(ip, "-D FORWARD -s 192.0.2.9 -j DROP");
                    }
                });
                let readings: Vec<_> = (0..300).map(|_| bytes(&mut meter, client)).collect();
                enough.store(true, Ordering::Relaxed);
                let wrong = readings.iter().filter(|read| **read != Some(witnessed));
                assert_eq!(wrong.count(), 0, "of 300");
            });
        },
    );
}

#[test]
fn no_packet_slips_through_while_rules_change() {
    let name = "no_packet_slips_through_while_rules_change";
    if let Some(reason) = ["nft", "legacy"].into_iter().find_map(reason_against) {
        return leave_out(name, &reason);
    }
    in_networks(name, |network| {
        let is_nft = network.variant == "nft";
        let variant = if is_nft { "legacy" } else { "nft" };
        // The other variant's rules, which our changes do not touch, bear witness.
        let other = Network::new(variant.to_owned());
        let mut meter = network.standing_meter();
        for ip in LOCALHOSTS {
            let connection = Connection::open(ip);
            let client = connection.peer();
            other.watch(client);
            add(&mut meter, &[connection.session("jsmith")]);
            let sessions = many(20);
            let clients: Vec<Endpoint> = sessions.iter().map(|session| session.peer).collect();
            let enough = AtomicBool::new(false);
            thread::scope(|scope| {
                scope.spawn(|| {
                    while !enough.load(Ordering::Relaxed) {
                        connection.exchange(20_000, 20_000);
                    }
                });
                for turn in 0..40 {
                    add(&mut meter, &sessions);
                    meter.stand(&[PORT, 1000 + turn]).unwrap();
                    remove(&mut meter, &clients);
                }
                enough.store(true, Ordering::Relaxed);
            });
            let witnessed = other.witnessed(client);
            assert!(witnessed.total() > 1_000_000, "{witnessed:?}");
            assert_eq!(bytes(&mut meter, client), Some(witnessed));
        }
    });
}

/// An ip6tables whose changes fail as long as a file is there.
fn breakable(folder: &Path, real: &str) -> String {
    let broken = folder.join("broken");
    let script = |suffix: &str, first: &str| {
        let path = folder.join(format!("tables-{suffix}"));
        fs::write(
            &path,
            format!("#!/bin/sh\n{first}\nexec {real}-{suffix} \"$@\"\n"),
        )
        .unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    };
    script("save", "");
    script("restore", &format!("[ -e {} ] && exit 1", broken.display()));
    folder.join("tables").to_str().unwrap().to_owned()
}

#[test]
fn last_figures_outlive_a_change_that_fails_halfway() {
    in_networks(
        "last_figures_outlive_a_change_that_fails_halfway",
        |network| {
            let folder = tempfile::tempdir().unwrap();
            let ipv6 = breakable(folder.path(), &network.program(LOCALHOSTS[1]));
            let mut meter = Iptables::of_programs(&network.program(LOCALHOSTS[0]), &ipv6);
            meter.stand(&[PORT]).unwrap();
            let connections = LOCALHOSTS.map(Connection::open);
            let clients = [connections[0].peer(), connections[1].peer()];
            for connection in &connections {
                network.watch(connection.peer());
                add(&mut meter, &[connection.session("jsmith")]);
                connection.exchange(4_000, 1_000);
            }
            let expected = clients.map(|client| (client, network.witnessed(client)));
            fs::write(folder.path().join("broken"), "").unwrap();
            meter.change(&removal(&clients)).unwrap_err();
            fs::remove_file(folder.path().join("broken")).unwrap();
            assert_eq!(remove(&mut meter, &clients), HashMap::from(expected));
            assert_eq!(remove(&mut meter, &clients), HashMap::new());
        },
    );
}

#[test]
fn without_ipv6_there_is_ipv4() {
    in_networks("without_ipv6_there_is_ipv4", |network| {
        let ipv4 = network.program(LOCALHOSTS[0]);
        let mut meter = Iptables::of_programs(&ipv4, "no-such-ip6tables");
        let error = meter.stand(&[PORT]).unwrap_err();
        assert!(
            format!("{error:#}").contains("no-such-ip6tables-save"),
            "{error:#}"
        );
        // Where a kernel has IPv6, it says so in /proc. The mount ends with us.
        network.run("mount", &["-t", "tmpfs", "none", "/proc"]);
        meter.stand(&[PORT]).unwrap();
        let sessions = LOCALHOSTS.map(|ip| session(Endpoint::new(ip, 53014), "jsmith"));
        add(&mut meter, &sessions);
        let standings = read(&mut meter);
        assert_eq!(standings.missing, [""; 0]);
        assert_eq!(standings.rules.len(), 1);
        let clients = sessions.map(|session| session.peer);
        assert_eq!(remove(&mut meter, &clients).len(), 1);
        assert!(meter.clear().unwrap());
    });
}

#[test]
fn it_says_what_it_is() {
    in_networks("it_says_what_it_is", |network| {
        let said = network.meter().variant().unwrap();
        let word = if network.variant == "nft" {
            "(nf_tables)"
        } else {
            "(legacy)"
        };
        assert!(
            said.starts_with("iptables v") && said.ends_with(word),
            "{said}"
        );
    });
}

#[test]
fn thousands_of_sessions_are_quick() {
    in_networks("thousands_of_sessions_are_quick", |network| {
        for count in [2_000, 5_000] {
            measure(network, count);
        }
    });
}

fn measure(network: &Network, count: u32) {
    let mut meter = network.standing_meter();
    let sessions = many(count);
    let clients: Vec<Endpoint> = sessions.iter().map(|session| session.peer).collect();
    // The first are at the chain's end, since each is put at its head.
    let (some, rest): (Vec<_>, Vec<_>) = clients[1..].iter().partition(|client| {
        let IpAddr::V4(ip) = client.ip() else {
            return false;
        };
        ip.octets()[3] % 10 == 0
    });
    let (timed, name) = (Instant::now, &network.variant);
    let say = |what: &str, begun: Instant| {
        let taken = begun.elapsed();
        println!("{name}, {count} sessions: {what} {} ms", taken.as_millis());
        assert!(taken < Duration::from_secs(8), "{what} takes {taken:?}");
    };
    let begun = timed();
    add(&mut meter, &sessions);
    say("add all", begun);
    let begun = timed();
    assert_eq!(read(&mut meter).rules.len(), sessions.len());
    say("read", begun);
    let begun = timed();
    add(
        &mut meter,
        &[session(Endpoint::new(LOCALHOSTS[0], 1), "one")],
    );
    say("add one", begun);
    let begun = timed();
    assert_eq!(remove(&mut meter, &clients[..1]).len(), 1);
    say("remove one", begun);
    let begun = timed();
    assert_eq!(remove(&mut meter, &some).len(), some.len());
    say("remove a tenth", begun);
    let begun = timed();
    assert_eq!(remove(&mut meter, &rest).len(), rest.len());
    say("remove the rest", begun);
    assert_eq!(read(&mut meter).rules.len(), 1);
    let begun = timed();
    assert!(meter.clear().unwrap());
    say("clear", begun);
}
