//! Follows a log through its rotations: decides which file is read next and
//! hands out its lines in the order they were written, each once.
//!
//! It never waits and never asks what time it is: whoever drives it calls
//! [`Follower::poll`] when something may have changed, and so tests drive it too.

use std::{
    fs, io,
    os::fd::BorrowedFd,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use sshmeter_core::ledger::Checkpoint;

use super::{
    place::{self, Identity, Rotated, Sought},
    tail::Tail,
};
use crate::source::Line;

/// A rotated file is left for the new one once nothing came for so long: a log
/// daemon writes to the old file until it is told to open the new one.
pub(super) const QUIET: Duration = Duration::from_secs(1);

/// What one look at the files brought.
#[derive(Debug)]
pub(super) enum Step {
    /// New lines.
    Lines(Vec<Line>),
    /// Something a person should know.
    Notice(String),
    /// More is there, but the file before it may not be finished yet.
    Waiting,
    /// All there is was read.
    Idle,
}

/// Where reading begins.
enum Start {
    /// Behind what is there now.
    Now,
    /// At the first byte of whatever file is or comes there.
    Beginning,
    /// Behind a checkpoint.
    Behind(Sought),
}

/// A log that is being followed.
pub(super) struct Follower {
    path: PathBuf,
    start: Start,
    tail: Option<Tail>,
    opened: u64,
    /// What is wrong at the moment, said once.
    trouble: Option<String>,
}

impl Follower {
    /// Follows the log at `path` from right behind `resume`, or from now on.
    pub(super) fn new(path: PathBuf, resume: Option<&Checkpoint>) -> Self {
        let start = match resume {
            Some(Checkpoint::File {
                device,
                inode,
                offset,
                first_line_crc,
                ..
            }) => {
                let identity = Identity {
                    device: *device,
                    inode: *inode,
                };
                if identity == Identity::NONE {
                    Start::Beginning
                } else {
                    Start::Behind(Sought {
                        identity,
                        offset: *offset,
                        first_line_crc: *first_line_crc,
                    })
                }
            }
            Some(Checkpoint::Journal { .. }) | None => Start::Now,
        };
        Self {
            path,
            start,
            tail: None,
            opened: 0,
            trouble: None,
        }
    }

    /// Looks once. What cannot be read is said once, and tried again at the
    /// next call.
    pub(super) fn poll(&mut self, now: Instant) -> Step {
        match self.look(now) {
            Ok(step @ (Step::Lines(_) | Step::Notice(_))) => step,
            Ok(step @ (Step::Waiting | Step::Idle)) => match self.trouble.take() {
                Some(_) if self.tail.is_some() => Step::Notice(format!(
                    "the log file {} can be read again",
                    self.path.display()
                )),
                _ => step,
            },
            Err(error) => self.say_once(&error),
        }
    }

    fn say_once(&mut self, error: &io::Error) -> Step {
        let trouble = format!(
            "the log file {} cannot be read at the moment: {error}",
            self.path.display()
        );
        if self.trouble.as_ref() == Some(&trouble) {
            return Step::Idle;
        }
        self.trouble = Some(trouble.clone());
        Step::Notice(trouble)
    }

    /// The open file, to be watched, and how many were opened before it.
    pub(super) fn open_file(&self) -> Option<(u64, BorrowedFd<'_>)> {
        let tail = self.tail.as_ref()?;
        Some((self.opened, tail.descriptor()))
    }

    fn look(&mut self, now: Instant) -> io::Result<Step> {
        let Some(tail) = &mut self.tail else {
            return self.begin(now);
        };
        if tail.was_truncated()? {
            return self.after_truncation(now);
        }
        let lines = tail.read(now)?;
        if !lines.is_empty() {
            return Ok(Step::Lines(lines));
        }
        self.advance(now)
    }

    fn begin(&mut self, now: Instant) -> io::Result<Step> {
        let live = self.live()?;
        match self.start {
            Start::Now if live.is_some() => {
                self.turn_to(Tail::open_at_end(&self.path, &self.path, now)?);
                Ok(Step::Idle)
            }
            Start::Beginning if live.is_some() => {
                self.turn_to(Tail::open(&self.path, &self.path, 0, now)?);
                Ok(Step::Waiting)
            }
            Start::Now | Start::Beginning => {
                self.start = Start::Beginning;
                Ok(Step::Idle)
            }
            Start::Behind(sought) => self.resume(sought, live, now),
        }
    }

    fn resume(&mut self, sought: Sought, live: Option<Rotated>, now: Instant) -> io::Result<Step> {
        let mut candidates = self.rotated()?;
        candidates.extend(live);
        if let Some(found) = place::find(&candidates, sought) {
            self.turn_to(self.open_found(&candidates[found], sought, now)?);
            return Ok(Step::Waiting);
        }
        self.start = Start::Beginning;
        Ok(Step::Notice(format!(
            "the place where {path} was last read (byte {offset} of inode {inode}) is in no file \
             of that name any more, nor in its rotated copies: lines written since may be \
             missing; reading goes on at the start of the present file",
            path = self.path.display(),
            offset = sought.offset,
            inode = sought.identity.inode,
        )))
    }

    fn open_found(&self, found: &Rotated, sought: Sought, now: Instant) -> io::Result<Tail> {
        if found.compressed {
            Tail::open_gzip(&self.path, &found.path, sought.offset, Some(sought), now)
        } else {
            Tail::open(&self.path, &found.path, sought.offset, now)
        }
    }

    /// The file was emptied under its writer. Had it been copied before, the
    /// copy holds what was not read yet.
    fn after_truncation(&mut self, now: Instant) -> io::Result<Step> {
        let Some(sought) = self.tail.as_ref().map(Tail::sought) else {
            return Ok(Step::Idle);
        };
        let rotated = self.rotated()?;
        let path = self.path.display();
        let (tail, end) = match place::find(&rotated, sought) {
            Some(found) => (
                self.open_found(&rotated[found], sought, now)?,
                format!(
                    "its end is read from {}; lines written between the copy and the truncation \
                     are lost",
                    rotated[found].path.display()
                ),
            ),
            None => (
                Tail::open(&self.path, &self.path, 0, now)?,
                "lines written behind that place are lost".to_owned(),
            ),
        };
        let notice = format!(
            "the log file {path} was truncated in place after byte {}: {end} (rotating it by \
             renaming loses nothing)",
            sought.offset
        );
        self.turn_to(tail);
        Ok(Step::Notice(notice))
    }

    /// At the present file's end: is there a file that follows it?
    fn advance(&mut self, now: Instant) -> io::Result<Step> {
        let live = self.live()?;
        let Some(tail) = &mut self.tail else {
            return Ok(Step::Idle);
        };
        if live.as_ref().is_some_and(|live| tail.is(live.identity)) {
            return Ok(Step::Idle);
        }
        let rotated = rotated_beside(&self.path)?;
        let behind = place::find(&rotated, tail.sought()).map_or(rotated.len(), |found| found + 1);
        let next_rotated = rotated[behind..].iter().find(|next| next.size > 0);
        let next = match (next_rotated, &live) {
            (Some(next), _) => next,
            (None, Some(live)) if live.size == 0 => return Ok(Step::Idle),
            (None, Some(_)) if tail.quiet_for(now) < QUIET => return Ok(Step::Waiting),
            (None, Some(live)) => live,
            (None, None) => return Ok(Step::Idle),
        };
        let next_tail = if next.compressed {
            Tail::open_gzip(&self.path, &next.path, 0, None, now)?
        } else {
            Tail::open(&self.path, &next.path, 0, now)?
        };
        if !next_tail.is(next.identity) && !next.compressed {
            // Rotated again under our hands: look anew.
            return Ok(Step::Waiting);
        }
        let checkpoint = next_tail.checkpoint();
        let rest = self.turn_to(next_tail).and_then(Tail::into_rest);
        Ok(match rest {
            Some(text) => Step::Lines(vec![Line { text, checkpoint }]),
            None => Step::Notice(format!("the log file {} was rotated", self.path.display())),
        })
    }

    /// Reads on in another file; gives back the one read before.
    fn turn_to(&mut self, tail: Tail) -> Option<Tail> {
        self.opened += 1;
        self.tail.replace(tail)
    }

    fn live(&self) -> io::Result<Option<Rotated>> {
        let metadata = match fs::metadata(&self.path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        place::regular(&metadata)?;
        Ok(Some(Rotated {
            path: self.path.clone(),
            identity: Identity::of(&metadata),
            size: metadata.len(),
            modified: metadata.modified()?,
            compressed: false,
        }))
    }

    fn rotated(&self) -> io::Result<Vec<Rotated>> {
        rotated_beside(&self.path)
    }
}

/// Where the folder is not there, nothing is.
fn rotated_beside(path: &Path) -> io::Result<Vec<Rotated>> {
    match place::rotated(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        other => other,
    }
}

#[cfg(test)]
#[path = "follower_tests.rs"]
mod tests;
