//! What holds for any input, however hostile.
//!
//! One function a fuzz target: it takes bytes, does with them what sshmeter
//! would, and panics where a promise is broken. The targets in `fuzz/` call
//! these functions with whatever libFuzzer thinks of, and the test beside them
//! with every seed and every past finding. Nothing here knows a fuzzer.

mod choices;
mod config;
mod journal;
mod ledger;
mod ledger_rows;
mod line;
mod netlink;
mod said;
mod table;
mod time;

pub use config::config;
pub use journal::journal;
pub use ledger::{ledger, sample_ledger};
pub use ledger_rows::ledger_rows;
pub use line::line;
pub use netlink::netlink;
pub use table::table;
pub use time::time;

/// A target: its name and what it does with an input.
pub type Target = (&'static str, fn(&[u8]));

/// Every target there is.
pub const TARGETS: [Target; 8] = [
    ("config", config),
    ("journal", journal),
    ("ledger", ledger),
    ("ledger_rows", ledger_rows),
    ("line", line),
    ("netlink", netlink),
    ("table", table),
    ("time", time),
];
