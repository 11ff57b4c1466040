//! Whole outputs of `sshmeter report`, on a ledger made for it.

use std::collections::BTreeMap;

use clap::Parser as _;
use sshmeter_core::identity::HostName;

use super::*;
use crate::{
    cli::Command,
    commands::view::Answer,
    error::Failure,
    store::sample::{ALICE_KEY, SampleFolder, instant, sample_month},
};

pub(super) fn screen(width: usize, unicode: bool) -> Screen {
    Screen {
        width,
        unicode,
        styled: false,
    }
}

pub(super) fn keys() -> BTreeMap<String, String> {
    BTreeMap::from([(ALICE_KEY.to_owned(), "alice-laptop".to_owned())])
}

fn try_report(line: &str, screen: &Screen) -> Result<Answer, Failure> {
    let folder = SampleFolder::new();
    sample_month(&folder);
    let words = ["sshmeter", "report"].into_iter().map(str::to_owned);
    let arguments = Arguments::try_parse_from(words.chain(split(line))).expect("a command line");
    let Command::Report(arguments) = arguments.command else {
        panic!("report was asked for");
    };
    let now = instant("2026-11-22T17:05:30Z");
    let mut reader = folder.reader().host_name(HostName::new("meter.example"));
    answer(&mut reader, &arguments, &keys(), now, screen)
}

/// Words, with `'…'` for those that hold spaces.
fn split(line: &str) -> Vec<String> {
    line.split('\'')
        .enumerate()
        .flat_map(|(index, part)| match index % 2 {
            0 => part.split_whitespace().map(str::to_owned).collect(),
            _ => vec![part.to_owned()],
        })
        .collect()
}

fn report(line: &str) -> String {
    let answer = try_report(line, &screen(100, true)).expect("an answer");
    assert!(answer.notes.is_empty(), "{:?}", answer.notes);
    answer.text
}

#[test]
fn tables_are_made_for_people() {
    insta::assert_snapshot!("report_this_month", report(""));
    insta::assert_snapshot!("report_per_day", report("--per day"));
    insta::assert_snapshot!("report_all_by_peer", report("--by peer,user --all"));
    insta::assert_snapshot!("report_by_credential", report("--by credential --payload"));
    insta::assert_snapshot!("report_by_session", report("--by session --top 3"));
    insta::assert_snapshot!(
        "report_by_host_per_month",
        report("--by host --per month --since 2026-10")
    );
    insta::assert_snapshot!(
        "report_nothing",
        report("--since '2026-10-01 12:00' --until 2026-10-02")
    );
}

#[test]
fn a_narrow_ascii_terminal_gets_what_it_can_show() {
    let narrow = |width, line| {
        try_report(line, &screen(width, false))
            .expect("an answer")
            .text
    };
    insta::assert_snapshot!("report_ascii", narrow(80, "--top 2"));
    insta::assert_snapshot!("report_narrow", narrow(40, ""));
}

#[test]
fn programs_get_the_contract() {
    insta::assert_snapshot!("report_json", report("--format json --all"));
    insta::assert_snapshot!(
        "report_json_of_a_zone",
        report("--format json --by credential,host --per day --tz Asia/Kathmandu --since -2d")
    );
    insta::assert_snapshot!(
        "report_csv",
        report("--format csv --by user,credential --all")
    );
}

#[test]
fn users_are_chosen_by_name() {
    let users = |line: &str| {
        let text = report(&format!("--format csv {line}"));
        let fields = text
            .lines()
            .skip(1)
            .map(|line| line.split(',').nth(1).unwrap_or_default().to_owned());
        fields.collect::<Vec<_>>()
    };
    assert_eq!(users("--user bob --user alice"), ["alice", "bob"]);
    assert_eq!(users("--user (unauthenticated)"), ["(unauthenticated)"]);
    assert_eq!(users(r#"--user 'eve\x1b[31m, "root"'"#).len(), 1);
    assert_eq!(users("--user nobody"), Vec::<String>::new());
}

#[test]
fn a_period_that_cannot_be_meant_is_a_usage_error() {
    for (line, sentence) in [
        ("--since today --until yesterday", "ends before it begins"),
        ("--since soon", "`soon` is not a time"),
        ("--tz Mars/Olympus", "no time zone `Mars/Olympus`"),
    ] {
        let failure = try_report(line, &screen(80, true)).expect_err("refused");
        assert_eq!(failure.kind(), crate::error::Kind::Usage);
        assert!(failure.text().contains(sentence), "{}", failure.text());
        assert!(failure.text().contains("hint: "), "{}", failure.text());
    }
}

#[test]
fn an_empty_ledger_says_what_to_do() {
    let folder = SampleFolder::new();
    drop(folder.writer("UTC"));
    let now = instant("2026-11-22T17:05:30Z");
    let arguments = ReportArguments {
        by: vec![ByArgument::User],
        ..ReportArguments::default()
    };
    let answer = answer(
        &mut folder.reader(),
        &arguments,
        &keys(),
        now,
        &screen(80, true),
    )
    .expect("an answer");
    assert_eq!(answer.notes, [NOTHING_YET]);
    assert!(answer.text.contains("No SSH traffic"));
}
