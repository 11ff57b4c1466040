//! The follower against real files, driven with a clock of the tests' own.

use std::{
    fs::{File, OpenOptions},
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
};

use flate2::{Compression, write::GzEncoder};
use proptest::prelude::*;
use rustix::thread::CapabilitySet;
use tempfile::TempDir;

use super::*;
use crate::source::{Text, file::past};

/// A log being written and rotated, and somebody following it.
struct Scene {
    folder: TempDir,
    now: Instant,
    follower: Follower,
    checkpoint: Option<Checkpoint>,
    lines: Vec<String>,
    notices: Vec<String>,
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("auth.log");
        let checkpoint = past(&path, jiff::Timestamp::UNIX_EPOCH, &mut |_| {}).unwrap();
        Self {
            follower: Follower::new(path, Some(&checkpoint)),
            folder,
            now: Instant::now(),
            checkpoint: Some(checkpoint),
            lines: Vec::new(),
            notices: Vec::new(),
        }
    }

    fn path(&self) -> PathBuf {
        self.numbered(0)
    }

    fn numbered(&self, number: usize) -> PathBuf {
        match number {
            0 => self.folder.path().join("auth.log"),
            _ => self.folder.path().join(format!("auth.log.{number}")),
        }
    }

    fn append(&self, text: &str) {
        append(&self.path(), text);
    }

    fn rename_all(&self) {
        for number in (0..20).rev() {
            let old = self.numbered(number);
            if old.exists() {
                fs::rename(&old, self.numbered(number + 1)).unwrap();
            }
            let compressed = gz(&old);
            if compressed.exists() {
                fs::rename(&compressed, gz(&self.numbered(number + 1))).unwrap();
            }
        }
    }

    fn restart(&mut self) {
        self.follower = Follower::new(self.path(), self.checkpoint.as_ref());
    }

    /// Polls until nothing is left to read.
    fn drain(&mut self) {
        for _ in 0..1000 {
            match self.follower.poll(self.now) {
                Step::Lines(lines) => self.take(lines),
                Step::Notice(notice) => self.notices.push(notice),
                Step::Waiting => self.now += QUIET,
                Step::Idle => return,
            }
        }
        panic!("the follower never comes to rest");
    }

    fn take(&mut self, lines: Vec<Line>) {
        for line in lines {
            let Text::Plain(text) = line.text else {
                panic!("a file gives plain lines")
            };
            self.lines.push(String::from_utf8_lossy(&text).into_owned());
            self.checkpoint = Some(line.checkpoint);
        }
    }

    fn expect(&mut self, lines: &[&str]) {
        self.drain();
        assert_eq!(self.lines, lines, "notices: {:#?}", self.notices);
        self.lines.clear();
    }

    fn expect_notice(&mut self, words: &str) {
        let found = self.notices.iter().any(|notice| notice.contains(words));
        assert!(found, "no {words:?} in {:#?}", self.notices);
        self.notices.clear();
    }
}

fn append(path: &Path, text: &str) {
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

fn gz(path: &Path) -> PathBuf {
    PathBuf::from(format!("{}.gz", path.display()))
}

fn compress(path: &Path) {
    let mut encoder = GzEncoder::new(File::create(gz(path)).unwrap(), Compression::fast());
    encoder.write_all(&fs::read(path).unwrap()).unwrap();
    encoder.finish().unwrap();
    fs::remove_file(path).unwrap();
}

#[test]
fn lines_come_once_complete() {
    let mut scene = Scene::new();
    scene.expect(&[]);
    scene.append("one\ntw");
    scene.expect(&["one"]);
    scene.append("o\n");
    scene.expect(&["two"]);
    scene.restart();
    scene.append("three\n");
    scene.expect(&["three"]);
    assert_eq!(scene.notices, [""; 0]);
}

#[test]
fn without_a_checkpoint_the_past_is_left_alone() {
    let mut scene = Scene::new();
    scene.append("past\nunfini");
    scene.follower = Follower::new(scene.path(), None);
    scene.drain();
    scene.append("shed\nnew\n");
    scene.expect(&["unfinished", "new"]);
}

#[test]
fn the_old_file_is_drained_before_the_new_one() {
    let mut scene = Scene::new();
    scene.append("one\n");
    scene.expect(&["one"]);
    scene.rename_all();
    append(&scene.numbered(1), "two\n");
    scene.append("");
    scene.expect(&["two"]);
    // The new file is there, and the log daemon has not been told yet.
    append(&scene.numbered(1), "three\n");
    scene.append("four\n");
    let now = scene.now;
    let Step::Lines(lines) = scene.follower.poll(now) else {
        panic!("the old file goes first")
    };
    scene.take(lines);
    assert!(matches!(scene.follower.poll(now), Step::Waiting));
    append(&scene.numbered(1), "late");
    scene.expect(&["three", "late", "four"]);
}

#[test]
fn rotations_while_away_are_caught_up_with() {
    let mut scene = Scene::new();
    scene.append("one\n");
    scene.expect(&["one"]);
    scene.append("two\n");
    scene.rename_all();
    scene.append("three\n");
    scene.rename_all();
    scene.append("");
    scene.rename_all();
    compress(&scene.numbered(3));
    scene.append("four\n");
    scene.restart();
    scene.expect(&["two", "three", "four"]);
    scene.rename_all();
    compress(&scene.numbered(1));
    scene.append("five\n");
    scene.restart();
    scene.expect(&["five"]);
    scene.expect_notice("was rotated");
}

#[test]
fn a_lost_place_is_said_and_the_present_file_read_whole() {
    let mut scene = Scene::new();
    scene.append("one\n");
    scene.expect(&["one"]);
    scene.append("lost\n");
    fs::remove_file(scene.path()).unwrap();
    // The same inode may well be given out again: the first line tells.
    scene.append("two\n");
    scene.restart();
    scene.expect(&["two"]);
    scene.expect_notice("may be missing");
}

#[test]
fn a_copytruncate_is_continued_in_the_copy() {
    let mut scene = Scene::new();
    scene.append("one\n");
    scene.expect(&["one"]);
    scene.append("two\n");
    fs::copy(scene.path(), scene.numbered(1)).unwrap();
    File::create(scene.path()).unwrap();
    scene.append("3\n");
    scene.expect(&["two", "3"]);
    scene.expect_notice("truncated in place after byte 4: its end is read from");
}

#[test]
fn a_truncation_without_a_copy_is_said() {
    let mut scene = Scene::new();
    scene.append("one\ntwo\n");
    scene.expect(&["one", "two"]);
    File::create(scene.path()).unwrap();
    scene.append("three and more than before\n");
    scene.expect(&["three and more than before"]);
    scene.expect_notice("are lost");
}

#[test]
fn a_place_behind_the_end_is_no_place() {
    let mut scene = Scene::new();
    scene.append("one\ntwo\n");
    scene.expect(&["one", "two"]);
    fs::write(scene.path(), "one\n").unwrap();
    scene.restart();
    scene.expect(&["one"]);
    scene.expect_notice("may be missing");
}

#[test]
fn very_long_lines_are_cut_and_holes_skipped() {
    let mut scene = Scene::new();
    let long = "x".repeat(3 * super::super::tail::LINE_LIMIT);
    scene.append(&format!("{long}\nnext\n\0\0\0"));
    scene.append(&format!("{}behind a hole\na\0b\n", "\0".repeat(100_000)));
    let cut = &long[..super::super::tail::LINE_LIMIT];
    scene.expect(&[cut, "next", "behind a hole", "a\0b"]);
}

#[test]
fn a_folder_that_comes_later_is_found() {
    let mut scene = Scene::new();
    let path = scene.folder.path().join("later/auth.log");
    scene.follower = Follower::new(path.clone(), None);
    scene.expect(&[]);
    fs::create_dir(path.parent().unwrap()).unwrap();
    scene.expect(&[]);
    append(&path, "one\n");
    scene.expect(&["one"]);
}

#[test]
fn what_cannot_be_read_is_said_once_and_tried_again() {
    let mut scene = Scene::new();
    fs::create_dir(scene.path()).unwrap();
    scene.expect(&[]);
    scene.expect(&[]);
    assert_eq!(scene.notices.len(), 1);
    scene.expect_notice("it is a directory, not a regular file");
    fs::remove_dir(scene.path()).unwrap();
    scene.append("one\n");
    scene.expect(&["one"]);
    scene.expect_notice("can be read again");
}

/// Makes this thread obey file modes even as root.
fn obey_file_modes() {
    let mut sets = rustix::thread::capabilities(None).unwrap();
    sets.effective
        .remove(CapabilitySet::DAC_OVERRIDE | CapabilitySet::DAC_READ_SEARCH);
    rustix::thread::set_capabilities(None, sets).unwrap();
}

#[test]
fn lost_rights_keep_the_open_file_and_come_back() {
    obey_file_modes();
    let mut scene = Scene::new();
    scene.append("one\n");
    scene.expect(&["one"]);
    scene.rename_all();
    scene.append("two\n");
    fs::set_permissions(scene.path(), fs::Permissions::from_mode(0o000)).unwrap();
    append(&scene.numbered(1), "still\n");
    scene.expect(&["still"]);
    scene.expect_notice("cannot be read at the moment");
    fs::set_permissions(scene.path(), fs::Permissions::from_mode(0o600)).unwrap();
    scene.expect(&["two"]);
}

#[derive(Clone, Debug)]
enum Deed {
    Append,
    AppendPart,
    Rotate { create: bool },
    Compress,
    Drain,
    PollOnce,
    Restart,
}

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        4 => Just(Deed::Append),
        2 => Just(Deed::AppendPart),
        2 => any::<bool>().prop_map(|create| Deed::Rotate { create }),
        1 => Just(Deed::Compress),
        2 => Just(Deed::Drain),
        3 => Just(Deed::PollOnce),
        2 => Just(Deed::Restart),
    ]
}

/// What was written, as lines.
#[derive(Default)]
struct Written {
    lines: Vec<String>,
    part: String,
    count: usize,
}

impl Written {
    fn part(&mut self) -> String {
        self.count += 1;
        let text = format!("<{}>", self.count);
        self.part.push_str(&text);
        text
    }

    fn finish(&mut self) {
        if !self.part.is_empty() {
            self.lines.push(std::mem::take(&mut self.part));
        }
    }
}

/// A file is known by its inode alone while its first line is not complete, and
/// compressing gives it another inode. sshd's host never writes such a log: one
/// unfinished line and nothing else, rotated and compressed at once.
fn may_compress(scene: &Scene, path: &Path) -> bool {
    let known_by_its_line = !matches!(
        &scene.checkpoint,
        Some(Checkpoint::File { inode, first_line_crc: None, .. })
            if *inode == Identity::of(&fs::metadata(path).unwrap()).inode
    );
    known_by_its_line && fs::read(path).unwrap().contains(&b'\n')
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn every_line_comes_once_and_in_order(deeds in proptest::collection::vec(deed(), 1..40)) {
        let mut scene = Scene::new();
        let mut written = Written::default();
        scene.append("begin\n");
        written.lines.push("begin".to_owned());
        scene.drain();
        let mut rotations = 0;
        for deed in deeds {
            match deed {
                Deed::Append => {
                    let text = written.part();
                    scene.append(&format!("{text}\n"));
                    written.finish();
                }
                Deed::AppendPart => scene.append(&written.part()),
                Deed::Rotate { create } if rotations < 15 => {
                    rotations += 1;
                    scene.rename_all();
                    written.finish();
                    if create {
                        scene.append("");
                    }
                }
                Deed::Compress => {
                    let oldest = (1..20).rev().map(|number| scene.numbered(number)).find(|path| path.exists());
                    if let Some(path) = oldest.filter(|path| may_compress(&scene, path)) {
                        compress(&path);
                    }
                }
                Deed::Drain => scene.drain(),
                Deed::PollOnce => {
                    if let Step::Lines(lines) = scene.follower.poll(scene.now) {
                        scene.take(lines);
                    }
                }
                Deed::Restart => scene.restart(),
                Deed::Rotate { .. } => {}
            }
        }
        scene.append("end\n");
        written.part.push_str("end");
        written.finish();
        scene.drain();
        prop_assert_eq!(&scene.lines, &written.lines, "notices: {:#?}", scene.notices);
    }
}
