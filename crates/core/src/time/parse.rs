//! The times people write: `2026-11-22 17:00`, `yesterday`, `last month`, `-7d`.
//!
//! Each names one instant. A word for a span (`yesterday`, `2026-11`) names the
//! span's first instant, so `--since yesterday --until today` is yesterday.

use jiff::{
    Span, Timestamp, ToSpan as _, Zoned,
    civil::{Date, DateTime, Time},
    tz::TimeZone,
};
use thiserror::Error;

use super::Calendar;

/// A text that names no time.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TimeError {
    /// It has none of the forms.
    #[error("`{text}` is not a time")]
    Unreadable {
        /// What was written.
        text: String,
    },
    /// It names a time beyond the years -9999 to 9999.
    #[error("`{text}` is out of range")]
    OutOfRange {
        /// What was written.
        text: String,
    },
}

impl TimeError {
    /// What to write instead.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        "a time is written as `2026-11-22`, `2026-11-22 17:00`, `2026-11`, \
         `2026-11-22T17:00:00+01:00`, `now`, `today`, `yesterday`, `this month`, \
         `last week`, or back from now: `-30m`, `-2h`, `-7d`, `-1w`, `-3mo`, `-1y`"
    }
}

/// The instant a text names, seen from `now` in a zone.
///
/// # Errors
/// The text has none of the forms, or the time is out of range.
pub fn parse_time(text: &str, now: Timestamp, zone: &TimeZone) -> Result<Timestamp, TimeError> {
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let local = now.to_zoned(zone.clone());
    if let Some(found) = named(&words.to_lowercase(), &local)
        .or_else(|| relative(&words.to_lowercase(), &local))
        .or_else(|| written(&words, &local))
    {
        return found.map_err(|_| TimeError::OutOfRange { text: text.into() });
    }
    Err(TimeError::Unreadable { text: text.into() })
}

type Found = Result<Timestamp, jiff::Error>;

/// `now`, `today`, `last month` and their kin.
fn named(words: &str, local: &Zoned) -> Option<Found> {
    let date = local.date();
    let at_start = |date: Result<Date, jiff::Error>| {
        date.map(|date| Calendar::new(local.time_zone().clone()).start_of_date(date))
    };
    match words {
        "now" => return Some(Ok(local.timestamp())),
        "today" => return Some(at_start(Ok(date))),
        "yesterday" => return Some(at_start(date.yesterday())),
        "tomorrow" => return Some(at_start(date.tomorrow())),
        _ => {}
    }
    let (which, unit) = words.split_once([' ', '-', '_'])?;
    let steps = match which {
        "this" => 0,
        "last" | "previous" => -1,
        "next" => 1,
        _ => return None,
    };
    let start = match unit {
        "minute" => return Some(start_of_clock(local, steps.minutes(), 1)),
        "hour" => return Some(start_of_clock(local, steps.hours(), 60)),
        "day" => date.checked_add(steps.days()),
        "week" => date
            .checked_sub(i64::from(date.weekday().to_monday_zero_offset()).days())
            .and_then(|monday| monday.checked_add(steps.weeks())),
        "month" => date.first_of_month().checked_add(steps.months()),
        "year" => date.first_of_year().checked_add(steps.years()),
        _ => return None,
    };
    Some(at_start(start))
}

/// The start of the minute or hour that lies `steps` away.
fn start_of_clock(local: &Zoned, steps: Span, unit_minutes: i64) -> Found {
    let moved = local.checked_add(steps)?.timestamp();
    let unit = if unit_minutes == 1 {
        super::Unit::Minute
    } else {
        super::Unit::Hour
    };
    let calendar = Calendar::new(local.time_zone().clone());
    let minute = crate::units::Minute::of(moved);
    Ok(calendar.bucket(unit, minute).start.start())
}

/// `-7d`, `-1d12h`, `2 hours ago`.
fn relative(words: &str, local: &Zoned) -> Option<Found> {
    let (amounts, sign) = if let Some(amounts) = words.strip_suffix(" ago") {
        (amounts, -1)
    } else if let Some(amounts) = words.strip_prefix('-') {
        (amounts, -1)
    } else {
        (words.strip_prefix('+')?, 1)
    };
    let mut rest = amounts.trim_start();
    let mut span = Ok(Span::new());
    let mut seen = false;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, tail) = rest.split_at(digits);
        let tail = tail.trim_start();
        let letters = tail.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, tail) = tail.split_at(letters);
        if digits == 0 {
            return None;
        }
        span = add_amount(span, number, unit, sign)?;
        rest = tail.trim_start();
        seen = true;
    }
    seen.then(|| local.checked_add(span?).map(|zoned| zoned.timestamp()))
}

/// A span with one more `7d` in it; `None` where there is no such unit.
fn add_amount(
    span: Result<Span, jiff::Error>,
    number: &str,
    unit: &str,
    sign: i64,
) -> Option<Result<Span, jiff::Error>> {
    // More digits than fit are a number that is out of range, not an unreadable one.
    let number = number.parse::<i64>().unwrap_or(i64::MAX) * sign;
    let grown = span.and_then(|span| match unit {
        "s" | "sec" | "second" | "seconds" => span.try_seconds(number).map(Some),
        "m" | "min" | "minute" | "minutes" => span.try_minutes(number).map(Some),
        "h" | "hour" | "hours" => span.try_hours(number).map(Some),
        "d" | "day" | "days" => span.try_days(number).map(Some),
        "w" | "week" | "weeks" => span.try_weeks(number).map(Some),
        "mo" | "month" | "months" => span.try_months(number).map(Some),
        "y" | "year" | "years" => span.try_years(number).map(Some),
        _ => Ok(None),
    });
    grown.transpose()
}

/// Dates and times in figures.
fn written(words: &str, local: &Zoned) -> Option<Found> {
    if let Ok(instant) = words.parse::<Timestamp>() {
        return Some(Ok(instant));
    }
    let calendar = Calendar::new(local.time_zone().clone());
    if let Some(date) = date_in_part(words) {
        return Some(Ok(calendar.start_of_date(date)));
    }
    let civil = if let Ok(date) = words.parse::<Date>()
        && words.len() <= "2026-11-22".len()
    {
        return Some(Ok(calendar.start_of_date(date)));
    } else if words.contains(':') && !words.contains('-') {
        DateTime::from_parts(local.date(), words.parse::<Time>().ok()?)
    } else {
        words.parse::<DateTime>().ok()?
    };
    let instant = civil.to_zoned(local.time_zone().clone());
    Some(instant.map(|zoned| zoned.timestamp()))
}

/// `2026-11` or `2026`: the first of it.
fn date_in_part(words: &str) -> Option<Date> {
    let figures = |text: &str, length: usize| {
        (text.len() == length && text.bytes().all(|byte| byte.is_ascii_digit()))
            .then(|| text.parse::<i16>().ok())
            .flatten()
    };
    let (year, month) = match words.split_once('-') {
        Some((year, month)) => (figures(year, 4)?, figures(month, 2)?),
        None => (figures(words, 4)?, 1),
    };
    Date::new(year, i8::try_from(month).ok()?, 1).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A Sunday, 18:05:30 in Berlin.
    const NOW: &str = "2026-11-22T17:05:30Z";

    fn parsed_at(now: &str, zone: &str, text: &str) -> Result<String, TimeError> {
        let zone = TimeZone::get(zone).expect("a known zone");
        let instant = parse_time(text, now.parse().expect("an instant"), &zone)?;
        let offset = zone.to_offset(instant);
        Ok(instant.display_with_offset(offset).to_string())
    }

    fn parsed(text: &str) -> String {
        parsed_at(NOW, "Europe/Berlin", text).expect("a time")
    }

    #[test]
    fn every_form_names_its_instant() {
        for (text, instant) in [
            ("2026-11-22T17:00:00Z", "2026-11-22T18:00:00+01:00"),
            ("2026-11-22T17:00:00+05:30", "2026-11-22T12:30:00+01:00"),
            ("2026-11-22 17:00:01.5-03:00", "2026-11-22T21:00:01.5+01:00"),
            ("2026-11-22", "2026-11-22T00:00:00+01:00"),
            ("2026-07-01", "2026-07-01T00:00:00+02:00"),
            ("2026-11-22 17:00", "2026-11-22T17:00:00+01:00"),
            ("2026-11-22T17:00", "2026-11-22T17:00:00+01:00"),
            ("2026-11-22 17:00:09", "2026-11-22T17:00:09+01:00"),
            ("2026-11", "2026-11-01T00:00:00+01:00"),
            ("2026", "2026-01-01T00:00:00+01:00"),
            ("07:30", "2026-11-22T07:30:00+01:00"),
            ("now", "2026-11-22T18:05:30+01:00"),
            ("today", "2026-11-22T00:00:00+01:00"),
            (" Today ", "2026-11-22T00:00:00+01:00"),
            ("yesterday", "2026-11-21T00:00:00+01:00"),
            ("tomorrow", "2026-11-23T00:00:00+01:00"),
            ("this hour", "2026-11-22T18:00:00+01:00"),
            ("last hour", "2026-11-22T17:00:00+01:00"),
            ("this minute", "2026-11-22T18:05:00+01:00"),
            ("this week", "2026-11-16T00:00:00+01:00"),
            ("last week", "2026-11-09T00:00:00+01:00"),
            ("this  month", "2026-11-01T00:00:00+01:00"),
            ("last month", "2026-10-01T00:00:00+02:00"),
            ("last-month", "2026-10-01T00:00:00+02:00"),
            ("this year", "2026-01-01T00:00:00+01:00"),
            ("last year", "2025-01-01T00:00:00+01:00"),
            ("next month", "2026-12-01T00:00:00+01:00"),
            ("-30m", "2026-11-22T17:35:30+01:00"),
            ("-2h", "2026-11-22T16:05:30+01:00"),
            ("-7d", "2026-11-15T18:05:30+01:00"),
            ("-1w", "2026-11-15T18:05:30+01:00"),
            ("-3mo", "2026-08-22T18:05:30+02:00"),
            ("-1y", "2025-11-22T18:05:30+01:00"),
            ("-1d12h", "2026-11-21T06:05:30+01:00"),
            ("-90 min", "2026-11-22T16:35:30+01:00"),
            ("2 days ago", "2026-11-20T18:05:30+01:00"),
        ] {
            assert_eq!(parsed(text), instant, "{text}");
        }
    }

    #[test]
    fn days_back_keep_the_clock_and_hours_back_do_not() {
        let after_change = "2026-10-25T11:00:00Z";
        let parsed = |text| parsed_at(after_change, "Europe/Berlin", text).expect("a time");
        assert_eq!(parsed("-1d"), "2026-10-24T12:00:00+02:00");
        assert_eq!(parsed("-24h"), "2026-10-24T13:00:00+02:00");
    }

    #[test]
    fn a_day_without_midnight_begins_after_the_gap() {
        let parsed = |text| parsed_at("2026-03-29T12:00:00Z", "Asia/Beirut", text).expect("a time");
        assert_eq!(parsed("today"), "2026-03-29T01:00:00+03:00");
        assert_eq!(parsed("2026-03-29"), "2026-03-29T01:00:00+03:00");
        assert_eq!(parsed("2026-03-29 00:30"), "2026-03-29T01:30:00+03:00");
    }

    #[test]
    fn the_zone_decides_what_today_is() {
        let kathmandu = parsed_at("2026-11-22T18:30:00Z", "Asia/Kathmandu", "today");
        assert_eq!(kathmandu.expect("a time"), "2026-11-23T00:00:00+05:45");
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            " ",
            "soon",
            "-",
            "-7",
            "-7x",
            "-d",
            "2026-13",
            "2026-11-31",
            "25:00",
            "22.11.2026",
            "last",
            "last fortnight",
            "ago",
            "2026-11-22 17:00 Berlin",
            "-7d5",
            "--",
            "+",
        ] {
            assert_eq!(
                parsed_at(NOW, "UTC", text),
                Err(TimeError::Unreadable { text: text.into() }),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_too_far_is_out_of_range() {
        for text in ["-99999y", "-99999999999999999999d", "-9223372036854775807h"] {
            assert_eq!(
                parsed_at(NOW, "UTC", text),
                Err(TimeError::OutOfRange { text: text.into() }),
                "{text}"
            );
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,24}|-?[0-9]{1,20}[a-z]{0,3}|[0-9:T+Z -]{0,30}") {
            let _ = parsed_at(NOW, "Asia/Kathmandu", &text);
        }

        #[test]
        fn an_instant_printed_is_read_back(second in -2_000_000_000i64..4_000_000_000) {
            let instant = Timestamp::from_second(second).expect("in range");
            let now = NOW.parse().expect("an instant");
            prop_assert_eq!(parse_time(&instant.to_string(), now, &TimeZone::UTC), Ok(instant));
        }
    }
}
