//! What outlives the daemon: the kernel's queue of ends, and the notes of those
//! that were taken out of it and are not in the ledger yet. A service manager
//! keeps the descriptors of both and hands them to the next start.
//!
//! Nothing handed over is trusted: what is not what it should be is refused with
//! a word and replaced.

use std::os::fd::OwnedFd;

use anyhow::Result;
use jiff::Timestamp;
use sshmeter_core::{
    identity::BootId,
    meter::Socket,
    note::{Note, Noted},
};
use tracing::{info, warn};

use super::service::{self, Store};
use crate::kernel::{endings::Endings, notes::Notes};

const QUEUE: &str = "ends";
const NOTES: &str = "end-notes";
/// How many descriptors the service manager has to keep.
const DESCRIPTORS: u32 = 2;

/// What was handed over, not looked at yet.
#[derive(Debug, Default)]
pub(super) struct Kept {
    queues: Vec<OwnedFd>,
    notes: Vec<OwnedFd>,
}

impl Kept {
    /// Takes what the service manager kept.
    pub(super) fn take() -> Self {
        Self::sorted(service::handed_over())
    }

    fn sorted(handed_over: Vec<(String, OwnedFd)>) -> Self {
        let mut kept = Self::default();
        for (name, descriptor) in handed_over {
            match name.as_str() {
                QUEUE => kept.queues.push(descriptor),
                NOTES => kept.notes.push(descriptor),
                _ => warn!("the service manager handed over {name:?}, which is of no use here"),
            }
        }
        kept
    }

    /// The queue of ends: the one that was kept, or a new one, to be kept.
    pub(super) fn queue(&mut self) -> Result<Endings> {
        let queues = std::mem::take(&mut self.queues);
        let (queue, is_kept) = match first_useful(QUEUE, queues, Endings::resume) {
            (Some(queue), is_kept) => (queue, is_kept),
            (None, _) => (Endings::open()?, false),
        };
        if !is_kept {
            service::keep(QUEUE, queue.descriptor());
        }
        Ok(queue)
    }

    /// The notes: those that were kept and what they say, or a new file, to be
    /// kept.
    pub(super) fn notes(&mut self) -> (Notes, Noted) {
        let files = std::mem::take(&mut self.notes);
        let (found, is_kept) = first_useful(NOTES, files, Notes::resume);
        let (notes, noted) = found.unwrap_or_else(|| (new_notes(), Noted::default()));
        if let (false, Some(file)) = (is_kept, notes.descriptor()) {
            service::keep(NOTES, file);
        }
        (notes, noted)
    }
}

/// The first descriptor that is what it should be, and whether it and nothing
/// else is kept by this name.
fn first_useful<T>(
    name: &str,
    descriptors: Vec<OwnedFd>,
    mut take: impl FnMut(OwnedFd) -> Result<T>,
) -> (Option<T>, bool) {
    let handed_over = descriptors.len();
    let useful = descriptors
        .into_iter()
        .find_map(|descriptor| match take(descriptor) {
            Ok(useful) => Some(useful),
            Err(error) => {
                warn!("what the service manager kept as {name:?} is replaced: {error:#}");
                None
            }
        });
    let is_kept = useful.is_some() && handed_over == 1;
    if handed_over > 0 && !is_kept {
        service::let_go(name);
    }
    (useful, is_kept)
}

fn new_notes() -> Notes {
    Notes::begin().unwrap_or_else(|error| {
        warn!("{error:#}; what ends in the second before a kill is lost");
        Notes::nowhere()
    })
}

/// What becomes of ends while no daemon listens, for a person.
pub(super) fn promise() -> &'static str {
    match service::store(DESCRIPTORS) {
        Store::Large => "kept by the service manager across restarts",
        Store::Unsaid => {
            "given to the service manager to keep across restarts (FileDescriptorStoreMax=2 or \
             more lets it)"
        }
        Store::TooSmall => {
            "lost while sshmeter does not run: the service manager's FileDescriptorStoreMax= is \
             below 2"
        }
        Store::Absent => "lost while sshmeter does not run: no service manager keeps them",
    }
}

/// The notes as the daemon writes them, and how far the ledger has them.
#[derive(Debug)]
pub(super) struct NoteBook {
    notes: Notes,
    boot: BootId,
    /// How far notes reached when the last batch was taken.
    in_batch: u64,
    /// Notes cannot be written, and that was said.
    is_troubled: bool,
}

impl NoteBook {
    pub(super) fn new(notes: Notes, boot: BootId) -> Self {
        Self {
            notes,
            boot,
            in_batch: 0,
            is_troubled: false,
        }
    }

    /// Notes an end that is about to leave the kernel's queue.
    pub(super) fn note(&mut self, socket: &Socket, heard: Timestamp) {
        let written = self.notes.append(&Note {
            boot: self.boot.clone(),
            heard,
            socket: socket.clone(),
        });
        match written {
            Ok(()) => {
                if std::mem::take(&mut self.is_troubled) {
                    info!("ends of connections are noted again");
                }
            }
            Err(error) if !self.is_troubled => {
                warn!(
                    "ends of connections cannot be noted, so those of the second before a kill \
                     are lost: {error:#}"
                );
                self.is_troubled = true;
            }
            Err(_) => {}
        }
    }

    /// A batch was taken: all that was noted before is in it, or in the ledger.
    pub(super) fn batch_taken(&mut self) {
        self.in_batch = self.notes.end();
    }

    /// The last batch is in the ledger.
    pub(super) fn committed(&mut self) {
        let cleared = self.notes.clear(std::mem::take(&mut self.in_batch));
        if let Err(error) = cleared {
            warn!("notes of ends that are in the ledger cannot be cleared: {error:#}");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    fn foreign() -> OwnedFd {
        UdpSocket::bind(("127.0.0.1", 0)).unwrap().into()
    }

    fn copy(descriptor: &OwnedFd) -> OwnedFd {
        descriptor.try_clone().unwrap()
    }

    #[tokio::test]
    async fn what_was_kept_is_found_by_its_name() {
        let queue = Endings::open().unwrap();
        let missed = queue.missed();
        let mut notes = NoteBook::new(Notes::begin().unwrap(), BootId("b".into()));
        notes.note(&socket(), Timestamp::UNIX_EPOCH);
        let mut kept = Kept::sorted(vec![
            ("socket".into(), foreign()),
            (NOTES.into(), copy(notes.notes.descriptor().unwrap())),
            (QUEUE.into(), copy(queue.descriptor())),
        ]);
        let inode = |descriptor: &OwnedFd| rustix::fs::fstat(descriptor).unwrap().st_ino;
        let same = kept.queue().unwrap();
        assert_eq!(inode(same.descriptor()), inode(queue.descriptor()));
        assert_eq!(same.missed(), missed);
        assert_eq!(kept.notes().1.notes.len(), 1);
    }

    #[tokio::test]
    async fn what_is_not_what_it_should_be_is_replaced() {
        let mut kept = Kept::sorted(vec![(NOTES.into(), foreign()), (QUEUE.into(), foreign())]);
        assert!(kept.queue().unwrap().missed().is_some());
        let (mut notes, noted) = kept.notes();
        assert_eq!(noted, Noted::default());
        let note = Note {
            boot: BootId("b".into()),
            heard: Timestamp::UNIX_EPOCH,
            socket: socket(),
        };
        notes.append(&note).unwrap();
    }

    #[test]
    fn notes_go_only_with_the_commit_that_holds_them() {
        let mut notes = NoteBook::new(Notes::begin().unwrap(), BootId("b".into()));
        let left = |notes: &NoteBook| {
            let file = copy(notes.notes.descriptor().unwrap());
            Notes::resume(file).unwrap().1.notes.len()
        };
        notes.note(&socket(), Timestamp::UNIX_EPOCH);
        notes.batch_taken();
        notes.note(&socket(), Timestamp::UNIX_EPOCH);
        // That batch failed, and another was taken.
        assert_eq!(left(&notes), 2);
        notes.batch_taken();
        notes.note(&socket(), Timestamp::UNIX_EPOCH);
        notes.committed();
        assert_eq!(left(&notes), 1);
        notes.committed();
        assert_eq!(left(&notes), 1, "nothing was taken since");
    }

    fn socket() -> Socket {
        Socket {
            cookie: sshmeter_core::identity::SocketCookie(1),
            local: sshmeter_core::identity::Endpoint::default(),
            peer: sshmeter_core::identity::Endpoint::default(),
            inode: None,
            rule: None,
            sample: sshmeter_core::meter::TcpSample::default(),
        }
    }
}
