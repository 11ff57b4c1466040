//! OpenSSH's sentences about connections and their ends.
//!
//! Names and disconnect texts are anybody's words; they all stand behind sshd's
//! own literal beginning, and `peer` finds the one place where the grammar
//! fits. A sentence that may have lost its end is left alone: it could then end
//! in an address that a name was made to contain.

use memchr::memmem;

use crate::identity::UserName;

use super::{
    escape::{unescape, unescape_twice},
    event::What,
    login::user,
    message::{Meaning, Sentence},
    pattern::Pattern,
    peer::{self, Peer},
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
        .or_else(|| ended_without_port(sentence))
        .or_else(|| broken(sentence.text))
}

/// A sentence whose end may be lost is known by its beginning, and not believed.
fn cut(text: &[u8]) -> Option<Meaning> {
    let begins = ENDS
        .iter()
        .any(|(_, start, ..)| text.starts_with(start.as_bytes()))
        || text.starts_with(b"Received disconnect from ");
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
    let end = memmem::find(rest, b": ")?;
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
    let text = sentence.text;
    ENDS.iter().find_map(|(pattern, start, tail, reason)| {
        let rest = text.strip_prefix(start.as_bytes())?;
        let fits = |after: &[u8]| match tail {
            Tail::Exactly(words) => after == words.as_bytes(),
            Tail::Words => after.starts_with(b": "),
        };
        let found = peer::find(rest, b" ", fits)?;
        let login = login(found.before, sentence.preauth)?;
        let mut words = reason.as_bytes().to_vec();
        if *tail == Tail::Words {
            words.extend(&found.after[2..]);
        }
        let login = if BEFORE_LOGIN.contains(start) {
            Login::Never
        } else {
            login
        };
        ended_by(*pattern, login, found.peer, &words, sentence.preauth)
    })
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

/// The ends as releases before 7.2 wrote them, with an address and no port,
/// or with nothing.
fn ended_without_port(sentence: Sentence<'_>) -> Option<Meaning> {
    let text = sentence.text;
    if text == b"Timeout, client not responding." {
        return disconnected(TIMEOUT_OLD, None, b"timeout", sentence.preauth);
    }
    if let Some(words) = text.strip_prefix(b"Disconnecting: ") {
        return disconnected(DISCONNECTING_OLD, None, words, sentence.preauth);
    }
    ENDS.iter().find_map(|(pattern, start, tail, reason)| {
        let rest = text.strip_prefix(start.as_bytes())?;
        let (address, words) = match tail {
            Tail::Exactly(end) => (rest.strip_suffix(end.as_bytes())?, &b""[..]),
            Tail::Words => {
                let end = memmem::find(rest, b": ")?;
                (&rest[..end], &rest[end + 2..])
            }
        };
        peer::address(address)?;
        let words = [reason.as_bytes(), words].concat();
        disconnected(*pattern, None, &words, sentence.preauth)
    })
}

/// `ssh_dispatch_run_fatal: Connection from [user U ]IP port N: WORDS`. Of a
/// broken `banner exchange` nobody can log in.
fn broken(text: &[u8]) -> Option<Meaning> {
    let colon = memmem::find(text, b": Connection from ")?;
    let ours =
        |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_ ".contains(byte);
    if colon == 0 || !text[..colon].iter().all(ours) {
        return None;
    }
    let rest = &text[colon + 18..];
    let found = peer::find(rest, b" ", |after| after.starts_with(b": "))?;
    let login = if &text[..colon] == b"banner exchange" {
        Login::Never
    } else {
        login(found.before, false)?
    };
    ended_by(BROKEN, login, found.peer, &found.after[2..], false)
}

/// An end whose sentence says nothing of a login, or whose last words the
/// client may have chosen, so that ` [preauth]` proves nothing.
fn disconnected(pattern: Pattern, peer: Peer, words: &[u8], preauth: bool) -> Option<Meaning> {
    ended_by(pattern, Login::Untold, peer, words, preauth)
}

fn ended_by(
    pattern: Pattern,
    login: Login,
    peer: Peer,
    words: &[u8],
    preauth: bool,
) -> Option<Meaning> {
    let reason = if preauth {
        unescape_twice(words)
    } else {
        unescape(words)
    };
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
