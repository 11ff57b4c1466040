//! What is aimed at, beside what was measured.

use crate::table::Table;

/// How a figure is to lie to its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Aim {
    /// The less the better.
    AtMost,
    /// The more the better.
    AtLeast,
}

/// A figure and where it should be.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Goal {
    /// What is measured, with its unit: `µs a session and sample`.
    pub(crate) what: String,
    /// On which side of the limit it should be.
    pub(crate) aim: Aim,
    /// In the unit.
    pub(crate) limit: f64,
    /// In the unit.
    pub(crate) measured: f64,
}

impl Goal {
    /// Something that should cost no more than this.
    pub(crate) fn at_most(limit: f64, what: impl Into<String>, measured: f64) -> Self {
        Self {
            what: what.into(),
            aim: Aim::AtMost,
            limit,
            measured,
        }
    }

    /// Something that should reach this.
    pub(crate) fn at_least(limit: f64, what: impl Into<String>, measured: f64) -> Self {
        Self {
            aim: Aim::AtLeast,
            ..Self::at_most(limit, what, measured)
        }
    }

    /// Whether it is on the right side.
    pub(crate) fn is_met(&self) -> bool {
        match self.aim {
            Aim::AtMost => self.measured <= self.limit,
            Aim::AtLeast => self.measured >= self.limit,
        }
    }
}

/// The figures as measured on this machine, for who ran the bench.
pub(crate) fn measured(goals: &[Goal]) -> Table {
    let mut table = Table::new(["goal", "aimed at", "measured", ""].map(str::to_owned));
    for goal in goals {
        let side = match goal.aim {
            Aim::AtMost => "at most",
            Aim::AtLeast => "at least",
        };
        let verdict = if goal.is_met() { "met" } else { "missed" };
        table.row(
            &goal.what,
            [
                format!("{side} {}", figure(goal.limit)),
                figure(goal.measured),
                verdict.to_owned(),
            ],
        );
    }
    table
}

/// Three digits that count.
fn figure(number: f64) -> String {
    match number.abs() {
        100.0.. => format!("{number:.0}"),
        10.0.. => format!("{number:.1}"),
        _ => format!("{number:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_goal_is_met_on_its_side_of_the_limit() {
        let goals = [
            Goal::at_most(2.5, "µs a session", 1.234),
            Goal::at_most(100.0, "ms", 101.2),
            Goal::at_least(300.0, "MB/s", 345.6),
            Goal::at_least(10.0, "times as fast", 9.99),
        ];
        let verdicts = goals.each_ref().map(Goal::is_met);
        assert_eq!(verdicts, [true, false, true, false]);
        assert_eq!(
            measured(&goals[..3]).to_string(),
            "| goal         |     aimed at | measured |        |\n\
             |--------------|-------------:|---------:|-------:|\n\
             | µs a session | at most 2.50 |     1.23 |    met |\n\
             | ms           |  at most 100 |      101 | missed |\n\
             | MB/s         | at least 300 |      346 |    met |\n"
        );
    }
}
