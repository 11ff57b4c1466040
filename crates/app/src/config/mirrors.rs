//! `[[mirror]]`, from TOML.

use std::time::Duration;

use toml::de::DeValue;

use super::{
    MirrorConfig, Resolution, duration,
    fault::Fault,
    parse::{Value, no_length, table, text},
};
use crate::mirror::address::Address;

/// Reads all mirrors.
pub(super) fn mirrors(value: &Value<'_>) -> Result<Vec<MirrorConfig>, Fault> {
    let DeValue::Array(list) = value.get_ref() else {
        return Err(
            Fault::new(value.span(), "a mirror is a table in double brackets")
                .hint("write [[mirror]], as there may be several"),
        );
    };
    let mut mirrors: Vec<MirrorConfig> = Vec::new();
    for item in list {
        let mirror = one(item)?;
        if mirrors.iter().any(|known| known.address == mirror.address) {
            return Err(Fault::new(item.span(), "this mirror is listed twice"));
        }
        mirrors.push(mirror);
    }
    Ok(mirrors)
}

fn one(value: &Value<'_>) -> Result<MirrorConfig, Fault> {
    let mut address = None;
    let mut resolution = Resolution::default();
    let mut interval = MirrorConfig::INTERVAL;
    for (key, value) in table(value, "[[mirror]]")? {
        match key.get_ref().as_ref() {
            "url" => address = Some(url(value)?),
            "resolution" => resolution = finest(value)?,
            "interval" => interval = pause(value)?,
            other => {
                let known = ["url", "resolution", "interval"];
                return Err(Fault::unknown_key(key.span(), other, "[[mirror]]", &known));
            }
        }
    }
    let address = address.ok_or_else(|| {
        Fault::new(value.span(), "a mirror needs a `url`")
            .hint("such as url = \"mysql://sshmeter@db.example.net/sshmeter\"")
    })?;
    Ok(MirrorConfig {
        address,
        resolution,
        interval,
    })
}

fn url(value: &Value<'_>) -> Result<Address, Fault> {
    Address::parse(text(value, "mirror.url")?).map_err(|error| {
        let hint = error.hint().to_owned();
        Fault::new(value.span(), error.to_string()).hint(hint)
    })
}

fn finest(value: &Value<'_>) -> Result<Resolution, Fault> {
    let word = text(value, "mirror.resolution")?;
    let known = Resolution::ALL.into_iter().find(|one| one.word() == word);
    known.ok_or_else(|| {
        let words = Resolution::ALL.map(Resolution::word);
        Fault::unknown_word(value.span(), word, "mirror.resolution", &words)
    })
}

fn pause(value: &Value<'_>) -> Result<Duration, Fault> {
    let allowed = Duration::from_secs(1)..=Duration::from_secs(24 * 3600);
    match duration::parse(text(value, "mirror.interval")?) {
        Some(interval) if allowed.contains(&interval) => Ok(interval),
        Some(_) => Err(Fault::new(
            value.span(),
            "`mirror.interval` must be between 1s and 1d",
        )),
        None => Err(no_length(value, "mirror.interval", "\"1m\" or \"1h\"")),
    }
}
