//! The server's end: takes callers one after the other, and sees them off in the
//! order in which they leave.

use std::{
    io::{Read as _, Write as _, stdin},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    thread,
};

use anyhow::{Context as _, Result};
use system_tests::Caller;

use super::log::Log;

pub(crate) fn run(port: u16, log: &str) -> Result<()> {
    let log = Log::open(log)?;
    let listener = TcpListener::bind(("0.0.0.0", port))?;
    thread::spawn(move || {
        if let Err(error) = take(&listener, &log) {
            eprintln!("churn serve: {error:#}");
        }
    });
    stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

fn take(listener: &TcpListener, log: &Log) -> Result<()> {
    // Those that stay equally long leave as they came.
    let [brief, long] = [(); 2].map(|()| see_off(log.clone()));
    for stream in listener.incoming() {
        let mut stream = stream?;
        let caller = greet(&mut stream, log)?;
        let way_out = if caller.hardly_stays() { &brief } else { &long };
        way_out.send((caller, stream)).context("nobody sees off")?;
    }
    Ok(())
}

/// He says his number, and fills up; he is logged before he gets an answer.
fn greet(stream: &mut TcpStream, log: &Log) -> Result<Caller> {
    let mut number = [0; 8];
    stream.read_exact(&mut number)?;
    let caller = Caller(usize::try_from(u64::from_le_bytes(number))?);
    stream.read_exact(&mut vec![0; caller.sends() - number.len()])?;
    log.welcome(caller)?;
    stream.write_all(&vec![7; caller.gets()])?;
    Ok(caller)
}

/// A thread that waits for callers to leave, logs it and closes behind them.
fn see_off(log: Log) -> mpsc::Sender<(Caller, TcpStream)> {
    let (sender, leaving) = mpsc::channel::<(Caller, TcpStream)>();
    thread::spawn(move || {
        for (caller, mut stream) in leaving {
            let left = stream.read_to_end(&mut Vec::new());
            if let Err(error) = left.and_then(|_| log.farewell(caller)) {
                eprintln!("churn serve: {caller:?}: {error}");
            }
        }
    });
    sender
}
