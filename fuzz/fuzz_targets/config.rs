//! Gives libFuzzer's inputs to `fuzz_properties::config`, and does nothing else.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz_properties::config(bytes));
