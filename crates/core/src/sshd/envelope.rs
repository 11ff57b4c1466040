//! A syslog line's wrapping: who wrote it, when, and where the message begins.
//!
//! Knows RFC 3164 as it is really written (host empty, missing, dotted or an
//! address; BusyBox's and Solaris's additions; any month name), RFC 3339
//! prefixes, RFC 5424, and what journalctl and logread print. It wants a time
//! and a tag: a line with neither is not taken for a daemon's, however much its
//! text looks like it.

use memchr::{memchr, memchr2};
use winnow::{
    Parser,
    ascii::{digit1, space0, space1},
    combinator::{alt, delimited, opt, preceded, repeat},
    error::EmptyError,
    token::{any, none_of, one_of, take_while},
};

use crate::identity::{Endpoint, Pid};

use super::{
    message::Program,
    stamp::{Parse, Stamp, digits, rfc3339, stamp},
};

/// A line taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wrapped<'a> {
    pub(super) time: Stamp,
    pub(super) program: Program,
    pub(super) pid: Option<Pid>,
    pub(super) message: &'a [u8],
}

/// Takes a line apart. `None` where it has no envelope, or another program's.
pub(super) fn unwrap(line: &[u8]) -> Option<Wrapped<'_>> {
    let mut input = without_line_end(line);
    alt((rfc5424, rfc3164)).parse_next(&mut input).ok()
}

fn without_line_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// `<38>1 2026-11-22T17:34:15.837770+00:00 lab sshd 60 - [sd] text`.
fn rfc5424<'a>(input: &mut &'a [u8]) -> Parse<Wrapped<'a>> {
    (priority, b"1 ").parse_next(input)?;
    let time = alt((rfc3339, b"-".value(Stamp::Unknown))).parse_next(input)?;
    (b' ', token, b' ').parse_next(input)?;
    let program = token.verify_map(Program::of_tag).parse_next(input)?;
    let pid = delimited(b' ', token, b' ').map(pid).parse_next(input)?;
    (token, b' ').parse_next(input)?;
    structured_data(input)?;
    (space0, opt(b"\xef\xbb\xbf")).parse_next(input)?;
    Ok(Wrapped {
        time,
        program,
        pid,
        message: input,
    })
}

/// `-`, or elements in brackets. In a quoted value, `]`, `"` and `\` are escaped.
fn structured_data(input: &mut &[u8]) -> Parse<()> {
    let value = delimited(
        b'"',
        repeat::<_, _, (), _, _>(
            0..,
            alt(((b'\\', any).void(), none_of((b'"', b'\\')).void())),
        ),
        b'"',
    );
    let outside_of_value = none_of((b'"', b']')).void();
    let element = delimited(
        b'[',
        repeat::<_, _, (), _, _>(0.., alt((value, outside_of_value))),
        b']',
    );
    alt((b'-'.void(), repeat(1.., element))).parse_next(input)
}

/// `Nov  2 17:32:20 host sshd[60]: text`, with any of the stamps.
fn rfc3164<'a>(input: &mut &'a [u8]) -> Parse<Wrapped<'a>> {
    opt(priority).parse_next(input)?;
    let time = stamp(input)?;
    space0.parse_next(input)?;
    let behind_host = alt((tag, preceded(facility, tag)));
    let tag = alt((tag, preceded((host, space1), behind_host))).parse_next(input)?;
    opt(solaris_id).parse_next(input)?;
    Ok(Wrapped {
        time,
        program: tag.program,
        pid: tag.pid,
        message: input,
    })
}

fn priority(input: &mut &[u8]) -> Parse<()> {
    (b'<', take_while(1..=3, b'0'..=b'9'), b'>')
        .void()
        .parse_next(input)
}

/// A host's name or address. Never one that could be a tag: `app:` and
/// `app[1]:` belong to another program, whatever its text goes on with.
fn host(input: &mut &[u8]) -> Parse<()> {
    token
        .verify(|host: &[u8]| !host.contains(&b'[') && (!host.ends_with(b":") || is_address(host)))
        .void()
        .parse_next(input)
}

fn is_address(host: &[u8]) -> bool {
    std::str::from_utf8(host).is_ok_and(|host| Endpoint::parse_ip(host).is_some())
}

/// BusyBox's `auth.info `.
fn facility(input: &mut &[u8]) -> Parse<()> {
    let name = || take_while(1..=12, |byte: u8| byte.is_ascii_alphanumeric());
    (name(), b'.', name(), b' ').void().parse_next(input)
}

/// Solaris's `[ID 800047 auth.info] `.
fn solaris_id(input: &mut &[u8]) -> Parse<()> {
    let name = take_while(1.., |byte: u8| byte.is_ascii_alphanumeric() || byte == b'.');
    (b"[ID ", digit1, b' ', name, b"] ")
        .void()
        .parse_next(input)
}

/// A little longer than `sshd(pam_unix)`.
const LONGEST_TAG: usize = 15;

struct Tag {
    program: Program,
    pid: Option<Pid>,
}

/// `sshd[60]: `, `sshd: ` or the old `sshd(pam_unix)[60]: `. Only our daemons'
/// tags are taken; the text behind begins at its first byte.
fn tag(input: &mut &[u8]) -> Parse<Tag> {
    let beginning = &input[..input.len().min(LONGEST_TAG + 1)];
    let end = memchr2(b'[', b':', beginning).ok_or(EmptyError)?;
    let program = Program::of_tag(&input[..end]).ok_or(EmptyError)?;
    *input = &input[end..];
    let pid = opt(delimited(b'[', digits, b']')).parse_next(input)?;
    b':'.parse_next(input)?;
    if !input.is_empty() {
        one_of(b' ').parse_next(input)?;
        space0.parse_next(input)?;
    }
    Ok(Tag {
        program,
        pid: pid.and_then(self::pid),
    })
}

/// A process's number; RFC 5424 has a `-` where there is none.
fn pid(text: &[u8]) -> Option<Pid> {
    let digits = text.strip_prefix(b"+").unwrap_or(text);
    if digits.is_empty() {
        return None;
    }
    let number = digits.iter().try_fold(0_u32, |sum, byte| {
        let digit = byte.wrapping_sub(b'0');
        let sum = sum.checked_mul(10)?.checked_add(u32::from(digit))?;
        (digit <= 9).then_some(sum)
    });
    number.map(Pid)
}

fn token<'a>(input: &mut &'a [u8]) -> Parse<&'a [u8]> {
    let end = memchr(b' ', input).unwrap_or(input.len());
    let (token, rest) = input.split_at(end);
    if token.is_empty() {
        return Err(EmptyError);
    }
    *input = rest;
    Ok(token)
}
