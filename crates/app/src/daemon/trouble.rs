//! What is wrong at the moment, told once, and once when it is over: whoever
//! looks at the log of a long outage should find its beginning and its end.

use std::time::Duration;

/// The first pause before something that failed is tried again.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
/// The longest, however often it fails.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// One thing that can be out of order.
#[derive(Debug, Default)]
pub(super) struct Trouble {
    words: Option<String>,
    failures: u32,
}

impl Trouble {
    /// It failed; gives whether these words are news.
    pub(super) fn begins(&mut self, words: String) -> bool {
        self.failures += 1;
        let is_news = self.words.as_ref() != Some(&words);
        self.words = Some(words);
        is_news
    }

    /// It works; gives whether that is news.
    pub(super) fn is_over(&mut self) -> bool {
        self.failures = 0;
        self.words.take().is_some()
    }

    /// How long to wait before the next try: twice as long after each failure.
    pub(super) fn pause(&self) -> Duration {
        let doublings = self.failures.saturating_sub(1).min(16);
        LONGEST_PAUSE.min(FIRST_PAUSE * (1 << doublings))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trouble_is_told_once_and_its_end_once() {
        let mut trouble = Trouble::default();
        assert!(!trouble.is_over());
        assert!(trouble.begins("it broke".into()));
        assert!(!trouble.begins("it broke".into()));
        assert!(trouble.begins("it broke in another way".into()));
        assert!(trouble.is_over());
        assert!(!trouble.is_over());
    }

    #[test]
    fn tries_grow_rarer_down_to_one_a_minute() {
        let mut trouble = Trouble::default();
        let pauses: Vec<u64> = (0..40)
            .map(|_| {
                trouble.begins("it broke".into());
                trouble.pause().as_secs()
            })
            .collect();
        assert_eq!(pauses[..6], [5, 10, 20, 40, 60, 60]);
        assert_eq!(pauses[39], 60);
        trouble.is_over();
        trouble.begins("it broke".into());
        assert_eq!(trouble.pause(), FIRST_PAUSE);
    }
}
