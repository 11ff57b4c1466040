//! Where notes of ends are kept: a file in memory, which outlives the daemon
//! where a service manager keeps its descriptor.
//!
//! Notes are appended, and cleared from the front once the ledger has them. A
//! kill at any instant leaves every note whole that was not cleared.

use std::os::fd::OwnedFd;

use anyhow::{Context as _, Result, ensure};
use rustix::{
    fs::{FallocateFlags, FileType, MemfdFlags, SeekFrom},
    io::Errno,
};
use sshmeter_core::note::{Note, Noted, read_notes};

/// The file's name, by which the kernel tells it from others.
const NAME: &str = "sshmeter-end-notes";

/// The notes. Without a file, notes are not kept.
#[derive(Debug)]
pub struct Notes {
    file: Option<OwnedFd>,
    /// Where the next note goes.
    end: u64,
}

impl Notes {
    /// An empty file of notes.
    ///
    /// # Errors
    /// Where the kernel gives none.
    pub fn begin() -> Result<Self> {
        let file =
            match rustix::fs::memfd_create(NAME, MemfdFlags::CLOEXEC | MemfdFlags::NOEXEC_SEAL) {
                // Kernels before 6.3 do not know that nobody will execute it.
                Err(Errno::INVAL) => rustix::fs::memfd_create(NAME, MemfdFlags::CLOEXEC),
                made => made,
            };
        Ok(Self {
            file: Some(file.context("no file in memory can be had for notes of ends")?),
            end: 0,
        })
    }

    /// No file: ends are kept by nobody but the daemon.
    #[must_use]
    pub fn nowhere() -> Self {
        Self { file: None, end: 0 }
    }

    /// Goes on with the notes of a daemon before, and gives what they say.
    ///
    /// # Errors
    /// Where the descriptor is no such file.
    pub fn resume(file: OwnedFd) -> Result<(Self, Noted)> {
        check(&file)?;
        let (begin, text) = content(&file)?;
        let noted = read_notes(&text);
        let end = begin + noted.whole_bytes as u64;
        // A note that was cut short in writing must not run into the next one.
        rustix::fs::ftruncate(&file, end)?;
        let notes = Self {
            file: Some(file),
            end,
        };
        Ok((notes, noted))
    }

    /// The descriptor, to be kept by whoever outlives us.
    #[must_use]
    pub fn descriptor(&self) -> Option<&OwnedFd> {
        self.file.as_ref()
    }

    /// How far notes reach by now.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.end
    }

    /// Adds a note.
    ///
    /// # Errors
    /// Where it could not be written; nothing of it stays then.
    pub fn append(&mut self, note: &Note) -> Result<()> {
        let Some(file) = &self.file else {
            return Ok(());
        };
        let line = note.line()?;
        let written = write_all(file, &line, self.end);
        match written {
            Ok(()) => self.end += line.len() as u64,
            Err(_) => rustix::fs::ftruncate(file, self.end)?,
        }
        Ok(written?)
    }

    /// Clears the notes up to a place that [`Self::end`] gave.
    ///
    /// # Errors
    /// Where the kernel refuses; they stay then, which is harmless.
    pub fn clear(&mut self, to: u64) -> Result<()> {
        let Some(file) = &self.file else {
            return Ok(());
        };
        if to == self.end {
            rustix::fs::ftruncate(file, 0)?;
            self.end = 0;
        } else if to > 0 {
            let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            rustix::fs::fallocate(file, flags, 0, to)?;
        }
        Ok(())
    }
}

/// Refuses what is not a file of notes, since notes are cut and cleared.
fn check(file: &OwnedFd) -> Result<()> {
    let kind = rustix::fs::fstat(file)?;
    ensure!(
        FileType::from_raw_mode(kind.st_mode) == FileType::RegularFile && kind.st_nlink == 0,
        "it is no file in memory"
    );
    let name = rustix::fs::readlink(super::descriptor_path(file), Vec::new())?;
    ensure!(
        name.to_bytes() == format!("/memfd:{NAME} (deleted)").as_bytes(),
        "it is another file, {}",
        name.to_string_lossy()
    );
    Ok(())
}

/// What is in the file, and where that begins: what was cleared at its front
/// takes no room, and may be long.
fn content(file: &OwnedFd) -> Result<(u64, Vec<u8>)> {
    let begin = match rustix::fs::seek(file, SeekFrom::Data(0)) {
        Err(Errno::NXIO) => return Ok((0, Vec::new())),
        found => found?,
    };
    let mut text = Vec::new();
    let mut piece = vec![0; 64 * 1024];
    loop {
        let read = rustix::io::pread(file, &mut piece, begin + text.len() as u64)?;
        if read == 0 {
            return Ok((begin, text));
        }
        text.extend_from_slice(&piece[..read]);
    }
}

fn write_all(file: &OwnedFd, mut bytes: &[u8], mut place: u64) -> Result<(), Errno> {
    while !bytes.is_empty() {
        match rustix::io::pwrite(file, bytes, place) {
            Ok(0) => return Err(Errno::NOSPC),
            Ok(written) => {
                bytes = &bytes[written..];
                place += written as u64;
            }
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
