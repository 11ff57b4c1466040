//! What has to be said beside figures, in sentences.

use jiff::tz::TimeZone;
use sshmeter_core::{
    identity::HostName,
    report::{Note, printed_name},
    time::Unit,
};

use super::{counted, local_minute};

/// How many hosts a sentence names.
pub(super) const NAMED_HOSTS: usize = 5;

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
            match kept_since {
                Some(kept_since) => format!(
                    "before {} the ledger keeps no {fine} any more, so whole {coarse} were \
                     counted where they begin",
                    local_minute(kept_since.start(), zone)
                ),
                None => format!(
                    "of some hosts no {fine} are kept, so whole {coarse} were counted where they \
                     begin"
                ),
            }
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
        Note::WithoutSessions { hosts } => {
            let (verb, whose) = match hosts.len() {
                1 => ("is", "its"),
                _ => ("are", "their"),
            };
            format!(
                "{} left out: {whose} sessions are not mirrored",
                named(hosts, verb)
            )
        }
    }
}

/// Hosts with their verb: `web1 is`, `web1, web2 and 3 more are`.
fn named(hosts: &[HostName], verb: &str) -> String {
    let names = hosts.iter().take(NAMED_HOSTS);
    let names = names.map(|host| printed_name(host.as_str()));
    let names = names.collect::<Vec<_>>().join(", ");
    match hosts.len().saturating_sub(NAMED_HOSTS) {
        0 => format!("{names} {verb}"),
        more => format!("{names} and {more} more {verb}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_without_sessions_are_named_or_counted() {
        let sentence = |number: usize| {
            let hosts = (1..=number).map(|number| HostName::new(format!("web{number}")));
            let hosts = hosts.collect();
            note_sentence(&Note::WithoutSessions { hosts }, &TimeZone::UTC)
        };
        assert_eq!(
            sentence(1),
            "web1 is left out: its sessions are not mirrored"
        );
        assert_eq!(
            sentence(7),
            "web1, web2, web3, web4, web5 and 2 more are left out: their sessions are not mirrored"
        );
    }

    #[test]
    fn what_is_kept_nowhere_has_no_time_since_when() {
        let (unit, kept_since) = (Unit::Day, None);
        assert_eq!(
            note_sentence(&Note::Coarser { unit, kept_since }, &TimeZone::UTC),
            "of some hosts no hours are kept, so whole days were counted where they begin"
        );
    }
}
