//! The ledger's file: SQLite, one writer, many readers.
//!
//! A [`Writer`] commits whole batches and nothing less; a [`Reader`] sees the
//! last commit, never waits for the writer and never makes it wait. Both speak
//! the core's types: no other module knows a table's name.

mod amounts;
mod answers;
mod bucket_sums;
mod changes;
mod commit;
mod copy;
mod distrust;
mod error;
mod follow;
mod foresee;
mod import;
mod lock;
mod move_account;
mod reader;
mod rescue;
mod retain;
mod rows;
mod schema;
mod session_minutes;
mod session_rows;
mod sessions;
mod span_counts;
mod verify;
mod writer;
mod zone;

pub use changes::{Forgotten, Journal};
pub use copy::{CopyError, Progress, Restored, back_up, restore};
pub use error::StoreError;
pub use follow::{Changes, Facts};
pub use import::{ImportOutcome, Imported};
pub use lock::holder;
pub use reader::Reader;
pub use retain::Retained;
pub use rows::{Kind, Row, RowKey, Table, Value};
pub use schema::OPEN;
pub use sessions::{ListedSession, SessionList, SessionQuery};
pub use verify::{
    Depth, Difference, Fault, Figure, Owner, SessionName, Subject, Time, Verification, Wrong,
    verify,
};
pub use writer::{SavedState, Writer};

#[cfg(test)]
pub(crate) mod sample;
#[cfg(test)]
mod tests;
