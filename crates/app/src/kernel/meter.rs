//! What counts, whichever way: connections with their figures, and their ends.
//!
//! The daemon knows a meter by this trait alone. Every meter has the sockets'
//! figures; a firewall's puts its rules' beside them, and what they mean together
//! is the core's to say.

use std::fmt::Debug;

use anyhow::Result;
use sshmeter_core::{identity::Endpoint, meter::Socket, session::Counted, units::Flow};

use super::{
    endings::{Endings, Heard},
    sockdiag::Dump,
};

/// Something to be told to people, once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// Something is wrong.
    Trouble(String),
    /// It is well again.
    Well(String),
}

/// What became of the sessions that a meter was told to count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recount {
    /// The last figures of rules that were removed, by client.
    pub removed: Vec<(Endpoint, Flow)>,
    /// Whether some are counted that were not before, so that a reading is due
    /// to begin from.
    pub has_begun: bool,
}

/// A meter.
pub trait Meter: Debug {
    /// What it is called in the config.
    fn name(&self) -> &'static str;

    /// Counts these ports from now on.
    ///
    /// # Errors
    /// Where the kernel refuses.
    fn watch(&mut self, ports: &[u16]) -> Result<()>;

    /// Every connection on the watched ports, with its figures now.
    ///
    /// # Errors
    /// Where the kernel refuses or does not answer.
    fn connections(&mut self) -> Result<Dump>;

    /// The queue of ends, to be waited for.
    fn queue(&self) -> &Endings;

    /// Takes all ends that wait, without waiting for more; `note` is told of
    /// each before it leaves the kernel's queue.
    fn endings(&mut self, note: &mut dyn FnMut(&Socket)) -> Heard;

    /// How many ends the kernel could not announce since the queue was opened.
    fn missed_endings(&self) -> Option<u64> {
        self.queue().missed()
    }

    /// Whether it has to be told which sessions to count.
    fn counts_sessions(&self) -> bool {
        false
    }

    /// Counts these sessions from now on, and no others.
    fn count(&mut self, _sessions: Vec<Counted>) -> Recount {
        Recount::default()
    }

    /// What is to be told since the last call.
    fn take_notices(&mut self) -> Vec<Notice> {
        Vec::new()
    }

    /// Leaves nothing of its own behind in the kernel.
    ///
    /// # Errors
    /// Where something stays.
    fn leave(&mut self) -> Result<()> {
        Ok(())
    }
}
