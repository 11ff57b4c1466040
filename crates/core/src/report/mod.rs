//! The one Report that every view is drawn from, and how it is made.
//!
//! [`answer`] drives it: [`plan`] chooses which rows answer a question exactly,
//! [`Rows`] gives them, of one ledger or of many hosts', and [`Builder`] gathers
//! what they hold. Nothing here formats bytes or times.

mod answer;
mod build;
mod grid;
mod host;
mod plan;
mod rows;
mod selection;

use std::{net::IpAddr, sync::Arc};

pub use answer::answer;
pub use build::{Builder, Group, Place, SessionSpan};
pub use grid::SpanCounts;
pub use host::Host;
pub use plan::{Kept, Segment, plan};
pub use rows::{Amount, KnownSession, PrunedMinutes, RowId, Rows};
pub use selection::{Account, Selection, UNAUTHENTICATED, Who, printed_name};

use crate::{
    identity::{Credential, HostName},
    time::{Calendar, Period, Unit},
    units::{Minute, Traffic},
};

/// What rows are grouped by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum By {
    /// The user who logged in.
    User,
    /// The key or certificate used.
    Credential,
    /// The client's address.
    Peer,
    /// The single session.
    Session,
    /// The host the traffic is of.
    Host,
}

/// The buckets of time rows are made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Per {
    /// A row for each minute, hour, day or month.
    Bucket(Unit),
    /// One row for the whole period.
    Total,
}

/// What is asked.
#[derive(Clone, Debug)]
pub struct Request {
    /// When.
    pub period: Period,
    /// In whose hours, days and months.
    pub calendar: Calendar,
    /// Grouped by what, in this order, without repetition.
    pub by: Vec<By>,
    /// In which buckets.
    pub per: Per,
    /// Whose.
    pub selection: Selection,
}

impl Request {
    /// Whether the question can be answered from rows kept by user and
    /// credential, or needs those of single sessions.
    #[must_use]
    pub fn needs_sessions(&self) -> bool {
        self.by
            .iter()
            .any(|by| matches!(by, By::Peer | By::Session))
    }

    /// What a subject's row is told apart by: of all that is known of it, that
    /// which was asked for. A session's row also says whose it is, and at which
    /// host, since only there its number is its own.
    #[must_use]
    pub fn key(&self, subject: &Key) -> Key {
        let asked = |by| self.by.contains(&by);
        let session = asked(By::Session);
        Key {
            host: (asked(By::Host) || session)
                .then(|| subject.host.clone())
                .flatten(),
            user: (asked(By::User) || session)
                .then(|| subject.user.clone())
                .flatten(),
            credential: asked(By::Credential)
                .then(|| subject.credential.clone())
                .flatten(),
            peer: (asked(By::Peer) || session)
                .then_some(subject.peer)
                .flatten(),
            session: session.then_some(subject.session).flatten(),
        }
    }
}

/// What a row is about. Fields that were not asked for are `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Which host's.
    pub host: Option<HostName>,
    /// Whose.
    pub user: Option<Who>,
    /// The key or certificate; also `None` where the login had none.
    pub credential: Option<Credential>,
    /// The client's address.
    pub peer: Option<IpAddr>,
    /// The session's number in its host's ledger.
    pub session: Option<i64>,
}

/// What a row or a whole report adds up to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    /// Sessions that were open at some time; `None` where the ledger no
    /// longer knows.
    pub sessions: Option<u64>,
    /// What they moved.
    pub traffic: Traffic,
}

/// A row of a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The bucket's first minute within the period.
    pub start: Minute,
    /// What it is about; rows about the same share it.
    pub key: Arc<Key>,
    /// What that adds up to.
    pub sum: Sum,
}

/// Something that a reader of the figures has to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// Before this minute there are only coarser rows, which were counted where
    /// they begin.
    Coarser {
        /// The length of the coarsest rows used.
        unit: Unit,
        /// Finer rows are kept from here on; `None` where some host has none.
        kept_since: Option<Minute>,
    },
    /// Sessions that ended before this minute are no longer listed.
    SessionsExpired {
        /// Sessions are kept from here on.
        kept_since: Minute,
    },
    /// What so many sessions moved within the period is no longer known, as
    /// the period or its buckets cut through their expired minutes.
    SessionsCut {
        /// How many.
        sessions: u64,
    },
    /// The expired minutes of so many sessions lie in several buckets, and
    /// were counted where they begin.
    SessionsMerged {
        /// How many.
        sessions: u64,
    },
    /// Of these hosts no sessions are there to be told, so they are left out.
    WithoutSessions {
        /// What they are called.
        hosts: Vec<HostName>,
    },
}

impl Note {
    /// Takes in what another host's rows have to say, where it is of the same kind.
    fn absorb(&mut self, other: &Self) -> bool {
        match (self, other) {
            (
                Self::Coarser { unit, kept_since },
                Self::Coarser {
                    unit: other_unit,
                    kept_since: other_since,
                },
            ) if unit == other_unit => {
                *kept_since = kept_since.zip(*other_since).map(|(one, two)| one.max(two));
                true
            }
            (one, other) => one == other,
        }
    }
}

/// A report: rows, and what they add up to.
#[derive(Clone, Debug)]
pub struct Report {
    /// The period.
    pub period: Period,
    /// The calendar its buckets follow and its times are shown in.
    pub calendar: Calendar,
    /// What rows are grouped by.
    pub by: Vec<By>,
    /// Which buckets they are made for.
    pub per: Per,
    /// The rows by time, and within a bucket the largest (by bytes on the
    /// wire) first. Buckets in which nothing moved have none.
    pub rows: Vec<Row>,
    /// All rows together; a session counts once.
    pub total: Sum,
    /// Connections that never logged in and were not asked for.
    pub left_out: Sum,
    /// What has to be said beside it.
    pub notes: Vec<Note>,
}
