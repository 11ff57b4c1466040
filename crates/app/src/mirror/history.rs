//! How much of a ledger's past any server can know: nothing newer than what was
//! there when this run of the daemon began, and what this run has sent since. A
//! server that knows more knows another future of the ledger, which went back in
//! time meanwhile.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use super::error::MirrorError;
use crate::store::Reader;

/// The newest revision that a server can know, shared by all mirrors of a ledger.
#[derive(Clone, Debug)]
pub struct History(Arc<AtomicI64>);

impl History {
    /// Begins with what a ledger holds, into which nothing may have been counted
    /// since the run began.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn begin(ledger: &Path) -> Result<Self, MirrorError> {
        let journal = Reader::open_beside_writer(ledger)?.journal()?;
        let newest = journal.map_or(0, |journal| journal.newest);
        Ok(Self(Arc::new(AtomicI64::new(newest))))
    }

    /// The newest revision that a server can know.
    pub(super) fn newest(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }

    /// From here on a server may know this revision: the answer to a commit can
    /// be lost.
    pub(super) fn may_reach(&self, revision: i64) {
        self.0.fetch_max(revision, Ordering::Relaxed);
    }
}
