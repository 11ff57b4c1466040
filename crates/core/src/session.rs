//! Sessions: log events joined to kernel sockets.
