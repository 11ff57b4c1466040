//! From a delivered line to the session table: what it says, whether its writer
//! may say so, and how far the log has been read.

use jiff::tz::TimeZone;
use sshmeter_core::{
    session::{Moment, Witness},
    sshd::{self, Event, Parsed, Pattern, Sender, What},
};
use tracing::{debug, info};

use super::{Daemon, LOOK_DELAY};
use crate::{
    kernel::process,
    source::{Delivery, Line, Text},
};

/// What a line says, by any envelope. Times without a zone are this machine's.
pub(super) fn understand(line: &Line, now: Moment) -> Parsed {
    match &line.text {
        Text::Plain(text) => {
            sshd::parse_line(text, &sshd::Clock::new(now.wall, TimeZone::system()))
        }
        Text::Journal(entry) => {
            sshd::parse_journal(entry).map_or(Parsed::NotSshd, |entry| entry.parsed)
        }
    }
}

impl Daemon {
    pub(super) fn hear(&mut self, delivery: Delivery) {
        match delivery {
            Delivery::Lines(lines) => {
                // What ended before a line was written must not take its name.
                self.take_endings();
                for line in lines {
                    self.hear_line(line);
                }
                // Asked only where it matters: all that waits is looked through.
                if !self.schedule.samples_within(LOOK_DELAY) && self.table.awaits_a_dump() {
                    self.schedule.sample_within(LOOK_DELAY);
                }
                self.inquire();
            }
            Delivery::CaughtUp => {
                debug!("the log has been read to its end");
                if self.source_trouble.is_over() {
                    info!("the log is followed again");
                }
            }
            Delivery::Notice(notice) => info!("{notice}"),
            Delivery::Failed(cause) => self.source_failed(&format!("{cause:#}")),
        }
    }

    fn hear_line(&mut self, line: Line) {
        let now = self.clock.now();
        match understand(&line, now) {
            Parsed::Event(event) => {
                let witness = self.witness(&event, now);
                self.table.hear(&event, witness, now);
            }
            Parsed::Refused(why) => self.refusals.tell(why.kind(), format!("a log line {why}")),
            Parsed::Known(Pattern::LISTENING) => self.look_around(),
            Parsed::NotSshd | Parsed::Known(_) | Parsed::Unrecognised => {}
        }
        self.table.read_to(line.checkpoint);
    }

    /// What the kernel says of a login line's writer. journald has asked it who
    /// that is; there it only tells whose connection is meant.
    pub(super) fn witness(&self, event: &Event, now: Moment) -> Witness {
        if !matches!(event.what, What::Accepted { .. } | What::Opened { .. }) {
            return Witness::Silent;
        }
        match process::witness(event.pid, event.time, now.wall) {
            Witness::Stranger if event.sender != Sender::Claimed => Witness::Silent,
            witness => witness,
        }
    }
}
