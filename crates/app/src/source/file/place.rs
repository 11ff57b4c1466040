//! Which file is which: a log is known by device, inode and its first line's
//! checksum, never by its name, since rotation gives names away.
//!
//! It lists what rotation left beside a log and finds a sought file among it.
//! It refuses to guess: what it cannot recognise is not found.

use std::{
    cmp::Reverse,
    ffi::OsStr,
    fs::{self, File, Metadata, OpenOptions},
    io::{self, Read},
    os::unix::{
        ffi::OsStrExt,
        fs::{FileExt, MetadataExt, OpenOptionsExt},
    },
    path::{Path, PathBuf},
    time::SystemTime,
};

use flate2::read::MultiGzDecoder;
use rustix::fs::OFlags;

/// A longer first line is known by this much of it.
const FIRST_LINE_LIMIT: usize = 64 * 1024;

/// What the kernel knows a file by while it exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) device: u64,
    pub(super) inode: u64,
}

impl Identity {
    /// No file at all: stands in a checkpoint for "the log was not there yet".
    pub(super) const NONE: Self = Self {
        device: 0,
        inode: 0,
    };

    pub(super) fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
        }
    }
}

/// A file beside the log which rotation made out of it.
#[derive(Clone, Debug)]
pub(super) struct Rotated {
    pub(super) path: PathBuf,
    pub(super) identity: Identity,
    pub(super) size: u64,
    pub(super) modified: SystemTime,
    pub(super) compressed: bool,
}

/// A place in a file whose present name is unknown.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sought {
    pub(super) identity: Identity,
    pub(super) offset: u64,
    pub(super) first_line_crc: Option<u32>,
}

/// Opens a log for reading; anything but a regular file is refused, without
/// waiting for a fifo's other end.
pub(super) fn open(path: &Path) -> io::Result<File> {
    let nonblocking = i32::try_from(OFlags::NONBLOCK.bits()).map_err(io::Error::other)?;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(nonblocking)
        .open(path)?;
    regular(&file.metadata()?)?;
    Ok(file)
}

/// Refuses what is no regular file, and says what it is.
pub(super) fn regular(metadata: &Metadata) -> io::Result<()> {
    if metadata.is_file() {
        return Ok(());
    }
    let what = if metadata.is_dir() {
        "a directory"
    } else {
        "a pipe, socket or device"
    };
    Err(io::Error::new(
        io::ErrorKind::InvalidInput,
        format!("it is {what}, not a regular file"),
    ))
}

/// The checksum of a file's first line with its newline; `None` while that
/// line is not complete.
pub(super) fn first_line_crc(file: &File) -> io::Result<Option<u32>> {
    let mut position = 0;
    first_line_crc_of(|buffer| {
        let count = file.read_at(buffer, position)?;
        position += u64::try_from(count).map_err(io::Error::other)?;
        Ok(count)
    })
}

fn first_line_crc_of(
    mut read: impl FnMut(&mut [u8]) -> io::Result<usize>,
) -> io::Result<Option<u32>> {
    let mut head = Vec::new();
    let mut buffer = [0; 1024];
    while head.len() < FIRST_LINE_LIMIT {
        let count = match read(&mut buffer) {
            Ok(0) => return Ok(None),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if let Some(end) = memchr::memchr(b'\n', &buffer[..count]) {
            head.extend_from_slice(&buffer[..=end]);
            return Ok(Some(crc32fast::hash(&head)));
        }
        head.extend_from_slice(&buffer[..count]);
    }
    Ok(Some(crc32fast::hash(&head[..FIRST_LINE_LIMIT])))
}

/// What rotation left beside `path`, oldest first; `path` itself is not in it.
/// Compressed by anything but gzip counts as not there.
pub(super) fn rotated(path: &Path) -> io::Result<Vec<Rotated>> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Ok(Vec::new());
    };
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let Some(suffix) = Suffix::parse(name, &entry.file_name()) else {
            continue;
        };
        // Rotation may be at work: a name that is gone by now is not there.
        let Ok(metadata) = fs::metadata(entry.path()) else {
            continue;
        };
        if metadata.is_file() {
            let rotated = Rotated {
                path: entry.path(),
                identity: Identity::of(&metadata),
                size: metadata.len(),
                modified: metadata.modified()?,
                compressed: suffix.compressed,
            };
            found.push((suffix, rotated));
        }
    }
    Ok(in_order(found))
}

/// Numbers and dates tell the order for certain; only where a folder holds
/// both kinds the times of change have to.
fn in_order(mut found: Vec<(Suffix, Rotated)>) -> Vec<Rotated> {
    if found.iter().all(|(suffix, _)| suffix.number.is_some()) {
        // A file just compressed stands beside its original for a moment: the
        // original comes last, so that nothing is taken to follow it.
        found.sort_by_key(|(suffix, _)| (Reverse(suffix.number), !suffix.compressed));
    } else if found.iter().all(|(suffix, _)| suffix.number.is_none()) {
        found.sort_by(|(one, _), (other, _)| {
            (&one.date, !one.compressed).cmp(&(&other.date, !other.compressed))
        });
    } else {
        found.sort_by_key(|(_, rotated)| rotated.modified);
    }
    found.into_iter().map(|(_, rotated)| rotated).collect()
}

/// What rotation appended to a log's name: `.1`, `.2.gz`, `-20261122`, `-20261122.gz`.
struct Suffix {
    number: Option<u64>,
    date: String,
    compressed: bool,
}

impl Suffix {
    fn parse(log: &OsStr, name: &OsStr) -> Option<Self> {
        let suffix = name.as_bytes().strip_prefix(log.as_bytes())?;
        let suffix = str::from_utf8(suffix).ok()?;
        let (mark, compressed) = match suffix.strip_suffix(".gz") {
            Some(mark) => (mark, true),
            None => (suffix, false),
        };
        let digits = mark.strip_prefix(['.', '-'])?;
        let plausible = digits.starts_with(|first: char| first.is_ascii_digit())
            && digits
                .chars()
                .all(|each| each.is_ascii_digit() || matches!(each, '-' | '_' | 'T' | '.'));
        if !plausible {
            return None;
        }
        // Six digits and more are a date (`.20261122` is one too), not the
        // millionth rotation.
        let number = (digits.len() < 6).then(|| digits.parse().ok()).flatten();
        Some(Self {
            number,
            date: digits.to_owned(),
            compressed,
        })
    }
}

/// Which of `rotated` holds the sought place: the file itself under its new
/// name, else a copy of it (copytruncate) or its compressed form.
pub(super) fn find(rotated: &[Rotated], sought: Sought) -> Option<usize> {
    let itself = rotated.iter().position(|candidate| {
        candidate.identity == sought.identity
            && (candidate.compressed || candidate.size >= sought.offset)
            && (sought.first_line_crc.is_none() || crc_of(candidate) == sought.first_line_crc)
    });
    let copy = |compressed: bool| {
        rotated.iter().rposition(|candidate| {
            sought.first_line_crc.is_some()
                && candidate.compressed == compressed
                && (compressed || candidate.size >= sought.offset)
                && crc_of(candidate) == sought.first_line_crc
        })
    };
    itself.or_else(|| copy(false)).or_else(|| copy(true))
}

/// An unreadable candidate is not recognised, which is all that matters here.
fn crc_of(candidate: &Rotated) -> Option<u32> {
    let file = open(&candidate.path).ok()?;
    if candidate.compressed {
        compressed_first_line_crc(file).ok()?
    } else {
        first_line_crc(&file).ok()?
    }
}

/// The same checksum of what a compressed file holds.
pub(super) fn compressed_first_line_crc(file: File) -> io::Result<Option<u32>> {
    let mut decoder = MultiGzDecoder::new(file);
    first_line_crc_of(|buffer| decoder.read(buffer))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path, log: &str) -> Vec<String> {
        rotated(&folder.join(log))
            .unwrap()
            .into_iter()
            .map(|rotated| rotated.path.file_name().unwrap().display().to_string())
            .collect()
    }

    #[test]
    fn rotated_files_are_listed_oldest_first() {
        let folder = tempfile::tempdir().unwrap();
        for name in [
            "auth.log",
            "auth.log.1",
            "auth.log.2.gz",
            "auth.log.10.gz",
            "auth.log.1.xz",
            "auth.log.old",
            "auth.log.",
            "auth.log-",
            "auth.logs.1",
            "other.log.1",
        ] {
            fs::write(folder.path().join(name), "x\n").unwrap();
        }
        fs::create_dir(folder.path().join("auth.log.3")).unwrap();
        assert_eq!(
            names(folder.path(), "auth.log"),
            ["auth.log.10.gz", "auth.log.2.gz", "auth.log.1"]
        );
    }

    #[test]
    fn dates_order_too() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["secure-20261122", "secure-20261101.gz", "secure-20261115"] {
            fs::write(folder.path().join(name), "x\n").unwrap();
        }
        assert_eq!(
            names(folder.path(), "secure"),
            ["secure-20261101.gz", "secure-20261115", "secure-20261122"]
        );
    }

    #[test]
    fn a_first_line_counts_once_complete() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        fs::write(&path, "half").unwrap();
        assert_eq!(first_line_crc(&File::open(&path).unwrap()).unwrap(), None);
        fs::write(&path, "half no more\nnext").unwrap();
        assert_eq!(
            first_line_crc(&File::open(&path).unwrap()).unwrap(),
            Some(crc32fast::hash(b"half no more\n"))
        );
        fs::write(&path, vec![b'x'; FIRST_LINE_LIMIT + 7]).unwrap();
        assert_eq!(
            first_line_crc(&File::open(&path).unwrap()).unwrap(),
            Some(crc32fast::hash(&vec![b'x'; FIRST_LINE_LIMIT]))
        );
    }

    #[test]
    fn what_is_no_file_is_refused_without_waiting() {
        let folder = tempfile::tempdir().unwrap();
        let fifo = folder.path().join("fifo");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &fifo,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RUSR,
            0,
        )
        .unwrap();
        for path in [folder.path(), &fifo] {
            let error = open(path).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{error}");
        }
    }
}
