//! Bytes taken as choices: numbers, places in a list, texts. When they run out
//! there is nothing more to choose.

/// An input on its way to being used up.
pub(crate) struct Choices<'a>(&'a [u8]);

impl<'a> Choices<'a> {
    pub(crate) fn of(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    /// A number of eight bytes.
    pub(crate) fn number(&mut self) -> Option<i64> {
        let (bytes, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(i64::from_le_bytes(*bytes))
    }

    /// One of several.
    pub(crate) fn one_of<'list, T>(&mut self, list: &'list [T]) -> Option<&'list T> {
        let place = usize::from(self.byte()?) % list.len();
        list.get(place)
    }

    /// A text of at most 255 bytes.
    pub(crate) fn text(&mut self) -> Option<String> {
        let length = usize::from(self.byte()?).min(self.0.len());
        let (bytes, rest) = self.0.split_at(length);
        self.0 = rest;
        Some(String::from_utf8_lossy(bytes).into_owned())
    }
}
