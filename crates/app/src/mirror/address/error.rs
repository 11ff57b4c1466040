//! What is wrong with an address, and what to write instead. A text that is wrong
//! may hold a password in any place, so only what is surely none is repeated.

use crate::error::Failure;

/// Why a text is no address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{sentence}")]
pub struct AddressError {
    sentence: String,
    hint: &'static str,
}

impl AddressError {
    pub(super) fn new(sentence: impl Into<String>, hint: &'static str) -> Self {
        Self {
            sentence: sentence.into(),
            hint,
        }
    }

    /// A password stands where everybody sees it.
    pub(super) fn password() -> Self {
        Self::new(
            "there is a password in the address, where `ps`, the config and the log show it to others",
            "put it in a file that only sshmeter may read, and name the file: \
             `mysql://USER@HOST/DATABASE?password-file=/etc/sshmeter/mirror.password`",
        )
    }

    /// What to write instead.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        self.hint
    }
}

impl From<AddressError> for Failure {
    fn from(error: AddressError) -> Self {
        let hint = error.hint;
        Self::usage(error).hint(hint)
    }
}
