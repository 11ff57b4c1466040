//! The kernel's side: sockets and their counters, processes, ports. The only
//! place with raw sockets.
