//! The login, the one sentence that must be neither missed nor invented:
//! `Accepted METHOD for USER from IP port N ssh2[: EXTRA]`.
//!
//! Where sshd's limit on a message's length may have cut it, only the part that
//! counts must be whole; a credential is not guessed from what is left of it.

use memchr::memchr;
use winnow::{
    Parser,
    combinator::{opt, preceded},
    token::take_while,
};

use crate::identity::{Credential, UserName};

use super::{
    escape::{to_text, unescape},
    event::What,
    message::{Meaning, Sentence},
    pattern::Pattern,
    peer,
    search::{find, rfind},
    stamp::Parse,
};

const ACCEPTED: Pattern = Pattern::named("accepted");
const ACCEPTED_INVALID: Pattern = Pattern::named("accepted-invalid-user");

pub(super) const PATTERNS: &[Pattern] = &[ACCEPTED, ACCEPTED_INVALID];

/// `Accepted METHOD for USER from IP port N ssh2[: EXTRA]`.
pub(super) fn understand(sentence: Sentence<'_>) -> Option<Meaning> {
    let mut rest = sentence.text.strip_prefix(b"Accepted ")?;
    let method = method(&mut rest).ok()?;
    let cut = sentence.cut;
    let fits = |after: &[u8]| {
        [&b" ssh2"[..], b" ssh1"].iter().any(|protocol| {
            after
                .strip_prefix(*protocol)
                .is_some_and(|tail| (tail.is_empty() && !cut) || tail.starts_with(b": "))
        })
    };
    let found = peer::find(rest, b" from ", fits)?;
    if found.before.starts_with(b"invalid user ") {
        return Meaning::nothing(ACCEPTED_INVALID);
    }
    let extra = found.after[5..].strip_prefix(b": ");
    let proved_by_key = [&b"publickey"[..], b"hostbased", b"rsa"]
        .iter()
        .any(|start| method.starts_with(start));
    let credential = extra
        .filter(|_| proved_by_key)
        .and_then(|extra| credential(extra, cut));
    Meaning::event(
        ACCEPTED,
        What::Accepted {
            user: user(found.before)?,
            method: to_text(method),
            peer: found.peer,
            credential,
        },
    )
}

/// `METHOD[/SUB] for `.
fn method<'a>(input: &mut &'a [u8]) -> Parse<&'a [u8]> {
    let name = || {
        take_while(1..=40, |byte: u8| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-'
        })
    };
    let method = (name(), opt(preceded(b'/', name())))
        .take()
        .parse_next(input)?;
    b" for ".parse_next(input)?;
    Ok(method)
}

/// `TYPE FINGERPRINT[, …]`, or a certificate's
/// `TYPE-CERT [FINGERPRINT ]ID KEYID (serial N) CA TYPE FINGERPRINT`.
///
/// A key id may hold anything, so it ends where the last such ending begins;
/// where the sentence may have been cut, its true ending may be gone.
fn credential(extra: &[u8], cut: bool) -> Option<Credential> {
    let space = memchr(b' ', extra)?;
    let (kind, rest) = (&extra[..space], &extra[space + 1..]);
    if !kind.ends_with(b"-CERT") {
        let end = find(rest, b", ").unwrap_or(rest.len());
        return fingerprint(&rest[..end]);
    }
    let rest = match rest.strip_prefix(b"ID ") {
        Some(rest) => rest,
        None => {
            let id = find(rest, b" ID ")?;
            fingerprint(&rest[..id])?;
            &rest[id + 4..]
        }
    };
    let id = key_id(rest).filter(|_| !cut)?;
    Some(Credential::new(unescape(id)))
}

/// `KEYID (serial N) CA TYPE FINGERPRINT` → the id.
fn key_id(text: &[u8]) -> Option<&[u8]> {
    let authority = rfind(text, b" CA ")?;
    let (head, tail) = (&text[..authority], &text[authority + 4..]);
    let space = memchr(b' ', tail)?;
    fingerprint(&tail[space + 1..])?;
    let serial = rfind(head, b" (serial ")?;
    let digits = head[serial + 9..].strip_suffix(b")")?;
    let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    is_number.then(|| &head[..serial])
}

/// A whole fingerprint: `SHA256:` with its 43 signs, `MD5:` (or, before 6.8,
/// nothing) with its 16 pairs.
pub(super) fn fingerprint(text: &[u8]) -> Option<Credential> {
    let known = text.strip_prefix(b"SHA256:").is_some_and(|hash| {
        hash.len() == 43
            && hash
                .iter()
                .all(|byte| matches!(byte, b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'+' | b'/'))
    });
    if known {
        return Some(Credential::new(to_text(text)));
    }
    let hash = text.strip_prefix(b"MD5:").unwrap_or(text);
    let pairs = hash.len() == 47
        && hash.iter().enumerate().all(|(index, byte)| {
            if index % 3 == 2 {
                *byte == b':'
            } else {
                byte.is_ascii_hexdigit()
            }
        });
    pairs.then(|| Credential::new(format!("MD5:{}", to_text(hash))))
}

/// A name as sshd wrote it. sshd writes no control byte raw.
pub(super) fn user(name: &[u8]) -> Option<UserName> {
    let sound = !name.is_empty() && !name.iter().any(u8::is_ascii_control);
    sound.then(|| UserName::new(unescape(name)))
}
