//! sshd's lines about a caller, in the form of Debian's rsyslogd.

use std::{
    fs::File,
    io::{self, Write as _},
    sync::Arc,
};

use jiff::Timestamp;
use system_tests::Caller;

/// The log, written to by several threads.
#[derive(Clone, Debug)]
pub(crate) struct Log(Arc<File>);

impl Log {
    pub(crate) fn open(path: &str) -> io::Result<Self> {
        let file = File::options().append(true).open(path)?;
        Ok(Self(Arc::new(file)))
    }

    /// He logged in.
    pub(crate) fn welcome(&self, caller: Caller) -> io::Result<()> {
        let (user, end) = (caller.user(), caller.end());
        let (ip, port) = (end.ip(), end.port());
        self.write(
            caller,
            &[
                format!("Accepted password for {user} from {ip} port {port} ssh2"),
                format!(
                    "pam_unix(sshd:session): session opened for user {user}(uid=2000) by (uid=0)"
                ),
            ],
        )
    }

    /// He left.
    pub(crate) fn farewell(&self, caller: Caller) -> io::Result<()> {
        let (user, end) = (caller.user(), caller.end());
        let (ip, port) = (end.ip(), end.port());
        self.write(
            caller,
            &[
                format!("Received disconnect from {ip} port {port}:11: disconnected by user"),
                format!("Disconnected from user {user} {ip} port {port}"),
                format!("pam_unix(sshd:session): session closed for user {user}"),
            ],
        )
    }

    /// In one call, so that threads do not write into each other's lines.
    fn write(&self, caller: Caller, messages: &[String]) -> io::Result<()> {
        let now = format!("{:.6}", Timestamp::now()).replace('Z', "+00:00");
        let pid = caller.pid();
        let lines = messages
            .iter()
            .map(|message| format!("{now} meter sshd[{pid}]: {message}\n"));
        let text: String = lines.collect();
        (&*self.0).write_all(text.as_bytes())
    }
}
