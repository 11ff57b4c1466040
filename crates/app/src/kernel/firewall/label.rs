//! The comment on a session's rules: `pid:PID user:USER`, as administrators know
//! it from the chain `useraccount`.
//!
//! A name may hold anything, and a comment is read by people, scripts and
//! terminals: whatever is not plainly printable, a space, a quote, a backslash,
//! or the end of a comment in a listing leaves as `\ooo`, the way sshd writes it.
//! A name that does not fit is cut and ends with a checksum of all of it, so that
//! two long names stay two.

use sshmeter_core::identity::{Pid, UserName};

/// The comment, in at most so many bytes.
pub(super) fn label(pid: Option<Pid>, user: &UserName, most_bytes: usize) -> String {
    let pid = pid.map_or_else(|| "-".to_owned(), |pid| pid.0.to_string());
    let mut label = format!("pid:{pid} user:");
    let name = user.as_str();
    let escaped: Vec<String> = name.chars().map(escaped).collect();
    let room = most_bytes.saturating_sub(label.len());
    if escaped.iter().map(String::len).sum::<usize>() <= room {
        label.extend(escaped);
        return label;
    }
    let checksum = format!("~{:08x}", crc32fast::hash(name.as_bytes()));
    let mut left = room.saturating_sub(checksum.len());
    for piece in escaped {
        let Some(rest) = left.checked_sub(piece.len()) else {
            break;
        };
        left = rest;
        label.push_str(&piece);
    }
    label + &checksum
}

fn escaped(letter: char) -> String {
    let is_plain = letter.is_alphanumeric()
        || (letter.is_ascii_graphic() && !matches!(letter, '"' | '\'' | '\\' | '/' | '`'));
    if is_plain {
        return letter.to_string();
    }
    let mut bytes = [0; 4];
    let bytes = letter.encode_utf8(&mut bytes).bytes();
    bytes.map(|byte| format!("\\{byte:03o}")).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(user: &str) -> String {
        label(Some(Pid(30449)), &UserName::new(user), 255)
    }

    #[test]
    fn plain_names_read_as_they_are() {
        assert_eq!(of("jsmith"), "pid:30449 user:jsmith");
        assert_eq!(of("zoë"), "pid:30449 user:zoë");
        assert_eq!(label(None, &UserName::new("a"), 255), "pid:- user:a");
    }

    #[test]
    fn what_could_mislead_a_reader_is_escaped() {
        assert_eq!(of("two words"), r"pid:30449 user:two\040words");
        assert_eq!(of("a\"*/\n\\"), r"pid:30449 user:a\042*\057\012\134");
    }

    proptest! {
        #[test]
        fn a_label_fits_and_is_one_word_of_its_own(
            one in ".{0,300}", other in ".{0,300}", most in 40_usize..=255
        ) {
            let label = |name: &str| label(Some(Pid(u32::MAX)), &UserName::new(name), most);
            prop_assert!(label(&one).len() <= most);
            prop_assert_eq!(label(&one).split_whitespace().count(), 2);
            prop_assert!(!label(&one).contains(['"', '\'', '\n', '/']));
            if one != other {
                prop_assert_ne!(label(&one), label(&other));
            }
        }
    }
}
