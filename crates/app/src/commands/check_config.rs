//! `sshmeter check-config`: the config as understood, as TOML that loads back
//! to the same.

use crate::{
    cli::{Arguments, DEFAULT_CONFIG},
    config::{Config, Origin},
    error::{Outcome, print},
};

pub(super) fn run(arguments: &Arguments) -> Outcome {
    let (config, origin) = Config::load_with_origin(arguments)?;
    let from = match origin {
        Origin::File(path) => format!("from {}", path.display()),
        Origin::Defaults => format!("built-in defaults: there is no {DEFAULT_CONFIG}"),
    };
    // A path may hold anything, a comment only one line.
    let from: String = from
        .chars()
        .map(|letter| {
            if letter.is_control() {
                '\u{fffd}'
            } else {
                letter
            }
        })
        .collect();
    let text = format!("# {from}\n{}", config.to_toml());
    print(text.as_bytes())
}
