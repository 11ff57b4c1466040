//! A [`Config`] written as the TOML that loads back to the same.

use std::fmt::Write as _;

use super::{Config, SourceKind, duration, parse};

impl Config {
    /// The config as TOML, every option written out.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let kind = match self.source.kind {
            SourceKind::Auto => "auto",
            SourceKind::Journal => "journal",
            SourceKind::File => "file",
        };
        let path = match &self.source.path {
            Some(path) => path.display().to_string(),
            None => "auto".to_owned(),
        };
        let ports = match &self.meter.ports {
            Some(ports) => format!("{ports:?}"),
            None => quoted("auto"),
        };
        let mut toml = format!(
            "[host]\nname = {}\n\n\
             [source]\nkind = {}\npath = {}\n\n\
             [meter]\nkind = {}\nports = {ports}\ninterval = {}\nkeep-rules = {}\n\n\
             [ledger]\npath = {}\ntimezone = {}\nretention = {}\n",
            quoted(self.host.name.as_deref().unwrap_or("auto")),
            quoted(kind),
            quoted(&path),
            quoted(self.meter.kind.word()),
            quoted(&duration::show(self.meter.interval)),
            self.meter.keep_rules,
            quoted(&self.ledger.path.display().to_string()),
            quoted(self.ledger.timezone.as_deref().unwrap_or("system")),
            parse::shown(&self.ledger.retention),
        );
        // Writing to a String cannot fail.
        for mirror in &self.mirrors {
            let _ = write!(
                toml,
                "\n[[mirror]]\nurl = {}\nresolution = {}\ninterval = {}\n",
                quoted(&mirror.address.shown()),
                quoted(mirror.resolution.word()),
                quoted(&duration::show(mirror.interval)),
            );
        }
        toml.push_str("\n[keys]\n");
        for (credential, name) in &self.keys {
            let _ = writeln!(toml, "{} = {}", quoted(credential), quoted(name));
        }
        toml
    }
}

/// A TOML basic string; control characters, those of C1 too, leave as escapes.
fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for letter in text.chars() {
        match letter {
            '"' | '\\' => quoted.extend(['\\', letter]),
            letter if letter.is_control() => {
                let _ = write!(quoted, "\\u{:04X}", u32::from(letter));
            }
            letter => quoted.push(letter),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use proptest::{collection, option, prelude::*, sample};

    use super::*;
    use crate::{
        config::{
            HostConfig, LedgerConfig, MeterConfig, MeterKind, MirrorConfig, Resolution, Retention,
            SourceConfig,
        },
        mirror::address::Address,
    };
    use std::{collections::BTreeSet, path::PathBuf, time::Duration};

    fn path() -> impl Strategy<Value = PathBuf> {
        "[^\0]{0,20}".prop_map(|name| PathBuf::from(format!("/{name}")))
    }

    fn retention() -> impl Strategy<Value = Retention> {
        collection::vec(option::of(3600_u64..4_000_000_000), 3).prop_map(|mut kept| {
            kept.sort_by_key(|kept| kept.unwrap_or(u64::MAX));
            let kept: Vec<_> = kept
                .into_iter()
                .map(|kept| kept.map(Duration::from_secs))
                .collect();
            Retention {
                minute: kept[0],
                hour: kept[1],
                day: kept[2],
            }
        })
    }

    prop_compose! {
        fn config()(
            kind in sample::select(vec![SourceKind::Auto, SourceKind::Journal, SourceKind::File]),
            source_path in option::of(path()),
            ports in option::of(collection::btree_set(1_u16.., 1..4)),
            meter in sample::select(MeterKind::ALL.to_vec()),
            interval in 1_u64..=60,
            keep_rules in any::<bool>(),
            ledger_path in path(),
            timezone in sample::select(vec![None, Some("UTC"), Some("Asia/Kathmandu")]),
            retention in retention(),
            name in option::of("[^\0]{1,20}".prop_filter("a name", |name| name != "auto")),
            mirrors in collection::btree_map(
                "[a-z]{1,9}",
                (sample::select(Resolution::ALL.to_vec()), 1_u64..=86_400),
                0..3,
            ),
            keys in collection::btree_map(".{1,20}", ".{1,20}", 0..4),
        ) -> Config {
            Config {
                host: HostConfig { name },
                mirrors: mirrors
                    .into_iter()
                    .map(|(database, (resolution, interval))| MirrorConfig {
                        address: Address::parse(&format!("mysql://u@db:1,[::1]/{database}?ca=/a b"))
                            .unwrap(),
                        resolution,
                        interval: Duration::from_secs(interval),
                    })
                    .collect(),
                source: SourceConfig { kind, path: source_path },
                meter: MeterConfig {
                    kind: meter,
                    ports: ports.map(|ports: BTreeSet<u16>| ports.into_iter().collect()),
                    interval: Duration::from_secs(interval),
                    keep_rules,
                },
                ledger: LedgerConfig {
                    path: ledger_path,
                    timezone: timezone.map(str::to_owned),
                    retention,
                },
                keys,
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_loads_back_to_the_same(config in config()) {
            let toml = config.to_toml();
            prop_assert_eq!(parse::parse(&toml).map_err(|fault| fault.message), Ok(config), "{}", toml);
            prop_assert!(!toml.chars().any(|letter| letter.is_control() && letter != '\n'));
        }
    }
}
