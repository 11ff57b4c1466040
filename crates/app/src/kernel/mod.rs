//! The kernel's side: sockets and their counters, processes, ports. The only
//! place with raw sockets, and it decides nothing: what a socket's figures mean
//! and whose they are is the core's to say.

pub mod boot;
pub mod holder;
pub mod message;
pub mod ports;
pub mod process;
pub mod rights;
pub mod sockdiag;
