//! Any bytes as a config file.

use std::path::Path;

use sshmeter::{config::Config, error::Kind};

/// Reads a config: what is understood is shown so that it reads back to the
/// same, what is not is pointed at.
pub fn config(bytes: &[u8]) {
    let path = Path::new("/c.toml");
    match Config::of_bytes(path, bytes.to_vec()) {
        Ok(config) => {
            let shown = config.to_toml();
            match Config::of_bytes(path, shown.clone().into_bytes()) {
                Ok(again) => assert_eq!(again, config, "{shown}"),
                Err(failure) => panic!("{shown}\n{}", failure.text()),
            }
        }
        Err(failure) => {
            assert_eq!(failure.kind(), Kind::Usage);
            assert_points_at_a_place(&failure.text(), bytes);
        }
    }
}

/// `error: /c.toml:LINE:COLUMN: …`, a place that is in the file.
fn assert_points_at_a_place(text: &str, bytes: &[u8]) {
    let place = text.strip_prefix("error: /c.toml:").expect("a place");
    let mut numbers = place.splitn(3, ':').map(str::parse::<usize>);
    let line = numbers.next().expect("a line").expect("a number");
    let column = numbers.next().expect("a column").expect("a number");
    let lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
    assert!((1..=lines.len()).contains(&line), "{text}");
    // A byte that is no text is shown as one character.
    assert!((1..=lines[line - 1].len() + 1).contains(&column), "{text}");
    assert!(text.contains('^'), "{text}");
    let is_obeyed = |letter: char| letter.is_control() && letter != '\n';
    assert!(!text.contains(is_obeyed), "{text:?}");
}
