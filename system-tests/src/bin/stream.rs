//! TCP streams as fast as they go, for `cargo xtask bench`: `stream serve PORT` sends
//! what it is asked for, `stream draw ADDRESS:PORT COUNT` asks, over so many
//! connections at once. Both end when standard input does.
//!
//! `draw` connects, says `PORT…`, its own, and then does, for each line
//! `WARM-UP MEASURED` of its input, in milliseconds, one measurement, and says
//! `BYTES NANOSECONDS`, of the measured time, and `ALL`, how many bytes there were
//! since it connected. The connections stay the same.
//!
//! What comes is thrown away in the kernel, uncopied: the sender, whose side is
//! the server's, shall be what limits the streams, not their client.

use std::{
    io::{Read as _, Write as _, stdin},
    net::{SocketAddr, TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use rustix::net::{RecvFlags, recv};

/// How much is asked for at once.
const PIECE: u64 = 1 << 20;
/// How many pieces are always asked for and not there yet.
const AHEAD: u64 = 3;
/// How much is sent, or thrown away, by one call.
const CALL: usize = 256 << 10;
/// A stream that stands still for so long is broken.
const PATIENCE: Duration = Duration::from_secs(20);

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["serve", port] => serve(port.parse()?),
        ["draw", server, count] => draw(server.parse()?, count.parse()?),
        _ => bail!("stream serve PORT | stream draw ADDRESS:PORT COUNT"),
    }
}

fn serve(port: u16) -> Result<()> {
    let listener = TcpListener::bind(("0.0.0.0", port))?;
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(|| send_what_is_asked_for(stream));
        }
    });
    stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

/// Until the client is gone.
fn send_what_is_asked_for(mut stream: TcpStream) -> Result<()> {
    let zeros = vec![0; CALL];
    loop {
        let mut asked = [0; size_of::<u64>()];
        stream.read_exact(&mut asked)?;
        let mut left = usize::try_from(u64::from_be_bytes(asked))?;
        while left > 0 {
            left -= stream.write(&zeros[..left.min(CALL)])?;
        }
    }
}

fn draw(server: SocketAddr, count: usize) -> Result<()> {
    let streams = (0..count).map(|_| Stream::to(server));
    let mut streams = streams.collect::<Result<Vec<Stream>>>()?;
    let ports = streams.iter().map(Stream::port);
    println!("{}", ports.collect::<Result<Vec<String>>>()?.join(" "));
    for line in stdin().lines() {
        let line = line?;
        let (warm_up, measured) = line.split_once(' ').context("two numbers are asked for")?;
        let times = [warm_up.parse()?, measured.parse()?].map(Duration::from_millis);
        let (bytes, time) = draw_from_all(&mut streams, times)?;
        let all: u64 = streams.iter().map(|stream| stream.received).sum();
        println!("{bytes} {} {all}", time.as_nanos());
    }
    Ok(())
}

/// How many bytes came in the measured time, and how long it was in the end.
fn draw_from_all(streams: &mut [Stream], times: [Duration; 2]) -> Result<(u64, Duration)> {
    let drawn = thread::scope(|scope| {
        let drawing: Vec<_> = streams
            .iter_mut()
            .map(|stream| scope.spawn(move || stream.draw_in(times)))
            .collect();
        let ended = drawing.into_iter().map(thread::ScopedJoinHandle::join);
        ended
            .map(|drawn| drawn.map_err(|_| anyhow!("a stream panicked"))?)
            .collect::<Result<Vec<(u64, Duration)>>>()
    })?;
    let bytes = drawn.iter().map(|(bytes, _)| bytes).sum();
    let longest = drawn.iter().map(|(_, time)| *time).max();
    Ok((bytes, longest.context("there are streams")?))
}

/// A connection that is drawn from.
struct Stream {
    socket: TcpStream,
    asked: u64,
    received: u64,
    /// Never written to.
    nothing: Vec<u8>,
}

impl Stream {
    fn to(server: SocketAddr) -> Result<Self> {
        let socket = TcpStream::connect(server)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        Ok(Self {
            socket,
            asked: 0,
            received: 0,
            nothing: vec![0; CALL],
        })
    }

    fn port(&self) -> Result<String> {
        Ok(self.socket.local_addr()?.port().to_string())
    }

    /// Warms up, and measures.
    fn draw_in(&mut self, [warm_up, measured]: [Duration; 2]) -> Result<(u64, Duration)> {
        self.draw_for(warm_up)?;
        let (begin, before) = (Instant::now(), self.received);
        self.draw_for(measured)?;
        let drawn = (self.received - before, begin.elapsed());
        self.draw_the_rest()?;
        Ok(drawn)
    }

    fn draw_for(&mut self, time: Duration) -> Result<()> {
        let begin = Instant::now();
        while begin.elapsed() < time {
            while self.asked - self.received < AHEAD * PIECE {
                self.socket.write_all(&PIECE.to_be_bytes())?;
                self.asked += PIECE;
            }
            self.receive()?;
        }
        Ok(())
    }

    fn draw_the_rest(&mut self) -> Result<()> {
        while self.received < self.asked {
            self.receive()?;
        }
        Ok(())
    }

    fn receive(&mut self) -> Result<()> {
        let (_, bytes) = recv(&self.socket, &mut self.nothing[..], RecvFlags::TRUNC)?;
        ensure!(bytes > 0, "the server has ended the stream");
        self.received += u64::try_from(bytes)?;
        Ok(())
    }
}
