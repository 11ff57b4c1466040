//! A journal entry as far as following it needs: its cursor.

use std::borrow::Cow;

use serde::Deserialize;

#[derive(Deserialize)]
struct Entry<'entry> {
    #[serde(rename = "__CURSOR", borrow)]
    cursor: Cow<'entry, str>,
}

/// The entry's own cursor.
#[must_use]
pub fn cursor(entry: &[u8]) -> Option<String> {
    // A list of values would be taken for the fields in their order.
    if !entry.trim_ascii_start().starts_with(b"{") {
        return None;
    }
    let entry: Entry<'_> = serde_json::from_slice(entry).ok()?;
    Some(entry.cursor.into_owned())
}

/// Whether two cursors are of one entry. When journald moves its files from
/// /run to /var, sequence id and number can change (`s`, `i`); boot, times and
/// the content's hash stay.
#[must_use]
pub fn same(one: &str, other: &str) -> bool {
    ["b", "m", "t", "x"]
        .into_iter()
        .all(|key| part(one, key).is_some() && part(one, key) == part(other, key))
}

/// The second of the entry's arrival, as its cursor tells it.
#[must_use]
pub fn second(cursor: &str) -> Option<i64> {
    let microseconds = i64::from_str_radix(part(cursor, "t")?, 16).ok()?;
    Some(microseconds / 1_000_000)
}

fn part<'cursor>(cursor: &'cursor str, key: &str) -> Option<&'cursor str> {
    cursor
        .split(';')
        .filter_map(|part| part.split_once('='))
        .find_map(|(name, value)| (name == key).then_some(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CURSOR: &str = "s=4ac7fb8d80ed4a9e8270f7298878475c;i=15b;\
        b=feb120477cd04981b770bb61bfb47d1a;m=64344905;t=660e1d4fbd5a2;x=71994a4ca408a8e2";

    #[test]
    fn an_entry_gives_its_own_cursor_only() {
        let entry =
            format!(r#"{{"MESSAGE":"\"__CURSOR\":\"forged\"","__CURSOR":"{CURSOR}","_PID":"7"}}"#);
        assert_eq!(cursor(entry.as_bytes()).as_deref(), Some(CURSOR));
        let array = format!(r#"{{"MESSAGE":[104,105,255],"__CURSOR":"{CURSOR}"}}"#);
        assert_eq!(cursor(array.as_bytes()).as_deref(), Some(CURSOR));
        assert_eq!(cursor(b"-- Boot feb120477cd04981b770bb61bfb47d1a --"), None);
        assert_eq!(cursor(br#"{"MESSAGE":"x"}"#), None);
        assert_eq!(cursor(br#"["s=1"]"#), None);
    }

    #[test]
    fn an_entry_stays_the_same_when_its_file_is_flushed() {
        let flushed = CURSOR.replace("s=4a", "s=5b").replace("i=15b", "i=2");
        assert!(same(CURSOR, &flushed));
        assert!(!same(CURSOR, &CURSOR.replace("x=71", "x=72")));
        assert!(!same("", ""));
    }

    #[test]
    fn a_cursor_tells_its_second() {
        assert_eq!(second(CURSOR), Some(1_795_372_917));
        assert_eq!(second("t=zz"), None);
        assert_eq!(second(""), None);
    }
}
