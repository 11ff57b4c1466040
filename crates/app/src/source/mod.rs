//! Where log lines come from. A source yields [`Line`]s and nothing else: it
//! knows how to follow, resume and rotate, not what a line means.

use sshmeter_core::ledger::Checkpoint;

/// One line of log, as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The line.
    pub text: Text,
    /// The log's place right behind this line.
    pub checkpoint: Checkpoint,
}

/// A line in one of the two forms logs have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Text {
    /// A syslog line, without its newline. Any bytes.
    Plain(Vec<u8>),
    /// A journal entry as one JSON object (`journalctl -o json`).
    Journal(Vec<u8>),
}

/// What a running source tells the daemon.
#[derive(Debug)]
pub enum Delivery {
    /// New lines, in order.
    Lines(Vec<Line>),
    /// The past has been read to its present end; what follows is live.
    CaughtUp,
    /// Something a person should know (rotated, truncated, lost, restarted);
    /// the source goes on.
    Notice(String),
    /// The source cannot go on.
    Failed(anyhow::Error),
}
