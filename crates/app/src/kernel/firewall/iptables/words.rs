//! How iptables writes words: one a blank, in quotes where a word is not plain,
//! with a backslash before quotes and backslashes. It gives words no meaning.
//!
//! Bytes, not text: a rule is removed by the very words it was listed with, and
//! others' comments may be anything.

use std::borrow::Cow;

/// The lines of a listing. A line goes on where it ends within quotes.
pub(super) fn lines(mut text: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        if text.is_empty() {
            return None;
        }
        let (line, rest) = text.split_at(line_length(text));
        text = rest.get(1..).unwrap_or_default();
        Some(line)
    })
}

fn line_length(text: &[u8]) -> usize {
    // Quotes mean nothing in a remark.
    let is_remark = text.starts_with(b"#");
    let (mut quoted, mut escaped) = (false, false);
    let ends = |byte: &u8| {
        match byte {
            _ if escaped => escaped = false,
            b'\n' if !quoted || is_remark => return true,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ => {}
        }
        false
    };
    text.iter().position(ends).unwrap_or(text.len())
}

/// The words of a line, without their quotes.
pub(super) fn words(line: &[u8]) -> Vec<Cow<'_, [u8]>> {
    let mut words = Vec::new();
    let mut rest = line.trim_ascii_start();
    while !rest.is_empty() {
        let (word, after) = match rest.strip_prefix(b"\"") {
            Some(inside) => quoted_word(inside),
            None => plain_word(rest),
        };
        words.push(word);
        rest = after.trim_ascii_start();
    }
    words
}

fn plain_word(text: &[u8]) -> (Cow<'_, [u8]>, &[u8]) {
    let end = text.iter().position(u8::is_ascii_whitespace);
    let (word, after) = text.split_at(end.unwrap_or(text.len()));
    (Cow::Borrowed(word), after)
}

fn quoted_word(inside: &[u8]) -> (Cow<'_, [u8]>, &[u8]) {
    let mut word = Vec::new();
    let mut bytes = inside.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => break,
            b'\\' => word.extend(bytes.next()),
            _ => word.push(*byte),
        }
    }
    (Cow::Owned(word), bytes.as_slice())
}

/// A word in quotes, as iptables-restore reads it.
pub(super) fn quoted(word: &str) -> String {
    let mut quoted = String::from('"');
    for letter in word.chars() {
        if matches!(letter, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(letter);
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn words_come_without_their_quotes() {
        let read = words(b"  -A x --comment \"it\\'s \\\\040 \\\"\" word  \"\"");
        let read: Vec<_> = read
            .iter()
            .map(|word| std::str::from_utf8(word).unwrap())
            .collect();
        assert_eq!(read, ["-A", "x", "--comment", r#"it's \040 ""#, "word", ""]);
        assert_eq!(words(b"\"never closed"), [b"never closed".as_slice()]);
    }

    #[test]
    fn a_line_ends_outside_of_quotes() {
        let text = b"# it's \"one\n-A x \"two\nlines \\\" \"\n\nlast";
        let read: Vec<_> = lines(text).collect();
        assert_eq!(
            read,
            [
                b"# it's \"one".as_slice(),
                b"-A x \"two\nlines \\\" \"",
                b"",
                b"last"
            ]
        );
    }

    proptest! {
        #[test]
        fn what_is_quoted_is_one_word(word in ".{0,60}") {
            let line = format!("-m {} -j X", quoted(&word));
            prop_assert_eq!(lines(line.as_bytes()).count(), 1);
            prop_assert_eq!(&words(line.as_bytes())[1][..], word.as_bytes());
        }

        #[test]
        fn any_bytes_are_read(text in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = lines(&text).map(words).count();
        }
    }
}
