//! A mirror that is more than one server: the nodes of a Galera cluster, or a
//! primary and its standby, all in one address. Servers die, are cut off and come
//! back while hosts write; nobody tells the hosts. In the end every server has the
//! rows of the ledgers, all of them and no other.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use system_tests::{Backend, Database, Galera, Mirror, PASSWORD, Postgres, wait_for};

const HOSTS: usize = 10;
const PATIENCE: Duration = Duration::from_secs(60);

/// Hosts that write until they are told to stop.
struct Hosts {
    folder: tempfile::TempDir,
    child: Child,
}

impl Drop for Hosts {
    fn drop(&mut self) {
        // They have ended, unless the test failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Hosts {
    fn start(url: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder for ledgers");
        let words = File::create(folder.path().join("words")).expect("a file");
        let child = Command::new(env!("CARGO_BIN_EXE_hosts"))
            .args([url, path_text(folder.path()), &HOSTS.to_string(), "150"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(words)
            .spawn()
            .expect("hosts start");
        Self { folder, child }
    }

    /// Lets them send what is left, and end.
    fn finish(&mut self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).expect("hosts run");
        let status = wait_for("the hosts to end", Duration::from_secs(130), || {
            self.child.try_wait().expect("hosts are a child")
        });
        assert!(status.success(), "{status}\n{}", self.words());
    }

    /// What they have said.
    fn words(&self) -> String {
        fs::read_to_string(self.folder.path().join("words")).unwrap_or_default()
    }

    /// Every row of every ledger is on each of the servers, and no other.
    fn must_be_on(&self, servers: &[&Database]) {
        for (number, server) in servers.iter().enumerate() {
            let found = Mirror::of(server, "sshmeter").compare(self.folder.path());
            assert!(found.rows > 0, "nothing is in any ledger");
            assert!(
                found.faults.is_empty(),
                "server {number}:\n{}\n{}",
                found.faults.join("\n"),
                self.words()
            );
        }
    }
}

fn path_text(path: &Path) -> &str {
    path.to_str().expect("a path of the test is UTF-8")
}

/// How many turns each host has had on a server, by its ledger.
fn turns(server: &Database) -> BTreeMap<String, i64> {
    let sql = "SELECT ledger, turn FROM sshmeter.sshmeter_host";
    let rows = match server.backend() {
        Backend::Postgres => server.query_in("sshmeter", &sql.replace("sshmeter.", "")),
        // The tables may not be there yet.
        Backend::MariaDb | Backend::MySql => server.try_query(sql).unwrap_or_default(),
    };
    let pair = |row: Vec<Option<String>>| {
        let [Some(ledger), Some(turn)] = &row[..] else {
            panic!("{row:?} is no host")
        };
        (ledger.clone(), turn.parse().expect("a number"))
    };
    rows.into_iter().map(pair).collect()
}

/// Waits until every host has written to a server twice more.
fn wait_until_all_write(server: &Database, what: &str) {
    let before = turns(server);
    wait_for(what, PATIENCE, || {
        let now = turns(server);
        let went_on = |(ledger, turn): (&String, &i64)| {
            *turn >= before.get(ledger).copied().unwrap_or_default() + 2
        };
        (now.len() == HOSTS && now.iter().all(went_on)).then_some(())
    });
}

/// How many connections the hosts have made to a node so far.
fn connections(node: &Database) -> i64 {
    let sql = "SHOW GLOBAL STATUS LIKE 'Connections'";
    let rows = node.try_query(sql).unwrap_or_default();
    let count = rows.first().and_then(|row| row[1].as_deref());
    count.and_then(|count| count.parse().ok()).unwrap_or(0)
}

/// Of some nodes the one that most hosts connect to.
fn busiest(cluster: &Galera, nodes: &[usize]) -> usize {
    let count = |index: &usize| connections(cluster.node(*index));
    let before: Vec<i64> = nodes.iter().map(count).collect();
    std::thread::sleep(Duration::from_millis(1_500));
    let made = nodes.iter().map(count).zip(before);
    let most = made.map(|(now, before)| now - before).zip(nodes).max();
    *most.expect("there are nodes").1
}

#[test]
fn hosts_follow_a_cluster_whose_nodes_come_and_go() {
    if !Galera::stands("hosts_follow_a_cluster_whose_nodes_come_and_go") {
        return;
    }
    let mut cluster = Galera::start();
    let url = cluster_url(&cluster);
    let mut hosts = Hosts::start(&url);
    wait_until_all_write(cluster.node(2), "all hosts to write");

    for _ in 0..2 {
        let dead = busiest(&cluster, &[0, 1, 2]);
        let others: Vec<usize> = (0..Galera::NODES).filter(|node| *node != dead).collect();
        cluster.node_mut(dead).kill();
        cluster.wait_until_together(&others);
        wait_until_all_write(cluster.node(others[0]), "the hosts to write to two nodes");
        cluster.node_mut(dead).start_again();
        cluster.wait_until_whole();
        wait_until_all_write(cluster.node(dead), "what they write to be on the third too");
    }

    let alone = busiest(&cluster, &[0, 1, 2]);
    let others: Vec<usize> = (0..Galera::NODES).filter(|node| *node != alone).collect();
    let isolate = |on: u8| {
        let sql = format!("SET GLOBAL wsrep_provider_options = 'gmcast.isolate={on}'");
        cluster.node(alone).query(&sql);
    };
    isolate(1);
    cluster.wait_until_together(&others);
    // It notices a moment after the others have gone on without it.
    wait_for("the node to serve nobody", PATIENCE, || {
        let asked = cluster.node(alone).try_query("SELECT * FROM mysql.user");
        asked.is_err().then_some(())
    });
    wait_until_all_write(cluster.node(others[1]), "the hosts to pass the node over");
    isolate(0);
    cluster.wait_until_whole();

    hosts.finish();
    hosts.must_be_on(&[cluster.node(0), cluster.node(1), cluster.node(2)]);
    assert!(!hosts.words().contains("copied anew"), "{}", hosts.words());
}

/// All nodes in one address.
fn cluster_url(cluster: &Galera) -> String {
    let url = cluster.node(0).ready_for_sshmeter();
    let place = |node: usize| {
        let port = cluster.node(node).port().expect("a node has a port");
        format!("127.0.0.1:{port}")
    };
    let all: Vec<String> = (0..Galera::NODES).map(place).collect();
    let with_all = url.replacen(&place(0), &all.join(","), 1);
    assert_ne!(url, with_all, "the address names its place");
    with_all
}

/// A primary and its standby, and the address with both.
fn pair(option: &str) -> (Database, Database, String) {
    let primary = Postgres::builder().tcp().option(option).start();
    let url = primary.ready_for_sshmeter();
    let standby = Postgres::follow(&primary, Postgres::builder().tcp());
    let place = |server: &Database| format!("127.0.0.1:{}", server.port().expect("it has a port"));
    let both = format!("{},{}", place(&primary), place(&standby));
    let url = url.replacen(&place(&primary), &both, 1);
    (primary, standby, url)
}

#[test]
fn a_standby_that_lacks_the_last_transactions_gets_them_from_the_hosts() {
    if !Backend::Postgres.stands("a_standby_that_lacks_the_last_transactions") {
        return;
    }
    let (mut primary, standby, url) = pair("synchronous_commit = on");
    let mut hosts = Hosts::start(&url);
    wait_for("tables", PATIENCE, || has_tables(&standby).then_some(()));
    wait_until_all_write(&standby, "all hosts to write");

    standby.query("ALTER SYSTEM SET primary_conninfo = ''");
    standby.query("SELECT pg_reload_conf()");
    wait_for("the standby to be cut off", PATIENCE, || {
        let left = standby.query("SELECT count(*) FROM pg_stat_wal_receiver");
        (left[0][0].as_deref() == Some("0")).then_some(())
    });
    wait_until_all_write(&primary, "transactions that the standby lacks");
    let (had, lacked) = (turns(&primary), turns(&standby));
    assert!(had.iter().all(|(host, turn)| lacked[host] < *turn));

    primary.kill();
    Postgres::promote(&standby);
    wait_until_all_write(&standby, "the hosts to write to the new primary");
    hosts.finish();
    hosts.must_be_on(&[&standby]);
    assert!(!hosts.words().contains("copied anew"), "{}", hosts.words());
}

#[test]
fn hosts_follow_a_synchronous_standby() {
    if !Backend::Postgres.stands("hosts_follow_a_synchronous_standby") {
        return;
    }
    let (mut primary, standby, url) = pair("synchronous_commit = remote_apply");
    primary.query("ALTER SYSTEM SET synchronous_standby_names = '*'");
    primary.query("SELECT pg_reload_conf()");
    let mut hosts = Hosts::start(&url);
    wait_for("tables", PATIENCE, || has_tables(&standby).then_some(()));
    wait_until_all_write(&standby, "all hosts to write");
    primary.kill();
    Postgres::promote(&standby);
    wait_until_all_write(&standby, "the hosts to write to the new primary");
    hosts.finish();
    hosts.must_be_on(&[&standby]);
    assert!(!hosts.words().contains("copied anew"), "{}", hosts.words());
}

fn has_tables(standby: &Database) -> bool {
    let sql = "SELECT count(*) FROM pg_class WHERE relname = 'sshmeter_host'";
    standby.query_in("sshmeter", sql)[0][0].as_deref() == Some("1")
}

/// The SQL of the handbook that begins with this comment.
fn documented(begin: &str) -> &'static str {
    let fleet = include_str!("../../docs/fleet.md");
    let blocks = fleet.split("```sql ").skip(1);
    let mut blocks = blocks.filter_map(|block| block.split_once('\n'));
    let block = blocks.find_map(|(_, sql)| sql.starts_with(begin).then_some(sql));
    let block = block.and_then(|block| block.split("```").next());
    block.expect("docs/fleet.md has it")
}

#[test]
fn hosts_write_into_partitions_that_an_administrator_has_made() {
    let of_mysql = "SELECT count(DISTINCT table_name) FROM information_schema.partitions
                    WHERE table_schema = 'sshmeter' AND partition_name = 'later'";
    for (backend, begin, count) in [
        (Backend::MariaDb, "-- MariaDB", of_mysql),
        (Backend::MySql, "-- MariaDB", of_mysql),
        (
            Backend::Postgres,
            "-- PostgreSQL",
            "SELECT count(*) FROM pg_partitioned_table",
        ),
    ] {
        if !backend.stands("hosts_write_into_partitions_that_an_administrator_has_made") {
            continue;
        }
        let server = backend.start();
        let url = server.ready_for_sshmeter();
        // PostgreSQL's has to be made before, or else be filled once more.
        for is_there in [false, true] {
            if backend != Backend::Postgres && !is_there {
                continue;
            }
            if !is_there {
                server.query_in("sshmeter", documented(begin));
            }
            let mut hosts = Hosts::start(&url);
            wait_for("tables", PATIENCE, || {
                let hosts = "SELECT count(*) FROM sshmeter_host";
                let login = ("sshmeter", PASSWORD, "sshmeter");
                let asked = server.query_as(login.0, login.1, login.2, hosts).ok()?;
                (asked[0][0].as_deref() == Some("10")).then_some(())
            });
            wait_until_all_write(&server, "all hosts to write");
            if is_there {
                server.query_in("sshmeter", documented(begin));
                wait_until_all_write(&server, "all hosts to write into partitions");
            }
            hosts.finish();
            let partitioned = server.query_in("sshmeter", count);
            assert_eq!(partitioned[0][0].as_deref(), Some("2"), "{backend:?}");
            hosts.must_be_on(&[&server]);
            let views = "SELECT count(*) FROM hour; SELECT count(*) FROM minute";
            assert_eq!(server.query_in("sshmeter", views).len(), 2);
            for table in [
                "account", "session", "minute", "hour", "day", "month", "host",
            ] {
                server.query_in("sshmeter", &format!("DELETE FROM sshmeter_{table}"));
            }
        }
    }
}
