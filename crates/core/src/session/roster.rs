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

    /// Those that live.
    pub(super) fn live(&self) -> impl Iterator<Item = (SocketCookie, &Connection)> {
        self.connections
            .iter()
            .filter(|(_, connection)| connection.closed.is_none())
            .map(|(cookie, connection)| (*cookie, connection))
    }

    pub(super) fn live_mut(&mut self) -> impl Iterator<Item = &mut Connection> {
        self.connections
            .values_mut()
            .filter(|connection| connection.closed.is_none())
    }

    /// The live connection whose socket has one of these inodes.
    pub(super) fn holding(&self, inodes: &[u32]) -> Option<SocketCookie> {
        inodes.iter().find_map(|inode| {
            let cookie = self.by_inode.get(inode)?;
            let lives = self.connections.get(cookie)?.closed.is_none();
            lives.then_some(*cookie)
        })
    }

    /// The client's connection that a line of this time speaks of: one that
    /// lived then, before one that only nearly did; of several, one that has no
    /// name yet, then the one that ended first, since a line is written before
    /// its connection ends, then the one that began last.
    pub(super) fn nearest(&self, peer: Endpoint, time: Timestamp) -> Option<SocketCookie> {
        self.candidates(peer, time).first().copied()
    }

    /// All connections of the client that a line of this time may speak of, the
    /// likeliest first.
    pub(super) fn candidates(&self, peer: Endpoint, time: Timestamp) -> Vec<SocketCookie> {
        let Some(all) = self.by_peer.get(&peer) else {
            return Vec::new();
        };
        let ranked = all.iter().filter_map(|cookie| {
            let connection = self.connections.get(cookie)?;
            let distance = connection.distance(time)?;
            let end = connection.closed.as_ref().map(|closing| closing.at);
            let rank = (
                distance,
                connection.login.is_some(),
                end.unwrap_or(Timestamp::MAX),
                Reverse(connection.not_before),
            );
            Some((rank, *cookie))
        });
        let mut ranked: Vec<_> = ranked.collect();
        ranked.sort_unstable();
        ranked.into_iter().map(|(_, cookie)| cookie).collect()
    }
}
