//! Connections that sshd has nothing to do with: made, accepted and closed, one
//! after the other.

use std::{
    io::stdin,
    net::{Ipv4Addr, TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};

/// How many are made in a row before it is looked whether they come too fast.
const ROW: u32 = 50;

pub(crate) fn run(port: u16) -> Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
    println!("ready");
    for line in stdin().lines() {
        let line = line?;
        let (count, rate) = line.split_once(' ').context("COUNT RATE")?;
        let took = make(&listener, count.parse()?, rate.parse()?)?;
        println!("done {}", took.as_nanos());
    }
    Ok(())
}

fn make(listener: &TcpListener, count: u32, rate: u32) -> Result<Duration> {
    let address = listener.local_addr()?;
    let begin = Instant::now();
    for number in 0..count {
        if number % ROW == 0 {
            let due = begin + Duration::from_secs(1) * number / rate;
            thread::sleep(due.saturating_duration_since(Instant::now()));
        }
        let client = TcpStream::connect(address)?;
        let served = listener.accept()?.0;
        drop(client);
        drop(served);
    }
    Ok(begin.elapsed())
}
