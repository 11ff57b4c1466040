//! What has to be said of hosts whose copy in a mirror is not whole or not fresh.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use sshmeter_core::report::printed_name;

use super::{counted, local_minute, notes::NAMED_HOSTS};
use crate::mirror::reader::Standing;

/// A host that was not heard of for longer is not up to date, unless it waits
/// longer between two rounds.
const FRESH: Duration = Duration::from_secs(60 * 60);
/// How many of its pauses a host may let pass.
const PAUSES: u32 = 3;

/// Sentences about the hosts' copies, seen from `now`; of many hosts a few are
/// named, and the others are counted.
#[must_use]
pub fn standing_notes(standings: &[Standing], now: Timestamp, zone: &TimeZone) -> Vec<String> {
    if standings.is_empty() {
        return vec!["no host has mirrored into this database yet".to_owned()];
    }
    let copied = standings.iter().filter(|standing| standing.is_being_copied);
    let copied = copied.map(|standing| {
        let name = printed_name(standing.name.as_str());
        format!("{name} is being copied to the database; its figures are not complete yet")
    });
    let mut silent = standings.iter().collect::<Vec<_>>();
    silent.retain(|standing| standing.heard_ago > FRESH.max(standing.pause * PAUSES));
    // Who fell silent last is news; who was switched off years ago is not.
    silent.sort_by_key(|standing| standing.heard_ago);
    let silent = silent.into_iter().map(|standing| {
        let length = SignedDuration::try_from(standing.heard_ago).unwrap_or(SignedDuration::MAX);
        let heard = now.checked_sub(length).unwrap_or(Timestamp::MIN);
        format!(
            "{} was last heard of {}, {} ago",
            printed_name(standing.name.as_str()),
            local_minute(heard, zone),
            rounded(standing.heard_ago)
        )
    });
    let mut notes = a_few(copied.collect(), ["is", "are"], "being copied");
    let silence = "not heard of for more than an hour";
    notes.extend(a_few(silent.collect(), ["was", "were"], silence));
    notes
}

/// The first sentences, and how many hosts more are in the same state.
fn a_few(mut sentences: Vec<String>, [one, many]: [&str; 2], state: &str) -> Vec<String> {
    let more = sentences.len().saturating_sub(NAMED_HOSTS);
    if more > 0 {
        let verb = if more == 1 { one } else { many };
        sentences.truncate(NAMED_HOSTS);
        sentences.push(format!("and {more} more {verb} {state}"));
    }
    sentences
}

/// A length of time in whole hours or days.
fn rounded(length: Duration) -> String {
    let hours = length.as_secs() / 3600;
    if hours < 48 {
        counted(hours, "hour", "hours")
    } else {
        counted(hours / 24, "day", "days")
    }
}

#[cfg(test)]
mod tests {
    use sshmeter_core::identity::HostName;

    use super::*;

    fn notes(standings: &[Standing]) -> Vec<String> {
        let now = "2026-11-25T19:03:59Z".parse().unwrap();
        standing_notes(standings, now, &TimeZone::get("Europe/Berlin").unwrap())
    }

    fn standing(name: &str, is_being_copied: bool, minutes: u64) -> Standing {
        Standing {
            name: HostName::new(name),
            is_being_copied,
            heard_ago: Duration::from_secs(60 * minutes),
            pause: Duration::from_secs(60),
        }
    }

    #[test]
    fn hosts_that_are_not_whole_or_not_fresh_are_named() {
        let said = notes(&[
            standing("web1", false, 60),
            standing("web2", false, 50 * 60),
            standing("web3", true, 0),
            standing("web\u{1b}7", false, 3 * 60),
        ]);
        assert_eq!(
            said,
            [
                "web3 is being copied to the database; its figures are not complete yet",
                "web\\x1b7 was last heard of 2026-11-25 17:03, 3 hours ago",
                "web2 was last heard of 2026-11-23 18:03, 2 days ago",
            ]
        );
    }

    #[test]
    fn a_host_that_comes_once_a_day_is_not_missed_at_noon() {
        let daily = |hours: u64| Standing {
            pause: Duration::from_secs(24 * 3600),
            ..standing("web1", false, 60 * hours)
        };
        assert_eq!(notes(&[daily(30)]), [""; 0]);
        assert_eq!(notes(&[daily(73)]).len(), 1);
    }

    #[test]
    fn of_many_hosts_a_few_are_named() {
        let standings = (1..=7).map(|number| standing(&format!("web{number}"), true, 100 * number));
        let said = notes(&standings.collect::<Vec<_>>());
        assert_eq!(said.len(), 12);
        assert_eq!(said[5], "and 2 more are being copied");
        assert!(said[6].starts_with("web1 was last heard of"), "{said:?}");
        assert_eq!(
            said[11],
            "and 2 more were not heard of for more than an hour"
        );
    }

    #[test]
    fn a_mirror_without_a_host_says_so() {
        assert_eq!(notes(&[]), ["no host has mirrored into this database yet"]);
    }

    #[test]
    fn a_clock_gone_wrong_makes_no_panic() {
        assert_eq!(notes(&[standing("web1", false, u64::MAX / 60)]).len(), 1);
    }
}
