//! A second truth: what the server's packet filter counts for each connection.
//!
//! The capture says what crosses the wire; this says what a firewall sees, which
//! is what a meter at the firewall has to agree with to the byte, also where TCP
//! hands large packets down that are cut only later. It hangs on hooks of its own
//! and shares nothing with sshmeter's rules. The table is owned by the process that
//! made it, so whatever a test flushes or restores, this one stays.

use std::{
    collections::BTreeMap,
    io::Write as _,
    net::{IpAddr, SocketAddr},
    process::Stdio,
    time::Duration,
};

use crate::{
    keeper::{Keeper, entering},
    packets::Flow,
    process::{Process, quietly},
    wait_for,
};

const FILE: &str = "/run/truth.nft";

/// A counter of all connections to some ports.
#[derive(Debug)]
pub struct Counter {
    server: u32,
    _owner: Process,
}

/// What was counted until some moment, by the client's end of each connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Bytes of IP packets, from the first SYN on.
    pub connections: BTreeMap<SocketAddr, Flow>,
}

impl Counter {
    /// Starts to count.
    pub(crate) fn start(server: &Keeper, ports: &[u16]) -> Self {
        server.write(FILE, &table(ports));
        let mut command = server.command("nft");
        command
            .arg("--interactive")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let mut owner = server.spawn(&mut command, "nft");
        let input = owner.child().stdin.as_mut().expect("a pipe");
        writeln!(input, "include \"{FILE}\"").expect("nft reads");
        let server = server.leader();
        wait_for("the test's own counter", Duration::from_secs(10), || {
            let listed = nft(server, &["list", "chain", "inet", "truth", "outwards"]);
            listed.status.success().then_some(())
        });
        Self {
            server,
            _owner: owner,
        }
    }

    /// What was counted so far.
    ///
    /// # Panics
    /// When the table is gone, which nobody but its owner may remove.
    #[must_use]
    pub fn read(&self) -> Counts {
        // As text: nft 1.0.6 writes no JSON of a table that has an owner.
        let output = nft(self.server, &["-n", "list", "table", "inet", "truth"]);
        let words = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "the counter is gone: {words}");
        Counts::parse(&String::from_utf8_lossy(&output.stdout))
    }
}

impl Counts {
    /// Elements are `ADDRESS . PORT counter packets N bytes N`, with commas, in
    /// sets that are called `in…` and `out…`.
    fn parse(listing: &str) -> Self {
        let mut counts = Self::default();
        let mut inbound = true;
        let words: Vec<&str> = listing
            .split([' ', '\t', '\n', ',', '{', '}'])
            .filter(|word| !word.is_empty())
            .collect();
        for index in 0..words.len() {
            match words[index..] {
                ["set", name, ..] => inbound = name.starts_with("in"),
                [
                    address,
                    ".",
                    port,
                    "counter",
                    "packets",
                    _,
                    "bytes",
                    bytes,
                    ..,
                ] => {
                    let peer = SocketAddr::new(number(address), number(port));
                    let flow = counts.connections.entry(peer).or_default();
                    if inbound {
                        flow.inbound += number::<u64>(bytes);
                    } else {
                        flow.outbound += number::<u64>(bytes);
                    }
                }
                _ => {}
            }
        }
        counts
    }

    /// All that was counted from an address.
    #[must_use]
    pub fn from(&self, address: IpAddr) -> Flow {
        let mut sum = Flow::default();
        for (peer, flow) in &self.connections {
            if peer.ip() == address {
                sum += *flow;
            }
        }
        sum
    }
}

fn table(ports: &[u16]) -> String {
    let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
    let ports = ports.join(", ");
    let sets: String = [("in4", 4), ("out4", 4), ("in6", 6), ("out6", 6)]
        .map(|(name, family)| {
            format!(
                "set {name} {{ type ipv{family}_addr . inet_service; size 65535; \
                 flags dynamic; counter; }}\n"
            )
        })
        .concat();
    format!(
        "table inet truth {{
            flags owner
            {sets}
            chain inwards {{
                type filter hook input priority -350
                tcp dport {{ {ports} }} update @in4 {{ ip saddr . tcp sport }}
                tcp dport {{ {ports} }} update @in6 {{ ip6 saddr . tcp sport }}
            }}
            chain outwards {{
                type filter hook output priority -350
                tcp sport {{ {ports} }} update @out4 {{ ip daddr . tcp dport }}
                tcp sport {{ {ports} }} update @out6 {{ ip6 daddr . tcp dport }}
            }}
        }}\n"
    )
}

fn nft(server: u32, arguments: &[&str]) -> std::process::Output {
    let mut command = entering(server, "nft");
    let output = quietly(command.args(arguments)).output();
    output.expect("nft can be started")
}

fn number<T: std::str::FromStr>(word: &str) -> T {
    word.parse()
        .unwrap_or_else(|_| panic!("nft lists {word:?}, which nobody understands"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_is_read() {
        let counts = Counts::parse(
            "table inet truth { # progname nft\n\tflags owner\n\n\tset in4 {\n\t\tcounter\n\
             \t\telements = { 10.78.0.1 . 51250 counter packets 5 bytes 1268,\n\
             \t\t\t     10.78.0.2 . 7 counter packets 1 bytes 60 }\n\t}\n\n\tset out4 {\n\
             \t\telements = { 10.78.0.1 . 51250 counter packets 3 bytes 164 }\n\t}\n\
             \tset in6 {\n\t\telements = { fd00:78::1:1 . 9 counter packets 5 bytes 1368 }\n\
             \t}\n}\n",
        );
        let flow = |inbound, outbound| Flow { inbound, outbound };
        let from = |address: &str| counts.from(address.parse().unwrap());
        assert_eq!(counts.connections.len(), 3);
        assert_eq!(from("10.78.0.1"), flow(1268, 164));
        assert_eq!(from("10.78.0.2"), flow(60, 0));
        assert_eq!(from("fd00:78::1:1"), flow(1368, 0));
    }
}
