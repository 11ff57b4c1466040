//! The time at a line's start, in every form syslog and journalctl write it.
//!
//! Reading a stamp and resolving it are two steps: most lines that get this far
//! turn out to mean nothing, and then nobody needs their time. A month whose
//! name is not known still makes a stamp (the line is a log line), only one
//! that resolves to no time.

use jiff::{
    Timestamp,
    civil::{Date, Time},
    tz::Offset,
};
use winnow::{
    Parser,
    ascii::space1,
    combinator::{alt, opt, preceded, terminated},
    error::EmptyError,
    token::{one_of, take_while},
};

use super::clock::Clock;

/// What a parser here gives: its value, or nothing.
pub(super) type Parse<T> = Result<T, EmptyError>;

/// A time as a line writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stamp {
    /// No clock time, or none that can be understood.
    Unknown,
    /// `Nov  2 17:32:20`.
    WithoutYear(i8, i8, Time),
    /// A date and time in the writer's zone.
    Local(Date, Time),
    /// A date and time with its offset from UTC.
    WithOffset(Date, Time, Offset),
    /// Seconds and microseconds since 1970.
    Unix(i64, i32),
}

impl Stamp {
    /// The instant it means.
    pub(super) fn resolve(self, clock: &Clock) -> Option<Timestamp> {
        match self {
            Self::Unknown => None,
            Self::WithoutYear(month, day, time) => clock.resolve_without_year(month, day, time),
            Self::Local(date, time) => clock.resolve_local(date.to_datetime(time)),
            Self::WithOffset(date, time, offset) => {
                offset.to_timestamp(date.to_datetime(time)).ok()
            }
            Self::Unix(second, microsecond) => Timestamp::new(second, microsecond * 1000).ok(),
        }
    }
}

/// A stamp and the one space behind it.
pub(super) fn stamp(input: &mut &[u8]) -> Parse<Stamp> {
    match input.first() {
        Some(b'0'..=b'9') => alt((
            terminated(rfc3339, b' '),
            terminated(unix, b' '),
            terminated(traditional, b' '),
        ))
        .parse_next(input),
        Some(b'[') => monotonic(input),
        _ => alt((
            terminated(traditional, b' '),
            terminated(with_weekday, b' '),
        ))
        .parse_next(input),
    }
}

/// `2026-11-22T17:32:20.818628+00:00`, also with a space for the `T`, `+0000`,
/// a comma before the fraction, or no offset.
pub(super) fn rfc3339(input: &mut &[u8]) -> Parse<Stamp> {
    let date = date(input)?;
    one_of((b'T', b't', b' ')).parse_next(input)?;
    let time = time(input)?;
    let offset = opt(offset).parse_next(input)?;
    Ok(match (date, time, offset) {
        (Some(date), Some(time), Some(offset)) => Stamp::WithOffset(date, time, offset),
        (Some(date), Some(time), None) => Stamp::Local(date, time),
        _ => Stamp::Unknown,
    })
}

/// `Nov  2 17:32:20`, with or without a fraction.
fn traditional(input: &mut &[u8]) -> Parse<Stamp> {
    let month = month(input)?;
    space1.parse_next(input)?;
    let day = number(1, 2).parse_next(input)?;
    b' '.parse_next(input)?;
    let time = time(input)?;
    Ok(match (month, time) {
        (Some(month), Some(time)) => Stamp::WithoutYear(month, day, time),
        _ => Stamp::Unknown,
    })
}

/// `Sun 2026-11-22 17:32:20 UTC` (journalctl's short-full) and
/// `Sun Nov 22 17:32:20 2026` (OpenWrt's logread).
fn with_weekday(input: &mut &[u8]) -> Parse<Stamp> {
    word(input)?;
    space1.parse_next(input)?;
    alt((short_full, logread)).parse_next(input)
}

fn short_full(input: &mut &[u8]) -> Parse<Stamp> {
    let stamp = rfc3339(input)?;
    let zone = preceded(b' ', take_while(1..=8, zone_byte)).parse_next(input)?;
    Ok(match stamp {
        Stamp::Local(date, time) if zone == b"UTC" || zone == b"GMT" => {
            Stamp::WithOffset(date, time, Offset::UTC)
        }
        other => other,
    })
}

fn logread(input: &mut &[u8]) -> Parse<Stamp> {
    let stamp = traditional(input)?;
    let year: i16 = preceded(b' ', number(4, 4)).parse_next(input)?;
    Ok(match stamp {
        Stamp::WithoutYear(month, day, time) => {
            Date::new(year, month, day).map_or(Stamp::Unknown, |date| Stamp::Local(date, time))
        }
        other => other,
    })
}

/// `1795368742.412345` (journalctl's short-unix).
fn unix(input: &mut &[u8]) -> Parse<Stamp> {
    let second = number(9, 11).parse_next(input)?;
    b'.'.parse_next(input)?;
    let microsecond = number(6, 6).parse_next(input)?;
    Ok(Stamp::Unix(second, microsecond))
}

/// `[ 2939.106335] ` (journalctl's short-monotonic): a place, but no time.
fn monotonic(input: &mut &[u8]) -> Parse<Stamp> {
    (
        b'[',
        take_while(0.., b' '),
        take_while(1..=12, b'0'..=b'9'),
        b'.',
        take_while(6, b'0'..=b'9'),
        b"] ",
    )
        .value(Stamp::Unknown)
        .parse_next(input)
}

fn date(input: &mut &[u8]) -> Parse<Option<Date>> {
    let (year, month, day) = match *first(input)? {
        [a, b, c, d, b'-', e, f, b'-', g, h] => {
            (value(&[a, b, c, d])?, pair([e, f])?, pair([g, h])?)
        }
        _ => return Err(EmptyError),
    };
    let year = i16::try_from(year).map_err(|_| EmptyError)?;
    Ok(Date::new(year, month, day).ok())
}

/// `17:32:20`, with a fraction of up to nine digits. A leap second is the one before.
fn time(input: &mut &[u8]) -> Parse<Option<Time>> {
    let (hour, minute, second) = match *first(input)? {
        [a, b, b':', c, d, b':', e, f] => (pair([a, b])?, pair([c, d])?, pair([e, f])?),
        _ => return Err(EmptyError),
    };
    let fraction = opt(preceded(one_of((b'.', b',')), digits)).parse_next(input)?;
    let nanosecond = fraction.map_or(0, nanoseconds);
    let second = if second == 60 { 59 } else { second };
    Ok(Time::new(hour, minute, second, nanosecond).ok())
}

fn nanoseconds(digits: &[u8]) -> i32 {
    (0..9).fold(0, |sum, place| {
        let digit = digits.get(place).map_or(0, |digit| digit - b'0');
        sum * 10 + i32::from(digit)
    })
}

/// `Z`, `+01:00` or `+0100`.
fn offset(input: &mut &[u8]) -> Parse<Offset> {
    let sign = one_of((b'Z', b'z', b'+', b'-')).parse_next(input)?;
    if sign.eq_ignore_ascii_case(&b'Z') {
        return Ok(Offset::UTC);
    }
    let hour = pair(*first(input)?)?;
    opt(b':').parse_next(input)?;
    let minute = pair(*first(input)?)?;
    let seconds = (i32::from(hour) * 60 + i32::from(minute)) * 60;
    let signed = if sign == b'-' { -seconds } else { seconds };
    Offset::from_seconds(signed).map_err(|_| EmptyError)
}

/// The first bytes, so many as are asked for; the input goes on behind them, which
/// matters to nobody where they are not what they should be.
fn first<'a, const LENGTH: usize>(input: &mut &'a [u8]) -> Parse<&'a [u8; LENGTH]> {
    let (first, rest) = input.split_first_chunk().ok_or(EmptyError)?;
    *input = rest;
    Ok(first)
}

/// Digits, one or more, as far as they go.
pub(super) fn digits<'a>(input: &mut &'a [u8]) -> Parse<&'a [u8]> {
    let length = input
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    let (digits, rest) = input.split_at(length);
    if digits.is_empty() {
        return Err(EmptyError);
    }
    *input = rest;
    Ok(digits)
}

/// A number of two digits.
fn pair(digits: [u8; 2]) -> Parse<i8> {
    i8::try_from(value(&digits)?).map_err(|_| EmptyError)
}

/// What some few digits mean.
fn value(digits: &[u8]) -> Parse<i32> {
    digits.iter().try_fold(0, |sum, digit| {
        let digit = digit.wrapping_sub(b'0');
        if digit > 9 {
            return Err(EmptyError);
        }
        Ok(sum * 10 + i32::from(digit))
    })
}

/// A number written with `least` to `most` digits.
fn number<'a, N: TryFrom<u64>>(least: usize, most: usize) -> impl Parser<&'a [u8], N, EmptyError> {
    take_while(least..=most, b'0'..=b'9').verify_map(|digits: &[u8]| {
        let value = digits
            .iter()
            .fold(0_u64, |sum, digit| sum * 10 + u64::from(digit - b'0'));
        N::try_from(value).ok()
    })
}

/// A month by its name, or by its number before a word (`11月`).
fn month(input: &mut &[u8]) -> Parse<Option<i8>> {
    if input.first().is_some_and(u8::is_ascii_digit) {
        let number: i8 = number(1, 2).parse_next(input)?;
        take_while(1..=6, |byte: u8| byte >= 0x80).parse_next(input)?;
        return Ok((1..=12).contains(&number).then_some(number));
    }
    word(input).map(month_by_name)
}

/// A word of letters, maybe with a full stop (`déc.`).
fn word<'a>(input: &mut &'a [u8]) -> Parse<&'a [u8]> {
    terminated(
        take_while(2..=24, |byte: u8| {
            byte.is_ascii_alphabetic() || byte >= 0x80
        }),
        opt(b'.'),
    )
    .parse_next(input)
}

/// The abbreviated months of the C library's locales, English first. Words
/// that are different months in different languages (`lis`, `lip`, `srp`) are
/// left out: no time is better than a wrong one.
fn month_by_name(word: &[u8]) -> Option<i8> {
    const ENGLISH: [&[u8]; 12] = [
        b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov",
        b"Dec",
    ];
    const OTHERS: [&[&str]; 12] = [
        &["jan", "janv", "ene", "gen", "янв", "oca", "sty", "led"],
        &["feb", "févr", "fév", "fev", "фев", "şub", "úno"],
        &["mar", "mär", "märz", "mars", "mrt", "maa", "мар", "bře"],
        &["apr", "avr", "avril", "abr", "апр", "nis", "kwi"],
        &[
            "may", "mai", "mei", "maj", "maio", "mag", "мая", "май", "kvě",
        ],
        &["jun", "juin", "juni", "giu", "июн", "haz", "cze", "čer"],
        &["jul", "juil", "juli", "lug", "июл", "tem", "čec"],
        &["aug", "août", "aoû", "ago", "авг", "ağu"],
        &["sep", "sept", "set", "сен", "eyl", "wrz", "zář"],
        &["oct", "okt", "out", "ott", "окт", "eki", "paź", "říj"],
        &["nov", "ноя", "kas"],
        &[
            "dec", "dez", "déc", "dic", "des", "дек", "ara", "gru", "pro",
        ],
    ];
    let position = ENGLISH.iter().position(|name| *name == word).or_else(|| {
        let word = std::str::from_utf8(word).ok()?.to_lowercase();
        OTHERS
            .iter()
            .position(|names| names.contains(&word.as_str()))
    })?;
    i8::try_from(position + 1).ok()
}

fn zone_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'-'
}
