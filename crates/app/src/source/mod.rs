//! Where log lines come from. A source yields [`Line`]s and nothing else: it
//! knows how to follow, resume and rotate, not what a line means.

mod choice;
mod file;
mod journal;

use anyhow::Context as _;
use jiff::Timestamp;
use sshmeter_core::ledger::Checkpoint;
use tokio::sync::mpsc::Sender;

pub use self::{
    choice::{Choice, Kind, choose},
    journal::entry,
};

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

/// Follows a log for as long as somebody listens. `resume` is the place the log
/// was read to, of [`past`] or the ledger; reading goes on right behind it.
/// Without one, or with one of the other kind of log, reading begins with what
/// is written from now on, and the past is [`past`]'s.
///
/// The channel's bound is the only bound: where the listener is slow, reading
/// waits, and nothing is dropped. Drop the future to end it.
pub async fn follow(choice: Choice, resume: Option<Checkpoint>, sender: Sender<Delivery>) {
    let fits = resume.as_ref().is_none_or(|place| choice.has_place(place));
    if !fits {
        let notice =
            "the log was read from another source before: this one is followed from now on";
        if sender
            .send(Delivery::Notice(notice.to_owned()))
            .await
            .is_err()
        {
            return;
        }
    }
    let resume = resume.filter(|_| fits);
    match choice.kind {
        Kind::Journal => journal::follow(resume, sender).await,
        Kind::File { path } => file::follow(path, resume, sender).await,
    }
}

/// Reads a log's past, oldest first, from `since` on, and gives the place
/// behind it, from which [`follow`] goes on without a gap. A file's lines may be
/// older than `since`: whole files are read, by their time of change.
///
/// # Errors
/// Where the log cannot be read.
pub fn past(
    choice: &Choice,
    since: Timestamp,
    each: &mut dyn FnMut(Line),
) -> anyhow::Result<Checkpoint> {
    match &choice.kind {
        Kind::Journal => journal::past(since, each),
        Kind::File { path } => file::past(path, since, each)
            .with_context(|| format!("the log file {} cannot be read", path.display())),
    }
}
