//! Chance that can be had again: the same seed gives the same decisions.
//!
//! SplitMix64, which is enough to choose among a few things. What machines and
//! their schedulers make of the decisions differs from run to run all the same.

use std::{ops::Range, time::Duration};

/// A stream of decisions.
#[derive(Clone, Debug)]
pub(crate) struct Chance(u64);

impl Chance {
    /// The stream of a seed.
    pub(crate) fn of(seed: u64) -> Self {
        Self(seed)
    }

    /// Another stream, of its own from here on.
    pub(crate) fn branch(&mut self) -> Self {
        Self(self.next())
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number of a range.
    pub(crate) fn number(&mut self, range: Range<u64>) -> u64 {
        range.start + self.next() % (range.end - range.start)
    }

    /// One of several.
    pub(crate) fn one<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        let count = u64::try_from(of.len()).expect("a length fits");
        let index = usize::try_from(self.number(0..count)).expect("an index fits");
        &of[index]
    }

    /// Whether it happens, so often in a hundred.
    pub(crate) fn percent(&mut self, often: u64) -> bool {
        self.number(0..100) < often
    }

    /// A time of so many milliseconds.
    pub(crate) fn millis(&mut self, range: Range<u64>) -> Duration {
        Duration::from_millis(self.number(range))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_decides_everything_and_all_of_a_range_comes_up() {
        let numbers = |seed| {
            let mut chance = Chance::of(seed).branch();
            [(); 200].map(|()| chance.number(3..9))
        };
        assert_eq!(numbers(7), numbers(7));
        assert_ne!(numbers(7), numbers(8));
        let mut seen = numbers(7).to_vec();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen, [3, 4, 5, 6, 7, 8]);
    }
}
