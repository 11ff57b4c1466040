//! What stands in a server's firewall, and how it comes there.

use system_tests::Keeper;

use crate::bench::iptables::Variant;

/// Who counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Counting {
    /// Nobody: connections are open, and that is all.
    Nobody,
    /// sshmeter with this meter.
    Sshmeter {
        /// What it is called in the config.
        kind: &'static str,
        /// What iptables is on that server.
        iptables: Option<Variant>,
    },
    /// Two rules a session in a chain that all TCP walks, as scripts do it.
    Script(Variant),
}

impl Counting {
    /// What iptables is on the server, where it matters.
    pub(super) fn iptables(self) -> Option<Variant> {
        match self {
            Self::Nobody => None,
            Self::Sshmeter { iptables, .. } => iptables,
            Self::Script(variant) => Some(variant),
        }
    }

    /// Whether a packet walks rules one by one.
    pub(super) fn has_a_chain(self) -> bool {
        self.iptables().is_some()
    }

    /// The rules in the firewall, as its own program lists them; `None` where
    /// none are meant to be there.
    pub(super) fn listing(self, server: &Keeper) -> Option<String> {
        match self {
            Self::Nobody
            | Self::Sshmeter {
                kind: "sockdiag", ..
            } => None,
            Self::Sshmeter {
                kind: "nftables", ..
            } => {
                // Before the daemon has made it the table is not there.
                let listed = server.output("nft", &["list", "table", "inet", "sshmeter"]);
                Some(String::from_utf8_lossy(&listed.stdout).into_owned())
            }
            Self::Sshmeter { .. } | Self::Script(_) => {
                Some(server.run("iptables-save", &["-c", "-t", "filter"]))
            }
        }
    }
}

/// How many rules or elements of sessions there are, two for each.
pub(super) fn count(listing: &str) -> usize {
    listing.matches("user:").count()
}

/// Whether a user's rule is walked behind all other sessions'.
pub(super) fn is_last(user: &str, listing: &str) -> bool {
    let mut rules = listing.lines().filter(|line| line.contains("user:"));
    rules
        .next_back()
        .is_some_and(|rule| rule.contains(&label(user)))
}

/// How many bytes a user's rules or elements have counted.
pub(super) fn bytes_of(user: &str, listing: &str) -> u64 {
    let pieces = listing.split(['\n', ',']);
    let his = pieces.filter(|piece| piece.contains(&label(user)));
    his.filter_map(bytes).sum()
}

/// How a comment ends.
fn label(user: &str) -> String {
    format!("user:{user}\"")
}

/// `[PACKETS:BYTES] -A …`, or `… counter packets PACKETS bytes BYTES …`.
fn bytes(piece: &str) -> Option<u64> {
    let piece = piece.trim_start();
    let word = match piece.strip_prefix('[') {
        Some(counters) => counters.split([':', ']']).nth(1),
        None => piece.split(" bytes ").nth(1)?.split(' ').next(),
    };
    word?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_read_from_either_listing() {
        let iptables = "*filter\n:INPUT ACCEPT [9:900]\n\
            [3:180] -A useraccount -d 10.76.0.2/32 -p tcp -m tcp --dport 40000 \
            -m comment --comment \"pid:4 user:a\"\n\
            [5:70] -A useraccount -s 10.76.0.2/32 -p tcp -m tcp --sport 40000 \
            -m comment --comment \"pid:4 user:a\"\n\
            [1:1] -A useraccount -s 10.76.0.2/32 -p tcp -m tcp --sport 40001 \
            -m comment --comment \"pid:5 user:ab\"\n";
        assert_eq!((count(iptables), bytes_of("a", iptables)), (3, 250));
        assert!(is_last("ab", iptables) && !is_last("a", iptables));
        let nft = "elements = { 10.76.0.2 . 40000 counter packets 3 bytes 180 \
            comment \"pid:4 user:a\",\n\
            10.76.0.2 . 40001 counter packets 1 bytes 1 comment \"pid:5 user:ab\" }";
        assert_eq!((count(nft), bytes_of("a", nft)), (2, 180));
        assert_eq!((count(""), bytes_of("a", "")), (0, 0));
    }
}
