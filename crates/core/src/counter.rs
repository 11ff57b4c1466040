//! Cumulative readings and the entries that their differences make.
//!
//! The kernel's counters only grow. An entry is the difference between two
//! readings, so a commit that failed or came late loses nothing: the next
//! difference carries it. This file refuses to make a negative entry.

use crate::units::Traffic;

/// What a kernel counter stood at: everything the connection moved so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reading(pub Traffic);

/// What a new reading means beside the last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The counter went on: this much was added (0 where nothing moved).
    Advanced(Traffic),
    /// The counter fell: it is a new one, and all it shows is new.
    Restarted(Traffic),
}

impl Reading {
    /// This reading, with what it does not know as it was in an earlier one.
    #[must_use]
    pub fn or(self, earlier: Self) -> Self {
        Self(Traffic {
            wire: self.0.wire.or(earlier.0.wire),
            payload: self.0.payload.or(earlier.0.payload),
        })
    }

    /// Compares this reading with the one before it on the same counter.
    ///
    /// A figure that only one of them knows adds what the new one shows: until
    /// then it was never entered.
    #[must_use]
    pub fn step_from(self, earlier: Self) -> Step {
        let wire = difference(self.0.wire, earlier.0.wire);
        let payload = difference(self.0.payload, earlier.0.payload);
        match (wire, payload) {
            (Ok(wire), Ok(payload)) => Step::Advanced(Traffic { wire, payload }),
            _ => Step::Restarted(self.0),
        }
    }
}

/// The counter fell.
struct Fell;

fn difference(
    now: Option<crate::units::Flow>,
    earlier: Option<crate::units::Flow>,
) -> Result<Option<crate::units::Flow>, Fell> {
    match (now, earlier) {
        (Some(now), Some(earlier)) => now.since(earlier).map(Some).ok_or(Fell),
        (now, None) => Ok(now),
        (None, Some(_)) => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::Flow;

    fn reading(inbound: u64, outbound: u64) -> Reading {
        let flow = Some(Flow { inbound, outbound });
        Reading(Traffic {
            wire: flow,
            payload: flow,
        })
    }

    #[test]
    fn a_difference_is_what_was_added() {
        let Step::Advanced(added) = reading(15, 7).step_from(reading(10, 7)) else {
            panic!("the counter did not fall");
        };
        assert_eq!(added, reading(5, 0).0);
    }

    #[test]
    fn a_fallen_counter_is_a_new_one() {
        assert_eq!(
            reading(3, 90).step_from(reading(10, 7)),
            Step::Restarted(reading(3, 90).0)
        );
    }

    #[test]
    fn an_unknown_figure_is_not_zero() {
        let unknown = Reading(Traffic::default());
        assert_eq!(
            unknown.step_from(unknown),
            Step::Advanced(Traffic::default())
        );
    }
}
