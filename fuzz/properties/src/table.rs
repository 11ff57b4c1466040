//! Any story of connections, log lines, commits and restarts, told to the
//! session table with clocks and witnesses of every kind.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use sshmeter_core::{
    identity::{BootId, Endpoint, Pid, SocketCookie, UserName},
    ledger::{Batch, Checkpoint, SessionRecord},
    meter::{Socket, TcpSample},
    rule::RuleReading,
    session::{Moment, Owner, Table, UNSEEN, Verdict, Witness},
    sshd::{Event, LoggedSession, Sender, What},
    units::{Flow, Traffic},
};

use crate::choices::Choices;

/// Few connections, so that chance makes them meet.
const CONNECTIONS: u8 = 6;
const NAMES: [&str; 3] = ["alice", "bob", "zoë"];

/// Tells the table a story and asks after every commit whether the books agree.
pub fn table(bytes: &[u8]) {
    let mut choices = Choices::of(bytes);
    let mut world = World::new();
    while world.act(&mut choices).is_some() {}
    // Whatever was told: what is alive is read and written once more, and by now
    // nothing moves.
    let now = world.now();
    for rule in world.rules.values_mut() {
        rule.is_quiet = true;
    }
    // Twice: of a living connection the newest byte counts with the next reading.
    world.table.dump(&world.live(), now);
    world.table.dump(&world.live(), now);
    world.table.failed();
    world.commit(true);
    for (which, moved) in &world.moved {
        if !world.over.contains(which) {
            let record = world.saved.get(&SocketCookie(u64::from(*which)));
            let payload = record.and_then(|record| record.total.payload);
            assert_eq!(payload.map(|payload| payload.inbound), Some(*moved));
        }
    }
}

/// The machine that is measured, and the ledger.
struct World {
    table: Table,
    wall: Timestamp,
    monotonic: Duration,
    moved: BTreeMap<u8, u64>,
    over: BTreeSet<u8>,
    /// What a firewall says of connections, which may be anything.
    rules: BTreeMap<u8, RuleReading>,
    read_to: u64,
    saved: BTreeMap<SocketCookie, SessionRecord>,
    entered: BTreeMap<SocketCookie, Traffic>,
    checkpoint: Option<Checkpoint>,
    /// The kernel or the journal has spoken, whose word is above a log file's.
    is_vouched_for: bool,
}

impl World {
    fn new() -> Self {
        let wall = Timestamp::constant(1_795_368_000, 0);
        let monotonic = Duration::from_secs(1000);
        let now = Moment { wall, monotonic };
        Self {
            table: Table::resume(boot(), Timestamp::UNIX_EPOCH, Vec::new(), None, now).0,
            wall,
            monotonic,
            moved: BTreeMap::new(),
            over: BTreeSet::new(),
            rules: BTreeMap::new(),
            read_to: 0,
            saved: BTreeMap::new(),
            entered: BTreeMap::new(),
            checkpoint: None,
            is_vouched_for: false,
        }
    }

    fn now(&self) -> Moment {
        Moment {
            wall: self.wall,
            monotonic: self.monotonic,
        }
    }

    /// Lets one thing happen; `None` where nothing is left to choose.
    fn act(&mut self, choices: &mut Choices<'_>) -> Option<()> {
        let now = self.now();
        match choices.byte()? % 13 {
            0 | 1 => {
                let which = choices.byte()? % CONNECTIONS;
                let bytes = 1_u64 << (choices.byte()? % 40);
                if !self.over.contains(&which) {
                    *self.moved.entry(which).or_default() += bytes;
                }
            }
            2 => {
                let which = choices.byte()? % CONNECTIONS;
                let is_heard = choices.byte()? % 2 == 0;
                if self.moved.contains_key(&which) && self.over.insert(which) && is_heard {
                    self.table.ended(&self.socket(which), now);
                }
            }
            3 | 4 => {
                self.pass(i64::from(choices.byte()?));
                let now = self.now();
                self.table.dump(&self.live(), now);
            }
            5 => {
                let event = self.event(choices)?;
                let witness = witness(choices)?;
                self.is_vouched_for |= event.sender != Sender::Claimed;
                self.table.hear(&event, witness, now);
                self.answer(now);
            }
            6 => {
                self.read_to += 1;
                self.table.read_to(place(self.read_to));
            }
            7 | 8 => self.commit(choices.byte()? % 3 > 0),
            9 => self.restart(),
            10 => {
                let owner = Owner {
                    inode: inode(choices.byte()? % CONNECTIONS),
                    started: self.some_time(choices)?,
                    pid: Pid(u32::from(choices.byte()?)),
                    user: choices.one_of(&NAMES).map(|name| UserName::new(*name)),
                };
                self.is_vouched_for = true;
                self.table.adopt(&owner);
            }
            11 => self.set_clock(choices)?,
            _ => self.set_rule(choices)?,
        }
        for refusal in self.table.take_refusals() {
            assert!(!refusal.to_string().is_empty());
        }
        Some(())
    }

    fn pass(&mut self, seconds: i64) {
        self.monotonic += Duration::from_secs(seconds.unsigned_abs());
        let passed = SignedDuration::from_secs(seconds);
        self.wall = self.wall.saturating_add(passed).expect("a duration");
    }

    /// Somebody sets the clock, or a line claims a time.
    fn some_time(&self, choices: &mut Choices<'_>) -> Option<Timestamp> {
        Some(match choices.byte()? % 4 {
            0 => self.wall,
            1 => {
                let seconds = i64::from(choices.byte()?) - 128;
                let moved = self.wall.saturating_add(SignedDuration::from_secs(seconds));
                moved.expect("a duration")
            }
            2 => Timestamp::from_second(choices.number()?).ok()?,
            _ => *choices.one_of(&[Timestamp::MIN, Timestamp::MAX, Timestamp::UNIX_EPOCH])?,
        })
    }

    fn set_clock(&mut self, choices: &mut Choices<'_>) -> Option<()> {
        self.wall = self.some_time(choices)?;
        Some(())
    }

    fn event(&self, choices: &mut Choices<'_>) -> Option<Event> {
        let kind = choices.byte()?;
        let user = UserName::new(*choices.one_of(&NAMES)?);
        let peer = peer(choices.byte()? % CONNECTIONS);
        let what = match kind % 5 {
            0 => What::Connected { peer, local: None },
            1 | 2 => What::Accepted {
                user,
                method: "publickey".to_owned(),
                peer: (kind < 250).then_some(peer),
                credential: None,
            },
            3 => What::Opened { user },
            _ => What::Disconnected {
                user: None,
                peer: Some(peer),
                reason: "disconnected by user".to_owned(),
                before_login: kind > 200,
            },
        };
        let event = Event {
            time: Some(self.some_time(choices)?),
            pid: Some(Pid(7)),
            sender: sender(kind),
            what,
        };
        Some(event)
    }

    /// The kernel says of one connection in four that it is alice's.
    fn answer(&mut self, now: Moment) {
        let questions = self.table.questions(now).into_iter();
        let answers: Vec<_> = questions
            .map(|question| {
                let verdict = match (question.cookie.0 % 4, question.user.as_str()) {
                    (0, "alice") => Verdict::Agrees,
                    (0, _) => Verdict::Denies,
                    (1, _) => Verdict::NotYet,
                    _ => Verdict::Unknown,
                };
                self.is_vouched_for |= verdict == Verdict::Agrees;
                (question, verdict)
            })
            .collect();
        self.table.answer(&answers);
    }

    fn socket(&self, which: u8) -> Socket {
        let bytes = self.moved.get(&which).copied().unwrap_or_default();
        Socket {
            cookie: SocketCookie(u64::from(which)),
            local: Endpoint::new([192, 0, 2, 1].into(), 22),
            peer: peer(which),
            inode: Some(inode(which)),
            rule: self.rules.get(&which).copied().map(Box::new),
            sample: TcpSample {
                state: 1,
                bytes_acked: Some(bytes),
                bytes_received: Some(bytes),
                segments_out: Some(1),
                segments_in: Some(1),
                bytes_sent: Some(bytes),
                bytes_retransmitted: Some(0),
                ..TcpSample::default()
            },
        }
    }

    /// A firewall's rule says something, or is gone with a last word.
    fn set_rule(&mut self, choices: &mut Choices<'_>) -> Option<()> {
        let which = choices.byte()? % CONNECTIONS;
        let kind = choices.byte()?;
        let flow = |inbound: i64| Flow {
            inbound: inbound.unsigned_abs() >> 24,
            outbound: inbound.unsigned_abs() >> 32,
        };
        let before = flow(choices.number()?);
        if kind % 4 == 0 {
            self.rules.remove(&which);
            self.table.rule_removed(peer(which), before);
            return Some(());
        }
        let after = if kind % 4 == 1 {
            flow(choices.number()?)
        } else {
            before
        };
        let is_new = kind % 8 > 4;
        let reading = RuleReading {
            before,
            after,
            is_quiet: kind % 16 > 4,
            is_new,
        };
        self.rules.insert(which, reading);
        let counted = self.table.counted().unwrap_or_default();
        let peers: BTreeSet<Endpoint> = counted.iter().map(|session| session.peer).collect();
        assert_eq!(peers.len(), counted.len(), "a rule for each address");
        let _steps = self.table.take_bridged();
        Some(())
    }

    fn live(&self) -> Vec<Socket> {
        let alive = self.moved.keys().filter(|which| !self.over.contains(which));
        alive.map(|which| self.socket(*which)).collect()
    }

    fn commit(&mut self, goes_well: bool) {
        match self.table.take_batch() {
            Some(batch) if goes_well => {
                self.write(&batch);
                self.table.committed();
            }
            _ => self.table.failed(),
        }
    }

    fn write(&mut self, batch: &Batch) {
        let mut written = BTreeSet::new();
        for record in &batch.sessions {
            assert!(written.insert(record.id.cookie), "twice in one batch");
            if let Some(closing) = &record.closed {
                assert!(record.opened <= closing.at && !closing.reason.is_empty());
            }
            let earlier = self.saved.insert(record.id.cookie, record.clone());
            let before = earlier.and_then(|earlier| earlier.login);
            if let (Some(before), Some(login)) = (before, &record.login) {
                let is_same = before.user == login.user;
                assert!(is_same || self.is_vouched_for, "a log alone renames nobody");
            }
        }
        for entry in &batch.entries {
            assert!(written.contains(&entry.session.cookie) && !entry.traffic.is_nothing());
            let sum = self.entered.entry(entry.session.cookie).or_default();
            *sum = sum.plus(entry.traffic);
        }
        for (cookie, record) in &self.saved {
            let entered = self.entered.get(cookie).copied().unwrap_or_default();
            assert_eq!(entered, record.total, "the sum of entries is the total");
            assert_eq!(record.reading.0, record.total, "and the last reading");
        }
        if let Some(checkpoint) = &batch.checkpoint {
            let text = serde_json::to_string(checkpoint).expect("a checkpoint is JSON");
            let read: Checkpoint = serde_json::from_str(&text).expect("what we wrote");
            assert_eq!(read, *checkpoint);
            self.checkpoint = Some(read);
        }
    }

    /// The daemon dies and comes back with what the ledger keeps for it.
    fn restart(&mut self) {
        let now = self.now();
        let is_kept = |record: &&SessionRecord| {
            let closed = record.closed.as_ref();
            closed.is_none_or(|closing| closing.reason == UNSEEN)
        };
        let saved = self.saved.values().filter(is_kept).cloned().collect();
        let booted = Timestamp::UNIX_EPOCH;
        let checkpoint = self.checkpoint.clone();
        self.table = Table::resume(boot(), booted, saved, checkpoint, now).0;
        let past = self.saved.keys().map(|cookie| LoggedSession {
            user: UserName::new(NAMES[0]),
            method: None,
            peer: Some(peer(u8::try_from(cookie.0).unwrap_or(0))),
            credential: None,
            pid: None,
            opened: Some(now.wall),
            sender: Sender::Claimed,
            end: None,
        });
        self.table.recall(past.collect());
    }
}

fn boot() -> BootId {
    BootId("this-boot".to_owned())
}

fn peer(which: u8) -> Endpoint {
    // Two connections share each address.
    Endpoint::new([192, 0, 2, 7].into(), 4000 + u16::from(which / 2))
}

fn inode(which: u8) -> u32 {
    500 + u32::from(which)
}

/// One line in four comes by the journal, from root's sshd.
fn sender(kind: u8) -> Sender {
    if kind.is_multiple_of(4) {
        let exe = Some("/usr/sbin/sshd".to_owned());
        Sender::Kernel { uid: 0, exe }
    } else {
        Sender::Claimed
    }
}

fn place(offset: u64) -> Checkpoint {
    Checkpoint::File {
        path: "log".to_owned(),
        device: 1,
        inode: 2,
        offset,
        first_line_crc: None,
    }
}

fn witness(choices: &mut Choices<'_>) -> Option<Witness> {
    Some(match choices.byte()? % 4 {
        0 => Witness::Stranger,
        1 => Witness::Holds(vec![inode(choices.byte()? % CONNECTIONS)]),
        _ => Witness::Silent,
    })
}
