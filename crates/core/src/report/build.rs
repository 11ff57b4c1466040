//! Gathers what the ledger's rows hold into the rows of a report.

use std::{
    cmp::Reverse,
    collections::{HashMap, HashSet},
    sync::Arc,
};

use super::{Account, Key, Note, Per, Report, Request, Row, Sum, Who, grid::Grid};
use crate::{
    time::Unit,
    units::{Flow, Minute, Traffic},
};

/// A row's subject, over all its buckets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Group(usize);

/// Where a subject's figures belong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In these rows.
    Shown(Group),
    /// Among the connections that never logged in and were not asked for.
    LeftOut,
    /// Nowhere: another user was asked for.
    Ignored,
}

/// The minutes in which a session lived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionSpan {
    /// Its first minute.
    pub begin: Minute,
    /// Its last minute; `None` while it is open.
    pub end: Option<Minute>,
}

impl SessionSpan {
    /// Whether the session was open at some time from `since` to before `until`.
    #[must_use]
    pub fn overlaps(self, since: Minute, until: Minute) -> bool {
        self.begin < until && self.end.is_none_or(|end| since <= end)
    }
}

/// Makes a report from the rows it is given.
#[derive(Debug)]
pub struct Builder {
    request: Request,
    grid: Grid,
    chosen: Option<HashSet<Who>>,
    groups: Vec<Arc<Key>>,
    group_of: HashMap<Arc<Key>, Group>,
    /// By group, in its place: what was moved in its buckets.
    cells: Vec<Vec<(Minute, Traffic)>>,
    /// By group, in its place: how many sessions came and went.
    changes: Vec<Changes>,
    /// By group, in its place: from when on its sessions are known.
    known_since: Vec<Option<Minute>>,
    sessions: u64,
    /// From when on all sessions are known.
    all_known_since: Option<Minute>,
    left_out: Sum,
    left_out_known_since: Option<Minute>,
    notes: Vec<Note>,
}

impl Builder {
    /// An empty report. `accounts` are all there are, to find the users asked
    /// for by name; sessions that ended before `sessions_kept_since` have
    /// expired, and not all are known any more.
    #[must_use]
    pub fn new(
        request: Request,
        accounts: &[Account],
        sessions_kept_since: Option<Minute>,
    ) -> Self {
        let chosen = (!request.selection.users.is_empty()).then(|| {
            let known = accounts
                .iter()
                .map(|account| &account.who)
                .collect::<Vec<_>>();
            request
                .selection
                .chosen(&known)
                .into_iter()
                .cloned()
                .collect()
        });
        Self {
            grid: Grid::of(&request),
            request,
            chosen,
            groups: Vec::new(),
            group_of: HashMap::new(),
            cells: Vec::new(),
            changes: Vec::new(),
            known_since: Vec::new(),
            sessions: 0,
            all_known_since: sessions_kept_since,
            left_out: Sum {
                sessions: Some(0),
                traffic: Traffic::default(),
            },
            left_out_known_since: sessions_kept_since,
            notes: Vec::new(),
        }
    }

    /// Where the figures of a subject belong. `subject` is all that is known
    /// of it.
    pub fn place(&mut self, subject: &Key) -> Place {
        let Some(who) = &subject.user else {
            return Place::Ignored;
        };
        match &self.chosen {
            Some(chosen) if !chosen.contains(who) => return Place::Ignored,
            None if *who == Who::Nameless && !self.request.selection.nameless => {
                return Place::LeftOut;
            }
            _ => {}
        }
        let key = self.request.key(subject);
        if let Some(&group) = self.group_of.get(&key) {
            return Place::Shown(group);
        }
        let group = Group(self.groups.len());
        let key = Arc::new(key);
        self.groups.push(key.clone());
        self.cells.push(Vec::new());
        self.changes.push(Changes::default());
        self.known_since.push(None);
        self.group_of.insert(key, group);
        Place::Shown(group)
    }

    /// Of what belongs to a place it is known from `since` on how many sessions
    /// there were; `None` is always.
    pub fn sessions_known_since(&mut self, place: Place, since: Option<Minute>) {
        let known_since = match place {
            Place::Shown(group) => {
                self.all_known_since = self.all_known_since.max(since);
                &mut self.known_since[group.0]
            }
            Place::LeftOut => &mut self.left_out_known_since,
            Place::Ignored => return,
        };
        *known_since = since.max(*known_since);
    }

    /// Adds what was moved in a minute, or in the row that starts with it.
    pub fn moved(&mut self, place: Place, at: Minute, traffic: Traffic) {
        match place {
            Place::Shown(group) => {
                let start = self.bucket_start(at);
                add(&mut self.cells[group.0], start, traffic);
            }
            Place::LeftOut => self.left_out.traffic = self.left_out.traffic.plus(traffic),
            Place::Ignored => {}
        }
    }

    /// Counts so many sessions that were open then.
    pub fn opened(&mut self, place: Place, span: SessionSpan, sessions: u64) {
        let Some(reach) = self.grid.reach(span) else {
            return;
        };
        match place {
            Place::Shown(group) => {
                self.sessions += sessions;
                let changes = &mut self.changes[group.0];
                count(&mut changes.first_seen, reach.start, sessions);
                count(&mut changes.gone, reach.end, sessions);
            }
            Place::LeftOut => {
                self.left_out.sessions = self.left_out.sessions.map(|before| before + sessions);
            }
            Place::Ignored => {}
        }
    }

    /// Whether a run of minutes lies in one bucket of the period.
    pub fn is_in_one_bucket(&mut self, first: Minute, last: Minute) -> bool {
        self.bucket_start(first) == self.bucket_start(last)
    }

    /// Adds something a reader of the figures has to know.
    pub fn note(&mut self, note: Note) {
        if !self.notes.iter_mut().any(|known| known.absorb(&note)) {
            self.notes.push(note);
        }
    }

    /// The finished report.
    #[must_use]
    pub fn finish(mut self) -> Report {
        let since = self.request.period.since();
        if self.request.per == Per::Total {
            self.add_idle_groups();
        }
        let rows = self.rows();
        let traffic = rows
            .iter()
            .fold(Traffic::default(), |sum, row| sum.plus(row.sum.traffic));
        let left_out_is_known = covers(self.left_out_known_since, since);
        self.left_out.sessions = self.left_out.sessions.filter(|_| left_out_is_known);
        Report {
            period: self.request.period,
            calendar: self.request.calendar,
            by: self.request.by,
            per: self.request.per,
            rows,
            total: Sum {
                sessions: covers(self.all_known_since, since).then_some(self.sessions),
                traffic,
            },
            left_out: self.left_out,
            notes: self.notes,
        }
    }

    /// The rows in their order. They can be tens of thousands, so that what is sorted
    /// is small.
    fn rows(&mut self) -> Vec<Row> {
        let mut cells = std::mem::take(&mut self.cells);
        cells.iter_mut().for_each(merge);
        let ranks = self.ranks();
        let mut order = Vec::with_capacity(cells.iter().map(Vec::len).sum());
        for (group, cells) in cells.iter().enumerate() {
            for (place, (start, traffic)) in cells.iter().enumerate() {
                let rank = Reverse(size(*traffic));
                order.push((*start, rank, ranks[group], group, place));
            }
        }
        order.sort_unstable();
        let changes = std::mem::take(&mut self.changes);
        let open = changes.into_iter().map(OpenCount::of).collect::<Vec<_>>();
        let keys = std::mem::take(&mut self.groups);
        let rows = order.into_iter().map(|(start, _, _, group, place)| {
            let (_, traffic) = cells[group][place];
            let is_known = covers(self.known_since[group], start);
            Row {
                start,
                key: keys[group].clone(),
                sum: Sum {
                    sessions: is_known.then(|| open[group].at(start)),
                    traffic,
                },
            }
        });
        rows.collect()
    }

    /// Each group's place in the order of their keys.
    fn ranks(&self) -> Vec<usize> {
        let mut groups = (0..self.groups.len()).collect::<Vec<_>>();
        groups.sort_unstable_by_key(|group| &self.groups[*group]);
        let mut ranks = vec![0; groups.len()];
        for (rank, group) in groups.into_iter().enumerate() {
            ranks[group] = rank;
        }
        ranks
    }

    /// Who was there without moving a byte has a row too, where a row stands
    /// for the whole period.
    fn add_idle_groups(&mut self) {
        let since = self.request.period.since();
        for (cells, changes) in self.cells.iter_mut().zip(&self.changes) {
            if !changes.first_seen.is_empty() {
                add(cells, since, Traffic::default());
            }
        }
    }

    /// The first minute of the bucket, within the period.
    fn bucket_start(&mut self, at: Minute) -> Minute {
        self.grid.bucket(at).start
    }
}

/// Whether what is known from `since` on, always without one, is known at `start`.
fn covers(since: Option<Minute>, start: Minute) -> bool {
    since.is_none_or(|since| since <= start)
}

/// What rows are sorted by.
fn size(traffic: Traffic) -> u64 {
    traffic.wire.or(traffic.payload).map_or(0, Flow::total)
}

/// Adds to what was moved in a bucket. Rows come in the order of their time or
/// nearly so: the last bucket is nearly always the right one, and a bucket may be
/// there more than once until they are merged. That is done before the list grows,
/// lest it hold a row each where rows come otherwise.
fn add(cells: &mut Vec<(Minute, Traffic)>, start: Minute, traffic: Traffic) {
    match cells.last_mut() {
        Some((last, sum)) if *last == start => *sum = sum.plus(traffic),
        _ => {
            if cells.len() == cells.capacity() {
                merge(cells);
                cells.reserve(cells.len() + 1);
            }
            cells.push((start, traffic));
        }
    }
}

/// Leaves each bucket once, in the order of time.
fn merge(cells: &mut Vec<(Minute, Traffic)>) {
    cells.sort_by_key(|(start, _)| *start);
    cells.dedup_by(|(start, traffic), (kept, sum)| {
        let is_same = *start == *kept;
        if is_same {
            *sum = sum.plus(*traffic);
        }
        is_same
    });
}

/// In which buckets a group's sessions were first seen, and from which on they
/// were gone. Sessions come by the hundred thousand and mostly in the order of
/// their end, so that counting up the last bucket is nearly always enough.
#[derive(Debug, Default)]
struct Changes {
    first_seen: Vec<(Minute, u64)>,
    gone: Vec<(Minute, u64)>,
}

fn count(changes: &mut Vec<(Minute, u64)>, at: Minute, sessions: u64) {
    match changes.last_mut() {
        Some((last, number)) if *last == at => *number += sessions,
        _ => changes.push((at, sessions)),
    }
}

/// How many of a group's sessions were open in a bucket.
struct OpenCount(Changes);

impl OpenCount {
    fn of(mut changes: Changes) -> Self {
        for counted in [&mut changes.first_seen, &mut changes.gone] {
            counted.sort_unstable();
            let mut sum = 0;
            for (_, number) in counted {
                sum += *number;
                *number = sum;
            }
        }
        Self(changes)
    }

    fn at(&self, start: Minute) -> u64 {
        up_to(&self.0.first_seen, start) - up_to(&self.0.gone, start)
    }
}

/// What happened until a bucket's start, that one included.
fn up_to(sums: &[(Minute, u64)], start: Minute) -> u64 {
    let after = sums.partition_point(|(at, _)| *at <= start);
    after.checked_sub(1).map_or(0, |last| sums[last].1)
}

/// The unit of a report's buckets, where it has any.
impl Per {
    /// The buckets' length; `None` for the whole period.
    #[must_use]
    pub fn unit(self) -> Option<Unit> {
        match self {
            Self::Bucket(unit) => Some(unit),
            Self::Total => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;
    use crate::{
        identity::UserName,
        report::{By, Selection},
        time::{Calendar, Period},
    };

    fn request(per: Per) -> Request {
        Request {
            period: Period::new(Minute(0), Minute(24 * 60)),
            calendar: Calendar::new(TimeZone::UTC),
            by: vec![By::User],
            per,
            selection: Selection::default(),
        }
    }

    fn subject(name: &str) -> Key {
        Key {
            user: Some(Who::User(UserName::new(name))),
            ..Key::default()
        }
    }

    fn bytes(outbound: u64) -> Traffic {
        Traffic {
            wire: Some(Flow {
                inbound: 0,
                outbound,
            }),
            payload: None,
        }
    }

    fn span(begin: i64, end: Option<i64>) -> SessionSpan {
        SessionSpan {
            begin: Minute(begin),
            end: end.map(Minute),
        }
    }

    #[test]
    fn a_session_counts_in_every_bucket_it_was_open_in() {
        let mut builder = Builder::new(request(Per::Bucket(Unit::Hour)), &[], None);
        let alice = builder.place(&subject("alice"));
        builder.opened(alice, span(30, Some(150)), 1);
        builder.opened(alice, span(-500, Some(60)), 1);
        builder.opened(alice, span(170, None), 1);
        builder.opened(alice, span(24 * 60, None), 1);
        for hour in 0..5 {
            builder.moved(alice, Minute(hour * 60 + 59), bytes(1));
        }
        let report = builder.finish();
        let counts = report.rows.iter().map(|row| row.sum.sessions);
        assert_eq!(
            counts.collect::<Vec<_>>(),
            [Some(2), Some(2), Some(2), Some(1), Some(1)]
        );
        assert_eq!(report.total.sessions, Some(3));
        assert_eq!(report.total.traffic, bytes(5));
    }

    #[test]
    fn counts_of_one_group_do_not_leak_into_the_next() {
        let mut builder = Builder::new(request(Per::Bucket(Unit::Day)), &[], None);
        let alice = builder.place(&subject("alice"));
        let bob = builder.place(&subject("bob"));
        builder.opened(alice, span(0, None), 1);
        builder.moved(alice, Minute(5), bytes(10));
        builder.moved(bob, Minute(5), bytes(20));
        let report = builder.finish();
        assert_eq!(
            report.rows[0].sum.sessions,
            Some(0),
            "bob is first: he moved more"
        );
        assert_eq!(report.rows[1].sum.sessions, Some(1));
    }

    #[test]
    fn an_idle_session_is_seen_in_a_total() {
        let mut builder = Builder::new(request(Per::Total), &[], None);
        let alice = builder.place(&subject("alice"));
        builder.opened(alice, span(0, None), 1);
        let report = builder.finish();
        assert_eq!(report.rows.len(), 1);
        assert_eq!(report.rows[0].sum.sessions, Some(1));
        assert_eq!(report.rows[0].sum.traffic, Traffic::default());
    }

    #[test]
    fn the_nameless_are_left_out_until_asked_for() {
        let nameless = Key {
            user: Some(Who::Nameless),
            ..Key::default()
        };
        let mut builder = Builder::new(request(Per::Total), &[], None);
        let place = builder.place(&nameless);
        assert_eq!(place, Place::LeftOut);
        builder.moved(place, Minute(5), bytes(10));
        builder.opened(place, span(5, Some(5)), 1);
        let report = builder.finish();
        assert!(report.rows.is_empty());
        assert_eq!(report.left_out.sessions, Some(1));
        assert_eq!(report.left_out.traffic, bytes(10));

        let mut asked = request(Per::Total);
        asked.selection.nameless = true;
        let mut builder = Builder::new(asked, &[], None);
        assert!(matches!(builder.place(&nameless), Place::Shown(_)));
    }

    #[test]
    fn rows_in_any_order_add_up() {
        let mut builder = Builder::new(request(Per::Bucket(Unit::Hour)), &[], None);
        let alice = builder.place(&subject("alice"));
        for minute in [70, 5, 65, 130, 6, 5] {
            builder.moved(alice, Minute(minute), bytes(minute.unsigned_abs()));
        }
        let rows = builder.finish().rows.into_iter();
        let rows = rows.map(|row| (row.start.0, row.sum.traffic));
        assert_eq!(
            rows.collect::<Vec<_>>(),
            [(0, bytes(16)), (60, bytes(135)), (120, bytes(130))]
        );
    }

    #[test]
    fn rows_in_any_order_take_no_room_of_their_own() {
        let mut cells = Vec::new();
        for row in 0..10_000 {
            add(&mut cells, Minute(row % 5), bytes(1));
        }
        assert!(cells.capacity() <= 32, "{}", cells.capacity());
        merge(&mut cells);
        let expected = (0..5).map(|start| (Minute(start), bytes(2_000)));
        assert_eq!(cells, expected.collect::<Vec<_>>());
    }

    #[test]
    fn sessions_that_expired_are_not_counted_as_none() {
        let since = Some(Minute(60));
        let mut builder = Builder::new(request(Per::Bucket(Unit::Hour)), &[], since);
        let alice = builder.place(&subject("alice"));
        builder.sessions_known_since(alice, since);
        builder.moved(alice, Minute(5), bytes(1));
        builder.moved(alice, Minute(65), bytes(1));
        let report = builder.finish();
        assert_eq!(report.rows[0].sum.sessions, None);
        assert_eq!(report.rows[1].sum.sessions, Some(0));
        assert_eq!(report.total.sessions, None);
    }
}
