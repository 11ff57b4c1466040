//! What a log's event must be true to, whoever wrote it: the text it came from.

use std::net::IpAddr;

use sshmeter_core::{
    identity::{Endpoint, UserName},
    sshd::{Event, What},
};

/// Everything an event names was said in these bytes.
pub(crate) fn assert_said(event: &Event, text: &[u8]) {
    let (user, peer) = match &event.what {
        What::Connected { peer, .. } => (None, Some(*peer)),
        What::Accepted { user, peer, .. } => {
            let words = [&b"Accepted "[..], b"uth succeeded "];
            assert!(
                words.iter().any(|words| contains(text, words)),
                "a login from no word of one: {event:?}"
            );
            (Some(user), *peer)
        }
        What::Opened { user } | What::Closed { user } => (Some(user), None),
        What::Disconnected { user, peer, .. } => (user.as_ref(), *peer),
    };
    if let Some(user) = user {
        assert_name_said(user, text);
    }
    if let Some(peer) = peer {
        assert_peer_said(peer, text);
    }
    if let Some(pid) = event.pid {
        assert!(contains(text, pid.0.to_string().as_bytes()), "{event:?}");
    }
}

/// A name without anything escaped in it stands in the text as it is.
fn assert_name_said(user: &UserName, text: &[u8]) {
    assert!(!user.as_str().is_empty(), "a name that is none");
    if text.contains(&b'\\') || std::str::from_utf8(text).is_err() {
        return;
    }
    assert!(contains(text, user.as_str().as_bytes()), "{user:?}");
}

/// The port's digits and some writing of the address stand in the text.
fn assert_peer_said(peer: Endpoint, text: &[u8]) {
    assert!(contains(text, peer.port().to_string().as_bytes()), "{peer}");
    let is_address = |token: &[u8]| {
        let Ok(token) = std::str::from_utf8(token) else {
            return false;
        };
        let without_port = token.rsplit_once(':').map_or(token, |(ip, _)| ip);
        [token, without_port]
            .into_iter()
            .filter_map(Endpoint::parse_ip)
            .any(|ip: IpAddr| ip == peer.ip())
    };
    let is_part = |byte: &u8| byte.is_ascii_hexdigit() || b".:".contains(byte);
    assert!(
        text.split(|byte| !is_part(byte)).any(is_address),
        "{peer} in {}",
        text.escape_ascii()
    );
}

fn contains(text: &[u8], words: &[u8]) -> bool {
    text.windows(words.len()).any(|window| window == words)
}
