//! Every pattern has a sample, and every sample means what it says beside it.

use std::collections::BTreeSet;

use sshmeter_core::sshd::{Parsed, Program, parse_line, patterns, understand};

mod common;
use common::{clock, describe, describe_event, read};

struct Sample {
    expected_pattern: String,
    program: Program,
    message: String,
    expected: String,
}

fn samples() -> Vec<Sample> {
    let text = String::from_utf8(read("messages.txt")).expect("the samples are text");
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .collect();
    lines
        .chunks(3)
        .map(|record| {
            let [head, message, expected] = record else {
                panic!("a record is not whole: {record:?}");
            };
            let (pattern, program) = head
                .strip_prefix('[')
                .and_then(|head| head.split_once("] "))
                .unwrap_or_else(|| panic!("no head: {head}"));
            Sample {
                expected_pattern: pattern.to_owned(),
                program: Program::of_tag(program.as_bytes()).expect("a program of ours"),
                message: (*message).to_owned(),
                expected: expected.strip_prefix("= ").expect("a meaning").to_owned(),
            }
        })
        .collect()
}

fn meaning(program: Program, message: &[u8]) -> (&'static str, String) {
    match understand(program, message) {
        None => ("-", "not recognised".to_owned()),
        Some(meaning) => (
            meaning.pattern.name(),
            meaning
                .what
                .as_ref()
                .map_or_else(|| "nothing".to_owned(), describe),
        ),
    }
}

#[test]
fn every_sample_means_what_is_noted() {
    for sample in samples() {
        let (pattern, what) = meaning(sample.program, sample.message.as_bytes());
        assert_eq!(pattern, sample.expected_pattern, "{}", sample.message);
        assert_eq!(what, sample.expected, "{}", sample.message);
    }
}

#[test]
fn every_pattern_has_a_sample() {
    let sampled: BTreeSet<String> = samples()
        .into_iter()
        .map(|sample| sample.expected_pattern)
        .collect();
    let without: Vec<&str> = patterns()
        .map(sshmeter_core::sshd::Pattern::name)
        .filter(|name| !sampled.contains(*name))
        .collect();
    assert!(without.is_empty(), "patterns without a sample: {without:?}");
}

#[test]
fn every_pattern_has_a_name_of_its_own() {
    let mut names = BTreeSet::new();
    for pattern in patterns() {
        assert!(names.insert(pattern.name()), "twice: {}", pattern.name());
    }
}

#[test]
fn every_envelope_is_taken_off() {
    let text = String::from_utf8(read("envelopes.txt")).expect("the samples are text");
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .collect();
    assert_eq!(lines.len() % 2, 0, "a record is not whole");
    for record in lines.chunks(2) {
        let expected = record[1].strip_prefix("= ").expect("a meaning");
        let line = record[0].replace("<BOM>", "\u{feff}");
        assert_eq!(envelope(line.as_bytes()), expected, "{line}");
    }
}

fn envelope(line: &[u8]) -> String {
    match parse_line(line, &clock()) {
        Parsed::Event(event) => describe_event(&event),
        Parsed::NotSshd => "not sshd's".to_owned(),
        Parsed::Known(pattern) => pattern.name().to_owned(),
        Parsed::Unrecognised => "not recognised".to_owned(),
        Parsed::Refused(refusal) => panic!("no line of text is refused: {refusal}"),
    }
}
