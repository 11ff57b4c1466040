//! The ledger's rows as a mirror gets them: which tables there are, which columns
//! each has, and values without SQLite's types.
//!
//! One list of columns serves for reading them here, for making the tables on a
//! server, for writing and for comparing, so that none can be forgotten in one of
//! these places.

/// A value of a row.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Value {
    /// Unknown, or not there.
    Null,
    /// A figure, a minute, a number of another row.
    Integer(i64),
    /// A name, an address, a reason.
    Text(String),
}

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An integer that is always there.
    Number,
    /// An integer, or NULL.
    MaybeNumber,
    /// Text that is always there.
    Word,
    /// Text, or NULL.
    MaybeWord,
}

/// A table whose rows are mirrored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Table {
    /// Users and credentials.
    Account,
    /// Sessions, without what only the daemon needs of them.
    Session,
    /// Minutes by session.
    Minute,
    /// Hours by account.
    Hour,
    /// Days by account.
    Day,
    /// Months by account.
    Month,
}

/// A row's key within its table; the second part is 0 where there is one only.
pub type RowKey = [i64; 2];

/// A row as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its table.
    pub table: Table,
    /// Its key.
    pub key: RowKey,
    /// What it holds beside the key, in the order of [`Table::columns`]; `None`
    /// where it is gone.
    pub values: Option<Vec<Value>>,
}

const FIGURES: [(&str, Kind); 4] = [
    ("wire_in", Kind::MaybeNumber),
    ("wire_out", Kind::MaybeNumber),
    ("payload_in", Kind::MaybeNumber),
    ("payload_out", Kind::MaybeNumber),
];

impl Table {
    /// All, each after those whose rows it points at.
    pub const ALL: [Self; 6] = [
        Self::Account,
        Self::Session,
        Self::Minute,
        Self::Hour,
        Self::Day,
        Self::Month,
    ];

    /// Its name in the ledger; on a server it has `sshmeter_` in front.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::Session => "session",
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Month => "month",
        }
    }

    /// Its number in the ledger's list of changes.
    #[must_use]
    pub fn number(self) -> i64 {
        match self {
            Self::Account => 1,
            Self::Session => 2,
            Self::Minute => 3,
            Self::Hour => 4,
            Self::Day => 5,
            Self::Month => 6,
        }
    }

    /// The columns that tell its rows apart, integers all.
    #[must_use]
    pub fn key(self) -> &'static [&'static str] {
        match self {
            Self::Account | Self::Session => &["id"],
            Self::Minute => &["minute", "session"],
            Self::Hour | Self::Day | Self::Month => &["start", "account"],
        }
    }

    /// Its other columns.
    #[must_use]
    pub fn columns(self) -> &'static [(&'static str, Kind)] {
        match self {
            Self::Account => &[("user", Kind::MaybeWord), ("credential", Kind::MaybeWord)],
            Self::Session => &[
                ("boot", Kind::Word),
                ("cookie", Kind::Number),
                ("account", Kind::Number),
                ("method", Kind::MaybeWord),
                ("peer_ip", Kind::Word),
                ("peer_port", Kind::Number),
                ("local_ip", Kind::Word),
                ("local_port", Kind::Number),
                ("pid", Kind::MaybeNumber),
                ("opened_ms", Kind::Number),
                ("closed_ms", Kind::MaybeNumber),
                ("reason", Kind::MaybeWord),
                ("begin_minute", Kind::Number),
                ("end_minute", Kind::Number),
                ("total_wire_in", Kind::MaybeNumber),
                ("total_wire_out", Kind::MaybeNumber),
                ("total_payload_in", Kind::MaybeNumber),
                ("total_payload_out", Kind::MaybeNumber),
                ("pruned_wire_in", Kind::MaybeNumber),
                ("pruned_wire_out", Kind::MaybeNumber),
                ("pruned_payload_in", Kind::MaybeNumber),
                ("pruned_payload_out", Kind::MaybeNumber),
                ("pruned_first", Kind::MaybeNumber),
                ("pruned_last", Kind::MaybeNumber),
            ],
            Self::Minute | Self::Hour | Self::Day | Self::Month => &FIGURES,
        }
    }
}
