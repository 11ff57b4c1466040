//! The rules of nftables against the real kernel, each test in a network of its
//! own: real TCP traffic, and counters of the test's own beside ours.
//!
//! A test runs its story in a second process of itself, started in a new network
//! namespace. Without root or nft it says that it is left out, or fails where
//! `SSHMETER_TESTS_MUST_RUN` is set.
//!
//! `SSHMETER_FIREWALL_SESSIONS=20000 cargo test -p sshmeter --test firewall_nftables
//! thousands -- --nocapture` tells how long changes and readings take.

#![expect(
    clippy::unwrap_used,
    reason = "a scene that cannot be set fails its test, in helpers too"
)]

use std::{
    collections::HashMap,
    env,
    io::{Read as _, Write as _},
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use socket2::{Domain, Socket, Type};
use sshmeter::kernel::firewall::{
    Nftables,
    rules::{Change, Counted, Rules as _, Standings},
};
use sshmeter_core::{
    identity::{Endpoint, Pid, UserName},
    units::Flow,
};

const PORT: u16 = 2222;
const PORTS: [u16; 1] = [PORT];
const MUST_RUN: &str = "SSHMETER_TESTS_MUST_RUN";
const INSIDE: &str = "SSHMETER_TEST_INSIDE_A_NETWORK";
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Runs the story of the test called `name` in a network of its own.
fn in_own_network(name: &str, story: impl FnOnce()) {
    if env::var_os(INSIDE).is_some() {
        run("ip", &["link", "set", "lo", "up"], "");
        return story();
    }
    if let Some(reason) = missing() {
        assert!(
            env::var_os(MUST_RUN).is_none(),
            "{name} has to run, but {reason}"
        );
        // Past the test runner's capture, or nobody would see it.
        let line = format!("left out: {name} ({reason})\n");
        let _closed = std::io::stderr().write_all(line.as_bytes());
        return;
    }
    let told = Command::new("unshare")
        .args(["--net", "--"])
        .arg(env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(INSIDE, "1")
        .output()
        .unwrap();
    let words = [told.stdout, told.stderr].concat();
    let words = String::from_utf8_lossy(&words);
    println!("{words}");
    assert!(
        told.status.success() && words.contains("1 passed"),
        "{name} failed inside"
    );
}

fn missing() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("needs root: network namespaces".to_owned());
    }
    let is_absent = |program: &&str| {
        PATH.split(':')
            .all(|folder| !Path::new(folder).join(program).exists())
    };
    if let Some(program) = ["unshare", "ip", "nft"]
        .iter()
        .find(|program| is_absent(program))
    {
        return Some(format!("needs {program}: not installed"));
    }
    let tried = Command::new("unshare")
        .args(["--net", "--", "nft", "list", "ruleset"])
        .env("PATH", PATH)
        .output();
    match tried {
        Ok(output) if output.status.success() => None,
        other => Some(format!(
            "needs a kernel with nf_tables and network namespaces: {other:?}"
        )),
    }
}

fn run(program: &str, arguments: &[&str], input: &str) -> String {
    let mut child = Command::new(program)
        .args(arguments)
        .env("PATH", PATH)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?} failed");
    String::from_utf8(output.stdout).unwrap()
}

fn nft(script: &str) {
    run("nft", &["-f", "-"], script);
}

fn listing() -> String {
    run("nft", &["list", "table", "inet", "sshmeter"], "")
}

/// Counters of the test's own, behind ours.
const WITNESS: &str = "
table inet witness {
    counter in { }
    counter out { }
    chain input { type filter hook input priority 0; tcp dport 2222 counter name in; }
    chain output { type filter hook output priority 0; tcp sport 2222 counter name out; }
}
";

fn witnessed() -> Flow {
    let told = run(
        "nft",
        &["-j", "list", "counters", "table", "inet", "witness"],
        "",
    );
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    let bytes = |name: &str| {
        let objects = told["nftables"].as_array().unwrap();
        let counter = objects
            .iter()
            .find(|object| object["counter"]["name"] == name);
        counter.unwrap()["counter"]["bytes"].as_u64().unwrap()
    };
    Flow {
        inbound: bytes("in"),
        outbound: bytes("out"),
    }
}

fn session(client: SocketAddr, pid: u32, user: &str) -> Counted {
    Counted {
        peer: Endpoint::from(client),
        pid: Some(Pid(pid)),
        user: UserName::new(user),
    }
}

fn add(sessions: &[Counted]) -> Change {
    Change {
        add: sessions.to_vec(),
        ..Change::default()
    }
}

fn remove(sessions: &[Counted]) -> Change {
    Change {
        remove: sessions.iter().map(|session| session.peer).collect(),
        ..Change::default()
    }
}

fn standing() -> Nftables {
    let mut rules = Nftables;
    rules.stand(&PORTS).unwrap();
    assert_eq!(rules.read(&PORTS).unwrap(), Standings::default());
    rules
}

fn bytes(standings: &Standings, session: &Counted) -> Flow {
    standings.rules[&session.peer].bytes.unwrap()
}

fn sum(flows: impl IntoIterator<Item = Flow>) -> Flow {
    flows.into_iter().fold(Flow::default(), Flow::plus)
}

/// One client a family.
fn clients() -> [SocketAddr; 2] {
    [
        (Ipv4Addr::LOCALHOST, 40001).into(),
        (Ipv6Addr::LOCALHOST, 40001).into(),
    ]
}

/// A server that sends back whatever it is sent.
fn serve() {
    for ip in [
        SocketAddr::from((Ipv4Addr::LOCALHOST, PORT)),
        (Ipv6Addr::LOCALHOST, PORT).into(),
    ] {
        let listener = TcpListener::bind(ip).unwrap();
        thread::spawn(move || {
            for stream in listener.incoming() {
                thread::spawn(move || {
                    let mut stream = stream.unwrap();
                    let mut answers = stream.try_clone().unwrap();
                    let _broken = std::io::copy(&mut stream, &mut answers);
                });
            }
        });
    }
}

/// A connection from this client's end, which is known before it begins.
fn connect(client: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::for_address(client), Type::STREAM, None).unwrap();
    socket.set_reuse_address(true).unwrap();
    socket.bind(&client.into()).unwrap();
    socket
        .connect(&SocketAddr::new(client.ip(), PORT).into())
        .unwrap();
    socket.into()
}

fn talk(stream: &mut TcpStream, length: usize) {
    let mut sent = vec![7; length];
    stream.write_all(&sent).unwrap();
    stream.read_exact(&mut sent).unwrap();
}

/// Waits until no packet comes any more.
fn settle() -> Flow {
    let deadline = Instant::now() + Duration::from_secs(10);
    let mut last = witnessed();
    loop {
        thread::sleep(Duration::from_millis(150));
        let now = witnessed();
        if now == last {
            return now;
        }
        assert!(Instant::now() < deadline, "packets keep coming");
        last = now;
    }
}

#[test]
fn final_figures_are_what_an_independent_counter_says() {
    in_own_network("final_figures_are_what_an_independent_counter_says", || {
        nft(WITNESS);
        serve();
        let mut rules = standing();
        let sessions = clients().map(|client| session(client, 7, "alice"));
        assert_eq!(rules.change(&add(&sessions)).unwrap(), HashMap::new());
        let mut streams = clients().map(connect);
        for stream in &mut streams {
            talk(stream, 100_000);
        }
        let between = settle();
        let read = rules.read(&PORTS).unwrap();
        assert_eq!(
            sum(sessions.iter().map(|session| bytes(&read, session))),
            between
        );
        assert!(between.inbound > 200_000 && between.outbound > 200_000);

        for stream in &mut streams {
            talk(stream, 50_000);
        }
        drop(streams);
        let all = settle();
        let last = rules.change(&remove(&sessions)).unwrap();
        assert_eq!(last.len(), 2);
        assert_eq!(sum(last.into_values()), all);
        assert_eq!(rules.read(&PORTS).unwrap(), Standings::default());
    });
}

/// Talks until it is told to end.
fn keep_talking(client: SocketAddr, end: &Arc<AtomicBool>) -> JoinHandle<()> {
    let end = Arc::clone(end);
    thread::spawn(move || {
        let mut stream = connect(client);
        stream.set_nodelay(true).unwrap();
        while !end.load(Ordering::Relaxed) {
            talk(&mut stream, 3000);
            // Else eight of these leave the kernel no time for anything else.
            thread::sleep(Duration::from_micros(300));
        }
    })
}

#[test]
fn nothing_is_lost_between_a_last_figure_and_the_next_first() {
    in_own_network(
        "nothing_is_lost_between_a_last_figure_and_the_next_first",
        || {
            const CYCLES: usize = 100;
            nft(WITNESS);
            serve();
            let mut rules = standing();
            let clients = (0..4).flat_map(|number: u16| {
                clients().map(|client| SocketAddr::new(client.ip(), 41000 + number))
            });
            let clients: Vec<SocketAddr> = clients.collect();
            let sessions: Vec<Counted> = clients
                .iter()
                .map(|client| session(*client, 7, "alice"))
                .collect();
            rules.change(&add(&sessions)).unwrap();
            let end = Arc::new(AtomicBool::new(false));
            let talkers: Vec<_> = clients
                .iter()
                .map(|client| keep_talking(*client, &end))
                .collect();

            let exchange = Change {
                add: sessions.clone(),
                ..remove(&sessions)
            };
            let mut counted = Flow::default();
            for cycle in 0..CYCLES {
                // Every other time only by adding what stands.
                let change = if cycle % 2 == 0 {
                    exchange.clone()
                } else {
                    add(&sessions)
                };
                let last = rules.change(&change).unwrap();
                assert_eq!(last.len(), sessions.len());
                counted = counted.plus(sum(last.into_values()));
            }
            end.store(true, Ordering::Relaxed);
            talkers
                .into_iter()
                .for_each(|talker| talker.join().unwrap());
            let all = settle();
            let last = rules.change(&remove(&sessions)).unwrap();
            counted = counted.plus(sum(last.into_values()));
            println!("{CYCLES} cycles, counted {counted:?}, all {all:?}");
            assert!(
                all.total() > 1_000_000,
                "too little was moved to tell anything"
            );
            assert_eq!(counted, all);
        },
    );
}

#[test]
fn what_an_earlier_run_left_is_taken_over() {
    in_own_network("what_an_earlier_run_left_is_taken_over", || {
        nft(WITNESS);
        serve();
        let client = clients()[0];
        let alice = session(client, 7, "alice");
        standing()
            .change(&add(std::slice::from_ref(&alice)))
            .unwrap();
        talk(&mut connect(client), 10_000);

        let before = settle();
        let mut later = Nftables;
        later.stand(&PORTS).unwrap();
        let read = later.read(&PORTS).unwrap();
        assert_eq!(read.missing, Vec::<String>::new());
        assert_eq!(read.rules[&alice.peer].label, later.label(&alice));
        assert_eq!(bytes(&read, &alice), before);
    });
}

#[test]
fn whatever_somebody_breaks_is_told_and_mended() {
    in_own_network("whatever_somebody_breaks_is_told_and_mended", || {
        let mut rules = standing();
        let alice = session(clients()[0], 7, "alice");
        let cases = [
            (
                "delete table inet sshmeter",
                "the table inet sshmeter",
                false,
            ),
            (
                "flush ruleset\ntable ip filter { }",
                "the table inet sshmeter",
                false,
            ),
            (
                "flush chain inet sshmeter input",
                "our rules alone in the chain input",
                true,
            ),
            (
                "insert rule inet sshmeter output accept",
                "our rules alone in the chain output",
                true,
            ),
            (
                "flush chain inet sshmeter output\ndelete chain inet sshmeter output",
                "the chain output",
                true,
            ),
            (
                "delete element inet sshmeter ports { 2222 }",
                "port 2222 in the set ports",
                true,
            ),
            (
                "add element inet sshmeter ports { 23 }",
                "a set ports without port 23",
                true,
            ),
            (
                "add table inet sshmeter { flags dormant; }",
                "the table inet sshmeter, awake",
                true,
            ),
            (
                "add chain inet sshmeter input { policy drop; }",
                "the policy accept of the chain input",
                true,
            ),
            (
                "flush table inet sshmeter\ndelete set inet sshmeter in6",
                "the set in6",
                true,
            ),
            (
                "add chain inet sshmeter old",
                "a table inet sshmeter without a chain old",
                false,
            ),
            (
                "add map inet sshmeter old { type ipv4_addr : verdict; }",
                "a table inet sshmeter without a set old",
                false,
            ),
            (
                "delete table inet sshmeter
                 add table inet sshmeter
                 add set inet sshmeter in4 { type ipv4_addr; }
                 add chain inet sshmeter input { type filter hook input priority 5; }",
                "the set in4 in our form",
                false,
            ),
        ];
        for (deed, word, is_kept) in cases {
            rules.change(&add(std::slice::from_ref(&alice))).unwrap();
            nft(deed);
            let missing = rules.read(&PORTS).unwrap().missing;
            assert!(missing.iter().any(|one| one == word), "{deed}: {missing:?}");
            rules.stand(&PORTS).unwrap();
            let read = rules.read(&PORTS).unwrap();
            assert_eq!(read.missing, Vec::<String>::new(), "{deed}");
            assert_eq!(read.rules.contains_key(&alice.peer), is_kept, "{deed}");
        }
        // Made by one of the cases, and nobody else's to remove.
        assert_eq!(
            run("nft", &["list", "tables"], ""),
            "table ip filter\ntable inet sshmeter\n"
        );
    });
}

#[test]
fn ports_are_followed_and_counters_kept() {
    in_own_network("ports_are_followed_and_counters_kept", || {
        nft(WITNESS);
        serve();
        let client = clients()[1];
        let alice = session(client, 7, "alice");
        let mut rules = Nftables;
        rules.stand(&[22, 23]).unwrap();
        rules.change(&add(std::slice::from_ref(&alice))).unwrap();
        let mut stream = connect(client);
        talk(&mut stream, 10_000);
        settle();
        assert_eq!(
            bytes(&rules.read(&[22, 23]).unwrap(), &alice),
            Flow::default()
        );

        rules.stand(&[22, PORT]).unwrap();
        assert_eq!(
            rules.read(&[22, PORT]).unwrap().missing,
            Vec::<String>::new()
        );
        let before = settle();
        talk(&mut stream, 10_000);
        let after = settle();
        let counted = bytes(&rules.read(&[22, PORT]).unwrap(), &alice);
        assert_eq!(counted.inbound, after.inbound - before.inbound);
        rules.stand(&[]).unwrap();
        talk(&mut stream, 10_000);
        assert_eq!(bytes(&rules.read(&[]).unwrap(), &alice), counted);
    });
}

#[test]
fn elements_that_somebody_removed_disturb_no_change() {
    in_own_network("elements_that_somebody_removed_disturb_no_change", || {
        let mut rules = standing();
        let [alice, bob] = clients().map(|client| session(client, 7, "alice"));
        let both = [alice.clone(), bob.clone()];
        rules.change(&add(&both)).unwrap();
        nft("delete element inet sshmeter out4 { 127.0.0.1 . 40001 }");
        let read = rules.read(&PORTS).unwrap();
        assert_eq!(read.rules[&alice.peer].bytes, None, "a half");
        assert_eq!(bytes(&read, &bob), Flow::default());
        let last = rules.change(&remove(&both)).unwrap();
        assert_eq!(last, HashMap::from([(bob.peer, Flow::default())]));

        rules.change(&add(&both)).unwrap();
        nft("flush set inet sshmeter in6\nflush set inet sshmeter out6");
        assert_eq!(
            rules.change(&add(&both)).unwrap(),
            HashMap::from([(alice.peer, Flow::default())])
        );
        assert_eq!(rules.read(&PORTS).unwrap().rules.len(), 2);
        rules.change(&remove(&both)).unwrap();
        assert_eq!(rules.change(&remove(&both)).unwrap(), HashMap::new());

        nft("delete table inet sshmeter");
        assert_eq!(rules.change(&remove(&both)).unwrap(), HashMap::new());
        let error = rules.change(&add(&both)).unwrap_err();
        assert!(format!("{error:#}").contains("is not there"), "{error:#}");
    });
}

#[test]
fn hostile_names_are_shown_and_come_back() {
    in_own_network("hostile_names_are_shown_and_come_back", || {
        let mut rules = standing();
        let names = [
            "alice",
            "two words",
            "a\"; flush ruleset; #",
            "*/\n}\n",
            "zoë",
            "\u{1b}[31m",
            &"长".repeat(200),
            &"x".repeat(300),
            "",
        ];
        let sessions: Vec<Counted> = (names.iter().zip(1_u16..))
            .map(|(name, port)| session((Ipv4Addr::new(192, 0, 2, 7), port).into(), 30449, name))
            .collect();
        rules.change(&add(&sessions)).unwrap();
        let read = rules.read(&PORTS).unwrap();
        let listing = listing();
        println!("{listing}");
        for session in &sessions {
            let label = rules.label(session);
            assert_eq!(read.rules[&session.peer].label, label);
            let shown = format!(
                "192.0.2.7 . {} counter packets 0 bytes 0 comment \"{label}\"",
                session.peer.port()
            );
            assert!(listing.contains(&shown), "{shown} is not in {listing}");
        }
        // The listing is one that nft takes back.
        nft(&format!("flush ruleset\n{listing}"));
        let again = rules.read(&PORTS).unwrap();
        assert_eq!(again, read);
    });
}

/// Other firewalls' tables, with our names in them.
const NEIGHBOURS: &str = "
table ip filter {
    chain INPUT {
        type filter hook input priority 0; policy drop;
        tcp dport 2222 counter accept
    }
}
table inet firewalld {
    set in4 {
        type ipv4_addr . inet_service
        counter
        elements = { 127.0.0.1 . 40001 }
    }
}
table ip sshmeter {
    chain input {
        type filter hook input priority 0
        accept
    }
}
";

#[test]
fn what_is_not_ours_is_left_as_it_is() {
    in_own_network("what_is_not_ours_is_left_as_it_is", || {
        nft(NEIGHBOURS);
        let before = run("nft", &["list", "ruleset"], "");
        let mut rules = standing();
        let sessions = clients().map(|client| session(client, 7, "alice"));
        rules.change(&add(&sessions)).unwrap();
        assert!(rules.clear().unwrap());
        assert!(!rules.clear().unwrap());
        assert_eq!(run("nft", &["list", "ruleset"], ""), before);
        assert_eq!(
            rules.read(&PORTS).unwrap().missing,
            ["the table inet sshmeter"]
        );
        assert!(rules.variant().unwrap().starts_with("nftables v"));
    });
}

#[test]
fn a_missing_right_is_named() {
    in_own_network("a_missing_right_is_named", || {
        let mut rules = standing();
        // A thread's rights are its own.
        let deprived = thread::spawn(move || {
            sshmeter::kernel::rights::give_up_used();
            [
                rules.variant().map(drop),
                rules.stand(&PORTS),
                rules.read(&PORTS).map(drop),
                rules
                    .change(&add(&[session(clients()[0], 7, "alice")]))
                    .map(drop),
                rules.clear().map(drop),
            ]
        });
        for outcome in deprived.join().unwrap() {
            let error = format!("{:#}", outcome.unwrap_err());
            assert!(error.contains("CAP_NET_ADMIN"), "{error}");
        }
    });
}

#[test]
fn thousands_are_changed_at_once() {
    in_own_network("thousands_are_changed_at_once", || {
        let count =
            env::var("SSHMETER_FIREWALL_SESSIONS").map_or(3000, |text| text.parse().unwrap());
        let mut rules = standing();
        let client = |number: u32| {
            let port = u16::try_from(1024 + number % 50_000).unwrap();
            let v4 = Ipv4Addr::from_bits(0x0a00_0000 | number);
            let ip = if number.is_multiple_of(4) {
                v4.to_ipv6_compatible().into()
            } else {
                v4.into()
            };
            SocketAddr::new(ip, port)
        };
        let sessions: Vec<Counted> = (1..=count)
            .map(|number| session(client(number), number, "somebody"))
            .collect();
        let timed = |what: &str, action: &mut dyn FnMut()| {
            let begin = Instant::now();
            action();
            println!("{count} sessions: {what} took {:?}", begin.elapsed());
        };
        timed("add all", &mut || {
            assert!(rules.change(&add(&sessions)).unwrap().is_empty());
        });
        timed("read", &mut || {
            let read = rules.read(&PORTS).unwrap();
            assert_eq!((read.rules.len(), read.missing.len()), (sessions.len(), 0));
        });
        let one = [session((Ipv4Addr::new(192, 0, 2, 7), 7).into(), 7, "alice")];
        timed("add one", &mut || drop(rules.change(&add(&one)).unwrap()));
        timed("remove one", &mut || {
            assert_eq!(rules.change(&remove(&one)).unwrap().len(), 1);
        });
        timed("remove one that is not there", &mut || {
            drop(rules.change(&remove(&one)).unwrap());
        });
        let exchange = Change {
            add: sessions.clone(),
            ..remove(&sessions)
        };
        timed("exchange all", &mut || {
            assert_eq!(rules.change(&exchange).unwrap().len(), sessions.len());
        });
        timed("remove all", &mut || {
            assert_eq!(
                rules.change(&remove(&sessions)).unwrap().len(),
                sessions.len()
            );
        });
        assert_eq!(rules.read(&PORTS).unwrap(), Standings::default());
    });
}
