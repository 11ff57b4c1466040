//! From a message to its meaning: what sshd puts around its sentences comes
//! off, and the program's own grammar reads the rest.

use memchr::memchr;
use winnow::{
    Parser,
    ascii::digit1,
    combinator::delimited,
    token::{take_until, take_while},
};

use super::{connection, dropbear, event::What, known, login, pam, pattern::Pattern, stamp::Parse};

/// sshd hands syslog at most so many bytes (`syslog(pri, "%.500s", …)`, log.c):
/// a message of that length may have lost its end.
const LONGEST_MESSAGE: usize = 500;

/// Whose tag a line carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// OpenSSH: `sshd`, `sshd-session`, `sshd-auth`; PAM writes under their tag.
    Sshd,
    /// Linux-PAM before 0.99: `sshd(pam_unix)`.
    SshdPam,
    /// Dropbear.
    Dropbear,
}

impl Program {
    /// The program with this tag, where it is one of ours.
    #[must_use]
    pub fn of_tag(tag: &[u8]) -> Option<Self> {
        match tag {
            b"sshd" | b"sshd-session" | b"sshd-auth" => Some(Self::Sshd),
            b"sshd(pam_unix)" => Some(Self::SshdPam),
            b"dropbear" => Some(Self::Dropbear),
            _ => None,
        }
    }
}

/// A message that was recognised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meaning {
    /// Which sentence it is.
    pub pattern: Pattern,
    /// What it tells; `None` where that is nothing to a meter.
    pub what: Option<What>,
}

impl Meaning {
    pub(super) fn event(pattern: Pattern, what: What) -> Option<Self> {
        Some(Self {
            pattern,
            what: Some(what),
        })
    }

    pub(super) fn nothing(pattern: Pattern) -> Option<Self> {
        Some(Self {
            pattern,
            what: None,
        })
    }
}

/// What surrounds a sentence of sshd's.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sentence<'a> {
    /// The sentence itself.
    pub(super) text: &'a [u8],
    /// It came from the pre-auth child.
    pub(super) preauth: bool,
    /// It is so long that its end may be lost.
    pub(super) cut: bool,
}

/// Reads a message without its envelope. `None` where it is not recognised.
#[must_use]
pub fn understand(program: Program, message: &[u8]) -> Option<Meaning> {
    let message = without_repetition(message)?;
    match program {
        Program::Dropbear => dropbear::understand(message),
        Program::SshdPam => pam::understand_bare(message),
        Program::Sshd => {
            let sentence = bare(message);
            pam::understand(sentence.text)
                .or_else(|| login::understand(sentence))
                .or_else(|| connection::understand(sentence))
                .or_else(|| known::find(sentence.text))
        }
    }
}

/// The text of `message repeated 3 times: [ TEXT]`: it counts once, as a login
/// that is told again is still one. `None` where its end is missing.
fn without_repetition(message: &[u8]) -> Option<&[u8]> {
    let Some(mut rest) = message.strip_prefix(b"message repeated ") else {
        return Some(message);
    };
    let opening: Parse<_> = (digit1, b" times: [ ").void().parse_next(&mut rest);
    opening.ok()?;
    rest.strip_suffix(b"]")
}

/// Takes off `error: `, LogVerbose's place in the source, and ` [preauth]`.
fn bare(message: &[u8]) -> Sentence<'_> {
    let mut text = message;
    for level in [&b"error: "[..], b"fatal: "] {
        text = text.strip_prefix(level).unwrap_or(text);
    }
    if memchr(b'(', text.get(..100).unwrap_or(text)).is_some() {
        let mut rest = text;
        if source_place(&mut rest).is_ok() {
            text = rest;
        }
    }
    let without_suffix = text.strip_suffix(b" [preauth]");
    Sentence {
        text: without_suffix.unwrap_or(text),
        preauth: without_suffix.is_some(),
        cut: message.len() >= LONGEST_MESSAGE,
    }
}

/// `auth.c:auth_log():312 (bin=sshd-session, pid=1234): `, which `LogVerbose` adds.
fn source_place(input: &mut &[u8]) -> Parse<()> {
    let name = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    (
        take_while(1..=48, name),
        b':',
        take_while(1..=48, name),
        b"():",
        digit1,
        delimited(b" (bin=", take_until(1.., b", pid=".as_slice()), b", pid="),
        digit1,
        b"): ",
    )
        .void()
        .parse_next(input)
}
