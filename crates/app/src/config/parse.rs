//! From TOML to a [`Config`], by hand rather than by serde: every fault is to
//! point at the very word that is wrong.

use std::{collections::BTreeMap, ops::Range, path::PathBuf, time::Duration};

use sshmeter_core::time::zone_named;
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    Config, HostConfig, LedgerConfig, MeterConfig, MeterKind, Retention, SourceConfig, SourceKind,
    duration,
    fault::{Fault, printable},
    mirrors::mirrors,
};

pub(super) type Value<'text> = Spanned<DeValue<'text>>;

/// The word for "find it yourself".
const AUTO: &str = "auto";

/// Reads a whole config; what it does not say keeps its default.
pub(super) fn parse(text: &str) -> Result<Config, Fault> {
    let document = DeTable::parse(text).map_err(|error| {
        let span = error.span().unwrap_or(text.len()..text.len());
        Fault::new(span, format!("this is not TOML: {}", error.message()))
    })?;
    let mut config = Config::default();
    for (key, value) in document.get_ref() {
        match key.get_ref().as_ref() {
            "host" => host(value, &mut config.host)?,
            "source" => source(value, &mut config.source)?,
            "meter" => meter(value, &mut config.meter)?,
            "ledger" => ledger(value, &mut config.ledger)?,
            "mirror" => config.mirrors = mirrors(value)?,
            "keys" => config.keys = keys(value)?,
            other => {
                let known = ["host", "source", "meter", "ledger", "mirror", "keys"];
                return Err(Fault::unknown_key(key.span(), other, "the config", &known));
            }
        }
    }
    Ok(config)
}

fn host(value: &Value<'_>, config: &mut HostConfig) -> Result<(), Fault> {
    for (key, value) in table(value, "[host]")? {
        match key.get_ref().as_ref() {
            "name" => {
                config.name = match text(value, "host.name")? {
                    AUTO => None,
                    "" => return Err(Fault::new(value.span(), "`host.name` may not be empty")),
                    name => Some(name.to_owned()),
                }
            }
            other => {
                return Err(Fault::unknown_key(key.span(), other, "[host]", &["name"]));
            }
        }
    }
    Ok(())
}

fn source(value: &Value<'_>, config: &mut SourceConfig) -> Result<(), Fault> {
    for (key, value) in table(value, "[source]")? {
        match key.get_ref().as_ref() {
            "kind" => {
                config.kind = match text(value, "source.kind")? {
                    AUTO => SourceKind::Auto,
                    "journal" => SourceKind::Journal,
                    "file" => SourceKind::File,
                    other => {
                        let known = [AUTO, "journal", "file"];
                        return Err(Fault::unknown_word(
                            value.span(),
                            other,
                            "source.kind",
                            &known,
                        ));
                    }
                }
            }
            "path" => {
                config.path = match text(value, "source.path")? {
                    AUTO => None,
                    path => Some(absolute(path, value.span(), "source.path")?),
                }
            }
            other => {
                let known = ["kind", "path"];
                return Err(Fault::unknown_key(key.span(), other, "[source]", &known));
            }
        }
    }
    Ok(())
}

fn meter(value: &Value<'_>, config: &mut MeterConfig) -> Result<(), Fault> {
    for (key, value) in table(value, "[meter]")? {
        match key.get_ref().as_ref() {
            "kind" => config.kind = meter_kind(value)?,
            "ports" => config.ports = ports(value)?,
            "interval" => config.interval = interval(value)?,
            "keep-rules" => config.keep_rules = yes_or_no(value, "meter.keep-rules")?,
            other => {
                let known = ["kind", "ports", "interval", "keep-rules"];
                return Err(Fault::unknown_key(key.span(), other, "[meter]", &known));
            }
        }
    }
    Ok(())
}

fn meter_kind(value: &Value<'_>) -> Result<MeterKind, Fault> {
    let word = text(value, "meter.kind")?;
    let known = MeterKind::ALL.into_iter().find(|kind| kind.word() == word);
    known.ok_or_else(|| {
        let words = MeterKind::ALL.map(MeterKind::word);
        Fault::unknown_word(value.span(), word, "meter.kind", &words)
    })
}

fn yes_or_no(value: &Value<'_>, key: &str) -> Result<bool, Fault> {
    match value.get_ref() {
        DeValue::Boolean(word) => Ok(*word),
        _ => Err(Fault::new(
            value.span(),
            format!("`{key}` must be true or false, without quotes"),
        )),
    }
}

fn ports(value: &Value<'_>) -> Result<Option<Vec<u16>>, Fault> {
    const HINT: &str = "write \"auto\", or a list such as [22, 2222]";
    let list = match value.get_ref() {
        DeValue::String(word) if word.as_ref() == AUTO => return Ok(None),
        DeValue::Array(list) if !list.is_empty() => list,
        _ => {
            let message = "`meter.ports` is neither \"auto\" nor a list of ports";
            return Err(Fault::new(value.span(), message).hint(HINT));
        }
    };
    let mut ports = Vec::new();
    for item in list {
        let port = match item.get_ref() {
            DeValue::Integer(number) => u16::from_str_radix(number.as_str(), number.radix()).ok(),
            _ => None,
        };
        let Some(port) = port.filter(|port| *port > 0) else {
            return Err(
                Fault::new(item.span(), "this is no port: ports are 1 to 65535").hint(HINT),
            );
        };
        if ports.contains(&port) {
            return Err(Fault::new(
                item.span(),
                format!("port {port} is listed twice"),
            ));
        }
        ports.push(port);
    }
    Ok(Some(ports))
}

fn interval(value: &Value<'_>) -> Result<Duration, Fault> {
    let allowed = Duration::from_secs(1)..=Duration::from_secs(60);
    match duration::parse(text(value, "meter.interval")?) {
        Some(interval) if allowed.contains(&interval) => Ok(interval),
        Some(_) => Err(Fault::new(
            value.span(),
            "`meter.interval` must be between 1s and 60s",
        )),
        None => Err(no_length(value, "meter.interval", "\"10s\" or \"1m\"")),
    }
}

fn ledger(value: &Value<'_>, config: &mut LedgerConfig) -> Result<(), Fault> {
    for (key, value) in table(value, "[ledger]")? {
        match key.get_ref().as_ref() {
            "path" => {
                let path = text(value, "ledger.path")?;
                config.path = absolute(path, value.span(), "ledger.path")?;
            }
            "timezone" => config.timezone = timezone(value)?,
            "retention" => retention(value, &mut config.retention)?,
            other => {
                let known = ["path", "timezone", "retention"];
                return Err(Fault::unknown_key(key.span(), other, "[ledger]", &known));
            }
        }
    }
    Ok(())
}

fn timezone(value: &Value<'_>) -> Result<Option<String>, Fault> {
    let name = text(value, "ledger.timezone")?;
    if name == "system" {
        return Ok(None);
    }
    match zone_named(name) {
        Some(_) => Ok(Some(name.to_owned())),
        None => Err(Fault::new(
            value.span(),
            format!("the time zone `{}` is not known on this machine", printable(name)),
        )
        .hint("write \"system\", \"UTC\" or an IANA name such as \"Europe/Paris\"; zones come with the package tzdata")),
    }
}

fn retention(value: &Value<'_>, retention: &mut Retention) -> Result<(), Fault> {
    for (key, value) in table(value, "`ledger.retention`")? {
        let kept = match key.get_ref().as_ref() {
            "minute" => &mut retention.minute,
            "hour" => &mut retention.hour,
            "day" => &mut retention.day,
            other => {
                let known = ["minute", "hour", "day"];
                return Err(Fault::unknown_key(
                    key.span(),
                    other,
                    "`ledger.retention`",
                    &known,
                ));
            }
        };
        *kept = kept_for(value)?;
    }
    let forever = Duration::MAX;
    let [minute, hour, day] =
        [retention.minute, retention.hour, retention.day].map(|kept| kept.unwrap_or(forever));
    if minute > hour || hour > day {
        let message = "finer rows would be kept longer than coarser ones";
        return Err(Fault::new(value.span(), message).hint(format!(
            "keep minute <= hour <= day; this says {}",
            shown(retention)
        )));
    }
    Ok(())
}

fn kept_for(value: &Value<'_>) -> Result<Option<Duration>, Fault> {
    match text(value, "ledger.retention")? {
        "forever" => Ok(None),
        other => match duration::parse(other) {
            Some(kept) if kept >= Duration::from_secs(3600) => Ok(Some(kept)),
            Some(_) => Err(Fault::new(
                value.span(),
                "rows are kept for one hour at least",
            )),
            None => Err(no_length(
                value,
                "ledger.retention",
                "\"30d\", \"52w\", \"2y\" or \"forever\"",
            )),
        },
    }
}

/// The retention as the config writes it.
pub(super) fn shown(retention: &Retention) -> String {
    let word = |kept: Option<Duration>| kept.map_or("forever".to_owned(), duration::show);
    format!(
        "{{ minute = \"{}\", hour = \"{}\", day = \"{}\" }}",
        word(retention.minute),
        word(retention.hour),
        word(retention.day)
    )
}

fn keys(value: &Value<'_>) -> Result<BTreeMap<String, String>, Fault> {
    let mut keys = BTreeMap::new();
    for (key, value) in table(value, "[keys]")? {
        let name = text(value, key.get_ref())?;
        if key.get_ref().is_empty() || name.is_empty() {
            let message = "a key's fingerprint and name may not be empty";
            return Err(Fault::new(key.span().start..value.span().end, message));
        }
        keys.insert(key.get_ref().to_string(), name.to_owned());
    }
    Ok(keys)
}

pub(super) fn table<'value, 'text>(
    value: &'value Value<'text>,
    name: &str,
) -> Result<&'value DeTable<'text>, Fault> {
    match value.get_ref() {
        DeValue::Table(table) => Ok(table),
        _ => Err(Fault::new(value.span(), format!("{name} must be a table"))),
    }
}

pub(super) fn text<'value>(value: &'value Value<'_>, key: &str) -> Result<&'value str, Fault> {
    match value.get_ref() {
        DeValue::String(text) => Ok(text),
        _ => Err(Fault::new(
            value.span(),
            format!("`{}` must be text in quotes", printable(key)),
        )),
    }
}

fn absolute(path: &str, span: Range<usize>, key: &str) -> Result<PathBuf, Fault> {
    let path = PathBuf::from(path);
    if path.is_absolute() && !path.as_os_str().as_encoded_bytes().contains(&0) {
        Ok(path)
    } else {
        Err(Fault::new(
            span,
            format!("`{key}` must be a path that begins with /"),
        ))
    }
}

pub(super) fn no_length(value: &Value<'_>, key: &str, examples: &str) -> Fault {
    Fault::new(value.span(), format!("`{key}` is no length of time")).hint(format!(
        "write a number and a unit (s, m, h, d, w, y): {examples}"
    ))
}

#[cfg(test)]
#[path = "parse_tests.rs"]
mod tests;
