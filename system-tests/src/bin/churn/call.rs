//! The clients' end: callers come at their times, and leave at theirs.

use std::{
    io::{Read as _, Write as _, stdin},
    net::{SocketAddr, TcpStream},
    sync::mpsc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
use system_tests::Caller;

/// Who is there, and when he leaves.
type Guest = (Caller, TcpStream, Instant);

pub(crate) fn run(server: SocketAddr, count: usize, rate: u32) -> Result<()> {
    let (brief, brief_thread) = leave();
    let (long, long_thread) = leave();
    let begin = Instant::now();
    for number in 0..count {
        let due = begin + Duration::from_secs(1) * u32::try_from(number)? / rate;
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let caller = Caller(number);
        let stream = come(server, caller).with_context(|| format!("caller {number}"))?;
        let way_out = if caller.hardly_stays() { &brief } else { &long };
        way_out
            .send((caller, stream, Instant::now() + caller.stays()))
            .context("nobody may leave")?;
    }
    let came_in = begin.elapsed();
    drop((brief, long));
    for thread in [brief_thread, long_thread] {
        let left = thread.join().ok().context("a thread panicked")?;
        left?;
    }
    println!("done {}", came_in.as_nanos());
    stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

fn come(server: SocketAddr, caller: Caller) -> Result<TcpStream> {
    let descriptor = socket(AddressFamily::INET, SocketType::STREAM, None)?;
    bind(&descriptor, &caller.end())?;
    connect(&descriptor, &server)?;
    let mut stream = TcpStream::from(descriptor);
    let mut request = vec![7; caller.sends()];
    request[..8].copy_from_slice(&u64::try_from(caller.0)?.to_le_bytes());
    stream.write_all(&request)?;
    Ok(stream)
}

/// A thread in which they leave, each at his time.
fn leave() -> (mpsc::Sender<Guest>, JoinHandle<Result<()>>) {
    let (sender, guests) = mpsc::channel::<Guest>();
    let thread = thread::spawn(move || {
        for (caller, mut stream, leaves) in guests {
            let answer = stream.read_exact(&mut vec![0; caller.gets()]);
            answer.with_context(|| format!("{caller:?} got no answer"))?;
            thread::sleep(leaves.saturating_duration_since(Instant::now()));
        }
        Ok(())
    });
    (sender, thread)
}
