//! Dropbear's sentences (svr-auth*.c, svr-session.c), from 0.52 to 2026.
//!
//! Dropbear escapes nothing, but names only users that exist, in all lines
//! but those of failures. Its addresses are `IP:PORT`, IPv6 in brackets only
//! in newer releases.
//!
//! With `-E`, as Debian's own service has it, it writes to stderr instead of
//! syslog, and puts its process and the time before each sentence.

use memchr::memmem;
use winnow::{
    Parser,
    ascii::dec_uint,
    combinator::{delimited, terminated},
};

use crate::identity::{Credential, Pid, UserName};

use super::{
    escape::to_text,
    event::What,
    login::fingerprint,
    message::Meaning,
    pattern::Pattern,
    peer::with_colon,
    stamp::{Parse, stamp},
};

const PASSWORD: Pattern = Pattern::named("dropbear/password");
const PAM_PASSWORD: Pattern = Pattern::named("dropbear/pam-password");
const PUBKEY: Pattern = Pattern::named("dropbear/pubkey");
const BLANK: Pattern = Pattern::named("dropbear/blank-password");
const EXTRA: Pattern = Pattern::named("dropbear/extra-auth-required");
const CONNECTION: Pattern = Pattern::named("dropbear/connection");
const EXIT: Pattern = Pattern::named("dropbear/exit");
const EXIT_BEFORE_AUTH: Pattern = Pattern::named("dropbear/exit-before-auth");
const KNOWN: Pattern = Pattern::named("dropbear/known");

pub(super) const PATTERNS: &[Pattern] = &[
    PASSWORD,
    PAM_PASSWORD,
    PUBKEY,
    BLANK,
    EXTRA,
    CONNECTION,
    EXIT,
    EXIT_BEFORE_AUTH,
    KNOWN,
];

/// Sentences that mean nothing to a meter, by their beginning.
const WITHOUT_MEANING: &[&str] = &[
    "Bad password attempt for '",
    "bad password attempt for '",
    "Bad PAM password attempt for '",
    "Too-long password attempt for '",
    "Login attempt for nonexistent user",
    "login attempt for nonexistent user",
    "Login attempt with wrong user ",
    "Pubkey auth bad signature for '",
    "pubkey auth bad signature for '",
    "Pubkey auth attempt with unknown algo for '",
    "User account '",
    "User '",
    "User ",
    "user '",
    "root login rejected",
    "Logins are restricted to the group ",
    "Not backgrounding",
    "Running in background",
    "Early exit",
    "Premature exit",
    "Failed listening on '",
    "Failed loading ",
    "Generated hostkey ",
    "Error ",
    "Forced command set to '",
    "Command forced to '",
    "Port forwarding disabled.",
    "Agent forwarding disabled.",
    "X11 forwarding disabled.",
    "Pty allocation disabled.",
    "Restrict option set",
    "Bad public key options at ",
    "Badly formatted ",
    "pam_",
    "PAM unknown prompt '",
    "wtmp_write: ",
    "lastlog_",
    "syslogin_",
    "chown ",
    "chmod ",
    "ioctl(TIOCSCTTY): ",
    "open /dev/tty failed",
    "Aiee, segfault!",
    "failed setegid",
];

/// The process that a sentence on stderr says it is from, as
/// `[115] Nov 26 01:42:55 Not backgrounding`, and the sentence.
pub(super) fn on_stderr(text: &[u8]) -> Option<(Pid, &[u8])> {
    let mut rest = text;
    let process = delimited(b'[', dec_uint::<_, u32, _>, b"] ");
    let parsed: Parse<u32> = terminated(process, stamp).parse_next(&mut rest);
    Some((Pid(parsed.ok()?), rest))
}

/// Reads one message of dropbear's.
pub(super) fn understand(text: &[u8]) -> Option<Meaning> {
    let text = on_stderr(text).map_or(text, |(_, sentence)| sentence);
    login(text)
        .or_else(|| connection(text))
        .or_else(|| exit(text))
        .or_else(|| without_meaning(text))
}

fn without_meaning(text: &[u8]) -> Option<Meaning> {
    WITHOUT_MEANING
        .iter()
        .any(|start| text.starts_with(start.as_bytes()))
        .then(|| Meaning::nothing(KNOWN))
        .flatten()
}

fn login(text: &[u8]) -> Option<Meaning> {
    let (pattern, method, rest) = [
        (PASSWORD, "password", "Password auth succeeded for '"),
        (PASSWORD, "password", "password auth succeeded for '"),
        (
            PAM_PASSWORD,
            "password",
            "PAM password auth succeeded for '",
        ),
        (PUBKEY, "publickey", "Pubkey auth succeeded for '"),
        (PUBKEY, "publickey", "pubkey auth succeeded for '"),
        (BLANK, "none", "Auth succeeded with blank password for '"),
    ]
    .into_iter()
    .find_map(|(pattern, method, start)| {
        let rest = text.strip_prefix(start.as_bytes())?;
        Some((pattern, method, rest))
    })?;
    if let Some(first_factor) = rest.strip_suffix(b", extra auth required") {
        memmem::find(first_factor, b"' ")?;
        return Meaning::nothing(EXTRA);
    }
    let from = memmem::rfind(rest, b" from ")?;
    let peer = with_colon(&rest[from + 6..])?;
    let (name, credential) = if method == "publickey" {
        split_key(&rest[..from])?
    } else {
        (rest[..from].strip_suffix(b"'")?, None)
    };
    Meaning::event(
        pattern,
        What::Accepted {
            user: user(name)?,
            method: method.to_owned(),
            peer: Some(peer),
            credential,
        },
    )
}

/// `U' with TYPE key FINGERPRINT` (older: `U' with key md5 aa:…`).
fn split_key(text: &[u8]) -> Option<(&[u8], Option<Credential>)> {
    let with = memmem::rfind(text, b"' with ")?;
    let key = &text[with + 7..];
    let print = if let Some(old) = key.strip_prefix(b"key ") {
        old
    } else {
        let start = memmem::find(key, b" key ")?;
        &key[start + 5..]
    };
    let print = print.strip_prefix(b"md5 ").unwrap_or(print);
    Some((&text[..with], fingerprint(print)))
}

fn connection(text: &[u8]) -> Option<Meaning> {
    let peer = with_colon(text.strip_prefix(b"Child connection from ")?)?;
    Meaning::event(CONNECTION, What::Connected { peer, local: None })
}

/// `Exit (U) from <ADDRESS>: REASON`, `Exit before auth from <ADDRESS>: REASON`,
/// and both without the address in older releases.
fn exit(text: &[u8]) -> Option<Meaning> {
    if let Some(rest) = text.strip_prefix(b"Exit before auth") {
        let (peer, reason) = reason(rest)?;
        return ended(EXIT_BEFORE_AUTH, None, peer, reason);
    }
    let rest = text.strip_prefix(b"Exit (")?;
    let (name, (peer, reason)) = memmem::find_iter(rest, b")")
        .find_map(|end| Some((&rest[..end], reason(&rest[end + 1..])?)))?;
    ended(EXIT, Some(user(name)?), peer, reason)
}

type Reason<'a> = (Option<crate::identity::Endpoint>, &'a [u8]);

/// ` from <ADDRESS>: REASON`, `: REASON`, or the old ` (user 'U', 3 fails): REASON`.
fn reason(text: &[u8]) -> Option<Reason<'_>> {
    if let Some(reason) = text.strip_prefix(b": ") {
        return Some((None, reason));
    }
    if text.starts_with(b" (user '") {
        return Some((None, &text[1..]));
    }
    let rest = text.strip_prefix(b" from <")?;
    let end = memmem::find(rest, b">: ")?;
    Some((Some(with_colon(&rest[..end])?), &rest[end + 3..]))
}

fn ended(
    pattern: Pattern,
    user: Option<UserName>,
    peer: Option<crate::identity::Endpoint>,
    reason: &[u8],
) -> Option<Meaning> {
    if reason.is_empty() {
        return None;
    }
    let reason = to_text(reason);
    let before_login = pattern == EXIT_BEFORE_AUTH;
    Meaning::event(
        pattern,
        What::Disconnected {
            user,
            peer,
            reason,
            before_login,
        },
    )
}

fn user(name: &[u8]) -> Option<UserName> {
    let sound = !name.is_empty() && !name.contains(&b'\n');
    sound.then(|| UserName::new(to_text(name)))
}
