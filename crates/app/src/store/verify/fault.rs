//! A fault of a ledger: which row, and what is wrong with it. Data only; words
//! for people are made of it elsewhere.

use jiff::Timestamp;
use sshmeter_core::{identity::Credential, report::Who, time::Unit, units::Minute};

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The row.
    pub subject: Subject,
    /// What is wrong with it.
    pub wrong: Wrong,
}

/// What a fault is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// The file itself, below its rows.
    File,
    /// One of the ledger's facts about itself, by its name.
    Fact(&'static str),
    /// The place in the log.
    Checkpoint,
    /// A user and credential.
    Account(Owner),
    /// A session.
    Session(SessionName),
    /// What a session moved in a minute.
    Minute {
        /// The minute.
        minute: Minute,
        /// The session's number.
        session: i64,
    },
    /// What an account moved in an hour, a day or a month.
    Bucket {
        /// Which of these.
        unit: Unit,
        /// Where it begins.
        start: Minute,
        /// Whose.
        owner: Owner,
    },
}

/// An account's number, and whose that is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Its number.
    pub account: i64,
    /// The user; `None` where there is no such account.
    pub who: Option<Who>,
    /// The credential.
    pub credential: Option<Credential>,
}

/// What a session is known by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionName {
    /// Its number.
    pub id: i64,
    /// Whose it is.
    pub owner: Owner,
    /// The client's address, as it is written there.
    pub peer_ip: String,
    /// The client's port.
    pub peer_port: i64,
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// What cannot be, in words.
    Told(String),
    /// Amounts that have to agree, and do not.
    Amounts {
        /// By what the one and the other are known.
        by: [&'static str; 2],
        /// Where they differ.
        differences: Vec<Difference>,
    },
    /// Two times in the wrong order.
    Times {
        /// What should be the earlier.
        earlier: Time,
        /// What should be the later.
        later: Time,
    },
}

/// One figure of which there are two amounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Which figure.
    pub figure: Figure,
    /// How many bytes by the one and by the other; `None` where it is said to
    /// be unknown.
    pub amounts: [Option<i128>; 2],
}

/// A time, and of what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Time {
    /// Of what.
    pub of: &'static str,
    /// When.
    pub at: Timestamp,
}

/// The four figures, in the order of their columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Figure {
    /// IP packets from the client.
    WireIn,
    /// IP packets to the client.
    WireOut,
    /// The stream from the client.
    PayloadIn,
    /// The stream to the client.
    PayloadOut,
}

/// All of them.
const FIGURES: [Figure; 4] = [
    Figure::WireIn,
    Figure::WireOut,
    Figure::PayloadIn,
    Figure::PayloadOut,
];

impl Subject {
    /// The table the row is in; `None` for what is in none.
    #[must_use]
    pub fn table(&self) -> Option<&'static str> {
        Some(match self {
            Self::File => return None,
            Self::Fact(_) => "meta",
            Self::Checkpoint => "checkpoint",
            Self::Account(_) => "account",
            Self::Session(_) => "session",
            Self::Minute { .. } => "minute",
            Self::Bucket { unit, .. } => super::super::amounts::table_of(*unit),
        })
    }
}

/// Four columns as they stand: also what no amount could be. Sums of these do
/// not overflow, whatever a row says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Columns(pub(super) [Option<i128>; 4]);

impl Columns {
    /// From four columns of a row, the first of which is `first`.
    pub(super) fn at(row: &rusqlite::Row<'_>, first: usize) -> rusqlite::Result<Self> {
        let column = |place: usize| -> rusqlite::Result<_> {
            let figure: Option<i64> = row.get(first + place)?;
            Ok(figure.map(i128::from))
        };
        Ok(Self([column(0)?, column(1)?, column(2)?, column(3)?]))
    }

    /// The sum; a figure unknown on one side is the other side's.
    pub(super) fn add(&mut self, other: Self) {
        for (sum, figure) in self.0.iter_mut().zip(other.0) {
            *sum = match (*sum, figure) {
                (Some(one), Some(other)) => Some(one + other),
                (known, None) | (None, known) => known,
            };
        }
    }

    /// What no row of amounts may be, in words.
    pub(super) fn impossible(self, of: &str) -> Vec<Wrong> {
        let mut found = Vec::new();
        for (figure, bytes) in FIGURES.into_iter().zip(self.0) {
            if let Some(bytes) = bytes.filter(|bytes| *bytes < 0) {
                let name = figure.name();
                found.push(Wrong::Told(format!("{of}{name} is negative: {bytes}")));
            }
        }
        for (kind, inbound, outbound) in [("wire", 0, 1), ("payload", 2, 3)] {
            if self.0[inbound].is_some() != self.0[outbound].is_some() {
                found.push(Wrong::Told(format!(
                    "{of}{kind} is known in one direction only"
                )));
            }
        }
        found
    }
}

/// Where two amounts of one row differ, if they do; `agree` is asked of each figure.
pub(super) fn differences(
    by: [&'static str; 2],
    one: Columns,
    other: Columns,
    agree: impl Fn(Option<i128>, Option<i128>) -> bool,
) -> Option<Wrong> {
    let amounts = FIGURES.into_iter().zip(one.0.into_iter().zip(other.0));
    let differences: Vec<Difference> = amounts
        .filter(|(_, (one, other))| !agree(*one, *other))
        .map(|(figure, (one, other))| Difference {
            figure,
            amounts: [one, other],
        })
        .collect();
    (!differences.is_empty()).then_some(Wrong::Amounts { by, differences })
}

impl Figure {
    /// What people call it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::WireIn => "wire in",
            Self::WireOut => "wire out",
            Self::PayloadIn => "payload in",
            Self::PayloadOut => "payload out",
        }
    }
}
