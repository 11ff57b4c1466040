//! A few words looked for in a sentence.
//!
//! They mostly stand within some dozens of bytes, where looking at each place that
//! their first byte has costs less than to prepare for a search. What is looked for
//! is always ours, and short, so that no text makes this slow.

use memchr::{memchr_iter, memrchr_iter};

/// Where the words come first.
pub(super) fn find(text: &[u8], words: &[u8]) -> Option<usize> {
    let Some(first) = words.first() else {
        return Some(0);
    };
    memchr_iter(*first, text).find(|at| text[*at..].starts_with(words))
}

/// Where the words come last.
pub(super) fn rfind(text: &[u8], words: &[u8]) -> Option<usize> {
    let Some(first) = words.first() else {
        return Some(text.len());
    };
    memrchr_iter(*first, text).find(|at| text[*at..].starts_with(words))
}

#[cfg(test)]
mod tests {
    use super::*;
    use memchr::memmem;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn they_are_found_where_a_search_finds_them(text in "[ab ]{0,40}", words in "[ab ]{0,4}") {
            let (text, words) = (text.as_bytes(), words.as_bytes());
            prop_assert_eq!(find(text, words), memmem::find(text, words));
            prop_assert_eq!(rfind(text, words), memmem::rfind(text, words));
        }
    }
}
