//! The register of every sentence the parser knows, by name.
//!
//! A test walks an annotated sample file and fails for a pattern without a
//! sample, so that nothing gets in here that was never seen to match.

use super::{connection, dropbear, known, login, pam};

/// The name of one sentence of sshd's, PAM's or dropbear's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pattern(&'static str);

impl Pattern {
    /// sshd listens on a port it may not have listened on before.
    pub const LISTENING: Self = Self("known/listening");

    pub(super) const fn named(name: &'static str) -> Self {
        Self(name)
    }

    /// The pattern's name, such as `accepted` or `known/failed`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.0
    }
}

/// Every pattern there is.
pub fn patterns() -> impl Iterator<Item = Pattern> {
    login::PATTERNS
        .iter()
        .chain(connection::PATTERNS)
        .chain(pam::PATTERNS)
        .chain(dropbear::PATTERNS)
        .copied()
        .chain(known::patterns())
}
