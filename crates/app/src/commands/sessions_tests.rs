//! Whole outputs of `sshmeter sessions`, on a ledger made for it.

use clap::Parser as _;

use super::*;
use crate::{
    cli::Command,
    store::sample::{ALICE_KEY, SampleFolder, instant, sample_month},
};

fn sessions_on(line: &str, width: usize, unicode: bool) -> String {
    let folder = SampleFolder::new();
    sample_month(&folder);
    let words = ["sshmeter", "sessions"]
        .into_iter()
        .chain(line.split_whitespace());
    let arguments = Arguments::try_parse_from(words).expect("a command line");
    let Command::Sessions(arguments) = arguments.command else {
        panic!("sessions was asked for");
    };
    let screen = Screen {
        width,
        unicode,
        styled: false,
    };
    let keys = BTreeMap::from([(ALICE_KEY.to_owned(), "alice-laptop".to_owned())]);
    let now = instant("2026-11-22T17:05:30Z");
    let answer = answer(&mut folder.reader(), &arguments, &keys, now, &screen);
    let answer = answer.expect("an answer");
    assert!(answer.notes.is_empty(), "{:?}", answer.notes);
    answer.text
}

fn sessions(line: &str) -> String {
    sessions_on(line, 160, true)
}

#[test]
fn tables_are_made_for_people() {
    insta::assert_snapshot!("sessions_today", sessions(""));
    insta::assert_snapshot!("sessions_open", sessions("--open"));
    insta::assert_snapshot!(
        "sessions_all",
        sessions("--all --since 2026-11-01 --payload")
    );
    insta::assert_snapshot!(
        "sessions_nothing",
        sessions("--since 2026-10-01 --until 2026-10-02")
    );
    insta::assert_snapshot!("sessions_ascii_narrow", sessions_on("", 80, false));
    insta::assert_snapshot!("sessions_narrower", sessions_on("", 60, true));
}

#[test]
fn programs_get_the_contract() {
    insta::assert_snapshot!("sessions_json", sessions("--format json --all"));
    insta::assert_snapshot!(
        "sessions_csv",
        sessions("--format csv --since 2026-11-01 --all")
    );
}

#[test]
fn bytes_are_those_of_the_period() {
    // Alice moved bytes on both sides of Berlin's midnight.
    let csv = sessions("--format csv --user alice --since 2026-11-05 --until 2026-11-06");
    assert!(csv.contains(",980,733210,"), "{csv}");
    assert_eq!(csv.lines().count(), 2);
}
