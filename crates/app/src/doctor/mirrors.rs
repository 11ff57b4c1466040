//! The checks of mirrors: can each be reached, and how far has it come?

use jiff::SignedDuration;

use super::{Finding, Verdict};
use crate::{
    config::{Config, MirrorConfig},
    mirror::{State, inspect},
    render::{counted, duration},
};

const SUBJECT: &str = "mirror";
/// So long after the host was last heard of, its mirror is behind.
const LATE_SECONDS: i64 = 15 * 60;

/// A line for each mirror, and one more where its password is open to others.
pub(super) fn mirrors(config: &Config) -> Vec<Finding> {
    let each = config.mirrors.iter().flat_map(|mirror| {
        // Where it cannot be read at all, connecting says so.
        let is_open = mirror.address.password.is_readable_by_others();
        let open = is_open.unwrap_or(false).then(|| {
            Finding::new(
                SUBJECT,
                Verdict::Warn,
                format!("others may read the password of {}", mirror.address.shown()),
            )
            .hint("chmod 600 that file")
        });
        open.into_iter().chain([reached(config, mirror)])
    });
    each.collect()
}

/// A mirror that cannot be used only lags behind: the ledger keeps all.
fn reached(config: &Config, mirror: &MirrorConfig) -> Finding {
    let inspection = match inspect(mirror, config.ledger_path()) {
        Ok(inspection) => inspection,
        Err(error) => {
            let finding = Finding::new(SUBJECT, Verdict::Warn, error.to_string());
            return match error.hint() {
                Some(hint) => finding.hint(hint),
                None => finding,
            };
        }
    };
    let server = inspection.server;
    let late = LATE_SECONDS.max(i64::try_from(mirror.interval.as_secs()).unwrap_or(0) * 3);
    match inspection.state {
        State::Behind { seconds, .. } if seconds > late => Finding::new(
            SUBJECT,
            Verdict::Warn,
            format!("{server} was last written {} ago", length(seconds)),
        )
        .hint("is `sshmeter run` running? its log says what keeps it"),
        State::Behind { changes: 0, .. } => {
            Finding::new(SUBJECT, Verdict::Ok, format!("{server} is up to date"))
        }
        State::Behind { changes, seconds } => Finding::new(
            SUBJECT,
            Verdict::Ok,
            format!(
                "{server} was written {} ago; {} changed since",
                length(seconds),
                counted(changes.unsigned_abs(), "row", "rows")
            ),
        ),
        State::Copying => Finding::new(
            SUBJECT,
            Verdict::Ok,
            format!("{server} is being filled with all the ledger has"),
        ),
        State::Nothing => Finding::new(
            SUBJECT,
            Verdict::Ok,
            format!("{server} can be used; nothing of this host is there yet"),
        ),
        State::ToBeCopied => Finding::new(
            SUBJECT,
            Verdict::Ok,
            format!("{server} will be filled anew at the next round of `sshmeter run`"),
        ),
    }
}

/// How long ago; a server's clock may have been set back since.
fn length(seconds: i64) -> String {
    duration(SignedDuration::from_secs(seconds.max(0)))
}
