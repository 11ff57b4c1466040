//! What PAM's modules write under sshd's tag: `pam_unix(sshd:session): …`.
//!
//! PAM does not escape names. A session's opening and closing name a user and
//! no address; everything else PAM says means nothing to a meter.

use winnow::{Parser, combinator::delimited, token::take_while};

use crate::identity::UserName;

use super::{
    escape::to_text, event::What, message::Meaning, pattern::Pattern, search::rfind, stamp::Parse,
};

const OPENED: Pattern = Pattern::named("pam/session-opened");
const CLOSED: Pattern = Pattern::named("pam/session-closed");
const OPENED_OLD: Pattern = Pattern::named("pam/session-opened-old");
const CLOSED_OLD: Pattern = Pattern::named("pam/session-closed-old");
const OTHER: Pattern = Pattern::named("pam/other");
const OTHER_OLD: Pattern = Pattern::named("pam/other-old");

pub(super) const PATTERNS: &[Pattern] = &[OPENED, CLOSED, OPENED_OLD, CLOSED_OLD, OTHER, OTHER_OLD];

/// Reads `MODULE(SERVICE:TYPE): TEXT`. `None` where it is not PAM's.
pub(super) fn understand(text: &[u8]) -> Option<Meaning> {
    let mut rest = text.strip_prefix(b"pam_")?;
    let (module, kind) = module(&mut rest).ok()?;
    if module == b"unix" && kind == b"session" {
        if let Some(user) = opened(rest) {
            return Meaning::event(OPENED, What::Opened { user });
        }
        if let Some(user) = closed(rest) {
            return Meaning::event(CLOSED, What::Closed { user });
        }
        if rest.starts_with(b"session ") {
            return None;
        }
    }
    Meaning::nothing(OTHER)
}

/// Reads what follows the old tag `sshd(pam_unix)[PID]: `.
pub(super) fn understand_bare(text: &[u8]) -> Option<Meaning> {
    if let Some(user) = opened(text) {
        return Meaning::event(OPENED_OLD, What::Opened { user });
    }
    if let Some(user) = closed(text) {
        return Meaning::event(CLOSED_OLD, What::Closed { user });
    }
    let known = [&b"authentication failure;"[..], b"check pass;"];
    let is_known = known.iter().any(|start| text.starts_with(start));
    is_known.then(|| Meaning::nothing(OTHER_OLD)).flatten()
}

/// `unix(sshd:session): ` → the module's name and the type. The service may
/// have any name (`PAMServiceName`).
fn module<'a>(input: &mut &'a [u8]) -> Parse<(&'a [u8], &'a [u8])> {
    let name = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-@".contains(&byte);
    let kind = delimited(
        (b'(', take_while(1.., name), b':'),
        take_while(1.., name),
        b"): ",
    );
    (take_while(1..=32, name), kind).parse_next(input)
}

/// `session opened for user U[(uid=N)] by [NAME](uid=N)`.
fn opened(text: &[u8]) -> Option<UserName> {
    let rest = text.strip_prefix(b"session opened for user ")?;
    let rest = without_uid(rest)?;
    let by = rfind(rest, b" by ")?;
    let name = &rest[..by];
    user(without_uid(name).unwrap_or(name))
}

/// `session closed for user U`.
fn closed(text: &[u8]) -> Option<UserName> {
    user(text.strip_prefix(b"session closed for user ")?)
}

/// `TEXT(uid=N)` → the text.
fn without_uid(text: &[u8]) -> Option<&[u8]> {
    let inner = text.strip_suffix(b")")?;
    let last = inner.iter().rposition(|byte| !byte.is_ascii_digit())?;
    let has_number = last + 1 < inner.len();
    inner[..=last].strip_suffix(b"(uid=").filter(|_| has_number)
}

fn user(name: &[u8]) -> Option<UserName> {
    let sound = !name.is_empty() && !name.contains(&b'\n');
    sound.then(|| UserName::new(to_text(name)))
}
