//! Gives libFuzzer's inputs to `fuzz_properties::time`, and does nothing else.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz_properties::time(bytes));
