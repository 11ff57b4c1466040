//! OpenSSH's sentences about connections and their ends.
//!
//! Names and disconnect texts are anybody's words; they all stand behind sshd's
//! own literal beginning, and `peer` finds the one place where the grammar
//! fits. A sentence that may have lost its end is left alone: it could then end
//! in an address that a name was made to contain.

use crate::identity::UserName;

use super::{
    escape::{unescape, unescape_twice},
    event::What,
    login::user,
    message::{Meaning, Sentence},
    pattern::Pattern,
    peer::{self, Peer},
    search::find,
};

const CUT: Pattern = Pattern::named("cut-off");
const CONNECTION: Pattern = Pattern::named("connection");
const RECEIVED_DISCONNECT: Pattern = Pattern::named("received-disconnect");
const RECEIVED_DISCONNECT_OLD: Pattern = Pattern::named("received-disconnect-old");
const DISCONNECTING_OLD: Pattern = Pattern::named("disconnecting-old");
const TIMEOUT_OLD: Pattern = Pattern::named("timeout-not-responding-old");
const BROKEN: Pattern = Pattern::named("connection-broken");

/// What stands behind the client in a sentence about its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tail {
    /// Nothing, or these words.
    Exactly(&'static str),
    /// `: ` and sshd's words why.
    Words,
}

/// A sentence about a connection's end: its pattern, beginning, tail and reason
/// (which `Words` are appended to).
type End = (Pattern, &'static str, Tail, &'static str);

/// Ends that no connection comes to after a login.
const BEFORE_LOGIN: [&str; 2] = [
    "Timeout before authentication for ",
    "Did not receive identification string from ",
];

const ENDS: &[End] = &[
    (
        Pattern::named("disconnected"),
        "Disconnected from ",
        Tail::Exactly(""),
        "disconnected",
    ),
    (
        Pattern::named("connection-closed"),
        "Connection closed by ",
        Tail::Exactly(""),
        "connection closed",
    ),
    (
        Pattern::named("connection-reset"),
        "Connection reset by ",
        Tail::Exactly(""),
        "connection reset",
    ),
    (
        Pattern::named("connection-timed-out"),
        "Connection from ",
        Tail::Exactly(" timed out"),
        "timeout",
    ),
    (
        Pattern::named("timeout-not-responding"),
        "Timeout, client not responding from ",
        Tail::Exactly(""),
        "timeout",
    ),
    (
        Pattern::named("timeout-before-authentication"),
        "Timeout before authentication for ",
        Tail::Exactly(""),
        "timeout before authentication",
    ),
    (
        Pattern::named("inactive"),
        "terminating inactive connection from ",
        Tail::Exactly(""),
        "inactive",
    ),
    (
        Pattern::named("read-error"),
        "Read error from remote host ",
        Tail::Words,
        "read error: ",
    ),
    (
        Pattern::named("disconnecting"),
        "Disconnecting ",
        Tail::Words,
        "",
    ),
    (
        Pattern::named("unable-to-negotiate"),
        "Unable to negotiate with ",
        Tail::Words,
        "unable to negotiate: ",
    ),
    (
        Pattern::named("no-identification"),
        "Did not receive identification string from ",
        Tail::Exactly(""),
        "no identification",
    ),
];

const NOT_IN_ENDS: [Pattern; 7] = [
    CUT,
    CONNECTION,
    RECEIVED_DISCONNECT,
    RECEIVED_DISCONNECT_OLD,
    DISCONNECTING_OLD,
    TIMEOUT_OLD,
    BROKEN,
];

pub(super) const PATTERNS: &[Pattern] = &{
    let mut all = [CONNECTION; NOT_IN_ENDS.len() + ENDS.len()];
    let mut index = 0;
    while index < all.len() {
        all[index] = if index < ENDS.len() {
            ENDS[index].0
        } else {
            NOT_IN_ENDS[index - ENDS.len()]
        };
        index += 1;
    }
    all
};

/// Reads a sentence about a connection's beginning or end.
pub(super) fn understand(sentence: Sentence<'_>) -> Option<Meaning> {
    if sentence.cut {
        return cut(sentence.text);
    }
    connected(sentence.text)
        .or_else(|| received_disconnect(sentence))
        .or_else(|| ended(sentence))
        .or_else(|| ended_long_ago(sentence))
        .or_else(|| broken(sentence.text))
}

/// A sentence whose end may be lost is known by its beginning, and not believed.
fn cut(text: &[u8]) -> Option<Meaning> {
    let begins = end_of(text).is_some() || text.starts_with(b"Received disconnect from ");
    begins.then(|| Meaning::nothing(CUT)).flatten()
}

/// `Connection from IP port N[ on IP port N[ rdomain "…"]]`.
fn connected(text: &[u8]) -> Option<Meaning> {
    let rest = text.strip_prefix(b"Connection from ")?;
    let client = peer::find(rest, b" ", |after| {
        after.is_empty() || after.starts_with(b" on ")
    })?;
    if !client.before.is_empty() {
        return None;
    }
    let local = match client.after.strip_prefix(b" on ") {
        None => None,
        Some(rest) => {
            let ours = peer::find(rest, b" ", |after| {
                after.is_empty() || (after.starts_with(b" rdomain \"") && after.ends_with(b"\""))
            })?;
            ours.peer.filter(|_| ours.before.is_empty())
        }
    };
    let peer = client.peer?;
    Meaning::event(CONNECTION, What::Connected { peer, local })
}

/// `Received disconnect from IP port N:CODE: TEXT`, before 7.2 without a port.
fn received_disconnect(sentence: Sentence<'_>) -> Option<Meaning> {
    let rest = sentence.text.strip_prefix(b"Received disconnect from ")?;
    let code_and_text = |after: &[u8]| after.strip_prefix(b":").and_then(after_code).is_some();
    if let Some(found) = peer::find(rest, b" ", code_and_text)
        && found.before.is_empty()
    {
        let words = after_code(&found.after[1..])?;
        return disconnected(RECEIVED_DISCONNECT, found.peer, words, sentence.preauth);
    }
    let end = find(rest, b": ")?;
    peer::address(&rest[..end])?;
    let words = after_code(&rest[end + 2..])?;
    disconnected(RECEIVED_DISCONNECT_OLD, None, words, sentence.preauth)
}

/// `11: TEXT` → the text; a space may come before the number.
fn after_code(text: &[u8]) -> Option<&[u8]> {
    let text = text.strip_prefix(b" ").unwrap_or(text);
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    text[digits..]
        .strip_prefix(b":")
        .filter(|_| digits > 0)
        .map(|words| words.strip_prefix(b" ").unwrap_or(words))
}

/// The sentences of [`ENDS`].
fn ended(sentence: Sentence<'_>) -> Option<Meaning> {
    let (end, rest) = end_of(sentence.text)?;
    ended_at_a_port(end, rest, sentence.preauth)
        .or_else(|| ended_without_port(end, rest, sentence.preauth))
}

/// The one of [`ENDS`] that the text begins as, and the rest of the text.
fn end_of(text: &[u8]) -> Option<(&End, &[u8])> {
    let first = text.first()?;
    ENDS.iter()
        .filter(|(_, start, ..)| start.as_bytes().first() == Some(first))
        .find_map(|end| Some((end, text.strip_prefix(end.1.as_bytes())?)))
}

fn ended_at_a_port(end: &End, rest: &[u8], preauth: bool) -> Option<Meaning> {
    let (pattern, start, tail, reason) = *end;
    let fits = |after: &[u8]| match tail {
        Tail::Exactly(words) => after == words.as_bytes(),
        Tail::Words => after.starts_with(b": "),
    };
    let found = peer::find(rest, b" ", fits)?;
    let login = login(found.before, preauth)?;
    let login = if BEFORE_LOGIN.contains(&start) {
        Login::Never
    } else {
        login
    };
    let words = match tail {
        Tail::Exactly(_) => &b""[..],
        Tail::Words => &found.after[2..],
    };
    ended_by(pattern, login, found.peer, (reason, words), preauth)
}

/// What a sentence says of a login.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Login {
    /// This user had logged in.
    Of(UserName),
    /// Nobody had.
    Never,
    /// Nothing.
    Untold,
}

/// Who the words before an address name: `user U` had logged in, the others
/// had not. `None` where they are none of sshd's.
fn login(before: &[u8], preauth: bool) -> Option<Login> {
    if before.is_empty() {
        return Some(if preauth { Login::Never } else { Login::Untold });
    }
    if let Some(name) = before.strip_prefix(b"user ") {
        // The client may have chosen the words at the end, ` [preauth]` too.
        return if preauth {
            Some(Login::Untold)
        } else {
            user(name).map(Login::Of)
        };
    }
    let nobody = [&b"authenticating user"[..], b"invalid user"];
    let names_nobody = nobody.iter().any(|start| {
        before
            .strip_prefix(*start)
            .is_some_and(|name| name.is_empty() || name.starts_with(b" "))
    });
    names_nobody.then_some(Login::Never)
}

/// The same as releases before 7.2 wrote them, with an address and no port.
fn ended_without_port(end: &End, rest: &[u8], preauth: bool) -> Option<Meaning> {
    let (pattern, _, tail, reason) = *end;
    let (address, words) = match tail {
        Tail::Exactly(end) => (rest.strip_suffix(end.as_bytes())?, &b""[..]),
        Tail::Words => {
            let end = find(rest, b": ")?;
            (&rest[..end], &rest[end + 2..])
        }
    };
    peer::address(address)?;
    ended_by(pattern, Login::Untold, None, (reason, words), preauth)
}

/// Sentences of releases before 7.2 that name no client.
fn ended_long_ago(sentence: Sentence<'_>) -> Option<Meaning> {
    let text = sentence.text;
    if text == b"Timeout, client not responding." {
        return disconnected(TIMEOUT_OLD, None, b"timeout", sentence.preauth);
    }
    let words = text.strip_prefix(b"Disconnecting: ")?;
    disconnected(DISCONNECTING_OLD, None, words, sentence.preauth)
}

/// `ssh_dispatch_run_fatal: Connection from [user U ]IP port N: WORDS`. Of a
/// broken `banner exchange` nobody can log in.
fn broken(text: &[u8]) -> Option<Meaning> {
    let ours =
        |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_ ".contains(byte);
    let colon = text.iter().position(|byte| !ours(byte))?;
    let rest = text[colon..].strip_prefix(b": Connection from ")?;
    if colon == 0 {
        return None;
    }
    let found = peer::find(rest, b" ", |after| after.starts_with(b": "))?;
    let login = if &text[..colon] == b"banner exchange" {
        Login::Never
    } else {
        login(found.before, false)?
    };
    ended_by(BROKEN, login, found.peer, ("", &found.after[2..]), false)
}

/// An end whose sentence says nothing of a login, or whose last words the
/// client may have chosen, so that ` [preauth]` proves nothing.
fn disconnected(pattern: Pattern, peer: Peer, words: &[u8], preauth: bool) -> Option<Meaning> {
    ended_by(pattern, Login::Untold, peer, ("", words), preauth)
}

/// An end with our words for its reason, and sshd's own behind them.
fn ended_by(
    pattern: Pattern,
    login: Login,
    peer: Peer,
    (ours, words): (&str, &[u8]),
    preauth: bool,
) -> Option<Meaning> {
    let mut reason = if preauth {
        unescape_twice(words)
    } else {
        unescape(words)
    };
    reason.insert_str(0, ours);
    let reason = match reason.as_str() {
        "read error: Connection reset by peer" => "connection reset".to_owned(),
        "" => "disconnected".to_owned(),
        _ => reason,
    };
    let before_login = login == Login::Never;
    let user = match login {
        Login::Of(user) => Some(user),
        Login::Never | Login::Untold => None,
    };
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A sentence is looked for under one beginning only.
    #[test]
    fn no_beginning_begins_another() {
        for (_, start, ..) in ENDS {
            let alike = ENDS
                .iter()
                .filter(|(_, other, ..)| start.starts_with(other));
            assert_eq!(alike.count(), 1, "{start}");
        }
    }
}
