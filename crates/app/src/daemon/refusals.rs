//! What was refused, counted and told: at most a few lines a minute, so that
//! whoever forges log lines does not fill ours.

use std::fmt::Display;

use tracing::warn;

/// Lines a minute.
const TOLD_A_MINUTE: u64 = 5;

#[derive(Debug, Default)]
pub(super) struct Refusals {
    this_minute: u64,
}

impl Refusals {
    pub(super) fn tell<R: Display>(&mut self, refusals: Vec<R>) {
        for refusal in refusals {
            self.this_minute += 1;
            if self.this_minute <= TOLD_A_MINUTE {
                warn!("not believed: {refusal}");
            }
        }
    }

    /// A minute is over: says how many were not told.
    pub(super) fn tell_rest(&mut self) {
        let untold = self.this_minute.saturating_sub(TOLD_A_MINUTE);
        if untold > 0 {
            warn!("not believed: {untold} more log lines in the last minute");
        }
        self.this_minute = 0;
    }
}
