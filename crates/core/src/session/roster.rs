//! The connections that are known, found by cookie, by client and by the inode
//! of their socket; each look-up costs the same however many there are.

use std::{
    cmp::Reverse,
    collections::{HashMap, hash_map::Entry},
};

use jiff::Timestamp;

use super::connection::Connection;
use crate::identity::{Endpoint, SocketCookie};

#[derive(Debug, Default)]
pub(super) struct Roster {
    connections: HashMap<SocketCookie, Connection>,
    /// Several from one client's address follow one another.
    by_peer: HashMap<Endpoint, Vec<SocketCookie>>,
    /// The socket that was shown with an inode last; inodes are used again.
    by_inode: HashMap<u32, SocketCookie>,
}

impl Roster {
    pub(super) fn get(&self, cookie: SocketCookie) -> Option<&Connection> {
        self.connections.get(&cookie)
    }

    pub(super) fn get_mut(&mut self, cookie: SocketCookie) -> Option<&mut Connection> {
        self.connections.get_mut(&cookie)
    }

    /// The connection, made when it is not known yet, and whether it is new.
    pub(super) fn get_or_insert(
        &mut self,
        cookie: SocketCookie,
        make: impl FnOnce() -> Connection,
    ) -> (&mut Connection, bool) {
        match self.connections.entry(cookie) {
            Entry::Occupied(known) => (known.into_mut(), false),
            Entry::Vacant(vacant) => {
                let connection = vacant.insert(make());
                let others = self.by_peer.entry(connection.peer).or_default();
                others.push(cookie);
                (connection, true)
            }
        }
    }

    /// The connection's socket has this inode.
    pub(super) fn has_inode(&mut self, cookie: SocketCookie, inode: u32) {
        self.by_inode.insert(inode, cookie);
    }

    pub(super) fn remove(&mut self, cookie: SocketCookie) {
        let Some(connection) = self.connections.remove(&cookie) else {
            return;
        };
        if let Some(inode) = connection.inode
            && self.by_inode.get(&inode) == Some(&cookie)
        {
            self.by_inode.remove(&inode);
        }
        if let Entry::Occupied(mut others) = self.by_peer.entry(connection.peer) {
            others.get_mut().retain(|other| *other != cookie);
            if others.get().is_empty() {
                others.remove();
            }
        }
    }

    /// All of them.
    pub(super) fn all(&self) -> impl Iterator<Item = &Connection> {
        self.connections.values()
    }

    /// Those that live.
    pub(super) fn live(&self) -> impl Iterator<Item = (SocketCookie, &Connection)> {
        self.connections
            .iter()
            .filter(|(_, connection)| connection.closed.is_none())
            .map(|(cookie, connection)| (*cookie, connection))
    }

    pub(super) fn all_mut(&mut self) -> impl Iterator<Item = (SocketCookie, &mut Connection)> {
        let connections = self.connections.iter_mut();
        connections.map(|(cookie, connection)| (*cookie, connection))
    }

    /// All connections from a client's address and port, those that ended too.
    pub(super) fn of_peer(&self, peer: Endpoint) -> Vec<SocketCookie> {
        self.by_peer.get(&peer).cloned().unwrap_or_default()
    }

    /// Whether there are others from there that `count`.
    pub(super) fn has_others(
        &self,
        cookie: SocketCookie,
        peer: Endpoint,
        count: impl Fn(&Connection) -> bool,
    ) -> bool {
        let of_peer = self.by_peer.get(&peer).into_iter().flatten();
        of_peer
            .filter(|other| **other != cookie)
            .any(|other| self.get(*other).is_some_and(&count))
    }

    /// The live connection whose socket has one of these inodes.
    pub(super) fn holding(&self, inodes: &[u32]) -> Option<SocketCookie> {
        inodes.iter().find_map(|inode| {
            let cookie = self.by_inode.get(inode)?;
            let lives = self.connections.get(cookie)?.closed.is_none();
            lives.then_some(*cookie)
        })
    }

    /// The client's connection that a line of this time most likely speaks of.
    pub(super) fn nearest(&self, peer: Endpoint, time: Timestamp) -> Option<SocketCookie> {
        self.candidates(peer, time).first().copied()
    }

    /// All connections of the client that a line of this time may speak of, the
    /// likeliest first: one that lived then, before one that only nearly did; of
    /// several, one that has no name yet, then the one that ended first, since a
    /// line is written before its connection ends, then the one that began last,
    /// then the one that was seen first. Those that are hardly meant come last.
    pub(super) fn candidates(&self, peer: Endpoint, time: Timestamp) -> Vec<SocketCookie> {
        self.ranked(peer, |connection| {
            let distance = connection.distance(time)?;
            let is_named = connection.login.is_some();
            let younger = Reverse(connection.not_before);
            let end = connection.end_or_never();
            Some((
                connection.is_hardly_meant(),
                distance,
                is_named,
                end,
                younger,
            ))
        })
    }

    /// All connections of the client whose end a line of this time may tell, the
    /// likeliest first: the nearest, and of several the one that ended first,
    /// then the one that was seen first. Those that a later one is known to have
    /// followed come last.
    pub(super) fn ending(&self, peer: Endpoint, time: Timestamp) -> Vec<SocketCookie> {
        self.ranked(peer, |connection| {
            let distance = connection.distance_of_end(time)?;
            let is_succeeded = connection.is_succeeded();
            Some((is_succeeded, distance, connection.end_or_never()))
        })
    }

    /// All connections between the same two addresses and ports as this one, in
    /// their order.
    pub(super) fn beside(&self, cookie: SocketCookie) -> Vec<SocketCookie> {
        let Some(connection) = self.get(cookie) else {
            return Vec::new();
        };
        self.ranked(connection.peer, |other| {
            (other.local == connection.local).then(|| other.end_or_never())
        })
    }

    /// Those of them that were there before this one.
    pub(super) fn before(&self, cookie: SocketCookie) -> Vec<SocketCookie> {
        let mut in_order = self.beside(cookie);
        let place = in_order.iter().position(|one| *one == cookie);
        in_order.truncate(place.unwrap_or_default());
        in_order
    }

    /// The client's connections that have a rank, the lowest first; of equal ones
    /// the one that was seen first, as cookies tell no order.
    fn ranked<Rank: Ord>(
        &self,
        peer: Endpoint,
        rank: impl Fn(&Connection) -> Option<Rank>,
    ) -> Vec<SocketCookie> {
        let of_peer = self.by_peer.get(&peer).into_iter().flatten();
        let mut ranked: Vec<_> = of_peer
            .filter_map(|cookie| Some((rank(self.connections.get(cookie)?)?, *cookie)))
            .collect();
        ranked.sort_by(|(one, _), (other, _)| one.cmp(other));
        ranked.into_iter().map(|(_, cookie)| cookie).collect()
    }
}
