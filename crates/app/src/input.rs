//! A log as a stream of lines, whatever it lies in: a file, standard input,
//! gzip. Told by looking at the first bytes, never by the name.
//!
//! Lines are any bytes. One that is longer than any log's is cut, so that a
//! file without newlines cannot fill the memory.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::Path,
    time::SystemTime,
};

use flate2::bufread::MultiGzDecoder;
use memchr::memchr;

/// Longer than a journal entry that `journalctl` prints whole.
const LONGEST_LINE: usize = 1 << 20;

/// How much is read at once.
const CHUNK: usize = 1 << 16;

/// Forms of logs that are no text, by their first bytes, and what makes text of them.
const FOREIGN: [(&[u8], &str, &str); 5] = [
    (b"LPKSHHRH", "a journal file", "journalctl -o json --file"),
    (b"\xfd7zXZ\0", "compressed with xz", "xzcat"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd", "zstdcat"),
    (b"BZh", "compressed with bzip2", "bzcat"),
    (b"\x04\x22\x4d\x18", "compressed with lz4", "lz4cat"),
];

/// An input that cannot be read as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is {what}")]
pub struct Foreign {
    what: &'static str,
    /// The command that makes text of it.
    pub reader: &'static str,
}

/// What comes of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part<'a> {
    /// A line, without its newline.
    Line(&'a [u8]),
    /// All lines that there were have been given; the next may be long in coming.
    Pause,
}

/// An open log.
pub struct Input {
    reader: Box<dyn BufRead>,
    /// When it was last written to, where that is known.
    pub changed: Option<SystemTime>,
}

impl Input {
    /// Opens a file.
    ///
    /// # Errors
    /// The file's own, or [`Foreign`] within one.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        let changed = metadata.modified().ok().filter(|_| metadata.is_file());
        Self::of(file, changed)
    }

    /// Standard input.
    ///
    /// # Errors
    /// As for [`Input::open`].
    pub fn standard() -> io::Result<Self> {
        Self::of(io::stdin(), None)
    }

    /// Looks at a stream's first bytes and takes gzip off.
    ///
    /// # Errors
    /// As for [`Input::open`].
    pub fn of(stream: impl Read + 'static, changed: Option<SystemTime>) -> io::Result<Self> {
        let mut stream = BufReader::with_capacity(CHUNK, stream);
        let beginning = beginning(&mut stream)?;
        for (magic, what, reader) in FOREIGN {
            if beginning.starts_with(magic) {
                return Err(io::Error::other(Foreign { what, reader }));
            }
        }
        let is_gzip = beginning.starts_with(b"\x1f\x8b");
        let whole = io::Cursor::new(beginning).chain(stream);
        let reader: Box<dyn BufRead> = if is_gzip {
            Box::new(BufReader::with_capacity(CHUNK, MultiGzDecoder::new(whole)))
        } else {
            Box::new(whole)
        };
        Ok(Self { reader, changed })
    }

    /// Gives every line to `each`, and where it has to wait for more, until it fails.
    ///
    /// # Errors
    /// The stream's, or those of `each`.
    pub fn each_line<E: From<io::Error>>(
        mut self,
        mut each: impl FnMut(Part<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut begun: Vec<u8> = Vec::new();
        loop {
            let buffer = match self.reader.fill_buf() {
                Ok(buffer) => buffer,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error.into()),
            };
            if buffer.is_empty() {
                break;
            }
            let mut rest = buffer;
            while let Some(end) = memchr(b'\n', rest) {
                if begun.is_empty() {
                    each(Part::Line(&rest[..end]))?;
                } else {
                    append(&mut begun, &rest[..end]);
                    each(Part::Line(&begun))?;
                    begun.clear();
                }
                rest = &rest[end + 1..];
            }
            append(&mut begun, rest);
            let length = buffer.len();
            self.reader.consume(length);
            each(Part::Pause)?;
        }
        if begun.is_empty() {
            Ok(())
        } else {
            each(Part::Line(&begun))
        }
    }
}

fn append(line: &mut Vec<u8>, more: &[u8]) {
    let room = LONGEST_LINE.saturating_sub(line.len());
    line.extend_from_slice(&more[..more.len().min(room)]);
}

/// The first bytes, as many as the longest magic needs; a pipe may give them
/// one by one.
fn beginning(stream: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut beginning = Vec::new();
    stream.take(8).read_to_end(&mut beginning)?;
    Ok(beginning)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::{Compression, write::GzEncoder};

    use super::*;

    fn lines(bytes: Vec<u8>) -> Vec<Vec<u8>> {
        let mut lines = Vec::new();
        Input::of(io::Cursor::new(bytes), None)
            .expect("a log")
            .each_line(|part| {
                if let Part::Line(line) = part {
                    lines.push(line.to_vec());
                }
                Ok::<_, io::Error>(())
            })
            .expect("read to its end");
        lines
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn lines_of_any_bytes_come_whole() {
        let long = vec![b'x'; 3 * CHUNK];
        let text = [b"a\n\xff\0\n\n".as_slice(), &long, b"\nlast"].concat();
        let expected = [
            b"a".to_vec(),
            b"\xff\0".to_vec(),
            vec![],
            long,
            b"last".to_vec(),
        ];
        assert_eq!(lines(text.clone()), expected);
        assert_eq!(lines(gzip(&text)), expected);
        assert_eq!(lines(Vec::new()), Vec::<Vec<u8>>::new());
        assert_eq!(lines(b"x".to_vec()), [b"x"]);
    }

    #[test]
    fn a_rotated_log_can_be_several_gzips() {
        let two = [gzip(b"one\n"), gzip(b"two\n")].concat();
        assert_eq!(lines(two), [b"one", b"two"]);
    }

    /// Whoever shows lines as they happen has to know when to show them.
    #[test]
    fn a_pause_follows_what_has_come() {
        struct OneByOne(Vec<&'static [u8]>);
        impl Read for OneByOne {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                let Some(piece) = self.0.pop() else {
                    return Ok(0);
                };
                buffer[..piece.len()].copy_from_slice(piece);
                Ok(piece.len())
            }
        }
        let pieces = OneByOne(vec![b"d\n", b"\nc", b"\nb", b"01234567"]);
        let mut parts = Vec::new();
        Input::of(pieces, None)
            .expect("a log")
            .each_line(|part| {
                parts.push(match part {
                    Part::Line(line) => String::from_utf8_lossy(line).into_owned(),
                    Part::Pause => "-".to_owned(),
                });
                Ok::<_, io::Error>(())
            })
            .expect("read to its end");
        assert_eq!(parts, ["-", "01234567", "-", "b", "-", "cd", "-"]);
    }

    #[test]
    fn a_line_without_end_is_cut() {
        let endless = vec![b'x'; LONGEST_LINE + CHUNK];
        let text = [&endless[..], b"\nnext\n"].concat();
        let lines = lines(text);
        assert_eq!(lines[0].len(), LONGEST_LINE);
        assert_eq!(lines[1], b"next");
    }

    #[test]
    fn what_is_no_text_is_named() {
        for (magic, _, reader) in FOREIGN {
            let error = Input::of(io::Cursor::new([magic, b"........"].concat()), None)
                .err()
                .expect("no log");
            let inner = error.downcast::<Foreign>().expect("named");
            assert_eq!(inner.reader, reader);
        }
    }

    #[test]
    fn a_broken_gzip_is_an_error() {
        let mut half = gzip(b"Nov 22 17:32:22 lab sshd[66]: x\n");
        half.truncate(half.len() / 2);
        let input = Input::of(io::Cursor::new(half), None).expect("a beginning");
        assert!(input.each_line(|_| Ok::<_, io::Error>(())).is_err());
    }
}
