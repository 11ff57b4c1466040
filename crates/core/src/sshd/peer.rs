//! The client's end as the daemons write it, found by grammar.
//!
//! sshd writes `[NAME ]IP port N`, and the name may be anybody's text, such as
//! `x 6.6.6.6 port 1`. What may follow is known for each sentence, and sshd
//! itself cuts a name at its first colon, so there is one right place: the
//! first one where what follows fits and no colon came before.

use std::sync::LazyLock;

use memchr::{memchr, memmem::Finder, memrchr};

use crate::identity::Endpoint;

/// An end of a connection as far as sshd knew it: `UNKNOWN` is no address.
pub(super) type Peer = Option<Endpoint>;

/// A client found in a sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Found<'a> {
    /// What stood before the address, without the space between.
    pub(super) before: &'a [u8],
    /// The client's end.
    pub(super) peer: Peer,
    /// What follows the port.
    pub(super) after: &'a [u8],
}

/// The first `IP port N` in the text that is at its start or behind
/// `separator`, and is followed by what `fits`.
pub(super) fn find<'a>(
    text: &'a [u8],
    separator: &[u8],
    fits: impl Fn(&[u8]) -> bool,
) -> Option<Found<'a>> {
    static PORT: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(" port "));
    for position in PORT.find_iter(text) {
        let (head, tail) = (&text[..position], &text[position + 6..]);
        let Some((before, ip)) = split_address(head, separator) else {
            continue;
        };
        if memchr(b':', before).is_some() {
            return None;
        }
        if let (Some(peer_ip), Some((port, after))) = (address(ip), port(tail))
            && fits(after)
        {
            return Some(Found {
                before,
                peer: peer_ip.map(|ip| Endpoint::new(ip, port)),
                after,
            });
        }
    }
    None
}

/// `NAME from IP` → name and address; an address alone has no name before it.
fn split_address<'a>(head: &'a [u8], separator: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let start = memrchr(b' ', head).map_or(0, |space| space + 1);
    let (before, ip) = head.split_at(start);
    if before.is_empty() {
        return Some((before, ip));
    }
    before.strip_suffix(separator).map(|before| (before, ip))
}

/// An address, `Some(None)` for sshd's `UNKNOWN`, `None` for anything else.
pub(super) fn address(text: &[u8]) -> Option<Option<std::net::IpAddr>> {
    if text == b"UNKNOWN" {
        return Some(None);
    }
    let text = std::str::from_utf8(text).ok()?;
    Endpoint::parse_ip(text).map(Some)
}

/// A port at the text's start, and what follows it.
pub(super) fn port(text: &[u8]) -> Option<(u16, &[u8])> {
    let length = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if !(1..=5).contains(&length) {
        return None;
    }
    let (digits, after) = text.split_at(length);
    let number = digits
        .iter()
        .fold(0_u32, |sum, digit| sum * 10 + u32::from(digit - b'0'));
    Some((u16::try_from(number).ok()?, after))
}

/// Dropbear's `IP:PORT` or `[IPv6]:PORT`, whole.
pub(super) fn with_colon(text: &[u8]) -> Option<Endpoint> {
    let text = std::str::from_utf8(text).ok()?;
    let (ip, port) = text.rsplit_once(':')?;
    let ip = ip
        .strip_prefix('[')
        .and_then(|ip| ip.strip_suffix(']'))
        .unwrap_or(ip);
    if !(1..=5).contains(&port.len()) || !port.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(Endpoint::new(Endpoint::parse_ip(ip)?, port.parse().ok()?))
}
