//! Foreign text made fit for a terminal.
//!
//! Names, reasons and key ids are anybody's words. Control characters would
//! drive the terminal, and characters that turn the direction of writing or
//! take no room would make a name look like another; all are shown as escapes.

use std::borrow::Cow;

/// The text with every character that could deceive shown as an escape.
#[must_use]
pub fn printable(text: &str) -> Cow<'_, str> {
    if is_plain(text) || !text.contains(deceives) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        if deceives(character) {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    Cow::Owned(shown)
}

/// JSON that means the same and has nothing in it for a terminal to obey: what
/// could deceive is written as JSON's own escape. Such characters can only be in
/// texts, and of those JSON's writers escape no more than they must.
#[must_use]
pub fn printable_json(json: String) -> String {
    let deceives = |character| deceives(character) && character != '\n';
    if is_plain(&json) || !json.contains(deceives) {
        return json;
    }
    let mut shown = String::with_capacity(json.len() + 8);
    for character in json.chars() {
        if deceives(character) {
            for unit in character.encode_utf16(&mut [0; 2]) {
                shown.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            shown.push(character);
        }
    }
    shown
}

/// A text where it is not longer than so many characters, else as many of them as
/// are kept, and dots.
pub(super) fn push_beginning(
    shown: &mut String,
    text: &str,
    longest: usize,
    kept: usize,
    unicode: bool,
) {
    if text.len() <= longest || text.chars().count() <= longest {
        shown.push_str(text);
        return;
    }
    shown.extend(text.chars().take(kept));
    shown.push_str(dots(unicode));
}

/// What stands for what is left out.
pub(super) fn dots(unicode: bool) -> &'static str {
    if unicode { "…" } else { "..." }
}

/// Whether there are only ASCII's own signs and spaces in it, as nearly always:
/// told at a glance, many bytes at once.
fn is_plain(text: &str) -> bool {
    let is_sign = |byte: &u8| (b' '..=b'~').contains(byte);
    let all = |bytes: &[u8]| bytes.iter().fold(true, |all, byte| all & is_sign(byte));
    text.as_bytes().chunks(64).all(all)
}

fn deceives(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ordinary_names_are_shown_as_they_are() {
        for name in ["alice", "zoë", r"DOM\carol", "two words", "名前", "pc$"] {
            assert!(matches!(printable(name), Cow::Borrowed(shown) if shown == name));
        }
    }

    #[test]
    fn nothing_drives_the_terminal() {
        assert_eq!(printable("a\u{1b}[31m\n"), r"a\u{1b}[31m\n");
        assert_eq!(printable("a\u{9b}2J"), r"a\u{9b}2J");
        assert_eq!(printable("a\u{202e}toor"), r"a\u{202e}toor");
    }

    proptest! {
        #[test]
        fn no_control_is_left(text in any::<String>()) {
            prop_assert!(!printable(&text).contains(deceives));
        }

        #[test]
        fn plain_text_deceives_nobody(text in "[ -~]{0,150}[\u{0}-\u{ff}]?") {
            prop_assert!(!is_plain(&text) || !text.contains(deceives));
            prop_assert_eq!(is_plain(&text), text.chars().all(|sign| (' '..='~').contains(&sign)));
        }

        #[test]
        fn json_means_what_it_meant(text in "(\\PC|[\u{0}-\u{ff}\u{202e}\u{feff}\u{e0041}]){0,20}") {
            let json = printable_json(serde_json::to_string(&text).expect("a text"));
            prop_assert!(!json.contains(deceives));
            let read: String = serde_json::from_str(&json).expect("JSON");
            prop_assert_eq!(read, text);
        }
    }
}
