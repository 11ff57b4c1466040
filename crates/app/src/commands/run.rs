//! `sshmeter run`: the daemon, in the foreground.

use std::io::IsTerminal as _;

use anyhow::Context as _;

use crate::{
    cli::Arguments,
    config::{Config, MeterKind, MirrorConfig},
    daemon::{self, Opening},
    error::{Failure, Outcome, say},
    kernel::rights::{self, Rights},
    telemetry,
};

pub(super) fn run(arguments: &Arguments) -> Outcome {
    telemetry::start();
    let config = Config::load(arguments)?;
    // Asked now, since not all is kept for long.
    let rights = Rights::here();
    rights::keep_from_children();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("no runtime can be had")?;
    let outcome = runtime.block_on(async {
        let (daemon, opening) = daemon::open(config.clone()).await?;
        announce(&config, &opening, rights);
        daemon
            .run(|| reread(arguments))
            .await
            .map_err(Failure::from)
    });
    // A look-up beside the loop may hang in a name service; it is not awaited.
    runtime.shutdown_background();
    outcome
}

/// The config as it is now; a mistake in it is told, and changes nothing.
fn reread(arguments: &Arguments) -> Option<Config> {
    match Config::load(arguments) {
        Ok(config) => Some(config),
        Err(failure) => {
            let _code = failure.report();
            None
        }
    }
}

/// Says what is followed, what counts and where it is written: as a few lines
/// for a person, as one for a log.
fn announce(config: &Config, opening: &Opening, rights: Rights) {
    let ports = format!(
        "{} ({})",
        daemon::port_list(&opening.ports),
        opening.ports_why
    );
    if let Some(missing) = rights.loss() {
        tracing::warn!("{missing}; {}", rights::HINT);
    }
    let interval = config.meter.pause().as_secs();
    let ledger = config.ledger.path.display();
    let mirrors: Vec<String> = config.mirrors.iter().map(mirror_words).collect();
    if !std::io::stderr().is_terminal() {
        tracing::info!(
            "log: {}; sshd: {ports}; meter: {}, every {interval} s; ledger: {ledger} \
             (days of {}); {}open connections: {}; ended since the last commit: {}; ends of \
             connections are {}",
            opening.log,
            config.meter.kind.word(),
            opening.zone,
            match mirrors.as_slice() {
                [] => String::new(),
                some => format!("mirrors: {}; ", some.join(", ")),
            },
            opening.open,
            opening.ended,
            opening.ends,
        );
        return;
    }
    say(&format!(
        "sshmeter {version} is counting; Ctrl-C stops it\n\
         \x20 log     {log}\n\
         \x20 sshd    {ports}\n\
         \x20 meter   {meter}, every {interval} s and at each minute's end\n\
         \x20 ledger  {ledger} (days of {zone})\n\
         {mirrors}\
         \x20 open    {open}\n\
         \x20 ends    {ends}\n\
         See what was counted, from another terminal: sshmeter report\n",
        version = env!("CARGO_PKG_VERSION"),
        log = opening.log,
        meter = match config.meter.kind {
            MeterKind::Sockdiag => "the kernel's socket counters",
            MeterKind::Nftables => "counter rules of nftables, beside the sockets",
            MeterKind::Iptables => "counter rules of iptables, beside the sockets",
        },
        zone = opening.zone,
        mirrors = mirrors
            .iter()
            .map(|mirror| format!("  mirror  {mirror}\n"))
            .collect::<String>(),
        ends = opening.ends,
        open = match opening.open {
            0 => "no connection yet".to_owned(),
            1 => "1 connection already, counted from its first byte".to_owned(),
            many => format!("{many} connections already, counted from their first byte"),
        },
    ));
}

fn mirror_words(mirror: &MirrorConfig) -> String {
    format!(
        "{}, every {} s",
        mirror.address.shown(),
        mirror.interval.as_secs()
    )
}
