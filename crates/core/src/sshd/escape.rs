//! sshd's escaping undone.
//!
//! sshd passes every message through `strnvis(…, VIS_CSTYLE | VIS_NL | VIS_TAB
//! | VIS_OCTAL)` (log.c): control bytes and everything above ASCII become
//! escapes, a backslash becomes two, a space stays. What is no escape of that
//! kind is left as it stands.

use std::borrow::Cow;

use memchr::memchr;

/// The text before escaping, as text: bytes that are no UTF-8 are written as
/// sshd writes them (`\303`).
pub(super) fn unescape(escaped: &[u8]) -> String {
    to_text(&unescape_bytes(escaped))
}

/// The text of a message that came through the pre-auth child, which up to
/// 10.2 escaped it a first time before the monitor escaped it again.
pub(super) fn unescape_twice(escaped: &[u8]) -> String {
    to_text(&unescape_bytes(&unescape_bytes(escaped)))
}

/// Bytes as text; those that are no UTF-8 become three octal digits.
pub(super) fn to_text(bytes: &[u8]) -> String {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return text.to_owned();
    }
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            text.push_str(&format!("\\{byte:03o}"));
        }
    }
    text
}

fn unescape_bytes(escaped: &[u8]) -> Cow<'_, [u8]> {
    let Some(first) = memchr(b'\\', escaped) else {
        return Cow::Borrowed(escaped);
    };
    let mut bytes = escaped[..first].to_vec();
    let mut rest = &escaped[first..];
    while let Some((&byte, after)) = rest.split_first() {
        let (decoded, length) = if byte == b'\\' {
            decode(after).unwrap_or((byte, 0))
        } else {
            (byte, 0)
        };
        bytes.push(decoded);
        rest = &after[length..];
    }
    Cow::Owned(bytes)
}

/// The byte that an escape's text after its backslash means, and how long that
/// text is.
fn decode(after: &[u8]) -> Option<(u8, usize)> {
    if let Some(byte) = octal(after) {
        return Some((byte, 3));
    }
    let byte = match after.first()? {
        b'\\' => b'\\',
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 0x08,
        b'a' => 0x07,
        b'v' => 0x0b,
        b'f' => 0x0c,
        b's' => b' ',
        b'0' => 0,
        _ => return None,
    };
    Some((byte, 1))
}

fn octal(after: &[u8]) -> Option<u8> {
    let digits = after.get(..3)?;
    if !digits.iter().all(|digit| (b'0'..=b'7').contains(digit)) {
        return None;
    }
    let value = digits
        .iter()
        .fold(0_u16, |sum, digit| sum * 8 + u16::from(digit - b'0'));
    u8::try_from(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// `strnvis` as sshd calls it (openbsd-compat/vis.c).
    fn escape(bytes: &[u8]) -> Vec<u8> {
        let mut escaped = Vec::new();
        for (index, &byte) in bytes.iter().enumerate() {
            let letter = match byte {
                b'\\' => Some(b'\\'),
                b'\n' => Some(b'n'),
                b'\r' => Some(b'r'),
                0x08 => Some(b'b'),
                0x07 => Some(b'a'),
                0x0b => Some(b'v'),
                b'\t' => Some(b't'),
                0x0c => Some(b'f'),
                0 => Some(b'0'),
                _ => None,
            };
            match letter {
                Some(letter) => {
                    escaped.extend([b'\\', letter]);
                    let octal_follows = bytes
                        .get(index + 1)
                        .is_some_and(|next| (b'0'..=b'7').contains(next));
                    if byte == 0 && octal_follows {
                        escaped.extend(b"00");
                    }
                }
                None if byte == b' ' || byte.is_ascii_graphic() => escaped.push(byte),
                None => escaped.extend(format!("\\{byte:03o}").bytes()),
            }
        }
        escaped
    }

    #[test]
    fn names_of_the_captures() {
        assert_eq!(unescape(br"DOM\\carol"), r"DOM\carol");
        assert_eq!(unescape(br"zo\303\253"), "zoë");
        assert_eq!(unescape(br"alice\ttab\033[31m"), "alice\ttab\u{1b}[31m");
        assert_eq!(unescape_twice(br"zo\\303\\253"), "zoë");
        assert_eq!(unescape(br"x\nAccepted"), "x\nAccepted");
    }

    #[test]
    fn what_is_no_escape_stays() {
        assert_eq!(unescape(br"\"), r"\");
        assert_eq!(unescape(br"a\x\9\38"), r"a\x\9\38");
        assert_eq!(unescape(br"\777"), r"\777");
        assert_eq!(unescape(br"cut\30"), r"cut\30");
    }

    #[test]
    fn bytes_that_are_no_text_stay_as_sshd_wrote_them() {
        assert_eq!(unescape(br"caf\351!"), r"caf\351!");
        assert_eq!(to_text(b"caf\xe9!"), r"caf\351!");
    }

    proptest! {
        #[test]
        fn escaping_is_undone(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let once = escape(&bytes);
            prop_assert_eq!(&*unescape_bytes(&once), &bytes[..]);
            let twice = escape(&once);
            prop_assert_eq!(unescape_twice(&twice), to_text(&bytes));
        }

        #[test]
        fn any_text_comes_back(text in any::<String>()) {
            prop_assert_eq!(unescape(&escape(text.as_bytes())), text);
        }

        #[test]
        fn any_bytes_are_taken(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = unescape_twice(&bytes);
        }
    }
}
