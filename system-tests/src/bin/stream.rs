//! One TCP stream as fast as it goes, for `cargo xtask bench`: `stream serve PORT`
//! sends what it is asked for, `stream draw ADDRESS:PORT` asks. Both end when
//! standard input does.
//!
//! `draw` connects, says `port PORT`, its own, and then does, for each line
//! `WARM-UP MEASURED` of its input, in milliseconds, one measurement, and says
//! `BYTES NANOSECONDS`, of the measured time, and `ALL`, how many bytes there were
//! since it connected. The connection stays the same.
//!
//! What comes is thrown away in the kernel, uncopied: the sender, whose side is
//! the server's, shall be what limits the stream, not its client.

use std::{
    io::{Read as _, Write as _, stdin},
    net::{SocketAddr, TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
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
        ["draw", server] => draw(server.parse()?),
        _ => bail!("stream serve PORT | stream draw ADDRESS:PORT"),
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

fn draw(server: SocketAddr) -> Result<()> {
    let mut stream = Stream::to(server)?;
    println!("port {}", stream.socket.local_addr()?.port());
    for line in stdin().lines() {
        let line = line?;
        let (warm_up, measured) = line.split_once(' ').context("two numbers are asked for")?;
        stream.draw_for(Duration::from_millis(warm_up.parse()?))?;
        let (begin, before) = (Instant::now(), stream.received);
        stream.draw_for(Duration::from_millis(measured.parse()?))?;
        let (time, bytes) = (begin.elapsed(), stream.received - before);
        stream.draw_the_rest()?;
        println!("{bytes} {} {}", time.as_nanos(), stream.received);
    }
    Ok(())
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
