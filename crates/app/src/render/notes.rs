//! What has to be said beside figures, in sentences.

use jiff::tz::TimeZone;
use sshmeter_core::{report::Note, time::Unit};

use super::{counted, local_minute};

/// A note as one sentence.
#[must_use]
pub fn note_sentence(note: &Note, zone: &TimeZone) -> String {
    match note {
        Note::Coarser { unit, kept_since } => {
            let (coarse, fine) = match unit {
                Unit::Minute | Unit::Hour => ("hours", "minutes"),
                Unit::Day => ("days", "hours"),
                Unit::Month => ("months", "days"),
            };
            format!(
                "before {} the ledger keeps no {fine} any more, so whole {coarse} were counted \
                 where they begin",
                local_minute(kept_since.start(), zone)
            )
        }
        Note::SessionsExpired { kept_since } => format!(
            "sessions that ended before {} are no longer listed",
            local_minute(kept_since.start(), zone)
        ),
        Note::SessionsCut { sessions } => format!(
            "what {} moved in this period is no longer known: the period cuts through minutes \
             that have expired",
            counted(*sessions, "session", "sessions")
        ),
        Note::SessionsMerged { sessions } => format!(
            "the expired minutes of {} were counted where they begin",
            counted(*sessions, "session", "sessions")
        ),
    }
}
