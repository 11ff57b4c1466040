//! The logs that are read: made up, of the lines that sshd 9.2 on Debian and its
//! neighbours really write, the same in every run.

use std::{
    fmt::Arguments,
    fs::File,
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

/// A log, and what is in it.
#[derive(Clone, Debug)]
pub(super) struct Written {
    pub(super) path: PathBuf,
    pub(super) bytes: u64,
    pub(super) lines: u64,
    /// Each of them is closed too.
    pub(super) logins: u64,
}

/// Writes a log of nothing but sshd's lines.
pub(super) fn of_sshd(path: &Path, lines: u64) -> io::Result<Written> {
    let mut log = Log::create(path)?;
    while log.written.lines < lines {
        log.sshd()?;
    }
    log.finish()
}

/// Writes a log of a whole system, in which sshd writes two lines of a hundred.
pub(super) fn of_a_system(path: &Path, lines: u64) -> io::Result<Written> {
    let mut log = Log::create(path)?;
    let mut of_sshd = 0;
    while log.written.lines < lines {
        let before = log.written.lines;
        if of_sshd * 50 <= before {
            log.sshd()?;
            of_sshd += log.written.lines - before;
        } else {
            log.others()?;
        }
    }
    log.finish()
}

struct Log {
    file: BufWriter<File>,
    written: Written,
    /// Conversations so far; all that differs comes of it.
    number: u64,
}

impl Log {
    fn create(path: &Path) -> io::Result<Self> {
        Ok(Self {
            file: BufWriter::with_capacity(1 << 20, File::create(path)?),
            written: Written {
                path: path.to_owned(),
                bytes: 0,
                lines: 0,
                logins: 0,
            },
            number: 0,
        })
    }

    fn finish(mut self) -> io::Result<Written> {
        self.file.flush()?;
        self.written.bytes = self.file.get_ref().metadata()?.len();
        Ok(self.written)
    }

    /// One connection to sshd, from its first line to its last: five of ten log in,
    /// one of them at a server that says more.
    fn sshd(&mut self) -> io::Result<()> {
        self.number += 1;
        let client = Client::of(self.number);
        match self.number % 10 {
            0..4 => self.session(&client),
            4 => self.session_in_detail(&client),
            5..9 => self.guess(&client),
            _ => self.scan(&client),
        }
    }

    fn session(&mut self, client: &Client) -> io::Result<()> {
        let Client { user, at, .. } = client;
        self.written.logins += 1;
        client.say(
            self,
            format_args!("Accepted publickey for {user} from {at} ssh2: ED25519 {KEY}"),
        )?;
        client.say(
            self,
            format_args!("{PAM} session opened for user {user}(uid=1000) by (uid=0)"),
        )?;
        client.say(
            self,
            format_args!("Received disconnect from {at}:11: disconnected by user"),
        )?;
        client.say(self, format_args!("Disconnected from user {user} {at}"))?;
        client.say(self, format_args!("{PAM} session closed for user {user}"))
    }

    /// The same with `LogLevel VERBOSE`.
    fn session_in_detail(&mut self, client: &Client) -> io::Result<()> {
        let Client { user, at, .. } = client;
        let found = "found at /home/user/.ssh/authorized_keys:1";
        client.say(
            self,
            format_args!("Connection from {at} on 192.0.2.1 port 22 rdomain \"\""),
        )?;
        client.say(self, format_args!("Accepted key ED25519 {KEY} {found}"))?;
        client.say(
            self,
            format_args!("Postponed publickey for {user} from {at} ssh2 [preauth]"),
        )?;
        client.say(self, format_args!("Accepted key ED25519 {KEY} {found}"))?;
        client.say(
            self,
            format_args!("User child is on pid {}", client.pid + 1),
        )?;
        client.say(
            self,
            format_args!("Starting session: command for {user} from {at} id 0"),
        )?;
        client.say(
            self,
            format_args!("Close session: user {user} from {at} id 0"),
        )?;
        self.session(client)
    }

    /// Somebody who tries names and passwords.
    fn guess(&mut self, client: &Client) -> io::Result<()> {
        const FAILURE: &str = "authentication failure; logname= uid=0 euid=0 tty=ssh ruser=";
        let Client { ip, at, .. } = client;
        client.say(self, format_args!("Invalid user admin from {at}"))?;
        client.say(
            self,
            format_args!("pam_unix(sshd:auth): check pass; user unknown"),
        )?;
        client.say(
            self,
            format_args!("pam_unix(sshd:auth): {FAILURE} rhost={ip}"),
        )?;
        client.say(
            self,
            format_args!("Failed password for invalid user admin from {at} ssh2"),
        )?;
        client.say(
            self,
            format_args!("Received disconnect from {at}:11: Bye Bye [preauth]"),
        )?;
        client.say(
            self,
            format_args!("Disconnected from invalid user admin {at} [preauth]"),
        )
    }

    /// Somebody who wants to know what answers here.
    fn scan(&mut self, client: &Client) -> io::Result<()> {
        const IDENTIFICATION: &str =
            "kex_exchange_identification: Connection closed by remote host";
        let at = &client.at;
        let offer =
            "no matching key exchange method found. Their offer: diffie-hellman-group1-sha1";
        client.say(self, format_args!("error: {IDENTIFICATION}"))?;
        client.say(self, format_args!("Connection closed by {at}"))?;
        client.say(
            self,
            format_args!("banner exchange: Connection from {at}: invalid format"),
        )?;
        client.say(
            self,
            format_args!("Unable to negotiate with {at}: {offer} [preauth]"),
        )
    }

    /// What a mail server behind a packet filter writes besides.
    fn others(&mut self) -> io::Result<()> {
        self.number += 1;
        let number = self.number;
        let Client { user, ip, pid, .. } = Client::of(number);
        match number % 5 {
            0 => self.line(
                format_args!("kernel"),
                format_args!(
                    "[{number}.123456] [UFW BLOCK] IN=eth0 OUT= \
                     MAC=00:16:3e:aa:bb:cc:00:16:3e:dd:ee:ff:08:00 SRC={ip} DST=192.0.2.1 \
                     LEN=40 TOS=0x00 PREC=0x00 TTL=244 ID=54321 PROTO=TCP SPT=40000 DPT=23 \
                     WINDOW=1024 RES=0x00 SYN URGP=0 "
                ),
            ),
            1 => {
                let tag = format_args!("CRON[{pid}]");
                let pam = "pam_unix(cron:session): session";
                self.line(
                    tag,
                    format_args!("{pam} opened for user root(uid=0) by (uid=0)"),
                )?;
                self.line(
                    tag,
                    format_args!("(root) CMD (   cd / && run-parts --report /etc/cron.hourly)"),
                )?;
                self.line(tag, format_args!("{pam} closed for user root"))
            }
            2 => {
                let tag = format_args!("systemd[1]");
                self.line(
                    tag,
                    format_args!(
                        "Started session-{number}.scope - Session {number} of User {user}."
                    ),
                )?;
                self.line(
                    tag,
                    format_args!("session-{number}.scope: Deactivated successfully."),
                )
            }
            3 => self.line(
                format_args!("systemd-logind[601]"),
                format_args!("New session {number} of user {user}."),
            ),
            _ => {
                let smtpd = format_args!("postfix/smtpd[{pid}]");
                self.line(smtpd, format_args!("connect from mail.example.net[{ip}]"))?;
                self.line(
                    smtpd,
                    format_args!("4B{number:09X}: client=mail.example.net[{ip}]"),
                )?;
                self.line(format_args!("postfix/qmgr[877]"), format_args!("4B{number:09X}: from=<{user}@example.net>, size=4096, nrcpt=1 (queue active)"))?;
                self.line(smtpd, format_args!("disconnect from mail.example.net[{ip}] ehlo=1 mail=1 rcpt=1 data=1 quit=1 commands=5"))
            }
        }
    }

    fn line(&mut self, tag: Arguments<'_>, text: Arguments<'_>) -> io::Result<()> {
        let micros = self.written.lines * 400_021;
        let seconds = micros / 1_000_000;
        let (day, hour) = (1 + seconds / 86_400 % 28, seconds / 3_600 % 24);
        let (minute, second) = (seconds / 60 % 60, seconds % 60);
        let micros = micros % 1_000_000;
        self.written.lines += 1;
        writeln!(
            self.file,
            "2026-02-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}+00:00 bastion {tag}: {text}"
        )
    }
}

const PAM: &str = "pam_unix(sshd:session):";
const KEY: &str = "SHA256:xBbXq+gwq45UfjZpQK/A3MhDcqvMa1WR/qhvhvlfjF8";

/// Who is at a connection's other end.
struct Client {
    pid: u64,
    user: String,
    ip: String,
    /// Address and port, in sshd's words.
    at: String,
}

impl Client {
    fn of(number: u64) -> Self {
        let ip = format!("203.0.{}.{}", number % 113, number % 251 + 1);
        Self {
            pid: 1_000 + number * 3 % 4_000_000,
            user: format!("user{}", number % 1_000),
            at: format!("{ip} port {}", 1_024 + number * 7 % 60_000),
            ip,
        }
    }

    fn say(&self, log: &mut Log, text: Arguments<'_>) -> io::Result<()> {
        log.line(format_args!("sshd[{}]", self.pid), text)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_log_is_the_same_in_every_run() {
        let folder = tempfile::tempdir().unwrap();
        let paths = ["a", "b"].map(|name| folder.path().join(name));
        for path in &paths {
            let log = of_a_system(path, 10_000).unwrap();
            let text = fs::read_to_string(path).unwrap();
            let lines = u64::try_from(text.lines().count()).unwrap();
            assert_eq!((lines, text.len() as u64), (log.lines, log.bytes));
            let of_sshd = text.lines().filter(|line| line.contains(" sshd["));
            let share = of_sshd.count() * 1_000 / text.lines().count();
            assert!((15..25).contains(&share), "{share} of a thousand");
        }
        assert_eq!(fs::read(&paths[0]).unwrap(), fs::read(&paths[1]).unwrap());
    }

    #[test]
    fn logins_are_counted() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let log = of_sshd(file.path(), 1_000).unwrap();
        let text = fs::read_to_string(file.path()).unwrap();
        for words in ["Accepted publickey for", "session closed for user"] {
            let found = text.lines().filter(|line| line.contains(words)).count();
            assert_eq!(u64::try_from(found).unwrap(), log.logins, "{words}");
        }
        assert!(text.lines().all(|line| line.contains(" sshd[")));
    }
}
