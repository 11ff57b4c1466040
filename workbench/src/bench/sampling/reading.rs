//! What a reading costs: the daemon's, and other programs'.

use anyhow::{Context as _, Result, ensure};
use system_tests::Keeper;

use crate::{
    bench::{
        iptables::{self, Variant},
        login::{self, Login},
    },
    table::Spread,
};

/// Readings a minute, by default: every ten seconds, and one at the minute's end.
const A_MINUTE: f64 = 6.0;

/// How often the kernel alone lists.
const LISTS: &str = "15";

/// Processor seconds that a reading took.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Cost {
    /// The loop's, which reads and decides.
    pub(super) counting: f64,
    /// The ledger's thread's.
    pub(super) ledger: f64,
}

impl Cost {
    /// The middle ones of several readings'.
    pub(super) fn middle(costs: &[Self]) -> Result<Self> {
        let of = |part: fn(&Self) -> f64| {
            let figures: Vec<f64> = costs.iter().map(part).collect();
            let spread = Spread::of(&figures).context("no reading was seen")?;
            anyhow::Ok(spread.middle())
        };
        Ok(Self {
            counting: of(|cost| cost.counting)?,
            ledger: of(|cost| cost.ledger)?,
        })
    }

    pub(super) fn whole(self) -> f64 {
        self.counting + self.ledger
    }

    /// Microseconds a session.
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    pub(super) fn a_session(self, sessions: usize) -> f64 {
        self.whole() * 1e6 / sessions as f64
    }

    /// The part of a core, at the default interval.
    pub(super) fn share(self) -> String {
        format!("{:.2} %", self.whole() * A_MINUTE / 60.0 * 100.0)
    }
}

/// Processor seconds that a run of another program takes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tools {
    /// `ss -tin` of the connections on sshd's port.
    pub(super) filtered: f64,
    /// `ss -tin` of all there are.
    pub(super) all: f64,
    /// The kernel's own work, for who asks as sshmeter does.
    pub(super) kernel: f64,
    /// `iptables-save -c`, of the variant with nftables underneath, with two rules a session, where there are any.
    pub(super) rules: Option<f64>,
}

impl Tools {
    /// Beside `sessions` on sshd's port there may be others: `listed` is how many
    /// there are in all.
    pub(super) fn measure(
        server: &Keeper,
        port: u16,
        sessions: usize,
        listed: usize,
    ) -> Result<Self> {
        let times = (100_000 / listed.max(1)).clamp(3, 50);
        Ok(Self {
            filtered: seconds(server, &format!("ss -tinH 'sport = :{port}'"), times)?,
            all: seconds(server, "ss -tin", times)?,
            kernel: of_kernel(server, port, sessions)?,
            rules: None,
        })
    }

    /// Puts the rules of a script for these, reads them and removes them.
    pub(super) fn measure_rules(&mut self, server: &Keeper, logins: &[Login]) -> Result<()> {
        iptables::choose(Variant::Nft, server)?;
        server.write("/run/rules", &login::rules(logins));
        server.shell("iptables-restore --noflush </run/rules");
        let times = (20_000 / logins.len()).clamp(2, 20);
        let command = "iptables-save -c -t filter";
        let listed = server.run("iptables-save", &["-c", "-t", "filter"]);
        let rules = listed.matches("user:").count();
        ensure!(rules == 2 * logins.len(), "there are {rules} rules");
        self.rules = Some(seconds(server, command, times)?);
        server.shell("iptables -F; iptables -X useraccount");
        Ok(())
    }
}

fn of_kernel(server: &Keeper, port: u16, sessions: usize) -> Result<f64> {
    let said = server.run("crowd", &["list", &port.to_string(), LISTS]);
    let figures = said.trim().split_once(' ');
    let (nanoseconds, sockets) = figures.with_context(|| format!("crowd said {said:?}"))?;
    let sockets: usize = sockets.parse()?;
    ensure!(
        sockets == sessions,
        "the kernel lists {sockets} connections, and {sessions} are there"
    );
    Ok(nanoseconds.parse::<f64>()? / 1e9)
}

/// Processor seconds that a run of a command takes, on average.
fn seconds(server: &Keeper, command: &str, times: usize) -> Result<f64> {
    let script = format!(
        "TIMEFORMAT='%3U %3S'
        {{ time for run in $(seq {times}); do {command} >/dev/null; done; }} 2>&1"
    );
    let said = server.shell(&script);
    let words = said.split_whitespace().map(str::parse::<f64>);
    let times_used: Vec<f64> = words.collect::<Result<_, _>>().context(said.clone())?;
    ensure!(times_used.len() == 2, "bash said {said:?}");
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    let runs = times as f64;
    Ok(times_used.iter().sum::<f64>() / runs)
}
