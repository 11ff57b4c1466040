//! What the programs of the benches tell, a line of JSON each: they write it, and the
//! bench reads it.

use serde::{Deserialize, Serialize};

/// What a part of `load` took.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Part {
    /// Rounds of mirrors.
    pub rounds: usize,
    /// Rows that they sent.
    pub rows: usize,
    /// How long it took, counting into ledgers included.
    pub seconds: f64,
    /// The hosts' processor time in rounds.
    pub round_seconds: f64,
    /// The same for counting into the ledgers.
    pub commit_seconds: f64,
    /// What went over the wire both ways, headers included.
    pub bytes: u64,
    /// The same in packets.
    pub packets: u64,
    /// Processor time of commits that note changes, to that of those that do not.
    pub list_ratio: Option<f64>,
}

/// What a minute of `scribe` took.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Commit {
    /// Rows that the commit wrote.
    pub rows: usize,
    /// What it took.
    pub commit: Seconds,
    /// What the same number of rows takes plain SQLite.
    pub plain: Seconds,
}

/// How long something took.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Seconds {
    /// By the clock.
    pub wall: f64,
    /// Of a processor.
    pub processor: f64,
}
