//! Good and bad configs, and the shipped one.

use std::path::Path;

use super::*;

const SHIPPED: &str = include_str!("../../../../dist/config.toml");

fn fault(text: &str) -> String {
    match parse(text) {
        Ok(config) => panic!("understood as {config:?}"),
        Err(fault) => fault
            .into_failure(Path::new("/etc/sshmeter/config.toml"), text)
            .text(),
    }
}

#[test]
fn nothing_said_is_the_defaults() {
    for text in [
        "",
        "\n# only words\n",
        "[source]\n[meter]\n[ledger]\n[keys]\n",
    ] {
        assert_eq!(parse(text).unwrap(), Config::default());
    }
}

#[test]
fn everything_said_is_understood() {
    let text = r#"
        keys = { "SHA256:abc" = "alice-laptop" }
        [source]
        kind = "file"
        path = "/srv/log/auth.log"
        [meter]
        kind = "iptables"
        ports = [22, 0x8AE]
        interval = "1m"
        keep-rules = false
        [ledger]
        path = "/srv/ledger.db"
        timezone = "Asia/Kathmandu"
        retention = { minute = "12h", hour = "2y", day = "forever" }
    "#;
    let config = parse(text).unwrap();
    assert_eq!(config.source.path, Some("/srv/log/auth.log".into()));
    assert_eq!(config.meter.ports, Some(vec![22, 2222]));
    assert_eq!(config.meter.interval, Duration::from_secs(60));
    assert_eq!(config.meter.kind, MeterKind::Iptables);
    assert_eq!(config.meter.pause(), Duration::from_secs(10));
    assert!(!config.meter.keep_rules);
    assert_eq!(config.ledger.timezone.as_deref(), Some("Asia/Kathmandu"));
    assert_eq!(
        config.ledger.retention.minute,
        Some(Duration::from_secs(43_200))
    );
    assert_eq!(config.keys["SHA256:abc"], "alice-laptop");
}

#[test]
fn every_fault_points_at_its_place() {
    let bad = [
        "[meter]\nintervall = \"10s\"\n",
        "[meters]\n",
        "[ledger]\nretention = { minutes = \"30d\" }\n",
        "[source]\nkind = \"journald\"\n",
        "[source]\nkind = 7\n",
        "[source]\npath = \"auth.log\"\n",
        "[meter]\nkind = \"ebpf\"\n",
        "[meter]\nkeep-rules = \"no\"\n",
        "[meter]\nports = [22, 70000]\n",
        "[meter]\nports = [22,\n  2222, 22]\n",
        "[meter]\nports = 22\n",
        "[meter]\nports = []\n",
        "[meter]\ninterval = \"2m\"\n",
        "[meter]\ninterval = \"ten\"\n",
        "[meter]\ninterval = 10\n",
        "[ledger]\ntimezone = \"Mars/Olympus\"\n",
        "[ledger]\nretention = { minute = \"12mo\" }\n",
        "[ledger]\nretention = { minute = \"5m\" }\n",
        "[ledger]\nretention = { minute = \"500d\" }\n",
        "[keys]\n\"SHA256:é\" = 1\n",
        "[keys]\n\"\" = \"x\"\n",
        "meter = 1\n",
        "[source\n",
        "[source]\nkind = \"auto\nx",
        "a = 1\na = 2\n",
    ];
    let shown: Vec<_> = bad.iter().map(|text| fault(text)).collect();
    insta::assert_snapshot!(shown.join("\n"));
}

#[test]
fn the_shipped_config_is_valid_and_changes_nothing() {
    assert_eq!(parse(SHIPPED).unwrap(), Config::default());
}

#[test]
fn the_shipped_config_shows_every_option_at_its_default() {
    let uncommented: String = SHIPPED
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(option) if !option.is_empty() && !option.starts_with(' ') => format!("{option}\n"),
            _ => format!("{line}\n"),
        })
        .collect();
    assert_eq!(parse(&uncommented).unwrap(), Config::default());
    let words = |text: &str| -> Vec<String> {
        let options = text
            .lines()
            .filter(|line| !line.starts_with('#') && !line.is_empty());
        options.map(str::to_owned).collect()
    };
    assert_eq!(words(&uncommented), words(&Config::default().to_toml()));
}
