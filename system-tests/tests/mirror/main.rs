//! A ledger and its mirrors, as those see it who read either: the same figures,
//! whatever is asked and whichever server is asked, from real sshd's and real
//! packets; and servers that are late, away or not ours.
//!
//! Where no server is in the way, one daemon mirrors to a server of each kind at
//! once, so that each story is told of all of them.

mod away;
mod documented;
mod fleet;
mod given_back;
mod health;
mod own_tables;
mod reports;
mod resolution;
mod secrets;
mod stage;
mod views;
