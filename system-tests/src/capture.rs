//! The truth: what tcpdump saw on the server's wire.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read},
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    process::{ChildStderr, Stdio},
    time::Duration,
};

use rustix::process::Signal;

use crate::{
    keeper::Keeper,
    packets::{Connection, read_capture},
    process::Process,
};

/// Where on the server's wire a capture listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// At the router's end: what has crossed the wire.
    Router,
    /// At the server's own interface: what the server has sent and received.
    /// Where more is sent at once than the backlog between the two ends takes,
    /// which no namespace may lengthen, the router never sees what is dropped
    /// there; but it was sent, and is sent again.
    Server,
}

/// A capture under way.
#[derive(Debug)]
pub struct Capture {
    process: Process,
    words: BufReader<ChildStderr>,
    file: PathBuf,
    ports: Vec<u16>,
    /// What was captured before it, with the file's header.
    before: Vec<u8>,
}

/// What a capture saw, by the client's end of each connection.
#[derive(Clone, Debug)]
pub struct Truth {
    /// The connections.
    pub connections: BTreeMap<SocketAddr, Connection>,
}

impl Capture {
    /// Starts to listen: `keeper` holds the client's namespaces, which are the
    /// router's too, or the server's.
    pub(crate) fn start(keeper: &Keeper, place: Place, ports: &[u16], number: usize) -> Self {
        let (before, interface, folder): (&[&str], _, _) = match place {
            Place::Router => (&["ip", "netns", "exec", "router"], "wire", "/mnt"),
            Place::Server => (&["env"], "eth0", "/run"),
        };
        let inside = format!("{folder}/capture-{number}.pcap");
        let mut command = keeper.command(before[0]);
        command
            .args(&before[1..])
            .args(["tcpdump", "-Z", "root", "-i", interface, "-s", "128"])
            .args(["-B", "65536", "--immediate-mode", "-w", &inside, "tcp"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut process = keeper.spawn(&mut command, "tcpdump");
        let stderr = process.child().stderr.take();
        let mut words = BufReader::new(stderr.expect("the errors are a pipe"));
        let mut line = String::new();
        words.read_line(&mut line).expect("tcpdump speaks");
        assert!(line.contains("listening on"), "tcpdump failed: {line}");
        Self {
            process,
            words,
            file: keeper.path(inside),
            ports: ports.to_vec(),
            before: Vec::new(),
        }
    }

    /// A capture that goes on where this one's interface ended.
    #[must_use]
    pub fn followed_by(self, mut next: Self) -> Self {
        next.before = self.stop();
        next
    }

    /// Stops listening and sums up. To be called when all connections have ended.
    ///
    /// # Panics
    /// When tcpdump missed a packet, since its truth would be none.
    #[must_use]
    pub fn finish(self) -> Truth {
        let ports = self.ports.clone();
        Truth {
            connections: read_capture(&self.stop(), &ports),
        }
    }

    /// Stops listening and gives all that was captured.
    fn stop(mut self) -> Vec<u8> {
        // The last acknowledgement may still be on its way through the router.
        std::thread::sleep(Duration::from_millis(200));
        self.process.signal(Signal::INT);
        let mut words = String::new();
        self.words
            .read_to_string(&mut words)
            .expect("tcpdump's words can be read");
        self.process.wait(Duration::from_secs(10));
        assert!(
            words.contains("\n0 packets dropped by kernel"),
            "the capture has holes:\n{words}"
        );
        let bytes = std::fs::read(&self.file).expect("the capture can be read");
        let header = if self.before.is_empty() { 0 } else { 24 };
        self.before.extend_from_slice(&bytes[header..]);
        self.before
    }
}

impl Truth {
    /// The only connection from an address.
    ///
    /// # Panics
    /// When there is none or more than one.
    #[must_use]
    pub fn from(&self, address: IpAddr) -> &Connection {
        let mut found = self.all_from(address);
        let connection = found.next();
        assert!(found.next().is_none(), "{address} connected more than once");
        connection.unwrap_or_else(|| panic!("{address} never connected"))
    }

    /// All connections from an address.
    pub fn all_from(&self, address: IpAddr) -> impl Iterator<Item = &Connection> {
        self.connections
            .values()
            .filter(move |connection| connection.peer.ip() == address)
    }
}
