//! Which of its two kinds `iptables` is on a server of the benches.

use std::{error, fmt};

use anyhow::{Result, ensure};
use system_tests::Keeper;

/// One of the two programs that are called iptables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Variant {
    /// With nftables underneath.
    Nft,
    /// With its own tables in the kernel.
    Legacy,
}

/// A program that is not there, or has nothing of its own in this kernel.
#[derive(Clone, Copy, Debug)]
pub(super) struct Missing(&'static str);

impl fmt::Display for Missing {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "there is no {} that works here", self.0)
    }
}

impl error::Error for Missing {}

/// How a script ends whose program cannot be used.
const MISSING: i32 = 3;

/// Makes `iptables` and its companions this variant, whatever the machine's are; the
/// error is [`Missing`] where it cannot be used.
pub(super) fn choose(variant: Variant, server: &Keeper) -> Result<()> {
    let program = match variant {
        Variant::Nft => "xtables-nft-multi",
        Variant::Legacy => "xtables-legacy-multi",
    };
    let script = format!(
        "program=$(command -v {program}) || exit {MISSING}
        for family in iptables ip6tables; do for end in '' -save -restore; do
            ln -sf $program /usr/sbin/$family$end
        done; done
        iptables -t filter -S >/dev/null || exit {MISSING}"
    );
    let linked = server.output("/bin/bash", &["-euc", &script]);
    ensure!(linked.status.code() != Some(MISSING), Missing(program));
    ensure!(
        linked.status.success(),
        "iptables cannot be made {program}: {}",
        String::from_utf8_lossy(&linked.stderr).trim()
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;

    #[test]
    fn what_is_missing_is_known_below_what_was_said_about_it() {
        let choose = |is_there: bool| {
            ensure!(is_there, Missing("xtables-legacy-multi"));
            Ok(())
        };
        let error = choose(false).context("with 100 sessions").unwrap_err();
        assert!(error.is::<Missing>());
        let said = format!("{error:#}");
        assert_eq!(
            said,
            "with 100 sessions: there is no xtables-legacy-multi that works here"
        );
        assert!(choose(true).is_ok());
    }
}
