//! The units figures are kept in.
//!
//! Bytes are plain `u64` named by what they count ([`Flow`], [`Traffic`]);
//! minutes have a type of their own, because a minute number and a Unix second
//! are too easily taken for one another.

use jiff::Timestamp;

/// A minute of UTC, counted from 1970-01-01T00:00Z.
///
/// The finest bucket the ledger keeps. Range: jiff's, years −9999 to 9999.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Minute(pub i64);

impl Minute {
    /// The minute an instant lies in.
    #[must_use]
    pub fn of(instant: Timestamp) -> Self {
        Self(instant.as_second().div_euclid(60))
    }

    /// The minute's first instant. Saturates at the ends of jiff's range.
    #[must_use]
    pub fn start(self) -> Timestamp {
        Timestamp::from_second(self.0.saturating_mul(60)).unwrap_or(if self.0 < 0 {
            Timestamp::MIN
        } else {
            Timestamp::MAX
        })
    }

    /// The minute that follows.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// Bytes of one connection or many, in both directions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Flow {
    /// Bytes from the client to the server (`in` in every output).
    pub inbound: u64,
    /// Bytes from the server to the client (`out` in every output).
    pub outbound: u64,
}

impl Flow {
    /// Both directions added. Saturates: a ledger never holds that much.
    #[must_use]
    pub fn total(self) -> u64 {
        self.inbound.saturating_add(self.outbound)
    }

    /// The sum of two flows, direction by direction.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            inbound: self.inbound.saturating_add(other.inbound),
            outbound: self.outbound.saturating_add(other.outbound),
        }
    }

    /// The larger of two flows, direction by direction.
    #[must_use]
    pub fn at_least(self, other: Self) -> Self {
        Self {
            inbound: self.inbound.max(other.inbound),
            outbound: self.outbound.max(other.outbound),
        }
    }

    /// What was added since `earlier`, or `None` where either direction fell.
    #[must_use]
    pub fn since(self, earlier: Self) -> Option<Self> {
        Some(Self {
            inbound: self.inbound.checked_sub(earlier.inbound)?,
            outbound: self.outbound.checked_sub(earlier.outbound)?,
        })
    }
}

/// The two figures sshmeter keeps for everything it counts.
///
/// `None` means that nobody could know, which is not the same as 0: an old
/// kernel's short `tcp_info` gives no wire figure, a firewall meter no payload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Traffic {
    /// Bytes of IP packets as they cross the wire, headers and retransmissions
    /// included.
    pub wire: Option<Flow>,
    /// Bytes of the SSH connection's TCP stream, without headers and
    /// retransmissions.
    pub payload: Option<Flow>,
}

impl Traffic {
    /// Nothing moved, and that is known.
    pub const ZERO: Self = Self {
        wire: Some(Flow {
            inbound: 0,
            outbound: 0,
        }),
        payload: Some(Flow {
            inbound: 0,
            outbound: 0,
        }),
    };

    /// The sum of two amounts. A figure unknown on one side is the other side's:
    /// a sum says what is known to have moved.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            wire: sum(self.wire, other.wire),
            payload: sum(self.payload, other.payload),
        }
    }

    /// Whether no byte is known to have moved.
    #[must_use]
    pub fn is_nothing(self) -> bool {
        self.wire.unwrap_or_default().total() == 0 && self.payload.unwrap_or_default().total() == 0
    }
}

fn sum(one: Option<Flow>, other: Option<Flow>) -> Option<Flow> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.plus(other)),
        (known, None) | (None, known) => known,
    }
}
