//! The kernel's side: sockets and their counters, processes, ports. The only
//! place with raw sockets, and it decides nothing: what a socket's figures mean
//! and whose they are is the core's to say.

pub mod boot;
pub mod endings;
pub mod firewall;
pub mod holder;
pub mod message;
pub mod meter;
pub mod notes;
pub mod ports;
pub mod process;
pub mod rights;
pub mod sockdiag;

use std::{
    os::fd::{AsRawFd as _, OwnedFd},
    path::PathBuf,
};

/// Where programs of the system's are, for those whose PATH lacks the half of it.
pub(crate) const PATH_WITH_SBIN: &str =
    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Where /proc shows what a descriptor of ours is.
fn descriptor_path(descriptor: &OwnedFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", descriptor.as_raw_fd()))
}
