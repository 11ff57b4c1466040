//! Whose figures are shown, and by which name.
//!
//! Connections that never logged in have no name, yet need one in print:
//! `(unauthenticated)`. A user who is really called that is printed with a
//! backslash in front, so that no output takes one for the other.

use std::collections::HashSet;

use super::RowId;
use crate::identity::{Credential, UserName};

/// The name in print of connections that never logged in.
pub const UNAUTHENTICATED: &str = "(unauthenticated)";

/// Whose a connection is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Who {
    /// A user's.
    User(UserName),
    /// Nobody's: it never logged in, or has not yet.
    Nameless,
}

impl Who {
    /// The name as programs read it: the user's own, unless it could be taken
    /// for the name of the nameless.
    #[must_use]
    pub fn label(&self) -> String {
        match self {
            Self::Nameless => UNAUTHENTICATED.to_owned(),
            Self::User(name) => {
                let name = name.as_str();
                if name.trim_start_matches('\\') == UNAUTHENTICATED {
                    format!("\\{name}")
                } else {
                    name.to_owned()
                }
            }
        }
    }
}

/// A name as people read it: what a terminal would obey or hide is spelled out.
#[must_use]
pub fn printed_name(label: &str) -> String {
    if label.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
        return label.to_owned();
    }
    let mut printed = String::with_capacity(label.len());
    for character in label.chars() {
        match character {
            '\n' => printed.push_str("\\n"),
            '\r' => printed.push_str("\\r"),
            '\t' => printed.push_str("\\t"),
            '\u{0}'..='\u{1f}' | '\u{7f}'..='\u{9f}' => {
                printed.push_str(&format!("\\x{:02x}", u32::from(character)));
            }
            character if is_invisible(character) => {
                printed.push_str(&format!("\\u{{{:x}}}", u32::from(character)));
            }
            character => printed.push(character),
        }
    }
    printed
}

/// Characters that take no room or turn the line around.
fn is_invisible(character: char) -> bool {
    matches!(
        character,
        '\u{ad}'
            | '\u{61c}'
            | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}'
    )
}

/// A user and credential that sessions are booked under.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Its number.
    pub id: RowId,
    /// Whose it is.
    pub who: Who,
    /// The key or certificate, where there was one.
    pub credential: Option<Credential>,
}

/// Whose figures are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Only these users; all where empty.
    pub users: Vec<String>,
    /// Connections that never logged in too.
    pub nameless: bool,
}

impl Selection {
    /// The users asked for among those there are.
    ///
    /// A text names the user of exactly that name. Where there is none, it
    /// names those who are printed so.
    #[must_use]
    pub fn chosen<'a>(&self, known: &[&'a Who]) -> HashSet<&'a Who> {
        let mut chosen = HashSet::new();
        for text in &self.users {
            let exact = known.iter().copied().find(|who| is_called(who, text));
            match exact {
                Some(who) => {
                    chosen.insert(who);
                }
                None => chosen.extend(known.iter().copied().filter(|who| {
                    let label = who.label();
                    label == *text || printed_name(&label) == *text
                })),
            }
        }
        chosen
    }
}

/// Whether a text is somebody's own name. `(unauthenticated)` is the nameless;
/// a user who is called that is asked for as printed.
fn is_called(who: &Who, text: &str) -> bool {
    match who {
        Who::Nameless => text == UNAUTHENTICATED,
        Who::User(name) => {
            name.as_str() == text && text.trim_start_matches('\\') != UNAUTHENTICATED
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn user(name: &str) -> Who {
        Who::User(UserName::new(name))
    }

    #[test]
    fn nobody_can_pass_for_the_nameless() {
        assert_eq!(Who::Nameless.label(), "(unauthenticated)");
        assert_eq!(user("(unauthenticated)").label(), r"\(unauthenticated)");
        assert_eq!(user(r"\(unauthenticated)").label(), r"\\(unauthenticated)");
        assert_eq!(user(r"DOMAIN\alice").label(), r"DOMAIN\alice");
    }

    #[test]
    fn what_a_terminal_would_obey_is_spelled_out() {
        assert_eq!(
            printed_name("a\u{1b}[31m\n\u{202e}b"),
            r"a\x1b[31m\n\u{202e}b"
        );
        assert_eq!(printed_name("Zoë 水"), "Zoë 水");
    }

    #[test]
    fn users_are_chosen_by_name_or_as_printed() {
        let known = [
            Who::Nameless,
            user("alice"),
            user("(unauthenticated)"),
            user("a\nb"),
            user(r"a\nb"),
            user("c\td"),
        ];
        let chosen = |text: &str| {
            let selection = Selection {
                users: vec![text.to_owned()],
                nameless: false,
            };
            selection
                .chosen(&known.iter().collect::<Vec<_>>())
                .into_iter()
                .cloned()
                .collect::<Vec<_>>()
        };
        assert_eq!(chosen("alice"), [user("alice")]);
        assert_eq!(chosen("(unauthenticated)"), [Who::Nameless]);
        assert_eq!(chosen(r"\(unauthenticated)"), [user("(unauthenticated)")]);
        assert_eq!(chosen("a\nb"), [user("a\nb")]);
        assert_eq!(
            chosen(r"a\nb"),
            [user(r"a\nb")],
            "an exact name comes first"
        );
        assert_eq!(chosen(r"c\td"), [user("c\td")]);
        assert_eq!(chosen("nobody"), []);
    }

    proptest! {
        #[test]
        fn labels_differ_as_users_do(one in "\\\\{0,3}(\\(unauthenticated\\)|a)", other in "\\\\{0,3}(\\(unauthenticated\\)|a)") {
            prop_assert_eq!(user(&one).label() == user(&other).label(), one == other);
            prop_assert_ne!(user(&one).label(), Who::Nameless.label());
        }

        #[test]
        fn no_control_character_is_printed(name in any::<String>()) {
            prop_assert!(!printed_name(&name).chars().any(|c| c.is_control() || is_invisible(c)));
        }
    }
}
