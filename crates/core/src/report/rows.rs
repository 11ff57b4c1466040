//! Rows as a report needs them, and the trait of whatever keeps them. Nothing here
//! decides which are read.

use std::net::IpAddr;

use super::{Account, Host, Per, Request, Segment, SessionSpan};
use crate::{
    time::Period,
    units::{Minute, Traffic},
};

/// The number of an account or a session. Each host gives its own, so that those
/// of two may be equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowId {
    /// The host's number.
    pub host: i64,
    /// The number in that host's ledger.
    pub id: i64,
}

/// What an account or a session moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Amount {
    /// The account, or the session.
    pub of: RowId,
    /// In which minute, or in the row that starts with it.
    pub at: Minute,
    /// How much.
    pub traffic: Traffic,
}

/// A session, as far as reports need it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownSession {
    /// The session.
    pub id: RowId,
    /// Its account's number, at the same host.
    pub account: i64,
    /// The client's address; `None` where it cannot be read.
    pub peer: Option<IpAddr>,
    /// When it was open.
    pub span: SessionSpan,
    /// What it remembers of its expired minutes.
    pub pruned: Option<PrunedMinutes>,
}

/// What a session's deleted minutes held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrunedMinutes {
    /// The first of them.
    pub first: Minute,
    /// The last of them.
    pub last: Minute,
    /// What was moved in them.
    pub traffic: Traffic,
}

impl PrunedMinutes {
    /// Whether a period takes some of these minutes and leaves others.
    #[must_use]
    pub fn are_cut_by(&self, period: Period) -> bool {
        let touches = self.first < period.until() && period.since() <= self.last;
        touches && !period.contains_all(self.first, self.last)
    }
}

/// Rows of one ledger, or of many hosts', wherever they are kept. All that one
/// report reads has to be of one moment.
///
/// `hosts` are numbers of hosts, at least one; rows of others are not given.
/// Rows come in any order.
pub trait Rows {
    /// Why rows cannot be read.
    type Error;

    /// The hosts there are.
    ///
    /// # Errors
    /// They cannot be read; so with all that follow.
    fn hosts(&mut self) -> Result<Vec<Host>, Self::Error>;

    /// The accounts of all hosts.
    ///
    /// # Errors
    /// See [`Rows::hosts`].
    fn accounts(&mut self) -> Result<Vec<Account>, Self::Error>;

    /// The start of the first month's row that starts at `from` or later.
    ///
    /// # Errors
    /// See [`Rows::hosts`].
    fn first_month(&mut self, hosts: &[i64], from: Minute) -> Result<Option<Minute>, Self::Error>;

    /// What accounts moved in a segment. Rows of minutes are kept by session, and
    /// are given by account too.
    ///
    /// With [`Per::Total`] it may be added up where it is kept, to one amount an
    /// account at the segment's start: worthwhile where each row has to come over
    /// a network. It is added up as [`Traffic::plus`] does: what is unknown in one
    /// row is what the others say.
    ///
    /// # Errors
    /// See [`Rows::hosts`].
    fn amounts(
        &mut self,
        hosts: &[i64],
        segment: Segment,
        per: Per,
        each: impl FnMut(Amount),
    ) -> Result<(), Self::Error>;

    /// When the sessions of accounts were open, of those that were at some time in the
    /// period that is asked for, and how many were open so. Sessions that were open in
    /// the same of its buckets may be told as one span, and be counted where they are
    /// kept: what is there by the hundred thousand is not worth telling one by one.
    ///
    /// # Errors
    /// See [`Rows::hosts`].
    fn spans(
        &mut self,
        hosts: &[i64],
        request: &Request,
        each: impl FnMut(RowId, SessionSpan, u64),
    ) -> Result<(), Self::Error>;

    /// The sessions that were open at some time in a period.
    ///
    /// # Errors
    /// See [`Rows::hosts`].
    fn sessions(
        &mut self,
        hosts: &[i64],
        period: Period,
        each: impl FnMut(KnownSession),
    ) -> Result<(), Self::Error>;

    /// What sessions moved in the minutes of a period.
    ///
    /// # Errors
    /// See [`Rows::hosts`].
    fn session_minutes(
        &mut self,
        hosts: &[i64],
        period: Period,
        each: impl FnMut(Amount),
    ) -> Result<(), Self::Error>;
}
