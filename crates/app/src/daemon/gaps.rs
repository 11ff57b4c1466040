//! What the kernel could not tell us, counted and told: at most one line a
//! minute of each kind. All of it is repaired by reading the connections anew.

use tracing::warn;

/// Running numbers since the start.
#[derive(Debug, Default)]
pub(super) struct Gaps {
    overruns: Gap,
    strange: Gap,
    interruptions: Gap,
    bridged: Gap,
}

#[derive(Debug, Default)]
struct Gap {
    count: u64,
    is_told: bool,
}

impl Gap {
    /// Adds to the count; gives it where it is to be told.
    fn add(&mut self, more: u64) -> Option<u64> {
        self.count += more;
        let is_news = more > 0 && !std::mem::replace(&mut self.is_told, true);
        is_news.then_some(self.count)
    }
}

impl Gaps {
    /// The queue of ends was too small; `missed` is how many ends it did not
    /// take since it was opened, where the kernel says.
    pub(super) fn overrun(&mut self, more: u64, missed: impl FnOnce() -> Option<u64>) {
        if let Some(count) = self.overruns.add(more) {
            let missed = missed().map_or_else(String::new, |missed| format!(", {missed} ends"));
            warn!(
                "the kernel announced more ends of connections than its queue holds ({count} \
                 times since the start{missed}); connections are read anew, and those missed \
                 count at their last reading"
            );
        }
    }

    /// Messages about ends were cut short, or not understood.
    pub(super) fn strange(&mut self, more: u64) {
        if let Some(count) = self.strange.add(more) {
            warn!(
                "the kernel's word of an end cannot be understood ({count} since the start); \
                 connections are read anew"
            );
        }
    }

    /// A list of connections changed while it was read.
    pub(super) fn interrupted(&mut self, more: u64, is_complete: bool) {
        if let Some(count) = self.interruptions.add(more) {
            let outcome = if is_complete {
                "it was read again"
            } else {
                "no connection counts as ended by it"
            };
            warn!(
                "the kernel's list of connections changed while it was read ({count} times since \
                 the start); {outcome}"
            );
        }
    }

    /// A firewall that had counted some connections has missed something of them.
    pub(super) fn bridged(&mut self, more: u64) {
        if let Some(count) = self.bridged.add(more) {
            warn!(
                "the firewall did not count all that {more} connections moved ({count} readings \
                 since the start); what it missed is counted by their sockets"
            );
        }
    }

    /// A minute is over: what happens again is told again.
    pub(super) fn minute_ended(&mut self) {
        for gap in [
            &mut self.overruns,
            &mut self.strange,
            &mut self.interruptions,
            &mut self.bridged,
        ] {
            gap.is_told = false;
        }
    }
}
