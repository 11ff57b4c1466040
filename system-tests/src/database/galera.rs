//! Three MariaDB servers that are one: each may be written to, and a commit is
//! in all of them.

use std::{collections::BTreeSet, thread, time::Duration};

use super::{
    Backend, Database, DatabaseBuilder, MariaDb, builder::free_port, kind::Kind as _,
    mariadb::lacking,
};
use crate::{ground, wait_for};

/// Debian's package galera-4.
const LIBRARY: &str = "/usr/lib/galera/libgalera_smm.so";

/// How long a cluster may take to be whole; a member that comes back may have to
/// copy all data, and before, the others have to notice that it was away.
const PATIENCE: Duration = Duration::from_secs(120);

/// A cluster of MariaDB servers on this machine's 127.0.0.1.
#[derive(Debug)]
pub struct Galera {
    nodes: Vec<Database>,
}

/// The ports of one member besides the one for clients.
#[derive(Clone, Copy)]
struct Ports {
    group: u16,
    incremental: u16,
    whole: u16,
}

impl Galera {
    /// How many members a cluster has: so many that two are a majority.
    pub const NODES: usize = 3;

    /// Whether the test called `name` can run with one; says that it is left out
    /// if not.
    #[must_use]
    pub fn stands(name: &str) -> bool {
        let missing = MariaDb
            .missing()
            .or_else(|| lacking(&["rsync", "ss", "lsof"]));
        let missing = missing.or_else(|| {
            let absent = !std::path::Path::new(LIBRARY).exists();
            absent.then(|| format!("needs {LIBRARY}: not installed"))
        });
        let missing = ground::missing().map(str::to_owned).or(missing);
        ground::stands_on(name, missing.as_deref())
    }

    /// Starts a cluster and waits until it is whole.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with(&|builder| builder)
    }

    /// The same with members that are described further.
    #[must_use]
    pub fn start_with(described: &dyn Fn(DatabaseBuilder) -> DatabaseBuilder) -> Self {
        let ports = free_ports();
        let addresses: Vec<String> = ports
            .iter()
            .map(|ports| format!("127.0.0.1:{}", ports.group))
            .collect();
        let cluster = addresses.join(",");
        let builder = |ports| described(member(ports, &cluster));
        let first = builder(ports[0]).at_the_first_start("--wsrep-new-cluster");
        let mut nodes = vec![first.start()];
        // The others together: each takes its time to copy the first one.
        thread::scope(|scope| {
            let others: Vec<_> = ports[1..]
                .iter()
                .map(|ports| {
                    let builder = builder(*ports);
                    scope.spawn(|| builder.start())
                })
                .collect();
            for other in others {
                nodes.push(other.join().expect("a member of the cluster starts"));
            }
        });
        let cluster = Self { nodes };
        cluster.wait_until_whole();
        cluster
    }

    /// A member.
    #[must_use]
    pub fn node(&self, index: usize) -> &Database {
        &self.nodes[index]
    }

    /// A member, to be ended or started again. After [`Database::start_again`] it
    /// answers, which is before the cluster is whole.
    #[must_use]
    pub fn node_mut(&mut self, index: usize) -> &mut Database {
        &mut self.nodes[index]
    }

    /// Waits until all members are one cluster and have all that is committed.
    pub fn wait_until_whole(&self) {
        self.wait_until_together(&[0, 1, 2]);
    }

    /// Waits until these members are one cluster without any other.
    pub fn wait_until_together(&self, members: &[usize]) {
        wait_for("the cluster to be whole", PATIENCE, || {
            let together = members
                .iter()
                .all(|index| state(&self.nodes[*index]) == Some((members.len(), true)));
            together.then_some(())
        });
    }
}

/// How many members a member sees, and whether it has what they have.
fn state(node: &Database) -> Option<(usize, bool)> {
    let value = |name: &str| {
        let status = node.try_query(&format!("SHOW STATUS LIKE '{name}'")).ok()?;
        status.first()?.get(1)?.clone()
    };
    let synced = value("wsrep_local_state_comment")? == "Synced" && value("wsrep_ready")? == "ON";
    Some((value("wsrep_cluster_size")?.parse().ok()?, synced))
}

fn free_ports() -> Vec<Ports> {
    let mut free = BTreeSet::new();
    while free.len() < 3 * Galera::NODES {
        free.insert(free_port());
    }
    let free: Vec<u16> = free.into_iter().collect();
    free.chunks(3)
        .map(|ports| Ports {
            group: ports[0],
            incremental: ports[1],
            whole: ports[2],
        })
        .collect()
}

/// A member that notices within seconds when another one is gone.
fn member(ports: Ports, cluster: &str) -> DatabaseBuilder {
    let Ports {
        group,
        incremental,
        whole,
    } = ports;
    Backend::MariaDb
        .builder()
        .tcp()
        .option("binlog_format=ROW")
        .option("innodb_autoinc_lock_mode=2")
        .option("wsrep_on=ON")
        .option(&format!("wsrep_provider={LIBRARY}"))
        .option("wsrep_cluster_name=sshmeter-tests")
        .option(&format!("wsrep_cluster_address=gcomm://{cluster}"))
        .option(&format!("wsrep_node_address=127.0.0.1:{group}"))
        .option("wsrep_sst_method=rsync")
        .option(&format!("wsrep_sst_receive_address=127.0.0.1:{whole}"))
        .option(&format!(
            "wsrep_provider_options=\"gmcast.listen_addr=tcp://127.0.0.1:{group};\
             ist.recv_addr=127.0.0.1:{incremental};gcache.size=16M;\
             evs.keepalive_period=PT0.3S;evs.inactive_check_period=PT0.3S;\
             evs.suspect_timeout=PT2S;evs.inactive_timeout=PT5S;evs.install_timeout=PT5S\""
        ))
}
