//! A log file as a source: followed through rotation, truncation, late
//! appearance and lost rights, from behind any checkpoint.
//!
//! `place` tells files apart, `tail` reads one, `follower` goes from one to the
//! next, `watch` wakes it, `past` reads what was before.

mod follower;
mod past;
mod place;
mod tail;
mod watch;

use std::{
    io,
    path::{Path, PathBuf},
    time::Instant,
};

use sshmeter_core::ledger::Checkpoint;
use tokio::sync::mpsc::Sender;

use self::{
    follower::{Follower, Step},
    watch::Watch,
};
use crate::source::Delivery;

pub(super) use self::past::past;

/// Follows the log at `path` until nobody listens any more.
pub(super) async fn follow(path: PathBuf, resume: Option<Checkpoint>, sender: Sender<Delivery>) {
    let mut follower = Follower::new(path.clone(), resume.as_ref());
    let mut watch = match Watch::new(&path) {
        Ok(watch) => Some(watch),
        Err(error) => {
            let notice = format!(
                "the kernel gives no inotify ({error}): the log is looked at once a second"
            );
            if sender.send(Delivery::Notice(notice)).await.is_err() {
                return;
            }
            None
        }
    };
    let mut caught_up = false;
    loop {
        let delivery = match follower.poll(Instant::now()) {
            Step::Lines(lines) => Delivery::Lines(lines),
            Step::Notice(notice) => Delivery::Notice(notice),
            Step::Idle if !caught_up => {
                caught_up = true;
                Delivery::CaughtUp
            }
            Step::Idle | Step::Waiting => {
                let Some(watch) = &mut watch else {
                    watch::tick().await;
                    continue;
                };
                if !watch.arm(follower.open_file()) {
                    tokio::select! {
                        () = watch.wait() => {}
                        () = sender.closed() => return,
                    }
                }
                continue;
            }
        };
        if sender.send(delivery).await.is_err() {
            return;
        }
    }
}

/// Whether the file at `path` can be read, without reading it.
pub(super) fn probe(path: &Path) -> io::Result<()> {
    place::open(path).map(drop)
}
