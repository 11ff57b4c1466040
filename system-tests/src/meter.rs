//! What counts on a machine: sshmeter's kind of meter, and which iptables there is.

/// A kind of meter, with what it counts by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meter {
    /// The kernel's socket counters, as without any config.
    Sockdiag,
    /// The table `inet sshmeter`.
    Nftables,
    /// The chain `useraccount`, of an iptables that is nftables underneath.
    IptablesNft,
    /// The chain `useraccount`, of the iptables from before nftables.
    IptablesLegacy,
}

impl Meter {
    /// Those that count at the firewall.
    pub const FIREWALLS: [Self; 3] = [Self::Nftables, Self::IptablesNft, Self::IptablesLegacy];

    /// A config of this meter, with further lines of its table and tables of others.
    #[must_use]
    pub fn config(self, lines: &str) -> String {
        format!("[meter]\nkind = \"{}\"\n{lines}\n", self.kind())
    }

    /// Whether sessions are counted by rules that an administrator can see.
    #[must_use]
    pub fn has_rules(self) -> bool {
        self != Self::Sockdiag
    }

    pub(crate) fn kind(self) -> &'static str {
        match self {
            Self::Sockdiag => "sockdiag",
            Self::Nftables => "nftables",
            Self::IptablesNft | Self::IptablesLegacy => "iptables",
        }
    }

    /// The program that is iptables, ip6tables and all that belongs to them, by
    /// the name that it is called by.
    pub(crate) fn xtables(self) -> Option<&'static str> {
        match self {
            Self::Sockdiag | Self::Nftables => None,
            Self::IptablesNft => Some("xtables-nft-multi"),
            Self::IptablesLegacy => Some("xtables-legacy-multi"),
        }
    }

    /// A script, run in the machine's future root folder, after which iptables is
    /// the one that is meant, whatever this machine's alternatives say.
    pub(crate) fn script(self) -> String {
        let Some(program) = self.xtables() else {
            return String::new();
        };
        format!(
            "for family in iptables ip6tables; do for what in '' -save -restore; do
                ln -sfn {program} usr/sbin/$family$what
            done; done"
        )
    }

    /// What the kernel has to let new namespaces do.
    pub(crate) fn trial(self) -> String {
        match self.xtables() {
            None => "nft add table inet t".to_owned(),
            Some(program) => format!(
                "for family in iptables ip6tables; do
                    {program} $family -N t
                    {program} $family -A t -p tcp -m tcp --dport 1 -m comment --comment t
                done"
            ),
        }
    }
}
