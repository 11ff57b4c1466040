//! What hears of ends of connections, from the first moment of a start on: the
//! meter, and the notes of what was taken out of the kernel's queue. It is handed
//! to the daemon as it stands, and names nobody.

use std::time::Duration;

use anyhow::Result;
use jiff::Timestamp;
use sshmeter_core::{identity::BootId, note::Note};
use tracing::warn;

use super::{
    clock::Clock,
    gaps::Gaps,
    keeping::{Kept, NoteBook},
    survey::Survey,
};
use crate::{
    config::MeterKind,
    error::{Failure, Outcome},
    kernel::{
        endings::Heard,
        firewall::{self, FirewallMeter},
        meter::Meter,
        rights,
        sockdiag::SocketMeter,
    },
};

/// What hears of ends of connections, from the start on.
pub(super) struct Ear {
    pub(super) meter: Box<dyn Meter>,
    pub(super) notes: NoteBook,
    pub(super) gaps: Gaps,
    boot: BootId,
}

impl Ear {
    /// Goes on with what the service manager kept; gives the ends that a daemon
    /// before has noted and not committed.
    pub(super) fn open(
        mut kept: Kept,
        boot: &BootId,
        kind: MeterKind,
    ) -> Outcome<(Self, Vec<Note>)> {
        let (notes, noted) = kept.notes();
        if noted.unreadable > 0 {
            warn!(
                "{} notes of connections' ends, of another version of sshmeter, cannot be read; \
                 those connections count at their last reading",
                noted.unreadable
            );
        }
        let queue = kept.queue().map_err(needs_rights)?;
        let ear = Self {
            meter: meter(kind, SocketMeter::open(queue).map_err(needs_rights)?),
            notes: NoteBook::new(notes, boot.clone()),
            gaps: Gaps::default(),
            boot: boot.clone(),
        };
        if !ear.meter.counts_sessions() {
            rights::give_up_used();
        }
        Ok((ear, noted.notes))
    }

    /// Counts the ports that are known to be sshd's.
    pub(super) fn watch(&mut self, survey: &Survey) -> Outcome {
        let watched = self.meter.watch(&survey.watched());
        watched.map_err(|error| {
            if !self.meter.counts_sessions() {
                return needs_rights(error);
            }
            let sentence = format!(
                "the firewall's counters ({}) cannot be used",
                self.meter.name()
            );
            Failure::failed(error.context(sentence)).hint(rights::FIREWALL_HINT)
        })
    }

    /// Takes the ends that wait.
    pub(super) fn hear(&mut self, now: Timestamp) -> Vec<Note> {
        let heard = hear(&mut *self.meter, &mut self.notes, &mut self.gaps, now);
        let noted = heard.sockets.into_iter().map(|socket| Note {
            boot: self.boot.clone(),
            heard: now,
            socket,
        });
        noted.collect()
    }

    /// Takes ends for so long, each at its time.
    pub(super) async fn hear_for(&mut self, period: Duration, clock: &Clock) -> Result<Vec<Note>> {
        let mut ended = Vec::new();
        let over = tokio::time::sleep(period);
        tokio::pin!(over);
        loop {
            tokio::select! {
                () = &mut over => return Ok(ended),
                readable = self.meter.queue().ready() => readable?,
            }
            ended.extend(self.hear(clock.now().wall));
        }
    }
}

/// The meter of a kind, which has the sockets' figures whichever it is.
fn meter(kind: MeterKind, sockets: SocketMeter) -> Box<dyn Meter> {
    match firewall::rules(kind) {
        None => Box::new(sockets),
        Some(rules) => Box::new(FirewallMeter::new(sockets, rules)),
    }
}

/// Takes the ends that wait out of the kernel's queue, each noted before.
pub(super) fn hear(
    meter: &mut dyn Meter,
    notes: &mut NoteBook,
    gaps: &mut Gaps,
    now: Timestamp,
) -> Heard {
    let heard = meter.endings(&mut |socket| notes.note(socket, now));
    gaps.overrun(heard.overruns, || meter.missed_endings());
    gaps.strange(heard.strange);
    heard
}

fn needs_rights(error: anyhow::Error) -> Failure {
    Failure::failed(error.context("the kernel's socket counters cannot be read"))
        .hint("`sshmeter doctor` says what this machine offers and which rights are missing")
}
