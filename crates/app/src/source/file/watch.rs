//! Wakes a follower when its file or folder changes, by inotify where the
//! kernel gives it, and every second in any case: inotify is silent on some
//! file systems and when a folder comes into being.

use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use tokio::io::unix::AsyncFd;

const TICK: Duration = Duration::from_secs(1);

/// What wakes a follower.
pub(super) struct Watch {
    inotify: AsyncFd<OwnedFd>,
    folder: PathBuf,
    folder_watch: Option<i32>,
    file: Option<(u64, i32)>,
    folder_is_due: bool,
}

impl Watch {
    #[expect(
        deprecated,
        reason = "its successor is unsafe for descriptors that may change; an OwnedFd never does"
    )]
    pub(super) fn new(path: &Path) -> io::Result<Self> {
        let inotify = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
        Ok(Self {
            inotify: AsyncFd::new(inotify)?,
            folder: path.parent().unwrap_or(Path::new("/")).to_owned(),
            folder_watch: None,
            file: None,
            folder_is_due: true,
        })
    }

    /// Watches the folder, and the open file wherever it was renamed to. True
    /// where a watch is new, so that the caller looks once more before waiting.
    pub(super) fn arm(&mut self, file: Option<(u64, BorrowedFd<'_>)>) -> bool {
        let folder_is_new = self.folder_is_due && self.arm_folder();
        let file_is_new = self.arm_file(file);
        folder_is_new || file_is_new
    }

    /// Asks again every second, as the folder may have been replaced: for the
    /// same folder the kernel gives the same watch.
    fn arm_folder(&mut self) -> bool {
        self.folder_is_due = false;
        let flags = WatchFlags::CREATE | WatchFlags::MOVED_TO | WatchFlags::ONLYDIR;
        let before = self.folder_watch;
        self.folder_watch = inotify::add_watch(&self.inotify, &self.folder, flags).ok();
        self.folder_watch.is_some() && self.folder_watch != before
    }

    fn arm_file(&mut self, file: Option<(u64, BorrowedFd<'_>)>) -> bool {
        let number = file.map(|(number, _)| number);
        if self.file.map(|(number, _)| number) == number {
            return false;
        }
        if let Some((_, watch)) = self.file.take() {
            // A file that was deleted took its watch with it: no failure.
            let _ = inotify::remove_watch(&self.inotify, watch);
        }
        let Some((number, descriptor)) = file else {
            return false;
        };
        let path = format!("/proc/self/fd/{}", descriptor.as_raw_fd());
        match inotify::add_watch(&self.inotify, path, WatchFlags::MODIFY) {
            Ok(watch) => {
                self.file = Some((number, watch));
                true
            }
            Err(_) => false,
        }
    }

    /// Waits for a change, but not for more than a second.
    pub(super) async fn wait(&mut self) {
        let Ok(Ok(mut ready)) = tokio::time::timeout(TICK, self.inotify.readable()).await else {
            self.folder_is_due = true;
            return;
        };
        // What changed is of no interest: the follower looks for itself.
        let mut events = [0; 4096];
        while rustix::io::read(self.inotify.get_ref(), &mut events).is_ok_and(|count| count > 0) {}
        ready.clear_ready();
    }
}

/// Waits where there is no inotify.
pub(super) async fn tick() {
    tokio::time::sleep(TICK).await;
}
