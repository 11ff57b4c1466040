//! Any bytes as the kernel's answer to a dump, or its word of an end.

use sshmeter::kernel::message::{Message, messages};
use sshmeter_core::{
    counter::{Reading, Step},
    meter::{IpVersion, Socket},
};

/// A netlink header.
const SHORTEST_MESSAGE: usize = 16;
/// A header and `struct inet_diag_msg`.
const SHORTEST_SOCKET: usize = SHORTEST_MESSAGE + 72;

/// Reads all messages, and every socket's figures as readings of one counter.
pub fn netlink(bytes: &[u8]) {
    let all: Vec<Message> = messages(bytes).collect();
    assert!(all.len() <= bytes.len() / SHORTEST_MESSAGE, "{all:?}");
    let mut sockets = 0;
    let mut reading = Reading::default();
    for message in all {
        let Message::Socket(answer) = message else {
            continue;
        };
        sockets += 1;
        reading = read_on(&answer.socket, reading);
    }
    assert!(
        sockets <= bytes.len() / SHORTEST_SOCKET,
        "{sockets} sockets"
    );
}

/// The reading that follows one; it never falls.
fn read_on(socket: &Socket, earlier: Reading) -> Reading {
    assert_eq!(socket.peer.ip(), socket.peer.ip().to_canonical());
    let version = IpVersion::of(socket.peer);
    let reading = socket.sample.reading(version, earlier);
    assert!(
        matches!(reading.step_from(earlier), Step::Advanced(_)),
        "{earlier:?}, then {reading:?}"
    );
    // The newest byte may wait for a reading before which nothing came.
    let again = socket.sample.reading(version, reading);
    let later = socket.sample.reading(version, again);
    assert_eq!(later, again, "again");
    reading
}
