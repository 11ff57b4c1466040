//! What is wrong in a config, shown where it is wrong.

use std::{ops::Range, path::Path};

use anyhow::anyhow;

use crate::error::Failure;

/// One fault and where in the text it is.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) span: Range<usize>,
    pub(super) message: String,
    pub(super) hint: Option<String>,
}

impl Fault {
    pub(super) fn new(span: Range<usize>, message: impl Into<String>) -> Self {
        Self {
            span,
            message: message.into(),
            hint: None,
        }
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// A key nobody knows, with the known one that is meant, if one is near.
    pub(super) fn unknown_key(span: Range<usize>, key: &str, place: &str, known: &[&str]) -> Self {
        let fault = Self::new(span, format!("unknown key `{}` in {place}", printable(key)));
        match nearest(key, known) {
            Some(meant) => fault.hint(format!("did you mean `{meant}`?")),
            None => fault.hint(format!("known keys are: {}", known.join(", "))),
        }
    }

    /// A value that must be one of a few words and is not.
    pub(super) fn unknown_word(span: Range<usize>, word: &str, key: &str, known: &[&str]) -> Self {
        let fault = Self::new(
            span,
            format!("`{}` is no value of `{key}`", printable(word)),
        );
        match nearest(word, known) {
            Some(meant) => fault.hint(format!("did you mean \"{meant}\"?")),
            None => {
                let words: Vec<_> = known.iter().map(|word| format!("\"{word}\"")).collect();
                fault.hint(format!("one of {}", words.join(", ")))
            }
        }
    }

    /// The fault for people: file, line and column, the line itself, a caret.
    pub(super) fn into_failure(self, path: &Path, text: &str) -> Failure {
        let start = boundary(text, self.span.start);
        let before = &text[..start];
        let line_number = before.matches('\n').count() + 1;
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = text[line_start..].lines().next().unwrap_or_default();
        let column = before[line_start..].chars().count() + 1;
        let end = boundary(text, self.span.end).min(line_start + line.len());
        let width = text[start..end.max(start)].chars().count().max(1);
        let number = line_number.to_string();
        let margin = " ".repeat(number.len());
        let failure = Failure::usage(anyhow!(
            "{path}:{line_number}:{column}: {message}\n\
             {margin} |\n\
             {number} | {line}\n\
             {margin} | {indent}{carets}",
            path = path.display(),
            message = self.message,
            line = printable(line),
            indent = " ".repeat(column - 1),
            carets = "^".repeat(width),
        ));
        match self.hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}

/// The place itself, or the start of the character it lies in.
fn boundary(text: &str, place: usize) -> usize {
    (0..=place.min(text.len()))
        .rev()
        .find(|place| text.is_char_boundary(*place))
        .unwrap_or(0)
}

/// A file's text is shown as it is, but for what would move the cursor and for a
/// password in an address; one character stays one character, so that the caret
/// stays under it.
pub(super) fn printable(text: &str) -> String {
    let secrets = passwords(text);
    text.char_indices()
        .map(|(place, letter)| match letter {
            _ if secrets.iter().any(|secret| secret.contains(&place)) => '*',
            '\t' => ' ',
            letter if letter.is_control() => '\u{fffd}',
            letter => letter,
        })
        .collect()
}

/// Where passwords stand: between the user's colon and the last `@` of what looks
/// like an address. Nobody is to write them there, and who does finds the fault in
/// a terminal or a log.
fn passwords(text: &str) -> Vec<Range<usize>> {
    let mut secrets = Vec::new();
    for (scheme, _) in text.match_indices("://") {
        let start = scheme + "://".len();
        let is_end = |letter: char| letter == '"' || letter == '\'' || letter == '\n';
        let end = text[start..]
            .find(is_end)
            .map_or(text.len(), |at| start + at);
        let address = &text[start..end];
        if let Some(at) = address.rfind('@')
            && let Some(colon) = address[..at].find(':')
        {
            secrets.push(start + colon + 1..start + at);
        }
    }
    secrets
}

/// The known word within a slip or two of the given one.
fn nearest<'known>(word: &str, known: &[&'known str]) -> Option<&'known str> {
    let slips = (word.chars().count() / 3).clamp(1, 3);
    known
        .iter()
        .map(|candidate| (distance(word, candidate), *candidate))
        .filter(|(distance, _)| *distance <= slips)
        .min()
        .map(|(_, candidate)| candidate)
}

/// How many letters must be changed, added or removed (Levenshtein).
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (line, letter) in one.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], line + 1);
        for (column, counterpart) in other.iter().enumerate() {
            let changed = diagonal + usize::from(letter != *counterpart);
            diagonal = row[column + 1];
            row[column + 1] = changed.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_counted() {
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("intervall", "interval"), 1);
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(nearest("prots", &["kind", "ports", "interval"]), None);
        assert_eq!(
            nearest("port", &["kind", "ports", "interval"]),
            Some("ports")
        );
    }

    #[test]
    fn a_password_in_an_address_is_not_shown() {
        for (line, shown) in [
            (
                "url = \"mysql://u:pä@ss@db/m\" # x",
                "url = \"mysql://u:*****@db/m\" # x",
            ),
            ("mysql://u@db:3306/m", "mysql://u@db:3306/m"),
            (
                "a = 'x://a:b@c', b = 'y://:d@e'",
                "a = 'x://a:*@c', b = 'y://:*@e'",
            ),
        ] {
            assert_eq!(printable(line), shown);
        }
    }

    #[test]
    fn a_fault_anywhere_can_be_shown() {
        let text = "a = \"é\u{1b}\"\n\nb = 1\n";
        for start in 0..=text.len() + 2 {
            for end in start..=text.len() + 2 {
                let failure = Fault::new(start..end, "wrong").into_failure(Path::new("f"), text);
                assert!(failure.text().contains('^'));
                assert!(!failure.text().contains('\u{1b}'));
            }
        }
    }
}
