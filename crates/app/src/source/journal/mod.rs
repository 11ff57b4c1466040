//! systemd's journal as a source, read through journalctl.
//!
//! The cursor is our own, taken from each entry: `--cursor-file` is not kept up
//! to date by `--follow`. journalctl is supervised: when it dies it is started
//! again at the last entry that was delivered. It never outlives us: it is
//! killed when the follower is dropped, and where we are killed ourselves it
//! sees its output closed and exits.

mod command;
pub mod entry;

use std::{
    io::{self, BufRead as _, BufReader, Read as _},
    process::{Command, ExitStatus},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use jiff::Timestamp;
use sshmeter_core::ledger::Checkpoint;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    sync::mpsc::Sender,
};

use self::command::Place;
use crate::source::{Delivery, Line, Text};

/// Entries of one delivery, at most.
const BATCH: usize = 512;

/// A longer entry is passed over: journald cuts fields far below it.
const ENTRY_LIMIT: usize = 1024 * 1024;

/// So much of what journalctl complains about is kept.
const COMPLAINT_LIMIT: u64 = 4096;

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Proves that the journal can be read, by reading one entry. Costs one start
/// of journalctl, 14 ms on a small machine.
pub(super) fn probe() -> anyhow::Result<()> {
    let output = command::probe()
        .output()
        .context("journalctl cannot be started")?;
    if output.status.success() {
        return Ok(());
    }
    let complaint = complaint(&output.stderr);
    let failed = format!(
        "journalctl cannot read the journal ({}: {complaint})",
        output.status
    );
    if complaint.contains("insufficient permissions") {
        // What a capability of ours opens, journalctl may not: it is given none.
        return Err(io::Error::from(io::ErrorKind::PermissionDenied)).context(failed);
    }
    anyhow::bail!(failed)
}

/// Reads the entries since an instant, oldest first, and gives the place behind
/// the last of them.
pub(super) fn past(since: Timestamp, each: &mut dyn FnMut(Line)) -> anyhow::Result<Checkpoint> {
    // Asked first, so that an entry which comes meanwhile lies behind it.
    let mut last = String::new();
    read(command::last(), &mut |cursor, _| last = cursor)?;
    read(
        command::read(&Place::Since(since.as_second())),
        &mut |cursor, entry| {
            last.clone_from(&cursor);
            each(line(cursor, entry));
        },
    )?;
    Ok(Checkpoint::Journal { cursor: last })
}

fn read(mut command: Command, each: &mut dyn FnMut(String, Vec<u8>)) -> anyhow::Result<()> {
    let mut child = command.spawn().context("journalctl cannot be started")?;
    let mut complaints = Vec::new();
    if let Some(output) = child.stdout.take() {
        for entry in BufReader::new(output).split(b'\n') {
            let entry = entry.context("journalctl's output cannot be read")?;
            if let Some(cursor) = entry::cursor(&entry) {
                each(cursor, entry);
            }
        }
    }
    if let Some(stderr) = child.stderr.take() {
        stderr.take(COMPLAINT_LIMIT).read_to_end(&mut complaints)?;
    }
    let status = child.wait()?;
    anyhow::ensure!(
        status.success(),
        "journalctl failed ({status}: {})",
        complaint(&complaints)
    );
    Ok(())
}

fn line(cursor: String, entry: Vec<u8>) -> Line {
    Line {
        text: Text::Journal(entry),
        checkpoint: Checkpoint::Journal { cursor },
    }
}

/// Follows the journal until nobody listens any more.
pub(super) async fn follow(resume: Option<Checkpoint>, sender: Sender<Delivery>) {
    let mut follower = Follower {
        place: match resume {
            Some(Checkpoint::Journal { cursor }) if cursor.is_empty() => Place::Beginning,
            Some(Checkpoint::Journal { cursor }) => Place::At(cursor),
            Some(Checkpoint::File { .. }) | None => match now().await {
                Ok(place) => place,
                Err(error) => {
                    let _ = sender.send(Delivery::Failed(error)).await;
                    return;
                }
            },
        },
        caught_up: false,
        trouble: None,
        sender,
    };
    // Only a listener that has gone ends the loop.
    while let Ok(()) = follower.supervise().await {}
}

/// The place behind everything there is.
async fn now() -> anyhow::Result<Place> {
    let output = tokio::process::Command::from(command::last())
        .kill_on_drop(true)
        .output()
        .await
        .context("journalctl cannot be started")?;
    Ok(output
        .stdout
        .split(|byte| *byte == b'\n')
        .find_map(entry::cursor)
        .map_or(Place::Beginning, Place::At))
}

/// Nobody listens any more.
struct Gone;

struct Follower {
    /// The last entry that was delivered.
    place: Place,
    caught_up: bool,
    /// What went wrong last, told once until entries come again.
    trouble: Option<String>,
    sender: Sender<Delivery>,
}

/// How a run of journalctl went.
struct Run {
    status: ExitStatus,
    complaint: String,
    delivered: bool,
}

impl Follower {
    /// Runs journalctl again and again: once to the present end, then to stay.
    async fn supervise(&mut self) -> Result<(), Gone> {
        let mut pause = FIRST_PAUSE;
        loop {
            let began = Instant::now();
            let notice = match self.run().await? {
                Ok(run) if run.status.success() && !self.caught_up => {
                    self.caught_up = true;
                    self.send(Delivery::CaughtUp).await?;
                    continue;
                }
                Ok(run) => {
                    if run.delivered || began.elapsed() > LONGEST_PAUSE {
                        pause = FIRST_PAUSE;
                    }
                    self.ended(&run)
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    let error = anyhow::Error::from(error).context("journalctl is not installed");
                    self.send(Delivery::Failed(error)).await?;
                    return Err(Gone);
                }
                Err(error) => format!("journalctl cannot be run ({error}): it is tried again"),
            };
            if self.trouble.as_ref() != Some(&notice) {
                self.send(Delivery::Notice(notice.clone())).await?;
                self.trouble = Some(notice);
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.sender.closed() => return Err(Gone),
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// What to say when journalctl has ended, and where to go on.
    fn ended(&mut self, run: &Run) -> String {
        if let Place::At(cursor) = &self.place
            && run.complaint.contains("Failed to seek to cursor")
        {
            let notice = format!(
                "the journal does not accept the place it was last read at ({cursor}): reading \
                 goes on with the entries of that time, or with the oldest there are"
            );
            self.place = entry::second(cursor).map_or(Place::Beginning, Place::Since);
            return notice;
        }
        format!(
            "journalctl ended ({}{}{}): it is started again behind the last entry",
            run.status,
            if run.complaint.is_empty() { "" } else { ": " },
            run.complaint
        )
    }

    async fn run(&mut self) -> Result<io::Result<Run>, Gone> {
        let command = if self.caught_up {
            command::follow(&self.place)
        } else {
            command::read(&self.place)
        };
        let spawned = tokio::process::Command::from(command)
            .kill_on_drop(true)
            .spawn();
        let mut child = match spawned {
            Ok(child) => child,
            Err(error) => return Ok(Err(error)),
        };
        let (Some(mut output), Some(mut stderr)) = (child.stdout.take(), child.stderr.take())
        else {
            return Ok(Err(io::Error::other("its output is not connected")));
        };
        let relaying = async {
            let relayed = self.relay(&mut output).await;
            if relayed.is_err() {
                // Where it has exited by itself there is nothing to kill.
                let _ = child.start_kill();
            }
            relayed
        };
        // Both at once: a full stderr must not stop it from writing entries.
        let (relayed, complaint) = tokio::join!(relaying, complaints(&mut stderr));
        let status = child.wait().await;
        let delivered = relayed?;
        Ok(status.map(|status| Run {
            status,
            complaint,
            delivered,
        }))
    }

    /// Hands on what journalctl writes until it closes its output.
    async fn relay(&mut self, output: &mut (impl AsyncRead + Unpin)) -> Result<bool, Gone> {
        let mut delivered = false;
        let mut expected = match &self.place {
            Place::At(cursor) => Some(cursor.clone()),
            Place::Beginning | Place::Since(_) => None,
        };
        let mut buffer = Vec::new();
        let sender = self.sender.clone();
        loop {
            let count = tokio::select! {
                count = output.read_buf(&mut buffer) => count,
                () = sender.closed() => return Err(Gone),
            };
            if count.unwrap_or(0) == 0 {
                return Ok(delivered);
            }
            let mut lines = complete_entries(&mut buffer);
            if let Some(cursor) = expected.take_if(|_| !lines.is_empty()) {
                if is_at(&lines[0], &cursor) {
                    lines.remove(0);
                } else {
                    self.send(Delivery::Notice(gone(&cursor))).await?;
                }
            }
            delivered |= !lines.is_empty();
            self.deliver(lines).await?;
        }
    }

    async fn deliver(&mut self, mut lines: Vec<Line>) -> Result<(), Gone> {
        if !lines.is_empty() {
            self.trouble = None;
        }
        while !lines.is_empty() {
            let rest = lines.split_off(lines.len().min(BATCH));
            let last = lines.last().map(|line| line.checkpoint.clone());
            self.send(Delivery::Lines(lines)).await?;
            if let Some(Checkpoint::Journal { cursor }) = last {
                self.place = Place::At(cursor);
            }
            lines = rest;
        }
        Ok(())
    }

    async fn send(&self, delivery: Delivery) -> Result<(), Gone> {
        self.sender.send(delivery).await.map_err(|_| Gone)
    }
}

fn is_at(line: &Line, cursor: &str) -> bool {
    matches!(&line.checkpoint, Checkpoint::Journal { cursor: its } if entry::same(its, cursor))
}

fn gone(cursor: &str) -> String {
    let when = entry::second(cursor)
        .and_then(|second| Timestamp::from_second(second).ok())
        .map_or_else(|| "unknown time".to_owned(), |time| time.to_string());
    format!(
        "the journal no longer holds the entry it was last read at ({when}): entries since may be \
         missing; reading goes on with the oldest after it"
    )
}

/// Takes the complete entries out of the buffer; what is no entry is dropped.
fn complete_entries(buffer: &mut Vec<u8>) -> Vec<Line> {
    let Some(end) = memchr::memrchr(b'\n', buffer) else {
        if buffer.len() > ENTRY_LIMIT {
            buffer.clear();
        }
        return Vec::new();
    };
    let rest = buffer.split_off(end + 1);
    let entries = std::mem::replace(buffer, rest);
    entries
        .split(|byte| *byte == b'\n')
        .filter_map(|entry| Some(line(entry::cursor(entry)?, entry.to_vec())))
        .collect()
}

/// Reads all of stderr, so that its writer never waits, and keeps its beginning.
async fn complaints(stderr: &mut (impl AsyncRead + Unpin)) -> String {
    let mut kept = Vec::new();
    let _ = (&mut *stderr)
        .take(COMPLAINT_LIMIT)
        .read_to_end(&mut kept)
        .await;
    let _ = tokio::io::copy(stderr, &mut tokio::io::sink()).await;
    complaint(&kept)
}

/// One line for people; what journalctl says is data like everything else.
fn complaint(stderr: &[u8]) -> String {
    String::from_utf8_lossy(stderr)
        .split(|letter: char| letter.is_control())
        .filter(|part| !part.trim().is_empty())
        .collect::<Vec<_>>()
        .join("; ")
}
