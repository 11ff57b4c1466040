//! Meters at a firewall: what their rules count, what happens to rules, and whose
//! rules are left alone.
//!
//! Everything that is asked of all meters is told elsewhere (`exactness`, `short`,
//! `before`, `loss`, `restart`, `nobody`). Here are the stories that only rules
//! have. On these machines TCP makes a packet of each segment, so that what the
//! rules count is what crosses the wire, unless a story says otherwise.
//!
//! Each story is told of nftables and of both kinds of iptables, where there is a
//! way to tell it: counters of nftables' elements cannot be zeroed, and the chain
//! of the scripts is one of iptables'.

mod faults;
mod login_on;
mod names;
mod neighbours;
mod others;
mod restart;
mod scripts;
mod talk;
