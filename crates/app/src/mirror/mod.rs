//! Mirrors: the ledger's rows in a database server that many hosts share.
//!
//! The ledger stays the truth. A mirror gets its rows as absolute values, so that
//! sending one twice changes nothing and an outage only delays. The daemon's loop
//! never waits for anything in here.

pub mod address;
mod batch;
mod error;
mod history;
mod host;
mod inspect;
pub mod reader;
mod schema;
pub mod scripts;
mod sender;
pub mod server;
mod statement;
mod turn;
mod worker;

pub use error::MirrorError;
pub use history::History;
pub use inspect::{Inspection, State, inspect};
pub use sender::{Sender, Sent, Task};
pub use worker::Mirrors;
