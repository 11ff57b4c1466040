//! Who reads the logs, and how each is asked for the logins and closings in them.

use std::{path::Path, process::Command, time::Duration};

use anyhow::{Context as _, Result, ensure};

use super::{turn, written::Written};

/// Somebody who can tell how many logins and closings there are in a log.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader {
    /// As it is called in the table.
    pub(super) name: &'static str,
    command: &'static [&'static str],
    /// How its answer is understood, of one that answers.
    counted: Option<fn(&str) -> Option<Counted>>,
    /// It says so much that its words are thrown away while it is measured.
    is_wordy: bool,
}

/// Logins and closings.
type Counted = [u64; 2];

/// What sshmeter should be several times as fast as.
pub(super) const PERL_LOOP: &str = "Perl loop";

/// sshmeter's table first: the others are held against it.
pub(super) const READERS: [Reader; 6] = [
    Reader {
        name: "sshmeter parse",
        command: &["sshmeter", "parse"],
        counted: Some(in_the_table),
        is_wordy: true,
    },
    Reader {
        name: "sshmeter parse --format json",
        command: &["sshmeter", "parse", "--format", "json"],
        counted: Some(in_json),
        is_wordy: true,
    },
    // What the kernel takes to hand the file out, which nobody is spared.
    Reader {
        name: "cat",
        command: &["cat"],
        counted: None,
        is_wordy: true,
    },
    Reader {
        name: "grep -c",
        command: &["grep", "-cE", EITHER],
        counted: Some(together),
        is_wordy: false,
    },
    Reader {
        name: "gawk",
        command: &["gawk", GAWK],
        counted: Some(two_numbers),
        is_wordy: false,
    },
    Reader {
        name: PERL_LOOP,
        command: &["perl", "-e", PERL],
        counted: Some(two_numbers),
        is_wordy: false,
    },
];

const EITHER: &str = r"sshd\[[0-9]+\]: (Accepted [^ ]+ for [^ ]+ from [^ ]+ port [0-9]+|pam_unix\(sshd:session\): session closed for user [^ ]+)";

const GAWK: &str = r"
/sshd\[[0-9]+\]: Accepted [^ ]+ for [^ ]+ from [^ ]+ port [0-9]+/ { logins++ }
/sshd\[[0-9]+\]: pam_unix\(sshd:session\): session closed for user [^ ]+/ { closings++ }
END { print logins, closings }";

/// The two are joined by the pid, as the older scripts do it.
const PERL: &str = r#"
while (<>) {
    if (/sshd\[(\d+)\]: Accepted \S+ for (\S+) from (\S+) port (\d+)/) {
        $sessions{$1} = [$2, $3, $4];
        $logins++;
    } elsif (/sshd\[(\d+)\]: pam_unix\(sshd:session\): session closed for user (\S+)/) {
        $closings++ if delete $sessions{$1};
    }
}
print "$logins $closings\n";"#;

impl Reader {
    /// Makes sure that it finds what is there; what it takes is not measured.
    pub(super) fn check(&self, sshmeter: &Path, log: &Written) -> Result<()> {
        if self.counted.is_none() {
            return Ok(());
        }
        let turn = turn::run(&mut self.command(sshmeter, log), true)?;
        self.must_agree(&turn.said, log)
    }

    /// The processor time that it takes.
    pub(super) fn read(&self, sshmeter: &Path, log: &Written) -> Result<Duration> {
        let turn = turn::run(&mut self.command(sshmeter, log), !self.is_wordy)?;
        if !self.is_wordy {
            self.must_agree(&turn.said, log)?;
        }
        Ok(turn.used)
    }

    fn command(&self, sshmeter: &Path, log: &Written) -> Command {
        let mut command = match self.command[0] {
            "sshmeter" => Command::new(sshmeter),
            program => Command::new(program),
        };
        // Bytes are all that is asked for, and characters would take the others longer.
        command.args(&self.command[1..]).env("LC_ALL", "C");
        command.arg(&log.path);
        command
    }

    fn must_agree(&self, said: &str, log: &Written) -> Result<()> {
        let counted = self.counted.and_then(|counted| counted(said));
        let counted = counted.with_context(|| {
            let end: Vec<&str> = said.lines().rev().take(1).collect();
            format!("{} said {end:?}", self.name)
        })?;
        let [logins, closings] = counted;
        ensure!(
            counted == [log.logins; 2],
            "{} found {logins} logins and {closings} closings where there are {} of each",
            self.name,
            log.logins
        );
        Ok(())
    }
}

/// The last line: the log's name, lines, lines of sshd's, logins, closings, lines
/// that were not recognised, and refused ones. Of the last two there may be none.
fn in_the_table(said: &str) -> Option<Counted> {
    let words: Vec<&str> = said.lines().last()?.split_whitespace().collect();
    let [_, _, _, logins, closings, "0", "0"] = words[..] else {
        return None;
    };
    Some([logins.parse().ok()?, closings.parse().ok()?])
}

fn in_json(said: &str) -> Option<Counted> {
    let events = |name: &str| {
        let start = format!("{{\"event\":\"{name}\",");
        let lines = said.lines().filter(|line| line.starts_with(&start));
        u64::try_from(lines.count()).ok()
    };
    Some([events("accepted")?, events("closed")?])
}

/// Lines of both kinds.
fn together(said: &str) -> Option<Counted> {
    let lines: u64 = said.trim().parse().ok()?;
    Some([lines / 2, lines.div_ceil(2)])
}

fn two_numbers(said: &str) -> Option<Counted> {
    let (logins, closings) = said.trim().split_once(' ')?;
    Some([logins.parse().ok()?, closings.parse().ok()?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_understood() {
        let table = "Opened  Closed\n\nLog  Lines\n────\n/a.log  90  80  7  6  0  0\n";
        assert_eq!(in_the_table(table), Some([7, 6]));
        assert_eq!(in_the_table(&table.replace("6  0", "6  1")), None);
        let json = "{\"event\":\"accepted\",\"a\":1}\n{\"event\":\"closed\"}\n{\"event\":\"closed\",\"a\":1}\n";
        assert_eq!(in_json(json), Some([1, 1]));
        assert_eq!(together("8\n"), Some([4, 4]));
        assert_eq!(two_numbers("7 6\n"), Some([7, 6]));
        assert_eq!(two_numbers(" \n"), None);
    }
}
