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

#[cfg(test)]
mod tests {
    use std::{fs::File, io::Write as _};

    use jiff::Timestamp;
    use sshmeter_core::{
        identity::{BootId, Endpoint, SocketCookie},
        meter::{Socket, TcpSample},
    };

    use super::*;

    fn note(cookie: u64) -> Note {
        Note {
            boot: BootId("this-boot".into()),
            heard: Timestamp::UNIX_EPOCH,
            socket: Socket {
                cookie: SocketCookie(cookie),
                local: Endpoint::default(),
                peer: Endpoint::default(),
                inode: None,
                rule: None,
                sample: TcpSample::default(),
            },
        }
    }

    /// The cookies of the notes that a daemon would find now.
    fn found(notes: &Notes) -> Vec<u64> {
        let copy = notes.descriptor().unwrap().try_clone().unwrap();
        let (_, noted) = Notes::resume(copy).unwrap();
        assert_eq!(noted.unreadable, 0);
        noted.notes.iter().map(|it| it.socket.cookie.0).collect()
    }

    #[test]
    fn notes_are_there_until_they_are_cleared_and_newer_ones_stay() {
        let mut notes = Notes::begin().unwrap();
        // Several pages, so that clearing makes a real hole.
        for cookie in 0..200 {
            notes.append(&note(cookie)).unwrap();
        }
        let taken = notes.end();
        notes.append(&note(200)).unwrap();
        notes.clear(taken).unwrap();
        assert_eq!(found(&notes), [200]);
        notes.append(&note(201)).unwrap();
        assert_eq!(found(&notes), [200, 201]);
        notes.clear(notes.end()).unwrap();
        assert!(found(&notes).is_empty());
        assert_eq!(notes.end(), 0, "an empty file takes no room");
        notes.append(&note(202)).unwrap();
        assert_eq!(found(&notes), [202]);
    }

    #[test]
    fn a_note_that_was_cut_in_writing_does_not_run_into_the_next() {
        let whole = note(1).line().unwrap();
        for cut in 0..whole.len() {
            let mut notes = Notes::begin().unwrap();
            notes.append(&note(7)).unwrap();
            let descriptor = notes.descriptor().unwrap().try_clone().unwrap();
            write_all(&descriptor, &whole[..cut], notes.end()).unwrap();
            let (mut notes, noted) = Notes::resume(descriptor).unwrap();
            assert_eq!((noted.notes.len(), noted.unreadable), (1, 0));
            notes.append(&note(8)).unwrap();
            assert_eq!(found(&notes), [7, 8]);
        }
    }

    #[test]
    fn what_is_no_file_of_notes_is_refused_and_left_alone() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"dear diary").unwrap();
        let copy = file.try_clone().unwrap();
        assert!(Notes::resume(copy.into()).is_err());
        assert_eq!(file.metadata().unwrap().len(), 10);
        let other = rustix::fs::memfd_create("other", MemfdFlags::CLOEXEC).unwrap();
        assert!(Notes::resume(other).is_err());
        let socket = std::net::UdpSocket::bind(("127.0.0.1", 0)).unwrap();
        assert!(Notes::resume(socket.into()).is_err());
    }

    #[test]
    fn a_note_that_does_not_fit_leaves_nothing() {
        let mut notes = Notes::begin().unwrap();
        notes.append(&note(1)).unwrap();
        let descriptor = notes.descriptor().unwrap().try_clone().unwrap();
        // A read-only copy of the same file takes no note.
        let path = super::super::descriptor_path(&descriptor);
        notes.file = Some(File::open(path).unwrap().into());
        assert!(notes.append(&note(2)).is_err());
        notes.file = Some(descriptor);
        assert_eq!(found(&notes), [1]);
    }
}
