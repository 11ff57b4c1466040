//! Where packets can leave a chain before they come to a hook of ours: a rule
//! above it accepts, or a chain called there does.
//!
//! Whether such a rule is about sshd's packets is not asked; a hook that is put
//! first again costs nothing. Rules that reject do no harm: what is refused is
//! no session's.

use std::collections::{HashMap, HashSet};

/// What each chain's rules lead to, with the first place of each.
#[derive(Debug, Default)]
pub(super) struct Passages(HashMap<String, HashMap<String, usize>>);

impl Passages {
    /// Notes where a rule leads to.
    pub(super) fn note(&mut self, chain: &str, target: &str, place: usize) {
        // Looked for first: a chain has many rules and few targets.
        if let Some(targets) = self.0.get_mut(chain) {
            if !targets.contains_key(target) {
                targets.insert(target.to_owned(), place);
            }
            return;
        }
        let targets = HashMap::from([(target.to_owned(), place)]);
        self.0.insert(chain.to_owned(), targets);
    }

    /// Whether a packet may be accepted above this place.
    pub(super) fn accept_above(&self, chain: &str, place: usize) -> bool {
        let mut seen = HashSet::from([super::listing::CHAIN]);
        let targets = self.0.get(chain).into_iter().flatten();
        let mut next: Vec<&str> = targets
            .filter(|(_, at)| **at < place)
            .map(|(target, _)| target.as_str())
            .collect();
        while let Some(target) = next.pop() {
            if target == "ACCEPT" {
                return true;
            }
            if seen.insert(target) {
                next.extend(
                    self.0
                        .get(target)
                        .into_iter()
                        .flat_map(HashMap::keys)
                        .map(String::as_str),
                );
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_above_that_may_accept_is_found() {
        let mut passages = Passages::default();
        passages.note("INPUT", "f2b-sshd", 1);
        passages.note("f2b-sshd", "REJECT", 1);
        passages.note("f2b-sshd", "RETURN", 2);
        passages.note("INPUT", "useraccount", 2);
        passages.note("useraccount", "ACCEPT", 1);
        passages.note("INPUT", "outer", 3);
        passages.note("outer", "inner", 9);
        passages.note("inner", "outer", 1);
        passages.note("inner", "ACCEPT", 2);
        assert!(!passages.accept_above("INPUT", 3));
        assert!(passages.accept_above("INPUT", 4));
        assert!(!passages.accept_above("OUTPUT", 9));
    }
}
