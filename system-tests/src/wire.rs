//! The network between a machine and its client: two links and a router.
//!
//! The capture listens on the router's end of the server's link, so it sees
//! exactly what crosses the server's wire. Packets are lost in the router,
//! beyond that point: the sender is not told, as on a real network.
//!
//! Every address of 10.78.0.0/16 and fd00:78::/64 is the client's own, so that a
//! test can give each connection an address and know it again anywhere.

use std::{process::Command, time::Duration};

use crate::{keeper::Keeper, wait_for};

/// The server's addresses.
pub(crate) const SERVER: [&str; 2] = ["10.77.0.1", "fd00:77::1"];

/// How many packets in a hundred the router drops, each way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loss(pub u8);

/// A clean wire has to be clean, or nothing on it could be asked to be equal to
/// the byte. Where a sending thread moves between processors, packets would
/// overtake each other in a veth pair, and a full backlog would lose them: so
/// one processor takes all, and windows (see [`ROUTE`]) are small enough for its
/// queue, which the wires of all tests share, and for that of a socket whose owner
/// was interrupted. And on a machine that is busy with tests a stall is no loss, so
/// no lone packet is sent again to probe for one.
const CALM: &str = "for queue in /sys/class/net/*/queues/rx-0/rps_cpus; do \
     echo 1 >$queue; done; echo 4096 1048576 1048576 >/proc/sys/net/ipv4/tcp_rmem; \
     echo 0 >/proc/sys/net/ipv4/tcp_moderate_rcvbuf; \
     echo 0 >/proc/sys/net/ipv4/tcp_early_retrans";

/// While a link-local address is tentative its host asks for no neighbour, and
/// the first SYN-ACK would wait long enough for the SYN to be repeated.
const NO_WAIT: &str = "for each in /proc/sys/net/ipv6/conf/*/accept_dad; do \
     echo 0 >$each; done";

/// How a host sends and receives: a window of some seventy packets, and nothing is
/// sent again for want of an answer before a busy machine had the time to give one.
/// On a clean wire that would be a second copy, whose payload no counter of the
/// receiver's has.
const ROUTE: &str = "window 100000 rto_min 2s";
/// The same with Linux' own haste, where packets do get lost.
const HASTY_ROUTE: &str = "window 100000 rto_min 200ms";

const NO_OFFLOAD: &str = "tso off gso off gro off tx off rx off sg off";

/// A packet filter sees what leaves TCP, which is up to 64 KB at once with one
/// header, and is cut into what the wire takes only later. So that it sees what
/// the capture sees, TCP makes each segment a packet of its own.
const ONE_BY_ONE: &str = "ip link set dev eth0 gso_max_segs 1";

const ROUTER_S_END: &str =
    "router ethtool -K wire tso off gso off gro off tx off rx off sg off >/dev/null
        router ip addr add 10.77.0.254/24 dev wire
        router ip addr add fd00:77::fe/64 dev wire nodad
        router ip link set wire up";

/// Lays the wire between a server's and a client's namespaces.
pub(crate) fn lay(server: &Keeper, client: &Keeper) {
    add(server, client);
    connect(server);
    route(client);
}

/// Lays it again after its end, for the router's capture to begin before it is
/// connected.
pub(crate) fn lay_anew(server: &Keeper, client: &Keeper) {
    add(server, client);
    client.shell(&format!(
        "ip link set wire netns router
        router() {{ ip netns exec router \"$@\"; }}
        router bash -euc '{NO_WAIT}'
        {ROUTER_S_END}
        router bash -euc '{CALM}'"
    ));
}

fn add(server: &Keeper, client: &Keeper) {
    // The peer's namespace is named by a pid of ours, so this enters only the network.
    let added = Command::new("nsenter")
        .args(["--target", &server.leader().to_string(), "--net", "--"])
        .args([
            "ip", "link", "add", "eth0", "type", "veth", "peer", "name", "wire",
        ])
        .args(["netns", &client.leader().to_string()])
        .status()
        .expect("nsenter can be started");
    assert!(added.success(), "the veth pair could not be made");
}

/// Connects the server to its end of the wire.
pub(crate) fn connect(server: &Keeper) {
    server.shell(&format!(
        "ethtool -K eth0 {NO_OFFLOAD} >/dev/null
        {ONE_BY_ONE}
        ip addr add 10.77.0.1/24 dev eth0
        {NO_WAIT}
        ip addr add fd00:77::1/64 dev eth0 nodad
        ip link set eth0 up
        ip route add default via 10.77.0.254 {ROUTE}
        ip route add default via fd00:77::fe {ROUTE}
        {CALM}"
    ));
}

fn route(client: &Keeper) {
    client.shell(&format!(
        "router() {{ ip netns exec router \"$@\"; }}
        ip link set wire netns router
        ip link add eth0 type veth peer name lan
        ip link set lan netns router
        ethtool -K eth0 {NO_OFFLOAD} >/dev/null
        ip addr add 10.79.0.1/30 dev eth0
        {NO_WAIT}
        router bash -euc '{NO_WAIT}'
        ip addr add fd00:79::1/64 dev eth0 nodad
        ip link set eth0 up
        {ROUTER_S_END}
        router ethtool -K lan {NO_OFFLOAD} >/dev/null
        router ip link set lo up
        router ip addr add 10.79.0.2/30 dev lan
        router ip addr add fd00:79::2/64 dev lan nodad
        router ip link set lan up
        router bash -euc '{CALM}'
        router bash -c 'echo 1 >/proc/sys/net/ipv4/ip_forward'
        router bash -c 'echo 1 >/proc/sys/net/ipv6/conf/all/forwarding'
        router ip route add 10.78.0.0/16 via 10.79.0.1
        router ip route add fd00:78::/64 via fd00:79::1
        ip route add default via 10.79.0.2 {ROUTE}
        ip route add default via fd00:79::2 {ROUTE}
        ip route add local 10.78.0.0/16 dev lo
        ip route add local fd00:78::/64 dev lo
        echo 1 >/proc/sys/net/ipv6/ip_nonlocal_bind
        {CALM}"
    ));
}

/// Undoes [`ONE_BY_ONE`].
pub(crate) fn send_large_packets(server: &Keeper) {
    server.shell("ip link set dev eth0 gso_max_segs 65535");
}

/// Waits until the kernel has noticed that the links have a carrier, which it
/// looks for once a second: until then it answers nothing over IPv6, and a
/// first SYN would be repeated.
pub(crate) fn wait_until_up(client: &Keeper) {
    wait_for("the wire's carrier", Duration::from_secs(10), || {
        let links = client.run("ip", &["netns", "exec", "router", "ip", "-o", "link"]);
        let up = |link: &str| {
            let line = links.lines().find(|line| line.contains(link));
            line.is_some_and(|line| line.contains("state UP"))
        };
        (up(": wire") && up(": lan")).then_some(())
    });
}

/// Makes both ends send again as soon and as often as Linux does by itself.
pub(crate) fn retry_as_usual(server: &Keeper, client: &Keeper) {
    for (end, [ipv4, ipv6]) in [
        (server, ["10.77.0.254", "fd00:77::fe"]),
        (client, ["10.79.0.2", "fd00:79::2"]),
    ] {
        end.shell(&format!(
            "echo 3 >/proc/sys/net/ipv4/tcp_early_retrans
            ip route change default via {ipv4} {HASTY_ROUTE}
            ip route change default via {ipv6} {HASTY_ROUTE}"
        ));
    }
}

/// Makes the router lose packets from now on, and both ends try as hard as ever.
pub(crate) fn lose(server: &Keeper, client: &Keeper, loss: Loss) {
    retry_as_usual(server, client);
    let percent = loss.0;
    client.shell(&format!(
        "ip netns exec router nft -f - <<'END'
flush ruleset
table inet loss {{
    chain forward {{
        type filter hook forward priority 0
        numgen random mod 100 < {percent} drop
    }}
}}
END"
    ));
}
