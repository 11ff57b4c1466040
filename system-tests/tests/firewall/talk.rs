//! Sessions that move what a test tells them to, and when.

use std::{
    io::Write as _,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use system_tests::{Counter, Counts, Family, Machine, OpenVisit, Visit, wait_for};

/// For each line, reads and sends so many bytes, and counts that.
const ANSWER: &str = "while read -r up down; do head -c $up >/dev/null; head -c $down /dev/zero; \
     echo >>MARK; done";

/// How long nothing moves on a line that is quiet: longer than any
/// acknowledgement is put off.
const STILL: Duration = Duration::from_millis(700);

/// A session that is open.
#[derive(Debug)]
pub(crate) struct Talk {
    open: OpenVisit,
    mark: String,
    rounds: usize,
}

impl Talk {
    /// Logs in.
    pub(crate) fn begin(machine: &Machine, user: &str, family: Family) -> Self {
        let builder = machine.client().visit(user).over(family);
        Self::of(&builder.visit(), |command| builder.open(&[], Some(command)))
    }

    /// Logs in by dropbear's client, which takes any name.
    pub(crate) fn begin_by_dropbear(machine: &Machine, user: &str, family: Family) -> Self {
        let builder = machine.client().visit(user).over(family);
        Self::of(&builder.visit(), |command| {
            builder.open_by_dropbear(command)
        })
    }

    fn of(visit: &Visit, open: impl FnOnce(&str) -> OpenVisit) -> Self {
        let mark = format!("/tmp/talk-{}", visit.address);
        let command = ANSWER.replace("MARK", &mark);
        Self {
            open: open(&command),
            mark,
            rounds: 0,
        }
    }

    /// Who talks, and from where.
    pub(crate) fn visit(&self) -> &Visit {
        &self.open.visit
    }

    /// Moves so many bytes up and then down, and does not wait for them.
    pub(crate) fn say(&mut self, up: usize, down: usize) {
        let input = self.open.input();
        writeln!(input, "{up} {down}").expect("ssh reads");
        input.write_all(&vec![b'u'; up]).expect("ssh reads");
        self.rounds += 1;
    }

    /// Waits until all that was said has been moved.
    pub(crate) fn wait(&self, machine: &Machine) {
        let what = format!("what {} moves", self.visit().address);
        wait_for(&what, Duration::from_secs(60), || {
            let marks = machine.server().output("cat", &[&self.mark]).stdout;
            (marks.len() == self.rounds).then_some(())
        });
    }

    /// Ends in good order.
    pub(crate) fn end(self) -> Visit {
        self.open.finish()
    }
}

/// One of each family, each counted by its rules.
pub(crate) fn begin_counted(machine: &Machine, users: &[&str]) -> Vec<Talk> {
    let talks: Vec<Talk> = users
        .iter()
        .zip([Family::V4, Family::V6].into_iter().cycle())
        .map(|(user, family)| Talk::begin(machine, user, family))
        .collect();
    for talk in &talks {
        machine.wait_for_rules(talk.visit());
    }
    talks
}

/// Waits until nothing moves any more, and gives what was counted by then.
pub(crate) fn wait_until_still(counter: &Counter) -> Counts {
    let mut before = counter.read();
    wait_for("a quiet line", Duration::from_secs(60), || {
        thread::sleep(STILL);
        let now = counter.read();
        let is_still = now == before;
        before = now;
        is_still.then_some(())
    });
    before
}

/// Between one word and the next: close together, so that many readings meet
/// something on its way, and a gap in which one can be taken of a quiet line.
const PAUSES: [u64; 5] = [10, 15, 20, 25, 180];

/// Sessions that move something both ways all the time.
#[derive(Debug)]
pub(crate) struct Chatter {
    enough: Arc<AtomicBool>,
    talking: JoinHandle<Vec<Talk>>,
}

impl Chatter {
    /// Begins.
    pub(crate) fn of(talks: Vec<Talk>) -> Self {
        Self::with(talks, &PAUSES)
    }

    /// Begins, and leaves no gap: no reading finds a quiet line.
    pub(crate) fn without_a_pause(talks: Vec<Talk>) -> Self {
        Self::with(talks, &[3])
    }

    fn with(mut talks: Vec<Talk>, pauses: &'static [u64]) -> Self {
        let enough = Arc::new(AtomicBool::new(false));
        let heard = Arc::clone(&enough);
        let talking = thread::spawn(move || {
            for pause in pauses.iter().cycle() {
                if heard.load(Ordering::Relaxed) {
                    break;
                }
                for talk in &mut talks {
                    talk.say(1_000, 3_000);
                }
                thread::sleep(Duration::from_millis(*pause));
            }
            talks
        });
        Self { enough, talking }
    }

    /// Says no more; what was said may still be on its way.
    pub(crate) fn enough(self) -> Vec<Talk> {
        self.enough.store(true, Ordering::Relaxed);
        self.talking.join().expect("nobody was cut off")
    }
}
