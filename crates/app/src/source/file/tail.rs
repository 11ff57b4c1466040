//! One log file, read line by line from a place on.
//!
//! A line is held back until its newline has come; its checkpoint is the place
//! behind it. This file knows nothing of rotation: `follower` decides which
//! file is read next.

use std::{
    fs::File,
    io::{self, Read},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::fs::FileExt,
    },
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use flate2::read::MultiGzDecoder;
use sshmeter_core::ledger::Checkpoint;

use super::place::{self, Identity, Sought};
use crate::source::{Line, Text};

/// A longer line is delivered cut to this, and its rest skipped: sshd cuts its
/// own at 500 bytes, so what is longer is not sshd's.
pub(in crate::source) const LINE_LIMIT: usize = 64 * 1024;

/// Read at once, and so the upper bound of one delivery.
const CHUNK: usize = 32 * 1024;

/// An open log file and how far it was read.
pub(super) struct Tail {
    log: PathBuf,
    input: Input,
    identity: Identity,
    first_line_crc: Option<u32>,
    /// Behind the last line that was delivered.
    offset: u64,
    /// Behind the last byte that was read.
    position: u64,
    /// The beginning of the line whose newline has not come yet.
    held: Vec<u8>,
    last_growth: Instant,
}

enum Input {
    Plain(File),
    Gzip(Box<MultiGzDecoder<File>>),
}

impl Tail {
    /// Opens a file of `log`'s at the start of the line that begins at `offset`.
    pub(super) fn open(log: &Path, path: &Path, offset: u64, now: Instant) -> io::Result<Self> {
        let file = place::open(path)?;
        Ok(Self {
            log: log.to_owned(),
            identity: Identity::of(&file.metadata()?),
            first_line_crc: place::first_line_crc(&file)?,
            input: Input::Plain(file),
            offset,
            position: offset,
            held: Vec::new(),
            last_growth: now,
        })
    }

    /// Opens a file at its present end: behind its last complete line.
    pub(super) fn open_at_end(log: &Path, path: &Path, now: Instant) -> io::Result<Self> {
        let mut tail = Self::open(log, path, 0, now)?;
        if let Input::Plain(file) = &tail.input {
            tail.offset = behind_last_line(file)?;
            tail.position = tail.offset;
        }
        Ok(tail)
    }

    /// Opens a compressed file of `log`'s; places in it are those of its
    /// uncompressed content. `known_as` is the file it was before, where a
    /// checkpoint knows it, so that later checkpoints find it again.
    pub(super) fn open_gzip(
        log: &Path,
        path: &Path,
        offset: u64,
        known_as: Option<Sought>,
        now: Instant,
    ) -> io::Result<Self> {
        let file = place::open(path)?;
        let (identity, first_line_crc) = match known_as {
            Some(known) => (known.identity, known.first_line_crc),
            None => (
                Identity::of(&file.metadata()?),
                place::compressed_first_line_crc(place::open(path)?)?,
            ),
        };
        let mut decoder = MultiGzDecoder::new(file);
        io::copy(&mut decoder.by_ref().take(offset), &mut io::sink())?;
        Ok(Self {
            log: log.to_owned(),
            input: Input::Gzip(Box::new(decoder)),
            identity,
            first_line_crc,
            offset,
            position: offset,
            held: Vec::new(),
            last_growth: now,
        })
    }

    /// What is to be read next, whole lines only. Empty at the file's present
    /// end, and while a very long line goes by.
    pub(super) fn read(&mut self, now: Instant) -> io::Result<Vec<Line>> {
        let mut chunk = vec![0; CHUNK];
        loop {
            let count = self.read_chunk(&mut chunk)?;
            if count == 0 {
                return Ok(Vec::new());
            }
            self.last_growth = now;
            let lines = self.split(&chunk[..count])?;
            if !lines.is_empty() {
                return Ok(lines);
            }
        }
    }

    fn read_chunk(&mut self, chunk: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = match &mut self.input {
                Input::Plain(file) => file.read_at(chunk, self.position),
                Input::Gzip(decoder) => decoder.read(chunk),
            };
            match read {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // A compressed file cut short holds what it holds.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(0),
                other => return other,
            }
        }
    }

    fn split(&mut self, mut chunk: &[u8]) -> io::Result<Vec<Line>> {
        let mut lines = Vec::new();
        while let Some(newline) = memchr::memchr(b'\n', chunk) {
            self.hold(&chunk[..newline]);
            self.position += to_u64(newline + 1)?;
            self.offset = self.position;
            if self.first_line_crc.is_none() {
                self.first_line_crc = self.compute_first_line_crc()?;
            }
            let text = std::mem::take(&mut self.held);
            lines.push(self.line(text));
            chunk = &chunk[newline + 1..];
        }
        self.hold(chunk);
        self.position += to_u64(chunk.len())?;
        Ok(lines)
    }

    /// Keeps a piece of the present line, up to the limit. NUL bytes before a
    /// line are what a crash, or a writer that was truncated, left of a hole.
    fn hold(&mut self, piece: &[u8]) {
        let piece = if self.held.is_empty() {
            let start = piece.iter().position(|byte| *byte != 0);
            &piece[start.unwrap_or(piece.len())..]
        } else {
            piece
        };
        let room = LINE_LIMIT - self.held.len();
        self.held.extend_from_slice(&piece[..piece.len().min(room)]);
    }

    fn compute_first_line_crc(&self) -> io::Result<Option<u32>> {
        match &self.input {
            Input::Plain(file) => place::first_line_crc(file),
            Input::Gzip(_) => Ok(None),
        }
    }

    fn line(&self, text: Vec<u8>) -> Line {
        Line {
            text: Text::Plain(text),
            checkpoint: self.checkpoint(),
        }
    }

    /// The text whose newline never came, once the file is finished. No place
    /// in this file lies behind it: a checkpoint is always at a line's start.
    pub(super) fn into_rest(self) -> Option<Text> {
        (!self.held.is_empty()).then_some(Text::Plain(self.held))
    }

    /// Whether the file no longer is what was read of it: shorter, or begun anew.
    pub(super) fn was_truncated(&self) -> io::Result<bool> {
        let Input::Plain(file) = &self.input else {
            return Ok(false);
        };
        let shorter = file.metadata()?.len() < self.position;
        Ok(shorter
            || (self.first_line_crc.is_some()
                && place::first_line_crc(file)? != self.first_line_crc))
    }

    /// The place behind the last delivered line.
    pub(super) fn checkpoint(&self) -> Checkpoint {
        Checkpoint::File {
            path: self.log.display().to_string(),
            device: self.identity.device,
            inode: self.identity.inode,
            offset: self.offset,
            first_line_crc: self.first_line_crc,
        }
    }

    /// What to look for to find this file, and this place, under another name.
    pub(super) fn sought(&self) -> Sought {
        Sought {
            identity: self.identity,
            offset: self.offset,
            first_line_crc: self.first_line_crc,
        }
    }

    /// Whether this is the very file a path's metadata tells of.
    pub(super) fn is(&self, identity: Identity) -> bool {
        self.identity == identity && matches!(self.input, Input::Plain(_))
    }

    /// How long nothing has come.
    pub(super) fn quiet_for(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.last_growth)
    }

    /// The open file, to be watched.
    pub(super) fn descriptor(&self) -> BorrowedFd<'_> {
        match &self.input {
            Input::Plain(file) => file.as_fd(),
            Input::Gzip(decoder) => decoder.get_ref().as_fd(),
        }
    }
}

fn behind_last_line(file: &File) -> io::Result<u64> {
    let mut end = file.metadata()?.len();
    let mut chunk = vec![0; CHUNK];
    while end > 0 {
        let start = end.saturating_sub(to_u64(CHUNK)?);
        let length = usize::try_from(end - start).map_err(io::Error::other)?;
        file.read_exact_at(&mut chunk[..length], start)?;
        if let Some(newline) = memchr::memrchr(b'\n', &chunk[..length]) {
            return Ok(start + to_u64(newline + 1)?);
        }
        end = start;
    }
    Ok(0)
}

fn to_u64(length: usize) -> io::Result<u64> {
    u64::try_from(length).map_err(io::Error::other)
}
