//! The firewall's own programs: run with what they are to read, and ended when
//! they take too long. Nothing passes through a shell.

use std::{
    fs::File,
    io::{Read as _, Seek as _, SeekFrom, Write as _},
    process::{Child, Command},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{MemfdFlags, memfd_create},
    process::{Pid, PidfdFlags, pidfd_open},
};

use crate::kernel::rights;

/// A firewall that another program holds must not hold up counting for ever.
const PATIENCE: Duration = Duration::from_secs(10);

/// Runs a program that reads `input`, and gives what it wrote.
///
/// # Errors
/// Where it cannot be started, takes too long, or fails, with its own words.
pub(super) fn run(program: &str, arguments: &[&str], input: &[u8]) -> Result<Vec<u8>> {
    let words = || format!("{program} {}", arguments.join(" "));
    // Files in memory: a pipe would have to be emptied while it runs.
    let mut stdin = memory(input)?;
    let (stdout, stderr) = (memory(&[])?, memory(&[])?);
    stdin.seek(SeekFrom::Start(0))?;
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env("PATH", crate::kernel::PATH_WITH_SBIN)
        .env("LC_ALL", "C")
        .stdin(stdin)
        .stdout(stdout.try_clone()?)
        .stderr(stderr.try_clone()?);
    let mut child = rights::lend_for_network(|| command.spawn())
        .with_context(|| format!("{program} cannot be started"))?;
    if !ends_within(&child, PATIENCE)? {
        child.kill()?;
        child.wait()?;
        bail!("{} took longer than {} s", words(), PATIENCE.as_secs());
    }
    let status = child.wait()?;
    if !status.success() {
        let said = String::from_utf8_lossy(&content(stderr)?).trim().to_owned();
        bail!("{} failed ({status}): {said}", words());
    }
    content(stdout)
}

fn memory(content: &[u8]) -> Result<File> {
    let file = memfd_create("sshmeter-firewall", MemfdFlags::CLOEXEC);
    let mut file = File::from(file.context("no memory for a program's words")?);
    file.write_all(content)?;
    Ok(file)
}

fn content(mut file: File) -> Result<Vec<u8>> {
    file.seek(SeekFrom::Start(0))?;
    let mut content = Vec::new();
    file.read_to_end(&mut content)?;
    Ok(content)
}

fn ends_within(child: &Child, limit: Duration) -> Result<bool> {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let process = pidfd_open(pid.context("a child without a pid")?, PidfdFlags::empty())?;
    let mut watched = [PollFd::new(&process, PollFlags::IN)];
    let limit = Timespec {
        tv_sec: i64::try_from(limit.as_secs())?,
        tv_nsec: 0,
    };
    loop {
        match poll(&mut watched, Some(&limit)) {
            Err(rustix::io::Errno::INTR) => {}
            ended => return Ok(ended? > 0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_program_reads_and_writes_may_be_large() {
        let input = vec![b'x'; 3_000_000];
        assert_eq!(run("cat", &[], &input).unwrap(), input);
    }

    #[test]
    fn what_went_wrong_is_told_in_the_programs_words() {
        let error = run("ls", &["/nowhere"], b"").unwrap_err();
        assert!(format!("{error:#}").contains("No such file"), "{error:#}");
        assert!(run("no-such-program", &[], b"").is_err());
    }
}
