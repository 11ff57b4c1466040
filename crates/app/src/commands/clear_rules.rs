//! `sshmeter clear-rules`: nothing of ours stays in the firewall.
//!
//! All kinds are cleared, whichever the config names: an earlier config may have
//! named another. A kind that this machine does not have has no rules here.

use crate::{
    cli::Arguments,
    config::{Config, MeterKind},
    error::{Failure, Outcome, say},
    kernel::firewall::{self, Usable},
    store,
};

pub(super) fn run(arguments: &Arguments) -> Outcome {
    let config = Config::load(arguments)?;
    for kind in MeterKind::ALL {
        clear(kind)?;
    }
    if config.meter.kind != MeterKind::Sockdiag
        && let Some(pid) = store::holder(config.ledger_path())
    {
        say(&format!(
            "note: `sshmeter run` (pid {pid}) counts with {} and puts its rules back within 10 s; \
             stop it first to be rid of them\n",
            config.meter.kind.word()
        ));
    }
    Ok(())
}

fn clear(kind: MeterKind) -> Outcome {
    let Some(mut rules) = firewall::rules(kind) else {
        return Ok(());
    };
    let word = kind.word();
    if let Usable::Absent(_) = firewall::usable(kind) {
        return Ok(());
    }
    let cleared = rules.clear().map_err(|error| {
        Failure::failed(error.context(format!("the rules of {word} cannot be removed")))
            .hint("only root, or who has CAP_NET_ADMIN, may change the firewall")
    })?;
    say(&if cleared {
        format!("{word}: sshmeter's rules are removed\n")
    } else {
        format!("{word}: there is no rule of sshmeter's\n")
    });
    Ok(())
}
