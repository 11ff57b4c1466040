//! Connections that come and go, for `cargo xtask bench churn`.
//!
//! `churn serve PORT LOG` takes callers ([`system_tests::Caller`]) and logs them as
//! sshd would; `churn call SERVER PORT COUNT RATE` is that many of them, so many a
//! second. `churn pass PORT` makes, for each line `COUNT RATE` of its input, that
//! many connections to itself over loopback, which sshd has nothing to do with.
//! What is done is told as `done NANOSECONDS`. All end with standard input.

mod call;
mod log;
mod pass;
mod serve;

use anyhow::{Result, bail};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

fn main() -> Result<()> {
    let maximum = getrlimit(Resource::Nofile).maximum;
    let current = maximum;
    setrlimit(Resource::Nofile, Rlimit { current, maximum })?;
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["serve", port, log] => serve::run(port.parse()?, log),
        ["call", server, port, count, rate] => {
            let server = (server.parse::<std::net::IpAddr>()?, port.parse()?).into();
            call::run(server, count.parse()?, rate.parse()?)
        }
        ["pass", port] => pass::run(port.parse()?),
        _ => bail!("churn serve PORT LOG | call SERVER PORT COUNT RATE | pass PORT"),
    }
}
