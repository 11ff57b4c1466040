//! A log file's past: the file and what rotation made of it, oldest first.

use std::{
    fs, io,
    path::Path,
    time::{Instant, SystemTime},
};

use jiff::Timestamp;
use sshmeter_core::ledger::Checkpoint;

use super::{
    place::{self, Identity, Rotated},
    tail::Tail,
};
use crate::source::Line;

/// Rotation between listing and opening is tried again so often.
const ATTEMPTS: usize = 10;

/// Reads the lines of all files that were written to at `since` or later, and
/// gives the place behind the last of them. Lines can be older than `since`:
/// a file's own times are all that is looked at.
pub(in crate::source) fn past(
    path: &Path,
    since: Timestamp,
    each: &mut dyn FnMut(Line),
) -> io::Result<Checkpoint> {
    let now = Instant::now();
    let files = open_all(path, SystemTime::from(since), now)?;
    for mut tail in files.rotated {
        read_all(&mut tail, now, each)?;
        let checkpoint = tail.checkpoint();
        if let Some(text) = tail.into_rest() {
            each(Line { text, checkpoint });
        }
    }
    let Some(mut tail) = files.live else {
        return Ok(before_the_first_line(path));
    };
    read_all(&mut tail, now, each)?;
    Ok(tail.checkpoint())
}

fn before_the_first_line(path: &Path) -> Checkpoint {
    Checkpoint::File {
        path: path.display().to_string(),
        device: Identity::NONE.device,
        inode: Identity::NONE.inode,
        offset: 0,
        first_line_crc: None,
    }
}

fn read_all(tail: &mut Tail, now: Instant, each: &mut dyn FnMut(Line)) -> io::Result<()> {
    loop {
        let lines = tail.read(now)?;
        if lines.is_empty() {
            return Ok(());
        }
        lines.into_iter().for_each(&mut *each);
    }
}

struct Files {
    rotated: Vec<Tail>,
    live: Option<Tail>,
}

/// Opens everything before anything is read, and makes sure that no rotation
/// came in between, which would show one file twice and another not at all.
fn open_all(path: &Path, since: SystemTime, now: Instant) -> io::Result<Files> {
    for _ in 0..ATTEMPTS {
        let before = listing(path)?;
        let mut rotated = Vec::new();
        for file in before.0.iter().filter(|file| file.modified >= since) {
            match open_rotated(path, file, now) {
                Ok(tail) => rotated.push(tail),
                Err(error) => tracing::warn!(
                    "the rotated log file {} cannot be read: {error}",
                    file.path.display()
                ),
            }
        }
        let live = match &before.1 {
            Some((_, modified)) if *modified < since => Some(Tail::open_at_end(path, path, now)?),
            Some(_) => Some(Tail::open(path, path, 0, now)?),
            None => None,
        };
        let after = listing(path)?;
        if identities(&before) == identities(&after) {
            return Ok(Files { rotated, live });
        }
    }
    Err(io::Error::other(
        "the log is rotated faster than it can be opened",
    ))
}

type Listing = (Vec<Rotated>, Option<(Identity, SystemTime)>);

fn listing(path: &Path) -> io::Result<Listing> {
    let rotated = match place::rotated(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        other => other?,
    };
    let live = match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        other => {
            let metadata = other?;
            Some((Identity::of(&metadata), metadata.modified()?))
        }
    };
    Ok((rotated, live))
}

fn identities(listing: &Listing) -> Vec<Identity> {
    let rotated = listing.0.iter().map(|file| file.identity);
    rotated
        .chain(listing.1.iter().map(|(identity, _)| *identity))
        .collect()
}

fn open_rotated(log: &Path, file: &Rotated, now: Instant) -> io::Result<Tail> {
    if file.compressed {
        Tail::open_gzip(log, &file.path, 0, None, now)
    } else {
        Tail::open(log, &file.path, 0, now)
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Write as _, time::Duration};

    use flate2::{Compression, write::GzEncoder};

    use super::*;
    use crate::source::{Text, file::follower::Follower, file::follower::Step};

    fn collect(path: &Path, since: Timestamp) -> (Vec<String>, Checkpoint) {
        let mut lines = Vec::new();
        let checkpoint = past(path, since, &mut |line| {
            let Text::Plain(text) = line.text else {
                panic!("a file gives plain lines")
            };
            lines.push(String::from_utf8(text).unwrap());
        })
        .unwrap();
        (lines, checkpoint)
    }

    fn age(path: &Path, seconds: u64) {
        let file = fs::File::options().append(true).open(path).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(seconds))
            .unwrap();
    }

    #[test]
    fn the_past_is_read_oldest_first_and_followed_without_a_gap() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("auth.log");
        let compressed = folder.path().join("auth.log.2.gz");
        let mut encoder =
            GzEncoder::new(fs::File::create(&compressed).unwrap(), Compression::fast());
        encoder.write_all(b"one\ntwo\n").unwrap();
        encoder.finish().unwrap();
        fs::write(folder.path().join("auth.log.1"), "three\nfour").unwrap();
        fs::write(&path, "five\nsi").unwrap();
        age(&compressed, 5000);

        let (lines, checkpoint) = collect(&path, Timestamp::UNIX_EPOCH);
        assert_eq!(lines, ["one", "two", "three", "four", "five"]);
        let hour_ago = Timestamp::now() - jiff::SignedDuration::from_hours(1);
        assert_eq!(collect(&path, hour_ago).0, ["three", "four", "five"]);

        fs::OpenOptions::new()
            .append(true)
            .open(&path)
            .unwrap()
            .write_all(b"x\n")
            .unwrap();
        let mut follower = Follower::new(path, Some(&checkpoint));
        let now = Instant::now();
        assert!(matches!(follower.poll(now), Step::Waiting));
        let Step::Lines(lines) = follower.poll(now) else {
            panic!("the line that came in between is there")
        };
        assert_eq!(lines[0].text, Text::Plain(b"six".to_vec()));
    }

    #[test]
    fn an_old_file_is_passed_over_to_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("auth.log");
        fs::write(&path, "one\ntwo\nthr").unwrap();
        age(&path, 5000);
        let hour_ago = Timestamp::now() - jiff::SignedDuration::from_hours(1);
        let (lines, checkpoint) = collect(&path, hour_ago);
        assert!(lines.is_empty());
        let Checkpoint::File { offset, .. } = checkpoint else {
            panic!("a file's checkpoint")
        };
        assert_eq!(offset, 8);
    }

    #[test]
    fn a_log_that_is_not_there_yet_has_a_place_before_its_first_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("later/auth.log");
        let (lines, checkpoint) = collect(&path, Timestamp::UNIX_EPOCH);
        assert!(lines.is_empty());
        fs::create_dir(folder.path().join("later")).unwrap();
        fs::write(&path, "first\n").unwrap();
        let mut follower = Follower::new(path, Some(&checkpoint));
        let now = Instant::now();
        assert!(matches!(follower.poll(now), Step::Waiting));
        assert!(matches!(follower.poll(now), Step::Lines(_)));
    }
}
