//! Sessions as sshd would log them.

use std::{fmt::Write as _, fs::File, io::Write as _, net::SocketAddr};

use anyhow::Result;
use system_tests::Keeper;

use super::metering::LOG;

/// No process of a server gets so far.
const FIRST_PID: usize = 3_000_000;

/// A session's login.
#[derive(Clone, Debug)]
pub(super) struct Login {
    /// Who.
    pub(super) user: String,
    /// The client's end.
    pub(super) peer: SocketAddr,
    /// Who of sshd says so.
    pub(super) pid: usize,
}

impl Login {
    /// The session of this number.
    pub(super) fn new(number: usize, user: String, peer: SocketAddr) -> Self {
        Self {
            user,
            peer,
            pid: FIRST_PID + number,
        }
    }
}

/// Writes them to a server's log.
pub(super) fn write_log(server: &Keeper, logins: &[Login]) -> Result<()> {
    let now = server.run("date", &["+%Y-%m-%dT%H:%M:%S.%6N%:z"]);
    let now = now.trim();
    let mut text = String::new();
    for Login { user, peer, pid } in logins {
        let (ip, port) = (peer.ip(), peer.port());
        writeln!(
            text,
            "{now} meter sshd[{pid}]: Accepted password for {user} from {ip} port {port} ssh2"
        )?;
    }
    let mut log = File::options().append(true).open(server.path(LOG))?;
    Ok(log.write_all(text.as_bytes())?)
}

/// What a script of iptables puts for these, the first of which it saw first: each
/// rule goes to the chain's head.
pub(super) fn rules(logins: &[Login]) -> String {
    let mut text = "*filter\n:useraccount - [0:0]\n\
        -I INPUT -p tcp -j useraccount\n\
        -I OUTPUT -p tcp -j useraccount\n"
        .to_owned();
    for Login { user, peer, pid } in logins {
        let (client, port) = (peer.ip(), peer.port());
        let comment = format!("-m comment --comment \"pid:{pid} user:{user}\"");
        for (end, port_option) in [("-s", "--sport"), ("-d", "--dport")] {
            text.push_str(&format!(
                "-I useraccount {end} {client} -p tcp {port_option} {port} {comment}\n"
            ));
        }
    }
    text + "COMMIT\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_puts_two_rules_a_session() {
        let peer = "10.76.0.2:40000".parse().unwrap();
        let text = rules(&[Login::new(4, "a".to_owned(), peer)]);
        let rules: Vec<&str> = text.lines().filter(|line| line.contains("user:")).collect();
        assert_eq!(
            rules,
            [
                "-I useraccount -s 10.76.0.2 -p tcp --sport 40000 \
                 -m comment --comment \"pid:3000004 user:a\"",
                "-I useraccount -d 10.76.0.2 -p tcp --dport 40000 \
                 -m comment --comment \"pid:3000004 user:a\"",
            ]
        );
    }
}
